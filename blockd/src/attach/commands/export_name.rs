//! Export names, as far as a client must understand them.
//!
//! `repo[@rev][:key=value]…`: only the server knows all of it. A client adds who
//! owns the files, and reads what the description says.

use anyhow::{Context, Result};

/// Adds `:uid=N:gid=N`, each unless it is 0 or in the name already. A canonical
/// name says all there is to say, and is left as it is.
pub(crate) fn with_owner(name: &str, uid: u32, gid: u32) -> String {
    let (options, path) = split(name);
    let mut owned = options.to_owned();
    for (key, id) in [("uid", uid), ("gid", gid)] {
        if id != 0 && option(name, key).is_none() && !is_canonical(name) {
            owned = format!("{owned}:{key}={id}");
        }
    }
    owned + path
}

/// Adds an option, before `path`, which is always the last one.
pub(crate) fn with_option(name: &str, option: &str) -> String {
    let (options, path) = split(name);
    format!("{options}:{option}{path}")
}

/// Adds `:free=SIZE`, unless it is in the name already, or the name is canonical.
pub(crate) fn with_free_space(name: &str, size: &str) -> String {
    if option(name, "free").is_some() || is_canonical(name) {
        return name.to_owned();
    }
    with_option(name, &format!("free={size}"))
}

/// The user and group that own the files of an export: those in its name, else
/// the ones that were asked for.
///
/// # Errors
///
/// When the name has one that is no number.
pub(crate) fn owner(name: &str, uid: u32, gid: u32) -> Result<(u32, u32)> {
    let number = |key, requested| match option(name, key) {
        Some(value) => value
            .parse()
            .with_context(|| format!("the export name {name:?} has {key}={value}: not a number")),
        None if is_canonical(name) => Ok(0),
        None => Ok(requested),
    };
    Ok((number("uid", uid)?, number("gid", gid)?))
}

/// The commit in a canonical name, `repo@COMMIT:…`.
pub(crate) fn commit(name: &str) -> Option<&str> {
    let (_, rest) = name.split_once('@')?;
    Some(rest.split_once(':').map_or(rest, |(commit, _)| commit))
}

/// A canonical name has the version of the layout.
fn is_canonical(name: &str) -> bool {
    option(name, "layout").is_some()
}

fn option<'a>(name: &'a str, key: &str) -> Option<&'a str> {
    let options = split(name).0.split(':').skip(1);
    let mut options = options.filter_map(|option| option.split_once('='));
    options
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value)
}

/// Splits off `:path=DIR`, which is always the last option, since a path may have
/// colons.
fn split(name: &str) -> (&str, &str) {
    name.split_at(name.find(":path=").unwrap_or(name.len()))
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
    fn an_option_stands_before_the_path() {
        assert_eq!(with_option("r@1:uid=5", "a=b"), "r@1:uid=5:a=b");
        assert_eq!(with_option("r@1:path=x:y", "a=b"), "r@1:a=b:path=x:y");
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
        assert_eq!(commit("a/b@1234:layout=1:path=x@y"), Some("1234"));
        assert_eq!(commit("a/b@1234"), Some("1234"));
        assert_eq!(commit("a/b"), None);
    }
}
