//! Export names, as far as a client must understand them.
//!
//! `repo[@rev][:key=value]…`: only the server knows all of it. A client adds
//! whose files they shall be, and reads what the description says.

/// Appends `:uid=N:gid=N`, each unless it is 0 or the name has it already; a
/// canonical name says all there is to say, and stays as it is.
pub(super) fn with_owner(name: &str, uid: u32, gid: u32) -> String {
    let (options, path) = split(name);
    let mut owned = options.to_owned();
    for (key, id) in [("uid", uid), ("gid", gid)] {
        if id != 0 && option(name, key).is_none() && !is_canonical(name) {
            owned = format!("{owned}:{key}={id}");
        }
    }
    owned + path
}

/// Appends `:free=SIZE`, unless the name says so or is canonical.
pub(super) fn with_room(name: &str, size: &str) -> String {
    let (options, path) = split(name);
    if option(name, "free").is_some() || is_canonical(name) {
        return name.to_owned();
    }
    format!("{options}:free={size}{path}")
}

/// Whose the files of an export are: what its name says, else what was asked.
pub(super) fn owner(name: &str, uid: u32, gid: u32) -> (u32, u32) {
    let number = |key, asked| match option(name, key) {
        Some(value) => value.parse().unwrap_or(asked),
        None if is_canonical(name) => 0,
        None => asked,
    };
    (number("uid", uid), number("gid", gid))
}

/// A canonical name has its layout.
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

/// `path=DIR` stands last, since a path may hold colons.
fn split(name: &str) -> (&str, &str) {
    name.split_at(name.find(":path=").unwrap_or(name.len()))
}

/// The length of the metadata at the front of the image, which the server
/// publishes in the description as `prefix=BYTES`, behind the name.
pub(super) fn prefix(description: &str) -> Option<u64> {
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
    fn room_is_asked_for_once() {
        assert_eq!(with_room("r@main:path=a", "8G"), "r@main:free=8G:path=a");
        assert_eq!(with_room("r:free=1G", "8G"), "r:free=1G");
        assert_eq!(with_room("r@12:layout=1", "8G"), "r@12:layout=1");
    }

    #[test]
    fn the_name_says_whose_the_files_are() {
        assert_eq!(owner("r@main:uid=5", 1000, 100), (5, 100));
        assert_eq!(owner("r@main", 1000, 100), (1000, 100));
        assert_eq!(owner("r@main:uid=0", 1000, 100), (0, 100));
        assert_eq!(owner("r@12:layout=1:gid=4", 1000, 100), (0, 4));
    }

    #[test]
    fn a_prefix_is_found_wherever_it_stands() {
        assert_eq!(prefix("commit 1234, prefix=4096"), Some(4096));
        assert_eq!(prefix("prefix=12, more"), Some(12));
        assert_eq!(prefix("r:path=prefix=3, prefix=12"), Some(12));
        assert_eq!(prefix("nothing"), None);
        assert_eq!(prefix("prefix="), None);
        assert_eq!(prefix("prefix=99999999999999999999999"), None);
    }
}
