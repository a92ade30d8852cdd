//! Progress of long work, for people.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// A count of things done, of which it is not known how many there are; drawn when it
/// is first set, on standard error, or never if that is no terminal.
pub(crate) fn count_bar(what: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = "{msg} {human_pos} ({elapsed})";
    let style = ProgressStyle::with_template(style).expect("the template is valid");
    ProgressBar::no_length()
        .with_style(style)
        .with_message(what)
}

/// A bar of so many bytes on standard error; a hidden one if that is no
/// terminal.
pub(crate) fn bytes_bar(bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(style).expect("the template is valid");
    ProgressBar::new(bytes).with_style(style)
}
