//! The whole program: `agent serve` on a port of its own, and its clients.
//!
//! `fake/codex` plays codex where things must be exact and quick; `peers` are
//! other people's programs, a real codex among them, that setup.sh fetches.

#[cfg(test)]
mod ctrl_z;
#[cfg(test)]
mod guard;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod life;
#[cfg(test)]
mod live;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod window;
