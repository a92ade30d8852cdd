//! The conversions of `git checkout` on Linux without any configuration:
//! `ident`, `eol=crlf` and `working-tree-encoding`, in this order (git,
//! `convert_to_working_tree`).
//!
//! `filter=…` refers to a driver that only configuration can define, so such
//! files are not converted: files of Git LFS remain pointers.

mod encoding;
mod eol;
mod failure;
mod iconv;
mod ident;
mod measure;
mod pipeline;

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use gix::{ObjectId, bstr::ByteSlice, oid};
use sha2::{Digest, Sha256};

use self::{
    encoding::Encoder,
    eol::{Counts, Crlf},
    failure::Failure,
    ident::{Streamed, Whole},
    measure::Compared,
    pipeline::Stage,
};
use super::Blob;
use crate::error::{Error, Kind, Result};

pub(super) use iconv::library_version;
pub use measure::Measured;

/// The attributes of a file that can convert it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) text: Setting<'a>,
    pub(super) crlf: Setting<'a>,
    pub(super) eol: Setting<'a>,
    pub(super) ident: Setting<'a>,
    pub(super) encoding: Setting<'a>,
}

impl Request<'_> {
    /// Whether git converts such a file when it is added, as far as it can tell
    /// without its content (git, `would_convert_to_git`).
    pub(super) fn converts_to_git(&self) -> bool {
        let action = Action::of(self);
        let eol = match action {
            Action::Binary => false,
            Action::Undefined => matches!(self.eol, Setting::Value(b"lf" | b"crlf")),
            Action::Text | Action::Auto => true,
        };
        let encoding =
            matches!(self.encoding, Setting::Value(name) if !name.is_empty() && !is_utf8(name));
        eol || encoding || self.ident == Setting::Set
    }
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
    ident: Ident,
    eol: Eol,
    encoding: Encoding,
}

/// Whether `$Id$` is expanded, and by which implementation of git.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ident {
    Keep,
    Streamed,
    Whole,
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

/// A `working-tree-encoding`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Encoding {
    Keep,
    /// The attribute without a value, with which git checks out nothing.
    Unnamed,
    Named(Arc<[u8]>),
    /// One that a text cannot be encoded to: it stays as it is.
    Refused(Arc<[u8]>),
}

impl Conversion {
    /// The conversion of a file with these attributes; `None` if there is
    /// nothing to convert (git, `convert_attrs`).
    pub(super) fn new(request: &Request<'_>) -> Option<Self> {
        let encoding = match request.encoding {
            Setting::Set => Encoding::Unnamed,
            Setting::Value(name) if !name.is_empty() && !is_utf8(name) => {
                Encoding::Named(name.into())
            }
            _ => Encoding::Keep,
        };
        let eol = Eol::new(request);
        let whole = encoding != Encoding::Keep || matches!(eol, Eol::KeepAuto | Eol::AutoCrlf);
        let ident = match request.ident {
            Setting::Set if whole => Ident::Whole,
            Setting::Set => Ident::Streamed,
            _ => Ident::Keep,
        };
        let keeps = ident == Ident::Keep
            && matches!(eol, Eol::Keep | Eol::KeepAuto)
            && encoding == Encoding::Keep;
        (!keeps).then_some(Self {
            ident,
            eol,
            encoding,
        })
    }

    /// Converts the content of the blob `id` as `git checkout` does, and hands
    /// the result to `sink` piece by piece.
    ///
    /// # Errors
    ///
    /// [`Kind::Unsupported`] for an encoding without a name or that only this
    /// host has not got, [`Kind::Corrupt`] if the text cannot be encoded:
    /// [`Conversion::measure`] finds that out. Else as reading the blob and
    /// `sink` fail.
    pub fn convert(
        &self,
        id: &oid,
        blob: &Blob,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.run(id, blob, sink).map_err(|failure| match failure {
            Failure::Error(error) => error,
            Failure::Refused => {
                let name = self.encoding_name();
                let message = format!("blob {id} has no {name} form, but had one when planned");
                Error::new(Kind::Corrupt, message)
            }
        })
    }

    /// Measures the conversion of the blob `id`.
    ///
    /// # Errors
    ///
    /// As [`Conversion::convert`], except that a text that cannot be encoded is
    /// no error.
    pub fn measure(&self, id: &oid, blob: &Blob) -> Result<Measured> {
        let mut compared = Compared::default();
        match self.run(id, blob, &mut |piece| compared.push(blob, piece)) {
            Ok(()) => Ok(compared.finish(blob, true)),
            Err(Failure::Error(error)) => Err(error),
            Err(Failure::Refused) => {
                let mut compared = Compared::default();
                let plain = Self {
                    encoding: Encoding::Keep,
                    ..self.clone()
                };
                plain.convert(id, blob, &mut |piece| compared.push(blob, piece))?;
                Ok(compared.finish(blob, false))
            }
        }
    }

