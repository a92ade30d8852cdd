//! The command lines of `agent smoke` and `agent exercises`.

use std::{
    env, fs,
    net::SocketAddr,
    path::{self, Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::{
    cli::environment::handed_on,
    cli::http::read_token_hash,
    cli::machine::{SERVER, server_user, store, user, variable},
    smoke::{Candidate, Options, Passes, Promotion, Tier, exercises},
};

/// The port of a machine's agent.
const AGENT_PORT: u16 = 8080;
/// The port of a machine's `agent exercises`.
const EXERCISES_PORT: u16 = 8081;

/// The last tier to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UpTo {
    /// The machine answers, can attach, and isolates changes.
    Wiring,
    /// And codex answers a message.
    Codex,
    /// And codex solves a puzzle.
    Puzzle,
    /// And several agents repair a repository.
    Team,
    /// The same as team.
    All,
}

impl From<UpTo> for Tier {
    fn from(up_to: UpTo) -> Self {
        match up_to {
            UpTo::Wiring => Self::Wiring,
            UpTo::Codex => Self::Codex,
            UpTo::Puzzle => Self::Puzzle,
            UpTo::Team | UpTo::All => Self::Team,
        }
    }
}

/// `agent smoke`
#[derive(Debug, Args)]
pub struct Smoke {
    /// The last tier to run.
    #[arg(long, env = "AGENT_SMOKE_TIER", value_enum, default_value = "all")]
    pub tier: UpTo,
    /// The agent of the machine under test; the machine that the platform names in
    /// `FLY_TEST_MACHINE_IP` if not given.
    #[arg(long, env = "AGENT_SMOKE_TARGET", value_name = "URL")]
    pub target: Option<String>,
    /// Its `agent exercises`; port 8081 of the target if not given.
    #[arg(
        long,
        alias = "ground",
        env = "AGENT_SMOKE_EXERCISES",
        value_name = "URL"
    )]
    pub exercises: Option<String>,
    /// How many seconds a tier may take.
    #[arg(long, env = "AGENT_SMOKE_SECONDS", value_name = "N")]
    pub seconds: Option<u64>,
    /// How many messages an agent gets for its part.
    #[arg(long, env = "AGENT_SMOKE_TURNS", value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub turns: u32,
    /// A file with the machine's token; `AGENT_TOKEN` if not given.
    #[arg(long, env = "AGENT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The digest of the machine's image; taken from `FLY_IMAGE_REF` if not given.
    #[arg(long, value_name = "DIGEST")]
    pub image: Option<String>,
    /// Where to record images that passed, /DIR or <https://URL>; the bucket in the
    /// environment (`AWS_ENDPOINT_URL_S3`, `BUCKET_NAME`) if not given.
    #[arg(long, env = "AGENT_STORE", value_name = "STORE")]
    pub passes: Option<String>,
    /// The coordinator that is asked to promote an image that passed.
    #[arg(long, env = "AGENT_SMOKE_PROMOTE", value_name = "URL")]
    pub promote: Option<String>,
    /// This machine's socket to the platform, which issues identity tokens.
    #[arg(long, value_name = "SOCKET", default_value = "/.fly/api")]
    pub platform: PathBuf,
}

impl Smoke {
    /// The options of the test.
    ///
    /// # Errors
    ///
    /// When no machine is given, an option is not valid, or the token cannot be read.
    pub fn options(&self) -> Result<Options> {
        let target = match &self.target {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => test_machine()?,
        };
        let exercises = match &self.exercises {
            Some(url) => Some(url.clone()),
            // The name that the last release had for it.
            None => variable("AGENT_SMOKE_GROUND")?,
        };
        let exercises = match exercises {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => with_port(&target, EXERCISES_PORT)?,
        };
        let token = token(self.token_file.as_deref())?;
        let image = match &self.image {
            Some(image) => Some(image.clone()),
            None => variable("FLY_IMAGE_REF")?,
        };
        Ok(Options {
            candidate: Candidate::new(target, exercises, token.as_deref()),
            up_to: self.tier.into(),
            tier_timeout: self.seconds.map(Duration::from_secs),
            turns: self.turns,
            image: image.as_deref().and_then(digest),
            passes: store(self.passes.as_deref())?.map(Passes::new),
            promote: self.promotion(),
        })
    }

