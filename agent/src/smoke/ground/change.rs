//! A change in one view, and where it shows.

use std::{fs, io, path::Path};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::laid::Laid;

/// A file of the base, and one that is new.
const CHANGES: [(&str, &str); 2] = [("README.md", "changed\n"), ("new", "new\n")];
const STATUS: &str = " M README.md\n?? new\n";

/// What is wrong with a change.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::smoke) struct Change {
    /// A sentence for each thing; none is good.
    pub(in crate::smoke) faults: Vec<String>,
}

impl Laid {
    /// Changes a file and makes another in the first view; then takes it back.
    pub(super) async fn change(&self) -> Result<Change> {
        let (own, other) = (&self.views[0].path, self.judge_view());
        let mut change = Change::default();
        let mut must = |holds: bool, fault: &str| {
            if !holds {
                change.faults.push(fault.to_owned());
            }
        };
        for (name, text) in CHANGES {
            fs::write(own.join(name), text)?;
            self.user.own(&own.join(name))?;
            let shows =
                |view: &Path| fs::read(view.join(name)).is_ok_and(|bytes| bytes == text.as_bytes());
            must(shows(own), "a change does not show where it was made");
            let leaks = shows(other) || shows(self.read_only_view());
            must(!leaks, "a change shows in another view");
        }
        let status = self.git(&["status", "--porcelain"]).await?;
        must(status == STATUS, "git does not show a change as it is");
        let refused = fs::write(self.read_only_view().join("new"), "new\n");
        let refused = refused.is_err_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem);
        must(refused, "a read-only view takes a change");
        self.git(&["checkout", "--quiet", "README.md"]).await?;
        fs::remove_file(own.join("new"))?;
        Ok(change)
    }

    async fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut git = self.user.command("git".as_ref());
        git.arg("-C").arg(&self.views[0].path).args(arguments);
        let output = git.output().await.context("there is no git")?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "git: {}", told.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
