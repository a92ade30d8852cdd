//! What a revision may cost: a client names it, and the server walks the history
//! to find it (gitrevisions(7)).

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use imagegen::{Error, Kind};

/// How much of the history one revision may make the server walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevisionLimits {
    /// Commits that `~N` and `^N` may step over, all of one name together.
    pub commits: u64,
    /// Whether `^{/TEXT}` is served, which reads all commits where none matches.
    pub search: bool,
    /// How long one revision may take.
    pub time: Duration,
}

impl RevisionLimits {
    /// The commits of `--revision-commits`.
    pub const COMMITS: u64 = 10_000;
    /// The time of `--revision-time`.
    pub const TIME: Duration = Duration::from_secs(10);
}

impl Default for RevisionLimits {
    fn default() -> Self {
        Self {
            commits: Self::COMMITS,
            search: false,
            time: Self::TIME,
        }
    }
}

/// How often revisions were refused, by the limit.
#[derive(Debug, Default)]
pub(super) struct RevisionRefusals {
    search: AtomicU64,
    commits: AtomicU64,
    time: AtomicU64,
}

impl RevisionRefusals {
    /// For `--revision-search`, `--revision-commits` and `--revision-time`.
    pub(super) fn counts(&self) -> [u64; 3] {
        [&self.search, &self.commits, &self.time].map(|count| count.load(Ordering::Relaxed))
    }

    /// One took too long.
    pub(super) fn too_late(&self) {
        self.time.fetch_add(1, Ordering::Relaxed);
    }
}

/// Refuses what exceeds the limits, before anything is read.
pub(super) fn check(
    rev: &str,
    limits: RevisionLimits,
    refused: &RevisionRefusals,
) -> Result<(), Error> {
    if !limits.search && rev.contains("{/") {
        refused.search.fetch_add(1, Ordering::Relaxed);
        let text = format!(
            "{rev:?} searches the whole history, which this server does not: name the branch, tag \
             or commit, or start the server with --revision-search"
        );
        return Err(Error::new(Kind::Invalid, text));
    }
    let RevisionLimits { commits, .. } = limits;
    if steps(rev).is_none_or(|steps| steps > commits) {
        refused.commits.fetch_add(1, Ordering::Relaxed);
        let text = format!(
            "{rev:?} steps over more than {commits} commits: name the commit by its id, or start \
             the server with a greater --revision-commits"
        );
        return Err(Error::new(Kind::Invalid, text));
    }
    Ok(())
}

/// The commits that `~`, `~N` and `^N` step over; `None` if they cannot be counted.
fn steps(rev: &str) -> Option<u64> {
    let mut sum = 0_u64;
    for (at, sign) in rev.match_indices(['~', '^']) {
        let behind = &rev[at + sign.len()..];
        let end = behind.find(|c: char| !c.is_ascii_digit());
        let number = &behind[..end.unwrap_or(behind.len())];
        // `^N` is one step, whichever parent it is to.
        let steps = match (sign, number) {
            ("^", _) | (_, "") => 1,
            (_, number) => number.parse().ok()?,
        };
        sum = sum.checked_add(steps)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(rev: &str) -> Option<String> {
        let refused = check(rev, RevisionLimits::default(), &RevisionRefusals::default()).err()?;
        Some(refused.to_string())
    }

    #[test]
    fn names_ids_and_short_walks_are_served() {
        for rev in [
            "HEAD",
            "main~3^2",
            "v1.2^{commit}",
            "HEAD@{1}",
            "a~~~",
            "HEAD~10000",
        ] {
            assert_eq!(refused(rev), None, "{rev}");
        }
    }

    #[test]
    fn long_walks_and_searches_name_the_flag() {
        for (rev, flag) in [
            ("HEAD~10001", "--revision-commits"),
            ("HEAD~6000^~6000", "--revision-commits"),
            ("HEAD~99999999999999999999", "--revision-commits"),
            ("HEAD^{/no such words}", "--revision-search"),
            ("HEAD^{/!-x}", "--revision-search"),
        ] {
            let text = refused(rev).unwrap_or_default();
            assert!(text.contains(flag), "{rev}: {text}");
        }
        let search = RevisionLimits {
            search: true,
            ..RevisionLimits::default()
        };
        let refused = RevisionRefusals::default();
        assert!(check("HEAD^{/x}", search, &refused).is_ok());
        assert_eq!(refused.counts(), [0; 3]);
    }
}
