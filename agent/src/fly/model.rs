//! The API's objects, under its own names.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    net::IpAddr,
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::state::State;
use crate::mode::Mode;

/// The metadata of a machine that is destroyed because somebody asked for it.
pub(super) const RETIRED: &str = "retired";

/// A machine's id: 1 to 32 lowercase letters and digits, and so safe in a path, a
/// header and a host name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineId(String);

/// A text that is not a machine's id; at most its first 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a machine's id: 1 to 32 lowercase letters and digits")]
pub struct NotAnId(String);

impl MachineId {
    /// The id as text.
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

/// A machine, as it was when the API answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Its id, which never changes.
    pub id: MachineId,
    /// Unique in its app; empty where the API leaves it out.
    #[serde(default)]
    pub name: String,
    /// Its state.
    pub state: State,
    /// The region that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its version, which every update changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Its address on the private network. It changes when the machine moves to
    /// another host: never store it.
    #[serde(default)]
    pub private_ip: Option<IpAddr>,
    /// When it was created (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// What has happened to it, as far as the API still says so.
    #[serde(default, skip_serializing, deserialize_with = "null_is_empty")]
    pub events: Vec<Event>,
    /// The image that it runs, resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_ref: Option<ImageRef>,
    /// Its configuration; empty for a destroyed machine, of which the API says `null`.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub config: Config,
}

/// Something that has happened to a machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// What, like `destroy`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// Who caused it: `user`, by the API, or `flyd`, the platform.
    #[serde(default)]
    pub source: String,
}

/// The API writes `null` for an empty object.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Machine {
    /// One of its metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.config.metadata.get(key).map(String::as_str)
    }

    /// Whether somebody had the machine destroyed, and the platform did not lose it.
    pub fn was_retired(&self) -> bool {
        let is_request = |event: &Event| event.kind == "destroy" && event.source == "user";
        self.metadata(RETIRED).is_some() || self.events.iter().any(is_request)
    }
}

/// The image that a machine runs, as the platform resolved it; a machine that
/// never ran may lack parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRef {
    /// The registry, like `registry.fly.io`.
    #[serde(default)]
    pub registry: Option<String>,
    /// The repository, like `agents`.
    #[serde(default)]
    pub repository: Option<String>,
    /// The digest of the manifest, `sha256:` and 64 hexadecimal digits.
    #[serde(default)]
    pub digest: Option<String>,
}

impl ImageRef {
    /// The reference that always means this image, `REGISTRY/REPOSITORY@DIGEST`.
    pub fn pinned(&self) -> Option<String> {
        let (registry, repository) = (self.registry.as_ref()?, self.repository.as_ref()?);
        Some(format!("{registry}/{repository}@{}", self.digest.as_ref()?))
    }
}

/// A machine's configuration. An update replaces all of it: fields that are not
/// known here are retained.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The image reference.
    #[serde(default)]
    pub image: String,
    /// The machine's size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<Guest>,
    /// The environment of its processes.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub env: BTreeMap<String, String>,
    /// Metadata, which lists can be filtered by.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// All other fields.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Config {
    /// Sets the mode where the machine's entry point (`agent boot`) reads it, and
    /// where lists show it.
    pub fn set_mode(&mut self, mode: Mode) {
        let mode = mode.as_str().to_owned();
        self.env.insert("MODE".to_owned(), mode.clone());
        self.metadata.insert("mode".to_owned(), mode);
    }
}

/// A change of a machine's size; what is `None` stays as it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// `shared` or `performance`.
    pub cpu_kind: Option<String>,
    /// The number of CPUs: 1, 2, 4, 8 or 16.
    pub cpus: Option<u32>,
    /// The memory in MB, a multiple of 256.
    pub memory_mb: Option<u32>,
}

/// A machine's size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// `shared` or `performance`.
    pub cpu_kind: String,
    /// The number of CPUs.
    pub cpus: u32,
    /// The memory in MB, a multiple of 256.
    pub memory_mb: u32,
    /// All other fields.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Guest {
    /// Checks that the platform has machines of this size.
    ///
    /// # Errors
    ///
    /// A message that says which sizes there are.
    pub fn check(&self) -> Result<(), String> {
        let per_cpu = match self.cpu_kind.as_str() {
            "shared" => 256..=2048,
            "performance" => 2048..=8192,
            other => {
                return Err(format!(
                    "cpu_kind {other:?} is neither shared nor performance"
                ));
            }
        };
        let fits = matches!(self.cpus, 1 | 2 | 4 | 8 | 16)
            && self.memory_mb.is_multiple_of(256)
            && (per_cpu.start() * self.cpus..=per_cpu.end() * self.cpus).contains(&self.memory_mb);
        if fits {
            return Ok(());
        }
        Err(format!(
            "there is no machine with {} {} CPUs and {} MB: 1, 2, 4, 8 or 16 CPUs, each with {} to {} MB, in steps of 256 MB",
            self.cpus,
            self.cpu_kind,
            self.memory_mb,
            per_cpu.start(),
            per_cpu.end()
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Guest, Machine, MachineId};

    #[test]
    fn unknown_fields_are_retained() {
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
    fn a_missing_configuration_is_no_error() {
        let gone = json!({ "id": "m1", "state": "destroyed", "config": null, "private_ip": null });
        let gone: Machine = serde_json::from_value(gone).unwrap();
        assert!(gone.config.rest.is_empty());
        let bare = json!({ "id": "m1", "state": "created", "config": { "env": null } });
        assert!(serde_json::from_value::<Machine>(bare).is_ok());
    }

    #[test]
    fn whoever_asked_for_the_end_of_a_machine_is_known() {
        let machine = |kind: &str, source: &str, metadata: Value| -> Machine {
            let events = json!([{ "type": kind, "source": source, "status": "x", "timestamp": 1 }]);
            let text = json!({ "id": "m1", "state": "destroyed", "events": events,
                "config": { "metadata": metadata } });
            serde_json::from_value(text).unwrap()
        };
        assert!(machine("destroy", "user", json!({})).was_retired());
        assert!(machine("exit", "flyd", json!({ "retired": "yes" })).was_retired());
        assert!(!machine("destroy", "flyd", json!(null)).was_retired());
        assert!(!machine("start", "user", json!(null)).was_retired());
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
    fn only_sizes_of_the_platform_are_accepted() {
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
