//! The conversions of `git checkout` on Linux without any configuration:
//! `ident`, `eol=crlf` and `working-tree-encoding`, in this order (git,
//! `convert_to_working_tree`).
//!
//! `filter=…` refers to a driver that only configuration can define, so such
//! files are not converted: files of Git LFS remain pointers.

mod encoding;
mod eol;
mod ident;
mod legacy;

#[cfg(test)]
pub(super) mod tests;

use gix::{
    bstr::{BStr, BString},
    oid,
};

use crate::error::{Error, Kind, Result};

use encoding::{Encoding, Outcome};

/// The attributes of a file that can convert it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) text: Setting<'a>,
    pub(super) crlf: Setting<'a>,
    pub(super) eol: Setting<'a>,
    pub(super) ident: Setting<'a>,
    pub(super) encoding: Setting<'a>,
}

/// The state of one attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting<'a> {
    Set,
    Unset,
    Unspecified,
    Value(&'a [u8]),
}

/// The conversion of one file. Equal conversions of the same blob give the same
/// result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    ident: bool,
    eol: Eol,
    encoding: Option<WorkingTree>,
}

/// The conversion of line endings (git, `enum convert_crlf_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Eol {
    /// None: `-text`, `eol=lf`, or unspecified.
    Keep,
    /// None for `text=auto`, for which git reads the whole file nevertheless.
    KeepAuto,
    /// `CRLF_TEXT_CRLF`: all.
    Crlf,
    /// `CRLF_AUTO_CRLF`: all, unless the file looks binary or has a CR.
    AutoCrlf,
}

/// A `working-tree-encoding`, with the path of the file for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
struct WorkingTree {
    path: BString,
    /// `None` for the attribute without a value.
    name: Option<BString>,
}

impl Conversion {
    /// The conversion of the file at `path`; `None` if there is nothing to
    /// convert (git, `convert_attrs`).
    pub(super) fn new(path: &BStr, request: &Request<'_>) -> Option<Self> {
        let named = |name| {
            Some(WorkingTree {
                path: path.into(),
                name,
            })
        };
        let encoding = match request.encoding {
            Setting::Set => named(None),
            Setting::Value(name) if !name.is_empty() && !is_utf8(name) => named(Some(name.into())),
            _ => None,
        };
        let (ident, eol) = (request.ident == Setting::Set, Eol::new(request));
        let keeps = matches!(eol, Eol::Keep | Eol::KeepAuto);
        (ident || !keeps || encoding.is_some()).then_some(Self {
            ident,
            eol,
            encoding,
        })
    }

    /// Converts the content of the blob `id` as `git checkout` does; `None` if
    /// it does not change.
    ///
    /// A text that the encoding cannot express is not converted, as in git,
    /// which prints an error and checks it out unchanged.
    ///
    /// # Errors
    ///
    /// [`Kind::Unsupported`], with the path, if the encoding is not supported,
    /// or not for all characters of the text.
    pub fn apply(&self, id: &oid, blob: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut changed = self.ident.then(|| self.expand(id, blob)).flatten();
        let text = changed.as_deref().unwrap_or(blob);
        changed = match self.eol {
            Eol::Crlf => eol::to_crlf(text, false),
            Eol::AutoCrlf => eol::to_crlf(text, true),
            Eol::Keep | Eol::KeepAuto => None,
        }
        .or(changed);
        if let Some(encoding) = &self.encoding {
            let text = changed.as_deref().unwrap_or(blob);
            changed = encoding.encode(text)?.or(changed);
        }
        Ok(changed)
    }

    fn expand(&self, id: &oid, blob: &[u8]) -> Option<Vec<u8>> {
        let whole = self.encoding.is_some() || matches!(self.eol, Eol::KeepAuto | Eol::AutoCrlf);
        if whole {
            ident::whole(blob, id)
        } else {
            ident::streamed(blob, id)
        }
    }
}

impl Eol {
    fn new(request: &Request<'_>) -> Self {
        let action = match Action::new(request.text) {
            Action::Undefined => Action::new(request.crlf),
            defined => defined,
        };
        match (action, request.eol) {
            (Action::Binary, _) | (Action::Auto, Setting::Value(b"lf")) => Self::Keep,
            (Action::Auto, Setting::Value(b"crlf")) => Self::AutoCrlf,
            (_, Setting::Value(b"crlf")) => Self::Crlf,
            (Action::Auto, _) => Self::KeepAuto,
            _ => Self::Keep,
        }
    }
}

/// The meaning of `text`, or of `crlf` in its place (git,
/// `git_path_check_crlf`).
#[derive(Clone, Copy)]
enum Action {
    Undefined,
    Binary,
    Text,
    Auto,
}

impl Action {
    fn new(setting: Setting<'_>) -> Self {
        match setting {
            Setting::Set | Setting::Value(b"input") => Self::Text,
            Setting::Unset => Self::Binary,
            Setting::Value(b"auto") => Self::Auto,
            Setting::Value(_) | Setting::Unspecified => Self::Undefined,
        }
    }
}

/// Whether an encoding is UTF-8, by the two names that git has for it
/// (`same_utf_encoding`).
fn is_utf8(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"UTF-8") || name.eq_ignore_ascii_case(b"UTF8")
}

impl WorkingTree {
    fn encode(&self, text: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(name) = &self.name else {
            return Err(self.unsupported("a working-tree-encoding without a name"));
        };
        if text.is_empty() {
            return Ok(None);
        }
        let known = Encoding::named(name)
            .ok_or_else(|| self.unsupported(&format!("the working-tree-encoding {name}")))?;
        match known.encode(text) {
            Outcome::Encoded(bytes) => Ok(Some(bytes)),
            Outcome::Refused => Ok(None),
            Outcome::Unsure(character) => Err(self.unsupported(&format!(
                "the working-tree-encoding {name} of {}",
                character.escape_unicode()
            ))),
        }
    }

    fn unsupported(&self, what: &str) -> Error {
        Error::new(
            Kind::Unsupported,
            format!("{}: {what} is not supported", self.path),
        )
    }
}