    fn run(
        &self,
        id: &oid,
        blob: &Blob,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> failure::Result<()> {
        if self.encoding == Encoding::Unnamed {
            return Err(Failure::Error(unnamed()));
        }
        let crlf = match self.eol {
            Eol::Crlf => true,
            Eol::AutoCrlf => self.looks_like_text(id, blob)?,
            Eol::Keep | Eol::KeepAuto => false,
        };
        let crlf = || crlf.then(|| Stage::Crlf(Crlf::default()));
        let stages = || self.expand(id).into_iter().chain(crlf());
        match &self.encoding {
            // git encodes no empty text.
            Encoding::Named(name) if !blob.is_empty() => {
                let length = pipeline::length(blob, stages())?;
                let encoder = Encoder::new(name.as_bstr(), length)?;
                let stages = stages().chain([Stage::Encode(encoder)]);
                pipeline::run(blob, stages, sink)
            }
            _ => pipeline::run(blob, stages(), sink),
        }
    }

    fn expand(&self, id: &oid) -> Option<Stage> {
        match self.ident {
            Ident::Keep => None,
            Ident::Streamed => Some(Stage::Streamed(Streamed::new(id))),
            Ident::Whole => Some(Stage::Whole(Whole::new(id))),
        }
    }

    /// Whether `text=auto` converts the lines of the blob.
    fn looks_like_text(&self, id: &oid, blob: &Blob) -> failure::Result<bool> {
        let mut counts = Counts::default();
        pipeline::run(blob, self.expand(id), &mut |piece| {
            counts.push(piece);
            Ok(())
        })?;
        Ok(counts.converts())
    }

    /// The conversion that gives what was measured: without an encoding that
    /// fails.
    #[must_use]
    pub fn as_measured(self, measured: &Measured) -> Self {
        match self.encoding {
            Encoding::Named(name) if !measured.encoded => Self {
                encoding: Encoding::Refused(name),
                ..self
            },
            _ => self,
        }
    }

    /// The conversion that the attributes ask for.
    #[must_use]
    pub(super) fn as_asked(&self) -> Self {
        match &self.encoding {
            Encoding::Refused(name) => Self {
                encoding: Encoding::Named(Arc::clone(name)),
                ..self.clone()
            },
            _ => self.clone(),
        }
    }

    /// The `working-tree-encoding`, for messages.
    pub fn encoding_name(&self) -> String {
        match &self.encoding {
            Encoding::Named(name) | Encoding::Refused(name) => name.as_bstr().to_string(),
            Encoding::Unnamed | Encoding::Keep => String::new(),
        }
    }

    /// The key under which the result for the blob `id` is cached, also in
    /// files: the start of a SHA-256. What it hashes is part of their format. An
    /// encoding that was refused counts as one that is asked for.
    pub fn key(&self, id: &oid) -> ObjectId {
        let ident = match self.ident {
            Ident::Keep => "keep",
            Ident::Streamed => "streamed",
            Ident::Whole => "whole",
        };
        let eol = match self.eol {
            Eol::Keep | Eol::KeepAuto => "keep",
            Eol::Crlf => "crlf",
            Eol::AutoCrlf => "auto",
        };
        let name = match &self.encoding {
            Encoding::Named(name) | Encoding::Refused(name) => name,
            Encoding::Unnamed | Encoding::Keep => b"".as_slice(),
        };
        let text = [format!("{id} {ident} {eol} ").as_bytes(), name].concat();
        let mut key = [0; 20];
        key.copy_from_slice(Sha256::digest(text).split_at(20).0);
        ObjectId::Sha1(key)
    }
}

fn unnamed() -> Error {
    let message = "git refuses to check out a file whose working-tree-encoding has no value: \
                   write -working-tree-encoding or working-tree-encoding=NAME in .gitattributes";
    Error::new(Kind::Unsupported, message)
}

impl Eol {
    fn new(request: &Request<'_>) -> Self {
        match (Action::of(request), request.eol) {
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
    fn of(request: &Request<'_>) -> Self {
        match Self::new(request.text) {
            Self::Undefined => Self::new(request.crlf),
            defined => defined,
        }
    }

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
