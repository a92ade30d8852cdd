//! The form of the log, for commands that run for long.

use clap::{Args, ValueEnum};

use crate::log::LogFormat;

/// The variable that stands for the option, which a relay in the background inherits.
pub(super) const VARIABLE: &str = "BLOCKD_LOG_FORMAT";

/// What lines of the log look like.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// How to write the log on standard error: lines for people, or an object of JSON
    /// for each. What is about a connection has its number, peer and export.
    #[arg(long, env = VARIABLE, value_name = "FORMAT", value_enum, default_value_t = Form::Text)]
    pub log_format: Form,
}

/// As it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Lines for people.
    Text,
    /// An object of JSON for each line.
    Json,
}

impl LogArgs {
    /// The format.
    pub fn format(&self) -> LogFormat {
        match self.log_format {
            Form::Text => LogFormat::Text,
            Form::Json => LogFormat::Json,
        }
    }
}
