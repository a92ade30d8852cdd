//! Changes in one view, and where they show.

use std::{fs, io, path::Path};

use anyhow::{Context, Result, ensure};

use super::{deployed::Deployed, protocol::Change};

/// A file of the base, and a new one.
const CHANGES: [(&str, &str); 2] = [("README.md", "changed\n"), ("new", "new\n")];
/// What `git status --porcelain` says of both.
const STATUS: &str = " M README.md\n?? new\n";

impl Deployed {
    /// Changes a file and creates another one in the first view, and undoes both.
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
            self.user.chown(&own.join(name))?;
            let shows =
                |view: &Path| fs::read(view.join(name)).is_ok_and(|bytes| bytes == text.as_bytes());
            must(
                shows(own),
                "a change does not show in the view where it was made",
            );
            let leaks = shows(other) || shows(self.read_only_view());
            must(!leaks, "a change shows in another view");
        }
        let status = self.git(&["status", "--porcelain"]).await?;
        must(status == STATUS, "git status does not show the changes");
        let refused = fs::write(self.read_only_view().join("new"), "new\n");
        let refused = refused.is_err_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem);
        must(refused, "a read-only view takes a change");
        self.git(&["checkout", "--quiet", "README.md"]).await?;
        fs::remove_file(own.join("new"))?;
        Ok(change)
    }

    async fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut git = self.user.command("git".as_ref(), &self.options.environment);
        git.arg("-C").arg(&self.views[0].path).args(arguments);
        let output = git.output().await.context("cannot run git")?;
        let messages = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "git: {}", messages.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
