//! Images of repositories that git wrote, checked with git and e2fsprogs.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod allowance;
mod converted;
mod fsck;
mod fsmonitor;
mod harness;
mod index;
mod malformed_trees;
mod reading;
mod refused;
#[path = "../support/mod.rs"]
mod support;
