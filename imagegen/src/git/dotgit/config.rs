//! The file `.git/config`.

use gix::{bstr::BString, hash::Kind};

/// The values in the configuration.
#[derive(Clone, Debug)]
pub(super) struct Config<'a> {
    pub(super) kind: Kind,
    /// `remote.origin.url`. A repository that was not cloned has none, and
    /// `git remote set-url origin URL` gives it one.
    pub(super) origin: Option<&'a [u8]>,
    /// The full name of the branch that HEAD points to, if origin has it too.
    pub(super) upstream: Option<BString>,
    /// Whether [`INCLUDED`] is included.
    pub(super) fsmonitor: bool,
}

/// The file beside `config` that says what answers for the work tree. The image
/// has one for where nothing does; attach replaces it. It is included first, so
/// that what a user sets in `config` is what holds.
pub(crate) const INCLUDED: &str = "blockd.gitconfig";
const INCLUDE: &[u8] = b"[include]\n\tpath = blockd.gitconfig\n";
/// Git keeps what it knows of directories by the path that they are mounted at.
/// Unless this is `true`, it warns at each status where that is another.
pub(super) const NO_MONITOR: &[u8] = b"[core]\n\tuntrackedCache = true\n";

/// The constant part. It must not make the first `git status` write, as
/// `core.untrackedCache` does: that halves the time of later ones (from 114 to
/// 57 ms with 57k files), but git writes the whole index first, 4.6 MB.
const REST: &[u8] = b"\
\tbare = false
\tfilemode = true
\tlogallrefupdates = true
[gc]
\tauto = 0
[maintenance]
\tauto = false
";
/// Where `git fetch` puts the branches of origin.
const FETCH: &[u8] = b"\tfetch = +refs/heads/*:refs/remotes/origin/*\n";

impl Config<'_> {
    /// The content of the file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let (version, extensions) = match self.kind {
            Kind::Sha256 => (1, "[extensions]\n\tobjectformat = sha256\n"),
            _ => (0, ""),
        };
        let mut file = if self.fsmonitor { INCLUDE } else { b"" }.to_vec();
        let core = format!("[core]\n\trepositoryformatversion = {version}\n");
        file.extend_from_slice(core.as_bytes());
        file.extend_from_slice(REST);
        file.extend_from_slice(extensions.as_bytes());
        file.extend_from_slice(b"[remote \"origin\"]\n");
        if let Some(url) = self.origin.and_then(quoted) {
            file.extend_from_slice(&[b"\turl = ", url.as_slice(), b"\n"].concat());
        }
        file.extend_from_slice(FETCH);
        if let Some(upstream) = self.upstream.as_ref().and_then(|name| upstream(name)) {
            file.extend_from_slice(&upstream);
        }
        file
    }
}

/// The section of a branch, for `git pull`, `git push` and `@{upstream}`.
/// `None` for a name that no section can have.
fn upstream(branch: &[u8]) -> Option<Vec<u8>> {
    let short = branch.strip_prefix(b"refs/heads/")?;
    let parts: [&[u8]; 5] = [
        b"[branch ",
        &subsection(short)?,
        b"]\n\tremote = origin\n\tmerge = ",
        &quoted(branch)?,
        b"\n",
    ];
    Some(parts.concat())
}

/// A quoted value; `None` if it has a NUL, which no value can have.
fn quoted(value: &[u8]) -> Option<Vec<u8>> {
    let escape = |byte| match byte {
        b'"' => b"\\\"".to_vec(),
        b'\\' => b"\\\\".to_vec(),
        b'\n' => b"\\n".to_vec(),
        b'\t' => b"\\t".to_vec(),
        other => vec![other],
    };
    (!value.contains(&0)).then(|| in_quotes(value, escape))
}

/// A quoted subsection name; `None` if it has a NUL or a newline, which none can
/// have.
fn subsection(name: &[u8]) -> Option<Vec<u8>> {
    let escape = |byte| match byte {
        b'"' | b'\\' => vec![b'\\', byte],
        other => vec![other],
    };
    (!name.contains(&0) && !name.contains(&b'\n')).then(|| in_quotes(name, escape))
}

fn in_quotes(text: &[u8], escape: impl Fn(u8) -> Vec<u8>) -> Vec<u8> {
    let body = text.iter().flat_map(|&byte| escape(byte));
    [b'"'].into_iter().chain(body).chain([b'"']).collect()
}
