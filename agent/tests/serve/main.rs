//! The whole program: `agent serve` on a port of its own, and its clients.
//!
//! `fake/codex` stands for codex where things must be exact and quick; `interop`
//! runs with a real codex, MCP clients and a browser, which setup.sh fetches.

#[cfg(test)]
mod access;
#[cfg(test)]
mod ctrl_z;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod hostile_output;
#[cfg(test)]
mod interop;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod live;
#[cfg(test)]
mod mcp_clients;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod process_lifecycle;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod viewers;
#[cfg(test)]
mod window;
