//! `blockd image`, and the programs that judge what it wrote.

use std::{
    fmt::Write as _,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{
    blockd::blockd,
    command::{program, run},
};

/// An image in a file.
pub(crate) struct TestImage {
    path: PathBuf,
    _folder: TempDir,
}

impl TestImage {
    /// `blockd image SPEC FILE`; SPEC is a path with `@revision:options`.
    #[track_caller]
    pub(crate) fn of(spec: &str, state: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.ext4");
        run(blockd()
            .arg("image")
            .arg(spec)
            .arg(&path)
            .arg("--state")
            .arg(state));
        Self {
            path,
            _folder: folder,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn sha256(&self) -> String {
        sha256_of(&self.path)
    }

    /// e2fsck finds nothing at all. It exits 0 on several real faults, so its
    /// every line is judged.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let output = program("e2fsck")
            .arg("-fn")
            .arg(&self.path)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let fault = e2fsck_fault(&said);
        assert!(
            output.status.success() && fault.is_none(),
            "{fault:?} in\n{said}"
        );
    }

    /// Everything debugfs can read, written to a folder.
    pub(crate) fn dump(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let request = format!("rdump / {}", folder.path().display());
        let output = run(program("debugfs").args(["-R", &request]).arg(&self.path));
        let said = String::from_utf8_lossy(&output.stderr);
        let wrong: Vec<_> = said
            .lines()
            .filter(|line| !line.starts_with("debugfs 1."))
            .collect();
        assert!(wrong.is_empty(), "debugfs: {wrong:#?}");
        folder
    }
}

/// The first line that a sound file system does not get.
fn e2fsck_fault(said: &str) -> Option<&str> {
    said.lines().find(|line| {
        let version = line.starts_with("e2fsck 1.");
        let pass = ["Pass 1: ", "Pass 2: ", "Pass 3: ", "Pass 4: ", "Pass 5: "]
            .iter()
            .any(|pass| line.starts_with(pass));
        let summary = line.contains("% non-contiguous), ") && line.ends_with(" blocks");
        !(version || pass || summary || line.is_empty())
    })
}

pub(crate) fn sha256_of(path: &Path) -> String {
    let mut hash = Hasher(Sha256::new());
    io::copy(&mut File::open(path).unwrap(), &mut hash).unwrap();
    hex(&hash.0.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

struct Hasher(Sha256);

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_fault_that_e2fsck_lets_pass_is_a_complaint() {
    let sound = "e2fsck 1.47.0 (5-Feb-2023)\nPass 1: Checking inodes, blocks, and sizes\n\
                 Pass 5: Checking group summary information\n\
                 image: 11/16 files (0.0% non-contiguous), 9/100 blocks\n";
    assert_eq!(e2fsck_fault(sound), None);
    let fault = format!("{sound}Free blocks count wrong (5, counted=287052).\nFix? no\n");
    assert_eq!(
        e2fsck_fault(&fault),
        Some("Free blocks count wrong (5, counted=287052).")
    );
}
