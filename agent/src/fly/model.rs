//! What the API speaks of, in its own words.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    net::IpAddr,
    str::FromStr,
};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

/// Names a machine. It is safe in a path, a header and a host name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineId(String);

/// A text that cannot name a machine.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} cannot be a machine's id: that is up to 32 small letters and digits")]
pub struct NotAnId(String);

impl MachineId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MachineId {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if matches!(text.len(), 1..=32) && text.bytes().all(fits) {
            Ok(Self(text))
        } else {
            Err(NotAnId(text.chars().take(64).collect()))
        }
    }
}

impl FromStr for MachineId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        Self::try_from(text.to_owned())
    }
}

impl From<MachineId> for String {
    fn from(id: MachineId) -> Self {
        id.0
    }
}

impl Display for MachineId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Never started.
    Created,
    /// Runs.
    Started,
    /// Does not run.
    Stopped,
    /// Its memory is kept.
    Suspended,
    /// Could not be made.
    Failed,
    /// On its way to `created`.
    Creating,
    /// On its way to `started`.
    Starting,
    /// On its way to `stopped`.
    Stopping,
    /// Stops and starts.
    Restarting,
    /// On its way to `suspended`.
    Suspending,
    /// Gets a new configuration.
    Updating,
    /// Gives way to a new version.
    Replacing,
    /// On its way to `destroyed`.
    Destroying,
    /// Was never able to run.
    LaunchFailed,
    /// Is gone.
    Destroyed,
    /// An older version.
    Replaced,
    /// Lives on another host now.
    Migrated,
    /// One that we do not know yet.
    #[serde(other)]
    Unknown,
}

impl Display for State {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// Whether an agent may change what it works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
pub enum Mode {
    /// Only reads.
    #[serde(rename = "ro")]
    #[value(name = "ro")]
    ReadOnly,
    /// Reads and writes.
    #[serde(rename = "rw")]
    #[value(name = "rw")]
    ReadWrite,
}

impl Mode {
    /// Writes it where the machine's entry point and those who list it look.
    pub fn set(self, config: &mut Config) {
        let mode = self.as_str().to_owned();
        config.env.insert("MODE".into(), mode.clone());
        config.metadata.insert("mode".into(), mode);
    }

    /// As it stands in a machine's environment and metadata.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "ro",
            Self::ReadWrite => "rw",
        }
    }
}

/// A machine, as it was when asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Its id, for life.
    pub id: MachineId,
    /// Unique in its app.
    #[serde(default)]
    pub name: String,
    /// What it does.
    pub state: State,
    /// Where it is.
    #[serde(default)]
    pub region: String,
    /// Its version: a new one with each update.
    #[serde(default)]
    pub instance_id: String,
    /// Its address now. It changes when the machine moves: never keep it.
    #[serde(default)]
    pub private_ip: Option<IpAddr>,
    /// When it was made, as RFC 3339 has it.
    #[serde(default)]
    pub created_at: String,
    /// What its image was found to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_ref: Option<ImageRef>,
    /// What it is made of; a destroyed machine may have none.
    #[serde(default, deserialize_with = "or_default")]
    pub config: Config,
}

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Machine {
    /// What it says about itself.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.config.metadata.get(key).map(String::as_str)
    }
}

/// An image, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRef {
    /// Like `registry.fly.io`.
    #[serde(default)]
    pub registry: String,
    /// Like `agents`.
    #[serde(default)]
    pub repository: String,
    /// Like `sha256:…`.
    #[serde(default)]
    pub digest: String,
}

impl ImageRef {
    /// What stands for these bytes for ever.
    pub fn pinned(&self) -> String {
        format!("{}/{}@{}", self.registry, self.repository, self.digest)
    }
}

/// A machine's configuration. An update replaces all of it, so nothing that
/// was read may be lost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// What it runs, best by digest.
    #[serde(default)]
    pub image: String,
    /// Its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<Guest>,
    /// Its environment.
    #[serde(default, deserialize_with = "or_default")]
    pub env: BTreeMap<String, String>,
    /// What can be asked for.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: BTreeMap<String, String>,
    /// All else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What of a machine's size is to change; what is not named stays.
