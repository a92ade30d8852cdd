//! The states of a machine, in the platform's words, and what each means to
//! whoever wants the machine to run.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// The state of a machine.
/// See <https://fly.io/docs/machines/machine-states/>.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Never started.
    Created,
    /// Running.
    Started,
    /// Not running.
    Stopped,
    /// Not running, with its memory saved.
    Suspended,
    /// Its creation failed.
    Failed,
    /// Changing to `created`.
    Creating,
    /// Changing to `started`.
    Starting,
    /// Changing to `stopped`.
    Stopping,
    /// Stopping, and starting again.
    Restarting,
    /// Changing to `suspended`.
    Suspending,
    /// Getting a new configuration.
    Updating,
    /// Being replaced by a new version.
    Replacing,
    /// Changing to `destroyed`.
    Destroying,
    /// Its first start failed; it changes to `destroyed`.
    LaunchFailed,
    /// Gone.
    Destroyed,
    /// An older version of a machine.
    Replaced,
    /// Moved to another host.
    Migrated,
    /// A state that this version does not know: the platform's word.
    #[serde(untagged)]
    Other(String),
}

/// What a state means to whoever wants the machine to run; those that run first
/// come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prospect {
    /// It runs.
    Runs,
    /// It will run without being asked to.
    Starts,
    /// It can be resumed.
    Resumable,
    /// It can be started.
    Startable,
    /// It can be started or resumed as soon as it is in the state that it
    /// changes to.
    Changes,
    /// It will run, as far as we know: the state is to be looked at again.
    Unclear,
    /// It will never run again.
    Gone,
}

impl State {
    /// What the state means. Nothing else decides whether a machine is usable.
    pub fn prospect(&self) -> Prospect {
        match self {
            Self::Started => Prospect::Runs,
            Self::Starting | Self::Restarting | Self::Creating => Prospect::Starts,
            Self::Suspended => Prospect::Resumable,
            Self::Stopped | Self::Created => Prospect::Startable,
            Self::Stopping | Self::Suspending => Prospect::Changes,
            Self::Updating | Self::Replacing | Self::Other(_) => Prospect::Unclear,
            Self::Failed
            | Self::LaunchFailed
            | Self::Destroying
            | Self::Destroyed
            | Self::Replaced
            | Self::Migrated => Prospect::Gone,
        }
    }

    /// Whether a machine in this state will never run again.
    pub fn is_gone(&self) -> bool {
        self.prospect() == Prospect::Gone
    }

    /// Whether the platform has given the machine up, so that another one may take
    /// its place. An older version, or one on another host, is not given up.
    pub fn is_lost(&self) -> bool {
        matches!(
            self,
            Self::Failed | Self::LaunchFailed | Self::Destroying | Self::Destroyed
        )
    }
}

impl Display for State {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // The platform's own word.
        self.serialize(f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Prospect, State};

    fn state(word: &str) -> State {
        serde_json::from_value(json!(word)).unwrap()
    }

    #[test]
    fn a_state_is_the_platforms_word_also_one_that_is_not_known() {
        for word in ["started", "launch_failed", "hibernating", "Other", ""] {
            let state = state(word);
            assert_eq!(state.to_string(), word);
            assert_eq!(serde_json::to_value(&state).unwrap(), Value::from(word));
        }
        assert_eq!(state("launch_failed"), State::LaunchFailed);
        assert_eq!(state("hibernating"), State::Other("hibernating".into()));
    }

    #[test]
    fn what_is_lost_is_gone_and_nothing_unknown_is() {
        for word in ["failed", "launch_failed", "destroying", "destroyed"] {
            assert!(state(word).is_lost() && state(word).is_gone(), "{word}");
        }
        for word in ["replaced", "migrated"] {
            assert!(!state(word).is_lost() && state(word).is_gone(), "{word}");
        }
        assert_eq!(state("hibernating").prospect(), Prospect::Unclear);
        let order = ["started", "starting", "suspended", "stopped", "stopping"];
        assert!(order.map(|word| state(word).prospect()).is_sorted());
    }
}
