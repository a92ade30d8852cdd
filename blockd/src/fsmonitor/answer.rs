//! What git is told.

use std::collections::BTreeSet;

/// Since when: it never changes, as the answer is about the image.
const TOKEN: &[u8] = b"blockd:1\0";

/// The paths that git is to look at.
#[derive(Debug)]
pub(super) enum Answer {
    Everything,
    /// A path without a slash at its end stands for what is below it too.
    Paths(BTreeSet<Vec<u8>>),
}

impl Answer {
    pub(super) fn everything() -> Self {
        Self::Everything
    }

    pub(super) fn of(paths: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self::Paths(paths.into_iter().collect())
    }

    /// Whether git is to look at nothing.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Paths(paths) if paths.is_empty())
    }

    pub(super) fn add(&mut self, path: &[u8]) {
        if let Self::Paths(paths) = self
            && !paths.contains(path)
        {
            paths.insert(path.to_vec());
        }
    }

    /// The answer in this version of the protocol; version 1 has no token.
    pub(super) fn encode(self, version: u32) -> Vec<u8> {
        let mut bytes = if version == 1 { b"" } else { TOKEN }.to_vec();
        match self {
            Self::Everything => bytes.extend_from_slice(b"/\0"),
            Self::Paths(paths) => {
                for path in paths {
                    bytes.extend_from_slice(&path);
                    bytes.push(0);
                }
            }
        }
        bytes
    }
}
