//! When the files of an attached tree were modified.
//!
//! Build tools compare times: what `git checkout` writes has the time at which
//! it is written, and so an attached tree has that of the attach, whatever the
//! date of the commit. Two seconds less: then no edit falls into the second that
//! git's index records, and no file is from the future.
//!
//! Attachments of one commit share a lower layer, and with it the time of the
//! first. Kept changes go on with the time that they were made with.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};

use crate::attach::{
    commands::export_name::ExportName,
    state::{
        attachment_record::AttachmentRecord, last_detach::LastDetach, mount_scope::MountScope,
    },
};

/// How much older than the attach the files are.
const AGE: Duration = Duration::from_secs(2);

/// A time of files, since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileTime(Duration);

impl FileTime {
    /// That of an attach at `now`, in whole seconds.
    pub(super) fn before(now: Duration) -> Self {
        // A clock this near to 1970 is wrong in any case.
        Self(Duration::from_secs(now.saturating_sub(AGE).as_secs()))
    }

    /// When the second of this time is over.
    fn over(self) -> Duration {
        Duration::from_secs(self.0.as_secs() + 1)
    }

    /// As an option of an export name has it.
    pub(super) fn text(self) -> String {
        let (seconds, nanoseconds) = (self.0.as_secs(), self.0.subsec_nanos());
        match format!("{nanoseconds:09}").trim_end_matches('0') {
            "" => seconds.to_string(),
            fraction => format!("{seconds}.{fraction}"),
        }
    }
}

/// The time since 1970.
///
/// # Errors
///
/// When the clock shows a year before.
pub(super) fn now() -> Result<Duration> {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .context("the clock of this host shows a year before 1970: set it")
}

/// Which disk of a commit is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) export: ExportName,
    /// The attach is not over before this, in time since 1970.
    pub(super) not_before: Option<Duration>,
}

impl Choice {
    fn at_once(export: ExportName) -> Self {
        let not_before = None;
        Self { export, not_before }
    }
}

/// Chooses the disk of the work tree that a server offers: that of an attachment
/// on this host, so that both share it, else one of a time that is later than
/// what was built before. `now` is when the attach began.
///
/// # Errors
///
/// When the state directory cannot be read.
pub(super) fn choose(
    state: &Path,
    mountpoint: &Path,
    offered: &ExportName,
    now: Duration,
) -> Result<Choice> {
    let others = attached(state)?;
    if let Some(same) = others.iter().find(|it| it.is_same_but_for_time(offered)) {
        return Ok(Choice::at_once(same.clone()));
    }
    let before = just_detached(state, offered)?;
    if before.is_none() && others.is_empty() {
        return Ok(Choice::at_once(offered.clone()));
    }
    // What was built a moment ago from another commit is older than files of
    // this very moment, and not older than files of two seconds ago. git sees an
    // edit of the same second all the same, since both times of a file change.
    // Where one work tree takes the place of another, even a tool that looks at
    // no more than one of them is to see every edit.
    let exact = FileTime(now);
    let in_place = before.is_some_and(|last| last.mountpoint == mountpoint);
    Ok(Choice {
        export: offered.with("mtime", &exact.text()),
        not_before: in_place.then(|| exact.over()),
    })
}

/// The exports of all attachments on this host.
fn attached(state: &Path) -> Result<Vec<ExportName>> {
    let scope = MountScope::current()?;
    let mut exports = Vec::new();
    for (key, record) in AttachmentRecord::load_all(state)? {
        match record {
            Ok(record) => exports.extend(
                record
                    .attachment
                    .filter(|it| scope.is_same_boot(&it.scope))
                    .map(|it| ExportName::parse(&it.export)),
            ),
            Err(error) => tracing::warn!("the record {key} is passed over: {error:#}"),
        }
    }
    Ok(exports)
}

/// The last detach, if it was of another commit and so short a time ago that
/// what was built there is as old as the files of this attach.
fn just_detached(state: &Path, offered: &ExportName) -> Result<Option<LastDetach>> {
    let last = LastDetach::within(AGE + Duration::from_secs(1), state)?;
    let is_other = |last: &LastDetach| ExportName::parse(&last.export).commit() != offered.commit();
    Ok(last.filter(is_other))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NOW: Duration = Duration::new(1_700_000_005, 250_000_000);

    fn export(text: &str) -> ExportName {
        ExportName::parse(text)
    }

    #[test]
    fn a_time_is_written_with_its_fraction() {
        assert_eq!(FileTime(NOW).text(), "1700000005.25");
        assert_eq!(FileTime::before(NOW).text(), "1700000003");
        assert_eq!(FileTime(NOW).over(), Duration::from_secs(1_700_000_006));
    }

    #[test]
    fn files_are_two_seconds_old_unless_another_commit_was_there_a_moment_ago() {
        let state = tempfile::tempdir().unwrap();
        let offered = export("r@12:layout=3:mtime=1700000003");
        let choose =
            |mountpoint: &str| choose(state.path(), Path::new(mountpoint), &offered, NOW).unwrap();
        let usual = Choice::at_once(offered.clone());
        assert_eq!(choose("/m"), usual);
        let detach = |export| LastDetach::new(Path::new("/m"), export).save(state.path());
        detach("r@12:layout=3:mtime=5").unwrap();
        assert_eq!(choose("/m"), usual, "the same commit");
        detach("r@13:layout=3:mtime=5").unwrap();
        let exact = export("r@12:layout=3:mtime=1700000005.25");
        assert_eq!(choose("/m").export, exact);
        assert_eq!(
            choose("/m").not_before,
            Some(Duration::from_secs(1_700_000_006))
        );
        assert_eq!(choose("/other").export, exact);
        assert_eq!(choose("/other").not_before, None);
        // What another release has written is no hindrance.
        fs::write(state.path().join("last-detach.json"), r#"{"format": 2}"#).unwrap();
        assert_eq!(choose("/m"), usual);
    }
}
