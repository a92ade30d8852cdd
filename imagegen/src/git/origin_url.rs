//! What images show of a repository's `remote.origin.url`.

/// The schemes of URLs that mean the same on another host (git,
/// `urls.adoc`).
const PUBLIC: [&str; 8] = [
    "http", "https", "ssh", "git", "git+ssh", "ssh+git", "ftp", "ftps",
];

/// The URL without what is nobody's business: a user name and password, a query
/// and a fragment, which may hold a token. `None` for a path of the server, which
/// is of no use elsewhere, and for what is no line.
pub(super) fn shown(url: &str) -> Option<String> {
    if !is_line(url) {
        return None;
    }
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let scheme = scheme.to_ascii_lowercase();
            PUBLIC
                .contains(&scheme.as_str())
                .then(|| without_secrets(&scheme, rest))
        }
        None => is_of_ssh(url).then(|| url.to_owned()),
    }
}

/// The URL if it is an absolute path, or one with `file://`.
pub(super) fn path(url: &str) -> Option<String> {
    let path = url.strip_prefix("file://").unwrap_or(url);
    (is_line(url) && path.starts_with('/')).then(|| url.to_owned())
}

fn is_line(url: &str) -> bool {
    !url.is_empty() && !url.contains(char::is_control)
}

/// `https://host/…` for `https://user:password@host/…`, and for
/// `https://user@host/…`, where the user may be a token. Other schemes keep a
/// user without a password.
fn without_secrets(scheme: &str, rest: &str) -> String {
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) if scheme.starts_with("http") || user.contains(':') => host,
        _ => authority,
    };
    format!("{scheme}://{authority}{path}")
}

/// Whether it is `[user@]host:path`, without a slash before the colon (git,
/// `url_is_local_not_ssh`), and no `helper::address`.
fn is_of_ssh(url: &str) -> bool {
    let parts = url.split_once(':');
    parts.is_some_and(|(host, path)| {
        !host.is_empty() && !host.contains('/') && !path.starts_with(':')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_removed_from_urls() {
        for (url, expected) in [
            ("https://example.org/a.git", "https://example.org/a.git"),
            (
                "https://me:secret@example.org/a@b.git",
                "https://example.org/a@b.git",
            ),
            ("https://token@example.org/", "https://example.org/"),
            ("HTTPS://token@example.org/", "https://example.org/"),
            ("https://a@b:c@example.org", "https://example.org"),
            (
                "https://example.org/a.git?private_token=x#y",
                "https://example.org/a.git",
            ),
            ("https://example.org?t=me:x@y/z", "https://example.org"),
            ("ssh://git@example.org:22/a", "ssh://git@example.org:22/a"),
            ("ssh://git:secret@example.org/a", "ssh://example.org/a"),
            ("git@example.org:a.git", "git@example.org:a.git"),
        ] {
            assert_eq!(shown(url).as_deref(), Some(expected));
        }
    }

    #[test]
    fn paths_of_the_server_are_not_shown() {
        for url in [
            "/srv/a@b",
            "../a",
            "./a:b",
            "file:///srv/a",
            "ext::sh -c x",
            "",
            "https://a\nb",
        ] {
            assert_eq!(shown(url), None, "{url}");
        }
    }

    #[test]
    fn paths_are_told_from_what_runs_a_program() {
        for (url, is_path) in [
            ("/srv/a@b", true),
            ("file:///srv/a", true),
            ("../a", false),
            ("ext::sh -c x", false),
            ("/srv/a\nb", false),
        ] {
            assert_eq!(path(url).is_some(), is_path, "{url}");
        }
    }
}
