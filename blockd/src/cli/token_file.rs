//! The token of an export, for the commands that connect to a server.

use std::{
    env::{self, VarError},
    fs,
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use blockd_nbd::{token::Token, uri::NbdUri};
use clap::Args;

/// The variable that has the token itself.
const VARIABLE: &str = "BLOCKD_TOKEN";

/// The token that the servers ask for.
#[derive(Args, Clone, Debug)]
pub struct TokenFileArgs {
    /// Read the token that the servers ask for from this file [default: the variable
    /// `BLOCKD_TOKEN`, which has the token itself]
    #[arg(long, env = "BLOCKD_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl TokenFileArgs {
    /// The URIs without a token, and the token: from the file, from the environment, or
    /// from the URIs.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is none; or there are two that differ.
    pub(super) fn taken_from<'a>(
        &self,
        uris: impl IntoIterator<Item = &'a NbdUri>,
    ) -> Result<(Vec<NbdUri>, Option<Token>)> {
        let mut token = self.given()?;
        let mut plain = Vec::new();
        for uri in uris {
            let (export, named) = Token::split(&uri.export)?;
            if token.is_some() && named.is_some() && token != named {
                bail!("there are two tokens, and they differ: leave the one in the URI out");
            }
            plain.push(NbdUri {
                export: export.into_owned(),
                address: uri.address.clone(),
            });
            token = token.or(named);
        }
        Ok((plain, token))
    }

    fn given(&self) -> Result<Option<Token>> {
        if let Some(file) = &self.token_file {
            let name = file.display();
            let text = fs::read_to_string(file)
                .with_context(|| format!("cannot read the token in {name}"))?;
            let token = text.trim().parse();
            return token
                .map(Some)
                .with_context(|| format!("{name} has no token"));
        }
        match env::var(VARIABLE) {
            Ok(text) if text.is_empty() => Ok(None),
            Ok(text) => {
                let token = text.trim().parse();
                token
                    .map(Some)
                    .with_context(|| format!("{VARIABLE} has no token"))
            }
            Err(VarError::NotPresent) => Ok(None),
            Err(error @ VarError::NotUnicode(_)) => {
                Err(error).with_context(|| format!("{VARIABLE} has no token"))
            }
        }
    }
}
