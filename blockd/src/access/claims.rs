//! What a token says.

use serde::{Deserialize, Serialize};

use super::pattern::Pattern;

/// The version of the claims, raised when one that limits is added: a server
/// refuses the token of a version that it does not know.
pub(super) const VERSION: u32 = 1;
/// Whom tokens are for (`aud`).
pub(super) const AUDIENCE: &str = "blockd";

/// What of a repository is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shown {
    /// The files and `.git` with the whole history.
    #[default]
    Full,
    /// The files alone (`history=none`).
    None,
}

/// The claims of a token (RFC 7519, section 4). All have to be known: one that is
/// not may limit what the token is for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// [`VERSION`].
    pub(super) ver: u32,
    /// [`AUDIENCE`].
    pub(super) aud: String,
    /// When it expires, in seconds since 1970.
    pub(super) exp: u64,
    /// The repositories.
    pub(super) repo: Pattern,
    /// The only commit, as 40 or 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<String>,
    /// What of it.
    pub(super) history: Shown,
}

impl Claims {
    /// What a token is to permit, until `expires`, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// `commit` is no full commit id. The text is for the user.
    pub fn new(
        repo: Pattern,
        commit: Option<String>,
        history: Shown,
        expires: u64,
    ) -> Result<Self, String> {
        let is_id = |text: &String| {
            [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        if let Some(commit) = commit.as_ref().filter(|text| !is_id(text)) {
            return Err(format!(
                "{commit:?} is no commit id of 40 or 64 hexadecimal digits: a token is for one \
                 commit or for all, and a branch moves (git rev-parse {commit})"
            ));
        }
        Ok(Self {
            ver: VERSION,
            aud: AUDIENCE.to_owned(),
            exp: expires,
            repo,
            commit: commit.map(|commit| commit.to_ascii_lowercase()),
            history,
        })
    }
}
