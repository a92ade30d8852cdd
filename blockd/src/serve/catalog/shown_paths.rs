//! Paths of the server in texts for clients.

use std::path::Path;

/// Puts what clients know in the place of paths of the server. All that a server
/// opens lies below the directories that it was given.
#[derive(Debug)]
pub(crate) struct ShownPaths {
    /// A directory, and its name for clients, which may be empty; those first
    /// that lie in others.
    named: Vec<(String, String)>,
}

impl ShownPaths {
    /// Names directories, given with canonical paths.
    pub(crate) fn new<'a>(named: impl IntoIterator<Item = (&'a Path, String)>) -> Self {
        let text = |(path, name): (&Path, String)| Some((path.to_str()?.to_owned(), name));
        let mut named: Vec<_> = named.into_iter().filter_map(text).collect();
        // Every path has a slash.
        named.retain(|(path, _)| path != "/");
        named.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self { named }
    }

    /// The text for clients.
    pub(crate) fn hide(&self, text: &str) -> String {
        let mut shown = text.to_owned();
        for (path, name) in &self.named {
            let below = if name.is_empty() {
                String::new()
            } else {
                format!("{name}/")
            };
            let whole = if name.is_empty() { SERVED } else { name };
            shown = shown.replace(&format!("{path}/"), &below);
            shown = shown.replace(path.as_str(), whole);
        }
        shown
    }
}

/// What a directory without a name is called.
const SERVED: &str = "the served directory";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_server_are_named_as_clients_know_them() {
        let paths = ShownPaths::new([
            (Path::new("/"), "all".to_owned()),
            (Path::new("/srv/git"), String::new()),
            (Path::new("/srv"), "an allowed directory".into()),
            (Path::new("/var/lib/blockd"), "the state directory".into()),
        ]);
        for (text, shown) in [
            (
                "\"x\" in /srv/git/team/app.git: no",
                "\"x\" in team/app.git: no",
            ),
            ("nothing in /srv/git", "nothing in the served directory"),
            (
                "/srv/pool/objects is gone",
                "an allowed directory/pool/objects is gone",
            ),
            (
                "cannot write /var/lib/blockd/spool",
                "cannot write the state directory/spool",
            ),
            ("a/b and /etc", "a/b and /etc"),
        ] {
            assert_eq!(paths.hide(text), shown);
        }
    }
}
