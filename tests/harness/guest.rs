//! A machine in software with Debian's kernel: the kernel's own nbd, wherever
//! the tests run.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::{
    blockd::binary,
    command::{program, requires, run},
    git::hermetic,
};

const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest");
const KERNEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.cache/guest");

/// Seconds until a guest that does not end is ended.
const PATIENCE: &str = "240";

/// What a guest printed from its start to its end.
pub(crate) struct GuestRun {
    console: String,
}

impl GuestRun {
    /// Boots, runs the script there with `sh -eu`, switches off. The host's
    /// loopback is 192.0.2.2, `blockd` is on the path.
    #[track_caller]
    pub(crate) fn of(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (file, overlay) = (
            folder.path().join("test.sh"),
            folder.path().join("overlay.cpio"),
        );
        fs::write(&file, script).unwrap();
        requires("strip");
        run(hermetic(Path::new(GUEST).join("overlay.sh"))
            .arg(&file)
            .arg(binary())
            .arg(&overlay));
        // The kernel takes several archives one after the other.
        let mut initrd = fs::read(base()).unwrap();
        initrd.extend(fs::read(overlay).unwrap());
        let path = folder.path().join("initrd");
        fs::write(&path, initrd).unwrap();
        Self {
            console: boot(&path),
        }
    }

    /// The script came to its end without an error.
    #[track_caller]
    pub(crate) fn assert_ended_well(&self) {
        let ended = self.console.contains("guest: the script ended with 0");
        assert!(
            ended && self.console.contains("guest: the end after"),
            "{}",
            self.console
        );
    }

    /// Neither a warning nor an error of ext4, nbd or overlayfs.
    #[track_caller]
    pub(crate) fn assert_kernel_content(&self) {
        let (_, log) = self
            .console
            .split_once("guest: the kernel log")
            .expect(&self.console);
        assert!(log.contains("EXT4-fs (nbd0): mounted filesystem"), "{log}");
        let complaints: Vec<_> = log.lines().filter(|line| is_complaint(line)).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// What stands after this word at the start of a line.
    #[track_caller]
    pub(crate) fn value(&self, key: &str) -> &str {
        let line = self
            .console
            .lines()
            .find_map(|line| line.trim_end().strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key} in\n{}", self.console))
            .trim()
    }
}

/// What the three say when all is well, some of it as a warning.
const KNOWN: [&str; 9] = [
    "mounted filesystem",
    "unmounting filesystem",
    "detected capacity change",
    "NBD_DISCONNECT",
    "Disconnected due to user request",
    "shutting down sockets",
    "\"xino\" feature enabled",
    // A host that is busy, as its guest sees it.
    "hrtimer: interrupt took",
    "clocksource:",
];

/// Anything else of these three, and every warning (`<4>` and below).
fn is_complaint(line: &str) -> bool {
    let Some((level, text)) = line.strip_prefix('<').and_then(|rest| rest.split_once('>')) else {
        return false;
    };
    let theirs = ["EXT4-fs", "nbd", "overlayfs"]
        .iter()
        .any(|name| text.contains(name));
    let warning = level.parse::<u8>().is_ok_and(|level| level & 7 <= 4);
    (theirs || warning) && !KNOWN.iter().any(|known| text.contains(known))
}

fn boot(initrd: &Path) -> String {
    requires("qemu-system-x86_64");
    let network = "user,model=virtio-net-pci,net=192.0.2.0/24,host=192.0.2.2";
    let mut qemu = program("timeout");
    // Two processors that take turns on one thread: with a thread each, a guest
    // on a busy host now and then left what had arrived unread for 30 seconds.
    qemu.args([
        PATIENCE,
        "qemu-system-x86_64",
        "-accel",
        "tcg,thread=single",
        "-cpu",
        "max",
    ]);
    qemu.args(["-smp", "2", "-m", "1G", "-nic", network, "-no-reboot"]);
    qemu.args(["-display", "none", "-monitor", "none", "-serial", "stdio"]);
    // On a busy host the emulated timer is late, and the kernel's check of it
    // would end in a panic.
    let options = "console=ttyS0 quiet panic=-1 no_timer_check rdinit=/init";
    qemu.args(["-append", options]);
    qemu.arg("-kernel")
        .arg(Path::new(KERNEL).join("vmlinuz"))
        .arg("-initrd")
        .arg(initrd);
    let output = qemu.stdin(std::process::Stdio::null()).output().unwrap();
    let console = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "qemu {}: {stderr}\n{console}",
        output.status
    );
    console
}

/// The archive that all guests share; packed again when a part of it is newer.
fn base() -> &'static Path {
    static BASE: OnceLock<PathBuf> = OnceLock::new();
    BASE.get_or_init(|| {
        for name in ["busybox", "cpio", "nbd-client"] {
            requires(name);
        }
        run(hermetic(Path::new(GUEST).join("kernel.sh")).arg(KERNEL));
        let base = Path::new(KERNEL).join("base.cpio");
        let parts = ["init", "initramfs.sh", "lib.sh"].map(|name| Path::new(GUEST).join(name));
        let newest = parts
            .iter()
            .map(|path| fs::metadata(path).unwrap().mtime())
            .max();
        if fs::metadata(&base).ok().map(|made| made.mtime()) <= newest {
            run(hermetic(&parts[1]).arg(KERNEL).arg(&base));
        }
        base
    })
}

#[test]
fn complaints_of_the_kernel_are_found() {
    for line in [
        "<4>[    9.1] EXT4-fs error (device nbd0): ext4_lookup:1857",
        "<3>[    9.1] block nbd0: Receive control failed (result -32)",
        "<6>[    9.1] EXT4-fs (nbd0): ext4_check_descriptors: Checksum for group 0 failed",
        "<4>[    9.1] WARNING: CPU: 0 PID: 1 at fs/inode.c:1",
    ] {
        assert!(is_complaint(line), "{line}");
    }
    for line in [
        "<6>[    9.1] EXT4-fs (nbd0): mounted filesystem without journal. Quota mode: none.",
        "<6>[    9.1] block nbd0: NBD_DISCONNECT",
        "<4>[    9.1] block nbd0: shutting down sockets",
        "<6>[    9.1] nbd0: detected capacity change from 0 to 2883584",
        "guest: the end after 9.3 s",
    ] {
        assert!(!is_complaint(line), "{line}");
    }
}
