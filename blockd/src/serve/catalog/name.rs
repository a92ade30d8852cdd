//! Export names: `repo[@rev][:key=value]…`.

use std::fmt;

use crate::units;
use imagegen::{
    git::{self, SnapshotId},
    image::{History, IndexVersion, LAYOUT_VERSION, Options},
};

/// An export name, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExportName {
    /// The repository's path below the root; empty: the only one there is.
    pub(crate) repo: String,
    /// Anything `git rev-parse` takes that has no `:`.
    pub(crate) rev: String,
    pub(crate) options: Options,
    /// Set in canonical names only.
    pub(crate) layout: Option<u32>,
    pub(crate) snapshot: Option<SnapshotId>,
}

impl ExportName {
    /// Parses a name.
    ///
    /// # Errors
    ///
    /// A part is wrong; the text says which, and what is expected.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let end = name.find(['@', ':']).unwrap_or(name.len());
        let (repo, rest) = name.split_at(end);
        let (rev, options) = match rest.strip_prefix('@') {
            Some(rest) => rest
                .split_once(':')
                .map_or((rest, None), |(rev, rest)| (rev, Some(rest))),
            None => ("HEAD", rest.strip_prefix(':')),
        };
        if rev.is_empty() {
            return Err(format!(
                "{name:?} names no revision after the @: leave the @ out for HEAD"
            ));
        }
        let mut parsed = Self {
            repo: repo.strip_suffix(".git").unwrap_or(repo).to_owned(),
            rev: rev.to_owned(),
            options: Options::default(),
            layout: None,
            snapshot: None,
        };
        let mut seen = Vec::new();
        let mut rest = options;
        while let Some(option) = rest {
            // A path may contain any byte, so it is the last option.
            let whole = option.starts_with("path=");
            let (option, behind) = match option.split_once(':').filter(|_| !whole) {
                Some((option, behind)) => (option, Some(behind)),
                None => (option, None),
            };
            let key = option.split_once('=').map(|(key, _)| key);
            if key.is_some_and(|key| seen.contains(&key)) {
                return Err(format!("option {option:?} is there twice in {name:?}"));
            }
            seen.extend(key);
            parsed.set(option)?;
            rest = behind;
        }
        if parsed.options.fsmonitor && parsed.options.index != IndexVersion::V2 {
            return Err(format!(
                "{name:?} has both fsmonitor=on and index=4: with the one, the index has version 2"
            ));
        }
        Ok(parsed)
    }

    fn set(&mut self, option: &str) -> Result<(), String> {
        let Some((key, value)) = option.split_once('=') else {
            return Err(format!("option {option:?} is not key=value; {KNOWN}"));
        };
        let wrong = |expected: &str| format!("option {key}={value}: expected {expected}");
        match key {
            "history" => {
                self.options.history = match value {
                    "full" => History::Full,
                    "reachable" => History::Reachable,
                    "none" => History::None,
                    _ => return Err(wrong("full, reachable or none")),
                };
            }
            "uid" => self.options.uid = value.parse().map_err(|_| wrong("a number"))?,
            "gid" => self.options.gid = value.parse().map_err(|_| wrong("a number"))?,
            "free" => {
                self.options.free =
                    units::parse_size(value).ok_or_else(|| wrong("a size like 512M or 10G"))?;
            }
            "head" if git::is_branch_name(value.into()) => {
                self.options.head = Some(value.into());
            }
            "head" => return Err(wrong("the name of a branch, without refs/heads/")),
            "mtime" => {
                self.options.mtime = Some(value.parse().map_err(|_| wrong(MTIME))?);
            }
            "index" => {
                self.options.index = match value {
                    "2" => IndexVersion::V2,
                    "4" => IndexVersion::V4,
                    _ => return Err(wrong("2 or 4")),
                };
            }
            "fsmonitor" => {
                self.options.fsmonitor = match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err(wrong("on or off")),
                };
            }
            "worktree" => {
                let path = is_plain(value).then(|| value.into());
                self.options.worktree = path.ok_or_else(|| wrong(WORKTREE))?;
            }
            "path" => self.options.path = parse_path(value)?.into(),
            "layout" => self.layout = Some(value.parse().map_err(|_| wrong("a number"))?),
            "snapshot" => {
                self.snapshot = Some(value.parse().map_err(|_| wrong("32 hexadecimal digits"))?);
            }
            _ => return Err(format!("unknown option {key:?}; {KNOWN}")),
        }
        Ok(())
    }

    /// The canonical name: it means the same bytes for ever. Options that no
    /// byte depends on are left out.
    pub(crate) fn canonical(&self, commit: &str, snapshot: Option<SnapshotId>) -> Self {
        let mut canonical = Self {
            rev: commit.to_owned(),
            layout: Some(LAYOUT_VERSION),
            snapshot,
            ..self.clone()
        };
        if !self.options.has_history() {
            if canonical.options.history == History::Reachable {
                canonical.options.history = History::Full;
            }
            canonical.snapshot = None;
            canonical.options.head = None;
            canonical.options.index = IndexVersion::default();
            canonical.options.fsmonitor = false;
        }
        if !canonical.options.fsmonitor {
            canonical.options.worktree = Options::WORKTREE.into();
        }
        canonical
    }
}

