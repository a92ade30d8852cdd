//! What of a program's output may be drawn on somebody else's terminal.
//!
//! A terminal does more than draw: it answers questions with text that counts
//! as typed, writes the clipboard, names and moves its window, prints, and
//! changes what its keyboard sends. The program behind the output, or what it
//! has read somewhere, may be hostile. So this is a list of what passes; all
//! else is taken out, in whatever form it comes and however it is cut.
//!
//! ```text
//! bytes ─► filter ─► sequence ─► functions ─► modes      CSI
//!                 └► link                                OSC 8
//! ```
//!
//! What passes is unchanged, byte for byte, but that bytes which are no UTF-8
//! become U+FFFD, as on a screen, that of a list of modes those which may not
//! pass are left out, that the end of a link stands for a link that is refused,
//! and milder resets for one that would erase a reader's history. Words are those of ECMA-48 and of xterm's "Control
//! Sequences" (ctlseqs). The terminal is taken to be one of UTF-8.
//!
//! A parser that splits sequences for an emulator would not do: it gives
//! numbers, not the bytes they came in, and it ignores what other terminals obey.

mod escape;
mod filter;
mod functions;
mod link;
mod modes;
mod policy;
mod sequence;
#[cfg(test)]
mod tests;

pub use self::{
    escape::{escaped, escaped_json},
    filter::Filter,
    policy::Policy,
};
