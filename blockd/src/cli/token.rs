//! The command lines of `token` and `check-config`.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow};
use clap::{Args, Subcommand, ValueEnum};

use crate::{
    access::{AccessRules, Claims, Pattern, Shown, SigningKey},
    units,
};

/// Make tokens, which permit what an access file does not.
#[derive(Args, Clone, Debug)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Print a token for a repository, or for one commit of it.
    Create(CreateArgs),
}

/// Print a token for a repository, or for one commit of it.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct CreateArgs {
    /// The repository as clients name it, all below a directory (team/*), or one
    /// commit (REPO@COMMIT, the whole id).
    #[arg(value_name = "REPO[@COMMIT]")]
    pub repository: String,
    /// The private key of Ed25519, in PEM.
    #[arg(long, env = "BLOCKD_TOKEN_KEY", value_name = "FILE")]
    pub key: PathBuf,
    /// What the access file calls the key [default: the name of its file, without
    /// .pem].
    #[arg(long, value_name = "ID")]
    pub key_id: Option<String>,
    /// How long it is valid: 30m, 12h, 7d.
    #[arg(long, value_name = "TIME", value_parser = units::parse_lifetime)]
    pub expires: Duration,
    /// What it shows: the files and the whole history, or the files alone.
    #[arg(long, value_enum, default_value = "full")]
    pub history: HistoryArg,
}

/// What a token shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HistoryArg {
    /// The files and .git.
    Full,
    /// The files alone.
    None,
}

const HELP: &str = "\
  openssl genpkey -algorithm ed25519 -out blockd-1.pem
  openssl pkey -in blockd-1.pem -pubout      (for the access file, as blockd-1)
  blockd token create team/app --key blockd-1.pem --expires 12h > token
  sudo blockd attach nbds://HOST/team/app /work --token-file token

Whoever has a token may use it: keep it out of command lines and logs. A client
other than blockd sends it in the name: team/app:token=TOKEN.";

impl TokenArgs {
    /// Prints the token.
    ///
    /// # Errors
    ///
    /// The key cannot be used, or the repository or commit is malformed.
    pub fn run(&self) -> Result<()> {
        let TokenCommand::Create(args) = &self.command;
        let token = args.token()?;
        Ok(writeln!(io::stdout(), "{token}")?)
    }
}

impl CreateArgs {
    fn token(&self) -> Result<String> {
        let (repository, commit) = match self.repository.split_once('@') {
            Some((repository, commit)) => (repository, Some(commit.to_owned())),
            None => (self.repository.as_str(), None),
        };
        let repository = Pattern::try_from(repository.to_owned()).map_err(|text| anyhow!(text))?;
        let expires = SystemTime::now() + self.expires;
        let expires = expires.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let history = match self.history {
            HistoryArg::Full => Shown::Full,
            HistoryArg::None => Shown::None,
        };
        let claims = Claims::new(repository, commit, history, expires);
        let claims = claims.map_err(|text| anyhow!(text))?;
        let token = SigningKey::read(&self.key, &self.key_id()?)?.sign(&claims)?;
        Ok(token.secret().to_owned())
    }

    fn key_id(&self) -> Result<String> {
        if let Some(id) = &self.key_id {
            return Ok(id.clone());
        }
        let stem = self.key.file_stem().and_then(|stem| stem.to_str());
        let stem = stem.context("the name of the key's file is no id: give one with --key-id")?;
        Ok(stem.to_owned())
    }
}

/// Check an access file.
#[derive(Args, Clone, Debug)]
#[command(after_help = ACCESS_FILE)]
pub struct CheckConfigArgs {
    /// The file that `blockd serve --access` is to read.
    pub file: PathBuf,
}

const ACCESS_FILE: &str = "\
An access file is TOML:

  version = 1

  [[rule]]                          # who has no token may open this, if all
  networks = [\"10.0.0.0/8\"]         # conditions hold: an address,
  certificates = [\"ci.example.com\"] # a DNS name of the client's certificate,
  users = [1000]                    # a user of the unix socket
  repositories = [\"team/*\", \"docs\"]
  history = \"none\"                  # the files alone; default full

  [[key]]                           # signs tokens (blockd token create)
  id = \"blockd-1\"
  public_key = \"\"\"
  -----BEGIN PUBLIC KEY-----
  …
  -----END PUBLIC KEY-----
  \"\"\"
  repositories = [\"team/*\"]         # all that its tokens may name; default [\"*\"]

A rule without conditions is for everybody. What nobody permits does not exist.";

impl CheckConfigArgs {
    /// Prints what the file has.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is wrong: what, and where.
    pub fn run(&self) -> Result<()> {
        let name = self.file.display();
        let text = fs::read_to_string(&self.file).with_context(|| format!("cannot read {name}"))?;
        let (keys, rules) = AccessRules::parse(&text, &self.file)?.counts();
        Ok(writeln!(
            io::stdout(),
            "{name} is good: {keys} keys, {rules} rules"
        )?)
    }
}
