//! `.git/config`.

use gix::hash::Kind;

/// What the configuration depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config<'a> {
    pub(super) kind: Kind,
    /// `remote.origin.url`.
    pub(super) origin: Option<&'a [u8]>,
    /// The full name of the branch HEAD is on, if it is served.
    pub(super) branch: Option<&'a [u8]>,
}

/// Nothing here may make the first `git status` write. `core.untrackedCache`
/// does: it halves later ones (114 to 57 ms with 57k files), but git first
/// writes the whole index, 4.6 MB.
const REST: &[u8] = b"\
\tbare = false
\tfilemode = true
\tlogallrefupdates = true
[gc]
\tauto = 0
[maintenance]
\tauto = false
[index]
\tversion = 4
";

impl Config<'_> {
    /// The file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let (version, extensions) = match self.kind {
            Kind::Sha256 => (1, "[extensions]\n\tobjectformat = sha256\n"),
            _ => (0, ""),
        };
        let mut file = format!("[core]\n\trepositoryformatversion = {version}\n").into_bytes();
        file.extend_from_slice(REST);
        file.extend_from_slice(extensions.as_bytes());
        if let Some(url) = self.origin.and_then(quoted) {
            file.extend_from_slice(b"[remote \"origin\"]\n\turl = ");
            file.extend_from_slice(&url);
            file.extend_from_slice(b"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n");
            file.extend_from_slice(&self.branch.and_then(upstream).unwrap_or_default());
        }
        file
    }
}

/// The section that lets `git pull`, `git push` and `@{upstream}` work.
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

/// A value in quotes; `None` for what no value can hold, a NUL.
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

/// The name of a subsection in quotes; `None` for what none can hold.
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
