//! What an agent is asked to work on.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::metadata::{AGENT, CALLER, KEY, MADE_BY, PROMOTED, ROLE, TASK};
use crate::{
    fly::{Config, Error},
    mode::Mode,
};

/// Of a machine's environment: the name of its changes in the store; its own id
/// if it is not set.
pub(super) const CHANGES_NAME: &str = "AGENT_NAME";

/// What an agent is asked to work on, and for which task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AgentSpec {
    /// The repository, by its export name.
    pub(super) repository: String,
    /// A full object id; the machine's key must not depend on a ref.
    pub(super) commit: String,
    /// Whether the agent may change the work tree; read-write if not given.
    #[serde(default = "read_write")]
    pub(super) mode: Mode,
    /// Each task has a machine of its own; requests that name none share the
    /// task `shared`.
    #[serde(default = "shared")]
    pub(super) task: String,
    /// The region of a new machine; the platform's choice if not given.
    #[serde(default)]
    pub(super) region: Option<String>,
    /// Who asks; no caller's to say.
    #[serde(skip)]
    pub(super) asker: Asker,
}

/// Who asks for an agent, and so how many machines may be made for that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Asker {
    /// A manager, who may make as many machines as there may be.
    Manager,
    /// A caller, whose machines are counted.
    Caller,
    /// A caller with a request that makes no machine.
    #[default]
    Reader,
}

fn read_write() -> Mode {
    Mode::ReadWrite
}

fn shared() -> String {
    "shared".to_owned()
}

impl AgentSpec {
    /// Checks the syntax of all fields.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], which names the field.
    pub(super) fn check(&self) -> Result<(), Error> {
        let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        if !matches!(self.repository.len(), 1..=200) || !self.repository.bytes().all(is_path) {
            return Err(Error::Invalid(format!(
                "{:?} is not the name of a repository: 1 to 200 letters, digits, . _ - and /",
                self.repository
            )));
        }
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if !matches!(self.commit.len(), 40 | 64) || !self.commit.bytes().all(is_hex) {
            return Err(Error::Invalid(format!(
                "{:?} is not a full object id: 40 or 64 hexadecimal digits",
                self.commit
            )));
        }
        let is_visible = |byte: u8| byte.is_ascii_graphic();
        if !matches!(self.task.len(), 1..=100) || !self.task.bytes().all(is_visible) {
            return Err(Error::Invalid(format!(
                "{:?} is not a task: 1 to 100 visible ASCII characters",
                self.task
            )));
        }
        Ok(())
    }

    /// A hash of repository, commit and mode.
    pub(super) fn key(&self) -> String {
        hash(&[&self.repository, &self.commit, self.mode.as_str()])
    }

    /// The name of the `nth` machine for this spec; every coordinator derives the
    /// same one.
    pub(super) fn name(&self, nth: u32) -> String {
        let nth = nth.to_string();
        format!("ag-{}", hash(&[&self.key(), &self.task, &nth]))
    }

    /// The name of the task's changes in the store: whatever becomes of its machine,
    /// the next one finds them.
    pub(super) fn changes_name(&self) -> String {
        let digest = Sha256::digest([self.key(), self.task.clone()].join("\0"));
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        format!("task-{:032x}", u128::from_be_bytes(first))
    }

    /// Assigns a machine that works on the same to the task.
    pub(super) fn assign(&self, config: &mut Config) {
        let task = (TASK.to_owned(), self.task.clone());
        config.metadata.extend([task]);
        let name = (CHANGES_NAME.to_owned(), self.changes_name());
        config.env.extend([name]);
    }

    /// Turns the template's configuration into that of a machine for this spec.
    pub(super) fn apply(&self, config: &mut Config) {
        for (name, value) in [("REPO", &self.repository), ("BASE", &self.commit)] {
            config.env.insert(name.into(), value.clone());
        }
        let metadata = [
            (ROLE, AGENT.to_owned()),
            (KEY, self.key()),
            ("repository", self.repository.clone()),
            ("commit", self.commit.clone()),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        config.metadata.extend(metadata);
        config.metadata.remove(PROMOTED);
        if self.asker == Asker::Caller {
            config
                .metadata
                .insert(MADE_BY.to_owned(), CALLER.to_owned());
        }
        config.set_mode(self.mode);
        self.assign(config);
    }
}

fn hash(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\0"));
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    format!("{:016x}", u64::from_be_bytes(first))
}
