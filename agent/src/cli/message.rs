//! `agent message`

use std::io::{self, Read};

use anyhow::{Context, Result};
use clap::Args;

use super::remote::Remote;

/// `agent message`
#[derive(Debug, Args)]
pub struct Message {
    /// The server.
    #[command(flatten)]
    pub remote: Remote,
    /// The text to type; - reads standard input.
    pub text: String,
}

impl Message {
    /// The text to type.
    ///
    /// # Errors
    ///
    /// When standard input cannot be read, or is not UTF-8.
    pub fn text(&self) -> Result<String> {
        if self.text != "-" {
            return Ok(self.text.clone());
        }
        let mut text = String::new();
        let read = io::stdin().read_to_string(&mut text);
        read.context("cannot read the message from standard input")?;
        Ok(text)
    }
}
