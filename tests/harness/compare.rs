//! A tree of files as what git stores of it: names, modes, targets, bytes.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt::Write as _,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
};

use ext4_view::{Ext4, Metadata, Path as ImagePath, PathBuf as ImagePathBuf};
use sha2::{Digest, Sha256};

/// What is at a path; the digest is of a file's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    File {
        executable: bool,
        length: u64,
        digest: [u8; 32],
    },
    Link(Vec<u8>),
    Other,
}

/// Path below the top (any bytes) to what is there. `.git` is left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<Vec<u8>, Node>);

impl Tree {
    /// What lies in a folder, mounted or not.
    pub(crate) fn of_folder(top: &Path) -> Self {
        let mut nodes = BTreeMap::new();
        walk_folder(top, b"", &mut nodes);
        Self(nodes)
    }

    /// What a reader of ext4 that shares no line with ours finds in an image.
    pub(crate) fn of_image(image: &Path) -> Self {
        let disk = Ext4::load_from_path(image)
            .unwrap_or_else(|error| panic!("ext4-view cannot open {}: {error}", image.display()));
        let mut nodes = BTreeMap::new();
        walk_image(&disk, b"/", &mut nodes);
        Self(nodes)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Fails with the first differences by name.
    #[track_caller]
    pub(crate) fn assert_same_as(&self, expected: &Self, what: &str) {
        let differences = self.differences(expected);
        assert!(
            differences.is_empty(),
            "{what} is not what git writes:\n{differences}"
        );
    }

    fn differences(&self, expected: &Self) -> String {
        let paths = self.0.keys().chain(expected.0.keys());
        let different = paths.filter(|path| self.0.get(*path) != expected.0.get(*path));
        different.take(20).fold(String::new(), |mut text, path| {
            let (is, should) = (self.0.get(path), expected.0.get(path));
            let name = path.escape_ascii();
            writeln!(text, "  {name}: {is:?}, and in the checkout {should:?}").unwrap();
            text
        })
    }
}

fn walk_folder(top: &Path, below: &[u8], nodes: &mut BTreeMap<Vec<u8>, Node>) {
    for entry in fs::read_dir(top.join(OsStr::from_bytes(below))).unwrap() {
        let name = entry.unwrap().file_name();
        if below.is_empty() && name == ".git" {
            continue;
        }
        let path = joined(below, name.as_bytes());
        let node = folder_node(&top.join(OsStr::from_bytes(&path)));
        let is_folder = node == Node::Folder;
        nodes.insert(path.clone(), node);
        if is_folder {
            walk_folder(top, &path, nodes);
        }
    }
}

fn folder_node(path: &Path) -> Node {
    let metadata = fs::symlink_metadata(path).unwrap();
    let mode = metadata.permissions().mode();
    if metadata.is_dir() {
        return Node::Folder;
    }
    if metadata.is_symlink() {
        return Node::Link(fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec());
    }
    if !metadata.is_file() {
        return Node::Other;
    }
    file_node(mode, fs::read(path).unwrap().as_slice())
}

fn walk_image(disk: &Ext4, folder: &[u8], nodes: &mut BTreeMap<Vec<u8>, Node>) {
    for entry in disk.read_dir(ImagePath::new(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let name: &[u8] = name.as_ref();
        if matches!(name, b"." | b"..") || (folder == b"/" && name == b".git") {
            continue;
        }
        let path = entry.path();
        let node = image_node(disk, &path, &entry.metadata().unwrap());
        let bytes: &[u8] = path.as_ref();
        nodes.insert(bytes[1..].to_vec(), node.clone());
        if node == Node::Folder {
            walk_image(disk, bytes, nodes);
        }
    }
}

/// The metadata comes from the entry: looking a path up again, folder by
/// folder, takes long in wide ones.
fn image_node(disk: &Ext4, path: &ImagePathBuf, metadata: &Metadata) -> Node {
    let mode = u32::from(metadata.mode());
    if metadata.is_dir() {
        assert_eq!(mode & 0o7777, 0o755, "mode of folder {}", path.display());
        return Node::Folder;
    }
    if metadata.is_symlink() {
        let target = disk.read_link(path).unwrap();
        let target: &[u8] = target.as_ref();
        return Node::Link(target.to_vec());
    }
    file_node(mode, &disk.read(path).unwrap())
}

/// Git knows two modes of files; anything else is written as it is found.
fn file_node(mode: u32, bytes: &[u8]) -> Node {
    match mode & 0o7777 {
        0o644 | 0o755 => {}
        _ => return Node::Other,
    }
    let length = u64::try_from(bytes.len()).unwrap();
    Node::File {
        executable: mode & 0o100 != 0,
        length,
        digest: Sha256::digest(bytes).into(),
    }
}

fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        name.to_vec()
    } else {
        [folder, b"/", name].concat()
    }
}

#[test]
fn a_different_byte_mode_or_name_is_found() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&one, &two] {
        fs::write(folder.path().join("file"), "same").unwrap();
    }
    let same = Tree::of_folder(one.path());
    assert_eq!(same.len(), 1);
    assert_eq!(Tree::of_folder(two.path()).differences(&same), "");
    fs::write(two.path().join("file"), "samE").unwrap();
    assert!(
        Tree::of_folder(two.path())
            .differences(&same)
            .contains("  file: ")
    );
    fs::write(two.path().join("file"), "same").unwrap();
    fs::set_permissions(two.path().join("file"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(
        Tree::of_folder(two.path())
            .differences(&same)
            .contains("executable: true")
    );
    fs::remove_file(two.path().join("file")).unwrap();
    assert!(
        Tree::of_folder(two.path())
            .differences(&same)
            .contains("file: None")
    );
}
