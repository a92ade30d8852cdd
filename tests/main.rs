//! The whole product against git, e2fsck, the kernel and other people's NBD
//! clients. `tests/setup.sh` installs the programs that judge it.

#[cfg(test)]
mod access;
#[cfg(test)]
mod attachment;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod boot;
#[cfg(test)]
mod day;
#[cfg(test)]
mod edits;
#[cfg(test)]
mod fly;
#[cfg(test)]
mod fsmonitor;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod image;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod nbd_clients;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod real;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod seen;
#[cfg(test)]
mod smoke;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod watching;
#[cfg(test)]
mod worktree;
