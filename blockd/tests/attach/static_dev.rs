//! A `/dev` that nobody keeps up to date, as in a container or a small system.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Bench, run};

/// Attaches, reads, asks the doctor and detaches where `/dev` is a file system of its
/// own, with what `nodes` (shell) puts there.
fn attach_where_dev_has(nodes: &str, more: &str) {
    const SCRIPT: &str = "
        set -e
        blockd=$1 uri=$2 tree=$3 state=$4
        mount -t tmpfs static /dev
        mknod -m 666 /dev/null c 1 3
        sh -e -c \"$5\"
        before=$(stat -c '%n %t %T' /dev/*)
        $blockd attach --via fuse --any-ext4 --json $6 --state \"$state\" \"$uri\" \"$tree\"
        cat \"$tree/README\" >&2
        $blockd doctor --json --state \"$state\"
        $blockd detach --json --state \"$state\" \"$tree\"
        test \"$before\" = \"$(stat -c '%n %t %T' /dev/*)\"";
    let bench = Bench::alone();
    let mut apart = Command::new("unshare");
    apart.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT]);
    apart.args(["sh", env!("CARGO_BIN_EXE_blockd"), &bench.uri("repo")]);
    apart.arg(bench.mountpoint()).arg(bench.state());
    let said = run(apart.args([nodes, more]));
    let reports: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [attached, doctor, detached] = reports.as_slice() else {
        panic!("{said}");
    };
    let device = attached["device"].as_str().unwrap();
    assert!(device.starts_with("/dev/loop"), "{device}");
    assert_eq!(doctor["works"], true, "{doctor}");
    let says_so = |check: &Value| {
        let finding = check["finding"].as_str().unwrap();
        check["health"] == "good" && finding.contains("/dev/loop-control")
    };
    let checks = doctor["checks"].as_array().unwrap();
    assert!(checks.iter().any(says_so), "{doctor}");
    let export = detached["export"].as_str().unwrap();
    assert!(export.starts_with("repo"), "{export}");
    bench.nothing_is_left();
}

#[test]
fn nodes_that_are_missing_are_not_needed() {
    attach_where_dev_has("", "");
}

#[test]
fn nodes_of_other_devices_are_passed_over() {
    // The zero device is none of them, and nothing can be written there.
    let nodes = "
        for name in fuse loop-control; do mknod /dev/$name c 1 5; done
        for loop in /sys/block/loop*; do mknod /dev/${loop##*/} b 7 4095; done
        mount -o remount,ro /dev";
    attach_where_dev_has(nodes, "--cow block");
}
