//! Images of repositories that git made; git and e2fsprogs judge them.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod fsck;
mod git;
mod harness;
mod index;
mod reading;
mod refused;
