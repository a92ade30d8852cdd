//! Changes in one view, and where they show.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::io::Errno;

use super::{confined, deployed::Deployed, protocol::Change};

/// A file of the base, and what is written there.
const CHANGED: (&str, &str) = ("README.md", "changed\n");
/// A new file.
const NEW: (&str, &str) = ("new", "new\n");
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
        confined::write(own, CHANGED.0.as_ref(), CHANGED.1.as_bytes())?;
        confined::create(own, NEW.0.as_ref(), NEW.1.as_bytes(), self.user)?;
        for (name, text) in [CHANGED, NEW] {
            let shows = |view: &Path| {
                confined::read(view, name.as_ref()).is_ok_and(|bytes| bytes == text.as_bytes())
            };
            must(
                shows(own),
                "a change does not show in the view where it was made",
            );
            let leaks = shows(other) || shows(self.read_only_view());
            must(!leaks, "a change shows in another view");
        }
        let status = self.git(&["status", "--porcelain"]).await?;
        must(status == STATUS, "git status does not show the changes");
        let made = confined::create(self.read_only_view(), NEW.0.as_ref(), b"new\n", self.user);
        let refused = made.is_err_and(|error| error.downcast_ref() == Some(&Errno::ROFS));
        must(refused, "a read-only view takes a change");
        self.git(&["checkout", "--quiet", "README.md"]).await?;
        confined::remove(own, NEW.0)?;
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
