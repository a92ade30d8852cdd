//! Which keys of a person reach the program.

mod filter;
mod key;
mod sequence;
#[cfg(test)]
mod tests;

pub use self::{
    filter::{KeyFilter, Passed},
    key::Key,
};