const KNOWN: &str = "there are history=full|reachable|none, uid=N, gid=N, free=SIZE, head=BRANCH, \
    mtime=SECONDS, index=2|4, fsmonitor=on|off, worktree=PATH and, last, path=DIR";
const WORKTREE: &str = "an absolute path like /workspace, as realpath(1) prints it";
const MTIME: &str = "seconds since 1970, from 3 to 4294967294, like 1700000000 or 1700000000.5";

impl fmt::Display for ExportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options {
            history,
            uid,
            gid,
            free,
            mtime,
            head,
            index,
            fsmonitor,
            worktree,
            path,
        } = &self.options;
        write!(f, "{}@{}", self.repo, self.rev)?;
        if let Some(layout) = self.layout {
            write!(f, ":layout={layout}")?;
        }
        if let Some(snapshot) = self.snapshot {
            write!(f, ":snapshot={snapshot}")?;
        }
        f.write_str(match history {
            History::Full => "",
            History::Reachable => ":history=reachable",
            History::None => ":history=none",
        })?;
        for (key, value) in [
            ("uid", u64::from(*uid)),
            ("gid", u64::from(*gid)),
            ("free", *free),
        ] {
            if value != 0 {
                write!(f, ":{key}={value}")?;
            }
        }
        if let Some(head) = head {
            write!(f, ":head={head}")?;
        }
        if let Some(mtime) = mtime {
            write!(f, ":mtime={mtime}")?;
        }
        if *index != IndexVersion::default() {
            write!(f, ":index={}", index.number())?;
        }
        if *fsmonitor {
            f.write_str(":fsmonitor=on")?;
        }
        if *worktree != Options::WORKTREE {
            write!(f, ":worktree={worktree}")?;
        }
        if !path.is_empty() {
            write!(f, ":path={path}")?;
        }
        Ok(())
    }
}

/// Whether a path is absolute, and has nothing that leads elsewhere or nowhere.
fn is_plain(path: &str) -> bool {
    let parts = path.strip_prefix('/').map(|path| path.split('/'));
    let is_bad = |part: &str| matches!(part, "" | "." | "..") || part.contains('\0');
    parts.is_some_and(|mut parts| !parts.any(is_bad)) && path.len() < 4096
}

