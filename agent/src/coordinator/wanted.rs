//! What a caller wants an agent for.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::metadata::{AGENT, KEY, PROMOTED, ROLE, TASK};
use crate::fly::{Config, Error, Mode};

/// What an agent is to work on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wanted {
    /// As blockd names it.
    pub(super) repository: String,
    /// A whole object id: a name would move.
    pub(super) commit: String,
    /// Whether it may write.
    #[serde(default = "read_write")]
    pub(super) mode: Mode,
    /// Whose it is: one task has one machine, and all who name none share one.
    #[serde(default = "shared")]
    pub(super) task: String,
    /// Where, for a new one.
    #[serde(default)]
    pub(super) region: Option<String>,
}

fn read_write() -> Mode {
    Mode::ReadWrite
}

fn shared() -> String {
    "shared".to_owned()
}

impl Wanted {
    /// Whether it makes sense.
    pub(super) fn check(&self) -> Result<(), Error> {
        let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        if !matches!(self.repository.len(), 1..=200) || !self.repository.bytes().all(is_path) {
            let told = format!("{:?} is no repository", self.repository);
            return Err(Error::Invalid(told));
        }
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if !matches!(self.commit.len(), 40 | 64) || !self.commit.bytes().all(is_hex) {
            let told = format!("{:?} is no object id: all of it, please", self.commit);
            return Err(Error::Invalid(told));
        }
        let is_visible = |byte: u8| byte.is_ascii_graphic();
        if !matches!(self.task.len(), 1..=100) || !self.task.bytes().all(is_visible) {
            let told = "a task has 1 to 100 visible ASCII characters".to_owned();
            return Err(Error::Invalid(told));
        }
        Ok(())
    }

    /// Of what it works on.
    pub(super) fn key(&self) -> String {
        hash(&[&self.repository, &self.commit, self.mode.as_str()])
    }

    /// Of the `nth` machine for it: the same for all who want it.
    pub(super) fn name(&self, nth: u32) -> String {
        let nth = nth.to_string();
        format!("ag-{}", hash(&[&self.key(), &self.task, &nth]))
    }

    /// Makes a machine of it.
    pub(super) fn write(&self, config: &mut Config) {
        for (name, value) in [("REPO", &self.repository), ("BASE", &self.commit)] {
            config.env.insert(name.into(), value.clone());
        }
        let metadata = [
            (ROLE, AGENT.to_owned()),
            (KEY, self.key()),
            (TASK, self.task.clone()),
            ("repository", self.repository.clone()),
            ("commit", self.commit.clone()),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        config.metadata.extend(metadata);
        config.metadata.remove(PROMOTED);
        self.mode.set(config);
    }
}

fn hash(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\0"));
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    format!("{:016x}", u64::from_be_bytes(first))
}
