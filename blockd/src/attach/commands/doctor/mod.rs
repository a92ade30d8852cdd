//! `blockd doctor`: what this host can do, and the command that mends what it
//! cannot. Nothing is changed; overlayfs is tried where it would be used.

mod host;
mod kernel;
mod overlayfs;
mod stale;

use std::{fmt, path::PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;

/// What is asked.
#[derive(Clone, Debug)]
pub struct DoctorOptions {
    /// Where attachments and diffs are kept.
    pub state: PathBuf,
}

/// All that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// Whether attach can work here.
    pub works: bool,
    /// In order.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it is.
    pub health: Health,
    /// In words.
    pub finding: String,
    /// The command that mends it, or what else does.
    pub mend: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// As it should be.
    Good,
    /// Attach works without, or less well.
    Warning,
    /// Attach does not work.
    Fault,
}

impl Check {
    fn good(name: &'static str, finding: impl Into<String>) -> Self {
        Self {
            name,
            health: Health::Good,
            finding: finding.into(),
            mend: None,
        }
    }

    fn bad(
        name: &'static str,
        health: Health,
        finding: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            name,
            health,
            finding: finding.into(),
            mend: Some(mend.into()),
        }
    }
}

/// Looks at everything that attach needs.
pub fn doctor(options: &DoctorOptions) -> Findings {
    let mut checks = host::versions();
    checks.extend([host::privilege(), host::namespaces()]);
    checks.extend(host::limits());
    checks.push(kernel::ext4());
    checks.extend(kernel::ways());
    checks.extend(overlayfs::checks(&options.state));
    checks.extend(stale::checks(&options.state));
    Findings {
        works: checks.iter().all(|check| check.health != Health::Fault),
        checks,
    }
}

impl Findings {
    /// Fails when attach cannot work.
    pub fn verdict(&self) -> Result<()> {
        let faults = self
            .checks
            .iter()
            .filter(|check| check.health == Health::Fault);
        let names: Vec<&str> = faults.map(|check| check.name).collect();
        if names.is_empty() {
            return Ok(());
        }
        bail!("attach cannot work here: {}", names.join(", "))
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.checks.iter().map(ToString::to_string).collect();
        write!(f, "{}", lines.join("\n"))
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let health = match self.health {
            Health::Good => "ok",
            Health::Warning => "warning",
            Health::Fault => "FAULT",
        };
        write!(f, "{health:8} {:18} {}", self.name, self.finding)?;
        match &self.mend {
            Some(mend) => write!(f, "\n{:28}mend: {mend}", ""),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_failure_and_a_warning_is_none() {
        let bad = |health| Check::bad("x", health, "is not there", "make x");
        let findings = |checks: Vec<Check>| Findings {
            works: true,
            checks,
        };
        let warned = findings(vec![Check::good("y", "is there"), bad(Health::Warning)]);
        warned.verdict().unwrap();
        assert!(warned.to_string().ends_with("mend: make x"), "{warned}");
        let said = findings(vec![bad(Health::Fault)]).verdict().unwrap_err();
        assert_eq!(said.to_string(), "attach cannot work here: x");
    }
}