#[derive(Debug, Clone, Default, Deserialize, Args)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// shared or performance.
    #[arg(long, value_name = "KIND")]
    pub cpu_kind: Option<String>,
    /// How many: 1, 2, 4, 8 or 16.
    #[arg(long, value_name = "N")]
    pub cpus: Option<u32>,
    /// How much memory; a multiple of 256.
    #[arg(long, value_name = "MB")]
    pub memory_mb: Option<u32>,
}

/// How large a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// `shared` or `performance`.
    pub cpu_kind: String,
    /// How many.
    pub cpus: u32,
    /// A multiple of 256.
    pub memory_mb: u32,
    /// All else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Guest {
    /// Whether the platform has such machines.
    ///
    /// # Errors
    ///
    /// A sentence with the sizes that it has.
    pub fn check(&self) -> Result<(), super::Error> {
        let per_cpu = match self.cpu_kind.as_str() {
            "shared" => 256..=2048,
            "performance" => 2048..=8192,
            other => {
                let told = format!("cpu_kind {other:?} is neither shared nor performance");
                return Err(super::Error::Invalid(told));
            }
        };
        let fits = matches!(self.cpus, 1 | 2 | 4 | 8 | 16)
            && self.memory_mb.is_multiple_of(256)
            && (per_cpu.start() * self.cpus..=per_cpu.end() * self.cpus).contains(&self.memory_mb);
        if fits {
            return Ok(());
        }
        Err(super::Error::Invalid(format!(
            "there is no machine with {} {} CPUs and {} MB: 1, 2, 4, 8 or 16 CPUs, each with {} to {} MB, in steps of 256 MB",
            self.cpus,
            self.cpu_kind,
            self.memory_mb,
            per_cpu.start(),
            per_cpu.end()
        )))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Guest, Machine, MachineId, State};

    #[test]
    fn what_we_do_not_know_is_kept() {
        let config = json!({
            "image": "i", "env": { "A": "b" }, "metadata": {},
            "guest": { "cpu_kind": "shared", "cpus": 1, "memory_mb": 256, "gpus": 2 },
            "services": [{ "autostart": false }], "mounts": [{ "volume": "v" }], "new": { "er": [1] },
        });
        let text = json!({ "id": "m1", "state": "started", "config": config, "host_status": "ok" });
        let machine: Machine = serde_json::from_value(text).unwrap();
        assert_eq!(serde_json::to_value(&machine.config).unwrap(), config);
    }

    #[test]
    fn a_state_or_a_configuration_that_is_new_or_missing_is_no_error() {
        let state = |text| serde_json::from_value::<State>(json!(text)).unwrap();
        assert_eq!(state("launch_failed"), State::LaunchFailed);
        assert_eq!(state("hibernating"), State::Unknown);
        let gone = json!({ "id": "m1", "state": "destroyed", "config": null, "private_ip": null });
        let gone: Machine = serde_json::from_value(gone).unwrap();
        assert!(gone.config.rest.is_empty());
        let bare = json!({ "id": "m1", "state": "created", "config": { "env": null } });
        assert!(serde_json::from_value::<Machine>(bare).is_ok());
    }

    #[test]
    fn an_id_is_safe_in_a_path() {
        for text in ["", "A", "a/b", "..", "a.b", "a b", "a\nb", &"a".repeat(33)] {
            assert!(text.parse::<MachineId>().is_err(), "{text}");
            let read = serde_json::from_value::<MachineId>(Value::from(text));
            assert!(read.is_err(), "{text}");
        }
        assert!("9080e0000091".parse::<MachineId>().is_ok());
    }

    #[test]
    fn only_sizes_that_there_are() {
        let guest = |kind: &str, cpus, memory_mb| Guest {
            cpu_kind: kind.to_owned(),
            cpus,
            memory_mb,
            rest: serde_json::Map::new(),
        };
        for (kind, cpus, memory) in [
            ("shared", 1, 256),
            ("shared", 8, 16384),
            ("performance", 2, 4096),
        ] {
            assert!(
                guest(kind, cpus, memory).check().is_ok(),
                "{kind} {cpus} {memory}"
            );
        }
        for (kind, cpus, memory) in [
            ("shared", 1, 4096),
            ("shared", 1, 300),
            ("performance", 1, 1024),
            ("performance", 3, 8192),
            ("performance", 0, 0),
            ("shared", u32::MAX, 256),
            ("other", 1, 256),
        ] {
            assert!(
                guest(kind, cpus, memory).check().is_err(),
                "{kind} {cpus} {memory}"
            );
        }
    }
}
