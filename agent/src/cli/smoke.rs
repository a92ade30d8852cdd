//! The command lines of `agent smoke` and `agent ground`.

use std::{
    env, fs,
    net::SocketAddr,
    path::{self, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::smoke::{Options, Passes, Tier, candidate::Candidate, ground, promote::Promotion};
use crate::{
    cli::machine::{bucket, given, keys},
    machine::store::Store,
    machine::user::User,
};

/// Where a machine serves, and where it lays out exercises.
const SERVE_PORT: u16 = 8080;
const GROUND_PORT: u16 = 8081;

/// What is tried: one tier and those before it, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UpTo {
    /// It answers, can attach, and keeps changes apart.
    Wiring,
    /// And codex answers a message.
    Codex,
    /// And solves a puzzle.
    Puzzle,
    /// And several agents repair a repository.
    Team,
    /// The same.
    All,
}

/// `agent smoke`
#[derive(Debug, Args)]
pub struct Smoke {
    /// How far to go.
    #[arg(long, env = "AGENT_SMOKE_TIER", value_enum, default_value = "all")]
    pub tier: UpTo,
    /// The machine that is tried; the one that the platform names to a test
    /// machine (`FLY_TEST_MACHINE_IP`) if left out.
    #[arg(long, env = "AGENT_SMOKE_TARGET", value_name = "URL")]
    pub target: Option<String>,
    /// Where it lays out exercises; port 8081 of the target if left out.
    #[arg(long, env = "AGENT_SMOKE_GROUND", value_name = "URL")]
    pub ground: Option<String>,
    /// How many seconds a tier may take.
    #[arg(long, env = "AGENT_SMOKE_SECONDS", value_name = "N")]
    pub seconds: Option<u64>,
    /// How many messages an agent gets for its part.
    #[arg(long, env = "AGENT_SMOKE_TURNS", value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub turns: u32,
    /// A file with the candidate's token; `AGENT_TOKEN` if left out.
    #[arg(long, env = "AGENT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The digest of its image; taken from `FLY_IMAGE_REF` if left out.
    #[arg(long, value_name = "DIGEST")]
    pub image: Option<String>,
    /// Where passes are remembered by digest, /FOLDER or <https://URL>; the
    /// bucket that the platform gave us, if left out.
    #[arg(long, env = "AGENT_STORE", value_name = "PLACE")]
    pub passes: Option<String>,
    /// Tell this coordinator of a pass, so that the image is promoted.
    #[arg(long, env = "AGENT_SMOKE_PROMOTE", value_name = "URL")]
    pub promote: Option<String>,
    /// This machine's own socket into the platform, which says who it is.
    #[arg(long, value_name = "SOCKET", default_value = "/.fly/api")]
    pub platform: PathBuf,
}

impl Smoke {
    /// What is tried, and how.
    ///
    /// # Errors
    ///
    /// A sentence about what is missing.
    pub fn options(&self) -> Result<Options> {
        let target = match &self.target {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => of_test_machine()?,
        };
        let ground = match &self.ground {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => with_port(&target, GROUND_PORT)?,
        };
        let place = self.passes.clone().or_else(bucket);
        let store = place.map(|place| Store::new(&place, keys())).transpose()?;
        let token = token(self.token_file.as_ref())?;
        let image = self.image.clone().or_else(|| given("FLY_IMAGE_REF"));
        Ok(Options {
            candidate: Candidate::new(target, ground, token.as_deref()),
            tiers: self.tier.tiers(),
            seconds: self.seconds,
            turns: self.turns,
            image: image.as_deref().and_then(digest),
            passes: store.map(Passes::new),
            promote: self.promotion(),
        })
    }
}

impl Smoke {
    fn promotion(&self) -> Option<Promotion> {
        let coordinator = self.promote.as_ref().filter(|url| !url.is_empty())?;
        Some(Promotion {
            coordinator: coordinator.trim_end_matches('/').to_owned(),
            platform: self.platform.clone(),
        })
    }
}

impl UpTo {
    fn tiers(self) -> Vec<Tier> {
        let all = [Tier::Wiring, Tier::Codex, Tier::Puzzle, Tier::Team];
        let count = match self {
            Self::Wiring => 1,
            Self::Codex => 2,
            Self::Puzzle => 3,
            Self::Team | Self::All => 4,
        };
        all[..count].to_vec()
    }
}

fn of_test_machine() -> Result<String> {
    let Some(ip) = given("FLY_TEST_MACHINE_IP") else {
        bail!("give --target URL: there is no FLY_TEST_MACHINE_IP in the environment");
    };
    let ip = ip.trim_start_matches('[').trim_end_matches(']');
    let address = ip.parse().map(|ip| SocketAddr::new(ip, SERVE_PORT));
    let address = address.with_context(|| format!("FLY_TEST_MACHINE_IP={ip} is no address"))?;
    Ok(format!("http://{address}"))
}

/// The same host at another port.
fn with_port(url: &str, port: u16) -> Result<String> {
    let mut url = reqwest::Url::parse(url).with_context(|| format!("--target {url}"))?;
    let set = url.set_port(Some(port));
    ensure!(set.is_ok(), "--target {url} names no host");
    Ok(url.to_string().trim_end_matches('/').to_owned())
}

/// The digest in an image's reference; a tag may move, so it counts for nothing.
fn digest(image: &str) -> Option<String> {
    let (_, hex) = image.rsplit_once("sha256:")?;
    let is_hex = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| hex.to_ascii_lowercase())
}

