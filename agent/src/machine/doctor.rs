//! What this machine can do, as `blockd doctor` reports it.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::{process::Command, time::timeout};

use super::blockd::json_of_any_status;

/// How long `blockd doctor` may take.
const DOCTOR_TIMEOUT: Duration = Duration::from_secs(30);

/// What matters here of the output of `blockd doctor --json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Findings {
    /// Whether `blockd attach` can work.
    works: bool,
    checks: Vec<Check>,
}

/// One check, and its outcome.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Check {
    name: String,
    /// `good`, `warning` or `fault`.
    health: String,
    finding: String,
}

impl Findings {
    /// Examines this machine; `state` is where `blockd attach` would have its state.
    ///
    /// # Errors
    ///
    /// When `blockd doctor` cannot be run, or prints no findings.
    pub(crate) async fn collect(blockd: &Path, state: &Path) -> Result<Self> {
        let mut doctor = Command::new(blockd);
        doctor.args(["doctor", "--json", "--state"]).arg(state);
        let findings = timeout(DOCTOR_TIMEOUT, json_of_any_status(&mut doctor)).await;
        findings.context("blockd doctor does not end")?
    }

    /// Why nothing can be attached; `None` when it can.
    pub(crate) fn obstacle(&self) -> Option<String> {
        if self.works {
            return None;
        }
        let faults = self.checks.iter().filter(|check| check.health == "fault");
        let faults = faults.map(|check| format!("{}: {}", check.name, check.finding));
        let faults: Vec<_> = faults.collect();
        if faults.is_empty() {
            return Some("blockd doctor names no fault, but attach cannot work".to_owned());
        }
        Some(faults.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use super::Findings;

    /// Runs a script in place of blockd.
    async fn findings(script: &str) -> anyhow::Result<Findings> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("blockd");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Findings::collect(&program, Path::new("/state")).await
    }

    #[tokio::test]
    async fn faults_are_read_whatever_the_exit_status() {
        let well = r#"test "$*" = "doctor --json --state /state" || exit 2
            echo '{"works": true, "checks": [{"name": "nbd", "health": "good", "finding": "there"}]}'"#;
        assert_eq!(findings(well).await.unwrap().obstacle(), None);
        let faulty = r#"echo '{"works": false, "checks": [
            {"name": "nbd", "health": "warning", "finding": "not there", "fix": "modprobe nbd"},
            {"name": "ext4", "health": "fault", "finding": "this kernel has no ext4"}]}'; exit 1"#;
        let obstacle = findings(faulty).await.unwrap().obstacle();
        assert_eq!(obstacle.as_deref(), Some("ext4: this kernel has no ext4"));
        let unnamed = r#"echo '{"works": false, "checks": []}'"#;
        assert!(findings(unnamed).await.unwrap().obstacle().is_some());
    }

    #[tokio::test]
    async fn a_doctor_that_fails_is_an_error() {
        let error = findings("echo 'no such command' >&2; exit 2").await;
        assert_eq!(error.unwrap_err().to_string(), "no such command");
        let error = findings("echo ok").await.unwrap_err();
        assert!(error.to_string().contains("cannot be decoded"), "{error}");
    }
}
