//! Export names, as far as a client must understand them.
//!
//! `repo[@rev][:key=value]…[:path=DIR]`: only the server knows all of it. A
//! client adds who owns the files and when they were modified, compares the
//! names of disks, and reads what the description says.

use std::fmt;

use anyhow::{Context, Result};

/// An export name in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExportName {
    /// `repo[@rev]`
    revision: String,
    /// `key=value` each.
    options: Vec<String>,
    /// `:path=DIR`, which is always the last option, since a path may have
    /// colons; or nothing.
    path: String,
}

/// The order of the options in a canonical name.
const ORDER: [&str; 11] = [
    "layout",
    "snapshot",
    "history",
    "uid",
    "gid",
    "free",
    "head",
    "mtime",
    "index",
    "fsmonitor",
    "worktree",
];

/// The place of an option among the others; one that is not known is the last.
fn rank(key: &str) -> usize {
    let place = ORDER.iter().position(|known| *known == key);
    place.unwrap_or(ORDER.len())
}

/// The options in which the disks of one work tree may differ, though the same
/// changes go with them: how it is laid out, which packs hold its objects, which
/// branch it is on, when its files were modified, and what git's index has besides them.
const SAME_WORK_TREE: [&str; 7] = [
    "layout",
    "snapshot",
    "head",
    "mtime",
    "index",
    "fsmonitor",
    "worktree",
];
/// The layouts whose names have no branch.
const WITHOUT_BRANCHES: [Option<&str>; 2] = [Some("1"), Some("2")];

impl ExportName {
    pub(crate) fn parse(name: &str) -> Self {
        let (front, path) = name.split_at(name.find(":path=").unwrap_or(name.len()));
        let mut parts = front.split(':').map(str::to_owned);
        let revision = parts.next().expect("a split string has a first part");
        Self {
            revision,
            options: parts.collect(),
            path: path.to_owned(),
        }
    }

    /// The value of an option.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let mut options = self.options.iter().filter_map(|it| it.split_once('='));
        options
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// The same name with another value of an option, which comes where a
    /// canonical name has it.
    pub(crate) fn with(&self, key: &str, value: &str) -> Self {
        let mut changed = self.clone();
        let option = format!("{key}={value}");
        let has_key = |it: &String| it.split_once('=').is_some_and(|(name, _)| name == key);
        let place = changed.options.iter().position(has_key);
        if let Some(at) = place {
            changed.options[at] = option;
            return changed;
        }
        let is_behind = |it: &String| {
            let name = it.split_once('=').map(|(name, _)| rank(name));
            name.is_some_and(|name| name > rank(key))
        };
        let behind = changed.options.iter().position(is_behind);
        let end = changed.options.len();
        changed.options.insert(behind.unwrap_or(end), option);
        changed
    }

    /// The same name without some options.
    pub(crate) fn without(&self, keys: &[&str]) -> Self {
        let mut changed = self.clone();
        changed.options.retain(|it| {
            let key = it.split_once('=').map_or(it.as_str(), |(key, _)| key);
            !keys.contains(&key)
        });
        changed
    }

    /// The same disk on any server that has the commit: the name without the
    /// layout and the snapshot, of which each server has its own.
    pub(crate) fn of_commit(&self) -> Self {
        self.without(&["layout", "snapshot"])
    }

    /// A canonical name has the version of the layout.
    pub(crate) fn is_canonical(&self) -> bool {
        self.get("layout").is_some()
    }

    /// The commit, if the name is `repo@COMMIT…`.
    pub(crate) fn commit(&self) -> Option<&str> {
        self.revision.split_once('@').map(|(_, commit)| commit)
    }

    /// The length of the repository's object ids in bytes.
    pub(crate) fn id_length(&self) -> usize {
        self.commit().map_or(20, |commit| commit.len() / 2)
    }

    /// Whether both differ at most in the time of the files.
    pub(crate) fn is_same_but_for_time(&self, other: &Self) -> bool {
        self.without(&["mtime"]) == other.without(&["mtime"])
    }

    /// Whether both show the same files of the same commit, with the same owner,
    /// and so changes to one are changes to the other. The repository may have
    /// another name on another server.
    pub(crate) fn is_same_work_tree(&self, other: &Self) -> bool {
        let mut layouts = [self, other].map(|name| name.get("layout")).into_iter();
        let has_branches = layouts.all(|layout| !WITHOUT_BRANCHES.contains(&layout));
        let (one, two) = (
            self.without(&SAME_WORK_TREE),
            other.without(&SAME_WORK_TREE),
        );
        self.commit().is_some()
            && self.commit() == other.commit()
            && (one.options == two.options && one.path == two.path)
            && (!has_branches || self.get("head") == other.get("head"))
    }
}

impl fmt::Display for ExportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.revision)?;
        for option in &self.options {
            write!(f, ":{option}")?;
        }
        f.write_str(&self.path)
    }
}

/// Adds `:uid=N:gid=N`, each unless it is 0 or in the name already. A canonical
/// name says all there is to say, and is left as it is.
pub(crate) fn with_owner(name: &str, uid: u32, gid: u32) -> String {
    let mut owned = ExportName::parse(name);
    for (key, id) in [("uid", uid), ("gid", gid)] {
        if id != 0 && owned.get(key).is_none() && !owned.is_canonical() {
            owned = owned.with(key, &id.to_string());
        }
    }
    owned.to_string()
}

/// Adds `:free=SIZE`, unless it is in the name already, or the name is canonical.
pub(crate) fn with_free_space(name: &str, size: &str) -> String {
    let parsed = ExportName::parse(name);
    if parsed.get("free").is_some() || parsed.is_canonical() {
        return name.to_owned();
    }
    parsed.with("free", size).to_string()
}