    /// An empty URL, as an image's environment may have it, is none.
    fn promotion(&self) -> Option<Promotion> {
        let coordinator = self.promote.as_ref().filter(|url| !url.is_empty())?;
        Some(Promotion {
            coordinator: coordinator.trim_end_matches('/').to_owned(),
            platform: self.platform.clone(),
        })
    }
}

/// The agent of the machine that the platform has this machine test.
fn test_machine() -> Result<String> {
    let Some(ip) = variable("FLY_TEST_MACHINE_IP")? else {
        bail!("give --target URL: FLY_TEST_MACHINE_IP is not set in the environment");
    };
    let ip = ip.trim_start_matches('[').trim_end_matches(']');
    let address = ip.parse().map(|ip| SocketAddr::new(ip, AGENT_PORT));
    let address =
        address.with_context(|| format!("FLY_TEST_MACHINE_IP={ip} is not an IP address"))?;
    Ok(format!("http://{address}"))
}

/// The same host at another port.
fn with_port(url: &str, port: u16) -> Result<String> {
    let mut url = reqwest::Url::parse(url).with_context(|| format!("--target {url}"))?;
    let set = url.set_port(Some(port));
    ensure!(set.is_ok(), "--target {url} has no host");
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The digest in an image reference, without `sha256:`; `None` for a tag, which may
/// be moved to another image.
fn digest(image: &str) -> Option<String> {
    let (_, hex) = image.rsplit_once("sha256:")?;
    let is_hex = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| hex.to_ascii_lowercase())
}

fn token(file: Option<&Path>) -> Result<Option<String>> {
    let Some(file) = file else {
        return variable("AGENT_TOKEN");
    };
    let token = fs::read_to_string(file);
    let token = token.with_context(|| format!("cannot read the token in {}", file.display()))?;
    Ok(Some(token.trim().to_owned()))
}

/// `agent exercises`
#[derive(Debug, Args)]
pub struct Exercises {
    /// The address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "[::]:8081")]
    pub listen: SocketAddr,
    /// The directory to deploy exercises in; it must be able to hold overlayfs upper layers.
    #[arg(long, value_name = "DIR")]
    pub directory: PathBuf,
    /// The program blockd.
    #[arg(long, value_name = "PROGRAM", default_value = "blockd")]
    pub blockd: PathBuf,
    /// A file with the token that callers must present, also those of agents, or with its hash.
    #[arg(long, env = "AGENT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: PathBuf,
    /// The user id that codex and test suites run as; that of the caller if not given.
    #[arg(long, env = "AGENT_UID", value_name = "N")]
    pub uid: Option<u32>,
    /// The user id that agent serve runs as where this runs as root.
    #[arg(long, env = "AGENT_SERVER_UID", value_name = "N", default_value_t = SERVER)]
    pub server_uid: u32,
    /// The group id that codex and test suites run as; that of the caller if not given.
    #[arg(long, env = "AGENT_GID", value_name = "N")]
    pub gid: Option<u32>,
}

impl Exercises {
    /// The server's options.
    ///
    /// # Errors
    ///
    /// When the token cannot be read.
    pub fn options(&self) -> Result<exercises::Options> {
        let agent = env::current_exe().context("cannot find the running program")?;
        let user = user(self.uid, self.gid);
        Ok(exercises::Options {
            listen: self.listen,
            directory: path::absolute(&self.directory)?,
            blockd: self.blockd.clone(),
            agent,
            // What it does is done as root: it is for nobody else on this host.
            token: read_token_hash(&self.token_file)?,
            user,
            server: server_user(user, self.server_uid)?,
            environment: handed_on(&[]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{digest, with_port};

    #[test]
    fn exercises_are_at_the_targets_host() {
        for (target, exercises) in [
            ("http://[fdaa::3]:8080", "http://[fdaa::3]:8081"),
            ("http://127.0.0.1:1", "http://127.0.0.1:8081"),
            ("http://agents.flycast", "http://agents.flycast:8081"),
        ] {
            assert_eq!(with_port(target, 8081).unwrap(), exercises);
        }
        assert!(with_port("nonsense", 1).is_err());
    }

    #[test]
    fn only_a_digest_identifies_an_image() {
        let hex = "a1".repeat(32);
        let digest_of = |text: &str| digest(&text.replace('#', &hex));
        assert_eq!(digest_of("host/agents@sha256:#"), Some(hex.clone()));
        assert_eq!(digest_of("sha256:#"), Some(hex.clone()));
        assert_eq!(digest_of("host/agents:deployment-01"), None);
        assert_eq!(digest_of("host/agents@sha256:../#"), None);
    }
}
