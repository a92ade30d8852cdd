//! `mount -t blockd`, judged by mount(8), umount(8) and findmnt(8).

use std::process::Command;

use crate::harness::Bench;

#[test]
fn mount_and_umount_attach_and_detach() {
    let bench = Bench::alone();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/attach/mount_helper.sh");
    let output = Command::new("unshare")
        .args(["--mount", "sh", script, env!("CARGO_BIN_EXE_blockd")])
        .arg(bench.uri("repo"))
        .arg(bench.path(""))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    bench.nothing_will_be_left();
}
