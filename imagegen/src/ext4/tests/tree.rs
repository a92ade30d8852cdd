//! Made-up trees.

use crate::ext4::{FileType, Mode};

/// A file, directory or symlink.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) name: Vec<u8>,
    pub(super) content: Content,
    pub(super) seconds: i64,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A length in bytes; the content is zeroes.
    File(u64),
    Symlink(Vec<u8>),
    Directory(Vec<Node>),
}

impl Node {
    fn new(name: impl AsRef<[u8]>, content: Content) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            content,
            seconds: 1_600_000_000,
        }
    }

    pub(super) fn at(mut self, seconds: i64) -> Self {
        self.seconds = seconds;
        self
    }

    pub(super) const fn kind(&self) -> FileType {
        match self.content {
            Content::File(_) => FileType::Regular,
            Content::Symlink(_) => FileType::Symlink,
            Content::Directory(_) => FileType::Directory,
        }
    }

    pub(super) const fn mode(&self) -> Mode {
        match self.content {
            Content::File(_) => Mode::FILE,
            Content::Symlink(_) => Mode::SYMLINK,
            Content::Directory(_) => Mode::DIRECTORY,
        }
    }
}

pub(super) fn file(name: impl AsRef<[u8]>, size: u64) -> Node {
    Node::new(name, Content::File(size))
}

pub(super) fn symlink(name: impl AsRef<[u8]>, length: usize) -> Node {
    Node::new(name, Content::Symlink(vec![b't'; length]))
}

pub(super) fn directory(name: impl AsRef<[u8]>, entries: Vec<Node>) -> Node {
    Node::new(name, Content::Directory(entries))
}

/// `count` empty files.
pub(super) fn files(count: usize) -> Vec<Node> {
    (0..count).map(|n| file(format!("f{n:07}"), 0)).collect()
}

/// A tree with every kind of name, size and time.
pub(super) fn mixed() -> Node {
    let sizes = [
        0,
        1,
        4095,
        4096,
        4097,
        128 << 20,
        (128 << 20) + 1,
        512 << 20,
        (512 << 20) + 1,
    ];
    let mut entries: Vec<_> = sizes
        .iter()
        .map(|size| file(format!("s{size}"), *size))
        .collect();
    entries.extend([1, 59, 60, 61, 4095].map(|length| symlink(format!("l{length}"), length)));
    entries.extend((1..=255).map(|length| file("n".repeat(length), 0)));
    entries.extend(
        (1..=255_u8)
            .filter(|byte| *byte != b'/')
            .map(|byte| file([byte, 0xFF], 0)),
    );
    let times = [-(1 << 31), -1, 0, 1 << 31, 1 << 32, 1 << 33, i64::MAX];
    entries.extend(times.map(|seconds| file(format!("t{seconds}"), 5).at(seconds)));
    let nested = directory(
        "a",
        vec![directory("b", vec![directory("c", vec![file("d", 9)])])],
    );
    entries.extend([nested, directory("empty", vec![])]);
    directory("", entries)
}