fn parse_path(path: &str) -> Result<&str, String> {
    let path = path.trim_end_matches('/');
    let bad = |part: &str| matches!(part, "" | "." | "..");
    if path.is_empty() || !path.split('/').any(bad) {
        return Ok(path);
    }
    Err(format!(
        "option path={path}: expected a directory of the tree, like docs/api"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> ExportName {
        ExportName::parse(name).unwrap()
    }

    #[test]
    fn a_bare_name_is_its_head() {
        let name = parse("team/project.git");
        assert_eq!(
            (name.repo.as_str(), name.rev.as_str()),
            ("team/project", "HEAD")
        );
        assert_eq!(name.options, Options::default());
    }

    #[test]
    fn the_repository_ends_at_the_first_at_sign() {
        let name = parse("a@HEAD@{1}:uid=7:path=x@y:z");
        assert_eq!((name.repo.as_str(), name.rev.as_str()), ("a", "HEAD@{1}"));
        assert_eq!(name.options.uid, 7);
        assert_eq!(name.options.path, "x@y:z");
    }

    #[test]
    fn options_need_no_revision() {
        assert_eq!(parse("a:free=1G").options.free, 1 << 30);
        assert_eq!(parse(":history=none").options.history, History::None);
    }

    #[test]
    fn the_canonical_name_is_parsed_as_itself() {
        let name = parse("r@main:index=4:head=a/b:mtime=1700000000.50:gid=5");
        let canonical = name.canonical("0123", None).to_string();
        let expected =
            format!("r@0123:layout={LAYOUT_VERSION}:gid=5:head=a/b:mtime=1700000000.5:index=4");
        assert_eq!(canonical, expected);
        assert_eq!(parse(&canonical).to_string(), canonical);
    }

    #[test]
    fn what_no_byte_depends_on_is_not_in_the_canonical_name() {
        let name = parse("r@main:gid=5:uid=3:head=x:index=4:history=none:free=4K:path=a/b/");
        let canonical = name.canonical("0123", None).to_string();
        let expected =
            format!("r@0123:layout={LAYOUT_VERSION}:history=none:uid=3:gid=5:free=4096:path=a/b");
        assert_eq!(canonical, expected);
        assert_eq!(parse(&canonical).to_string(), canonical);
    }

    #[test]
    fn the_mountpoint_counts_where_it_is_in_the_index() {
        let canonical = |name| parse(name).canonical("0123", None).to_string();
        let bare = format!("r@0123:layout={LAYOUT_VERSION}");
        assert_eq!(canonical("r:worktree=/a"), bare);
        assert_eq!(canonical("r:fsmonitor=off"), bare);
        let on = format!("{bare}:fsmonitor=on");
        assert_eq!(canonical("r:worktree=/workspace:fsmonitor=on"), on);
        let other = canonical("r:fsmonitor=on:worktree=/a b:mtime=5");
        assert_eq!(other, format!("{bare}:mtime=5:fsmonitor=on:worktree=/a b"));
        assert_eq!(parse(&other).to_string(), other);
        let none = canonical("r:fsmonitor=on:worktree=/a:history=none");
        assert_eq!(none, format!("{bare}:history=none"));
    }

    #[test]
    fn errors_name_the_part_that_is_wrong() {
        for (name, part) in [
            ("r:fsmonitor=yes", "fsmonitor=yes"),
            ("r:fsmonitor=on:index=4", "index=4"),
            ("r:worktree=a", "worktree=a"),
            ("r:worktree=/", "worktree=/"),
            ("r:worktree=/a/../b", "worktree=/a/../b"),
            ("r@", "revision"),
            ("r:colour=red", "colour"),
            ("r:uid=-1", "uid=-1"),
            ("r:uid=1:gid=2:uid=1", "twice"),
            ("r:uid", "\"uid\""),
            ("r:free=1X", "free=1X"),
            ("r:profile=warm", "profile"),
            ("r:path=../etc", "path=../etc"),
            ("r@x:snapshot=12", "snapshot=12"),
            ("r@x:head=a..b", "head=a..b"),
            ("r@x:head=-x", "head=-x"),
            ("r@x:mtime=yesterday", "mtime=yesterday"),
            ("r@x:index=3", "index=3"),
        ] {
            let error = ExportName::parse(name).unwrap_err();
            assert!(error.contains(part), "{name}: {error}");
        }
    }
}
