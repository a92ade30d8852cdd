//! Where objects are stored.

use std::{fmt, sync::Arc};

use super::{loose::Loose, pack::Pack};

/// Where an object is stored.
pub(in crate::git) enum Location {
    /// In a pack, at an offset.
    Packed(Arc<Pack>, u64),
    /// In a file of its own.
    Loose(Box<Loose>),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packed(pack, offset) => {
                write!(f, "{} at offset {offset}", pack.path().display())
            }
            Self::Loose(loose) => loose.path().display().fmt(f),
        }
    }
}