fn token(file: Option<&PathBuf>) -> Result<Option<String>> {
    let Some(file) = file else {
        return Ok(given("AGENT_TOKEN"));
    };
    let token = fs::read_to_string(file);
    let token = token.with_context(|| format!("cannot read the token in {}", file.display()))?;
    Ok(Some(token.trim().to_owned()))
}

/// `agent ground`
#[derive(Debug, Args)]
pub struct Ground {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "[::]:8081")]
    pub listen: SocketAddr,
    /// Where exercises are laid out; it takes an overlay's upper layer.
    #[arg(long, value_name = "DIR")]
    pub directory: PathBuf,
    /// The program that serves and attaches.
    #[arg(long, value_name = "PROGRAM", default_value = "blockd")]
    pub blockd: PathBuf,
    /// A file with the token that callers must send, and agents too.
    #[arg(long, env = "AGENT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Who runs codex and the suites, by number.
    #[arg(long, env = "AGENT_UID", value_name = "N")]
    pub uid: Option<u32>,
    /// Their group.
    #[arg(long, env = "AGENT_GID", value_name = "N")]
    pub gid: Option<u32>,
}

impl Ground {
    /// What the ground is made of.
    ///
    /// # Errors
    ///
    /// A sentence about what cannot work.
    pub fn options(&self) -> Result<ground::Options> {
        let own = User::own_self();
        let token = token(self.token_file.as_ref())?;
        ensure!(
            token.is_some() || self.listen.ip().is_loopback(),
            "--listen {} is not loopback: that needs a --token-file",
            self.listen
        );
        let agent = env::current_exe().context("cannot find the running program")?;
        Ok(ground::Options {
            listen: self.listen,
            directory: path::absolute(&self.directory)?,
            blockd: self.blockd.clone(),
            agent,
            token_file: self.token_file.clone(),
            token,
            user: User {
                uid: self.uid.unwrap_or(own.uid),
                gid: self.gid.unwrap_or(own.gid),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{digest, with_port};

    #[test]
    fn the_ground_is_at_the_same_host() {
        for (target, ground) in [
            ("http://[fdaa::3]:8080", "http://[fdaa::3]:8081"),
            ("http://127.0.0.1:1", "http://127.0.0.1:8081"),
            ("http://agents.flycast", "http://agents.flycast:8081"),
        ] {
            assert_eq!(with_port(target, 8081).unwrap(), ground);
        }
        assert!(with_port("nonsense", 1).is_err());
    }

    #[test]
    fn only_a_digest_is_a_name_for_ever() {
        let hex = "a1".repeat(32);
        let digest_of = |text: &str| digest(&text.replace('#', &hex));
        assert_eq!(digest_of("host/agents@sha256:#"), Some(hex.clone()));
        assert_eq!(digest_of("sha256:#"), Some(hex.clone()));
        assert_eq!(digest_of("host/agents:deployment-01"), None);
        assert_eq!(digest_of("host/agents@sha256:../#"), None);
    }
}
