//! What `blockd doctor` checks, and what it reports.

use std::fmt;

use anyhow::{Result, bail};
use serde::Serialize;

/// All checks.
#[derive(Clone, Debug, Serialize)]
pub struct DoctorReport {
    /// Whether attach can work on this host.
    pub works: bool,
    /// In the order they are printed.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is checked.
    pub name: &'static str,
    /// Its result.
    pub health: Health,
    /// The result in words.
    pub finding: String,
    /// The command that fixes it, or what else does.
    #[serde(rename = "mend")]
    pub fix: Option<String>,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// As it should be.
    Good,
    /// Attach works, but not in every way, or less well.
    Warning,
    /// Attach does not work.
    Fault,
}

impl Check {
    pub(super) fn good(name: &'static str, finding: impl Into<String>) -> Self {
        Self {
            name,
            health: Health::Good,
            finding: finding.into(),
            fix: None,
        }
    }

    pub(super) fn bad(
        name: &'static str,
        health: Health,
        finding: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            name,
            health,
            finding: finding.into(),
            fix: Some(fix.into()),
        }
    }
}

impl DoctorReport {
    /// The verdict as a result.
    ///
    /// # Errors
    ///
    /// When attach cannot work: names the checks with a fault.
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

impl fmt::Display for DoctorReport {
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
        match &self.fix {
            Some(fix) => write!(f, "\n{:28}fix: {fix}", ""),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_an_error_and_a_warning_is_not() {
        let bad = |health| Check::bad("x", health, "is not there", "make x");
        let findings = |checks: Vec<Check>| DoctorReport {
            works: true,
            checks,
        };
        let warned = findings(vec![Check::good("y", "is there"), bad(Health::Warning)]);
        warned.verdict().unwrap();
        assert!(warned.to_string().ends_with("fix: make x"), "{warned}");
        let error = findings(vec![bad(Health::Fault)]).verdict().unwrap_err();
        assert_eq!(error.to_string(), "attach cannot work here: x");
    }
}