/// The user and group that own the files of an export: those in its name, else
/// the ones that were asked for.
///
/// # Errors
///
/// When the name has one that is no number.
pub(crate) fn owner(name: &str, uid: u32, gid: u32) -> Result<(u32, u32)> {
    let parsed = ExportName::parse(name);
    let number = |key, requested| match parsed.get(key) {
        Some(value) => value
            .parse()
            .with_context(|| format!("the export name {name:?} has {key}={value}: not a number")),
        None if parsed.is_canonical() => Ok(0),
        None => Ok(requested),
    };
    Ok((number("uid", uid)?, number("gid", gid)?))
}

/// The length in bytes of the metadata at the front of the disk, from the
/// description of the export, which ends in `prefix=BYTES`. `None` when the
/// server says no such length, as one that is not blockd.
pub(crate) fn prefix(description: &str) -> Option<u64> {
    let (_, rest) = description.rsplit_once("prefix=")?;
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_appended_once_and_never_root() {
        assert_eq!(with_owner("r@main", 1000, 100), "r@main:uid=1000:gid=100");
        assert_eq!(with_owner("r@main", 0, 0), "r@main");
        assert_eq!(with_owner("r@main", 1000, 0), "r@main:uid=1000");
        assert_eq!(
            with_owner("r@main:uid=5", 1000, 100),
            "r@main:uid=5:gid=100"
        );
        assert_eq!(with_owner("r:gid=5:uid=0", 1000, 100), "r:gid=5:uid=0");
        assert_eq!(with_owner("uid=7", 1000, 0), "uid=7:uid=1000");
        assert_eq!(with_owner("", 1000, 0), ":uid=1000");
        let path = "r@main:path=a:uid=3/b";
        assert_eq!(with_owner(path, 5, 0), "r@main:uid=5:path=a:uid=3/b");
        assert_eq!(with_owner("r@12:layout=1", 1000, 100), "r@12:layout=1");
    }

    #[test]
    fn free_space_is_asked_for_once() {
        assert_eq!(
            with_free_space("r@main:path=a", "8G"),
            "r@main:free=8G:path=a"
        );
        assert_eq!(with_free_space("r:free=1G", "8G"), "r:free=1G");
        assert_eq!(with_free_space("r@12:layout=1", "8G"), "r@12:layout=1");
    }

    #[test]
    fn an_owner_in_the_name_comes_first() {
        assert_eq!(owner("r@main:uid=5", 1000, 100).unwrap(), (5, 100));
        assert_eq!(owner("r@main", 1000, 100).unwrap(), (1000, 100));
        assert_eq!(owner("r@main:uid=0", 1000, 100).unwrap(), (0, 100));
        assert_eq!(owner("r@12:layout=1:gid=4", 1000, 100).unwrap(), (0, 4));
        assert!(owner("r@main:uid=me", 1000, 100).is_err());
    }

    #[test]
    fn an_option_is_replaced_in_place_or_stands_where_a_canonical_name_has_it() {
        let with = |name: &str| ExportName::parse(name).with("mtime", "5").to_string();
        assert_eq!(with("r@1:uid=5"), "r@1:uid=5:mtime=5");
        assert_eq!(with("r@1:path=x:y"), "r@1:mtime=5:path=x:y");
        assert_eq!(with("r@1:mtime=3.5:index=4"), "r@1:mtime=5:index=4");
        assert_eq!(with("r@1:head=a:index=4"), "r@1:head=a:mtime=5:index=4");
        let on = ExportName::parse("r@1:layout=3:uid=5:mtime=7").with("head", "x/y");
        assert_eq!(on.to_string(), "r@1:layout=3:uid=5:head=x/y:mtime=7");
    }

    #[test]
    fn the_same_changes_go_with_disks_of_one_work_tree() {
        let same = |one: &str, other: &str| {
            ExportName::parse(one).is_same_work_tree(&ExportName::parse(other))
        };
        let name = "a@12:layout=3:snapshot=1:uid=5:head=main:mtime=7";
        assert!(same(name, "b@12:layout=3:snapshot=2:uid=5:head=main"));
        assert!(same("a@12:layout=2:snapshot=7:uid=5", name));
        let monitored = "a@12:layout=4:snapshot=1:uid=5:head=main:mtime=8:fsmonitor=on:worktree=/m";
        assert!(same(name, monitored));
        assert!(!same(name, "a@12:layout=4:snapshot=1:uid=5:head=other"));
        assert!(!same(name, "a@12:layout=3:snapshot=1:uid=5:head=other"));
        assert!(!same(name, "a@13:layout=3:snapshot=1:uid=5:head=main"));
        assert!(!same(name, "a@12:layout=3:snapshot=1:head=main"));
        assert!(!same(
            name,
            "a@12:layout=3:snapshot=1:uid=5:head=main:path=x"
        ));
        assert!(!same("disk", "disk"));
    }

    #[test]
    fn a_prefix_is_found_wherever_it_stands() {
        assert_eq!(prefix("commit 1234, prefix=4096"), Some(4096));
        assert_eq!(prefix("prefix=12, profile"), Some(12));
        assert_eq!(prefix("r:path=prefix=3, prefix=12"), Some(12));
        assert_eq!(prefix("nothing"), None);
        assert_eq!(prefix("prefix="), None);
        assert_eq!(prefix("prefix=99999999999999999999999"), None);
    }

    #[test]
    fn the_commit_is_in_the_canonical_name() {
        let commit = |name: &str| ExportName::parse(name).commit().map(str::to_owned);
        assert_eq!(
            commit("a/b@1234:layout=1:path=x@y").as_deref(),
            Some("1234")
        );
        assert_eq!(commit("a/b@1234").as_deref(), Some("1234"));
        assert_eq!(commit("a/b"), None);
    }
}
