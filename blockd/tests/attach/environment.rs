//! What of the caller's surroundings reaches the relay: variables of the environment
//! and the current directory.

use std::{collections::BTreeMap, fs, io, process::Command};

use crate::harness::{Bench, run};

/// The twins of the relay's options, those that attach has too among them, and
/// one that means nothing to either.
fn variables(bench: &Bench) -> BTreeMap<&'static str, String> {
    let path = |name: &str| bench.path(name).display().to_string();
    BTreeMap::from([
        ("BLOCKD_RELAY_COW", path("cow")),
        ("BLOCKD_RELAY_CACHE", path("cache")),
        ("BLOCKD_RELAY_UNIX", path("unix")),
        ("BLOCKD_RELAY_TIMEOUT", "1ms".to_owned()),
        ("BLOCKD_CACHE_SIZE", "1".to_owned()),
        ("BLOCKD_CONNECTIONS", "2".to_owned()),
        ("BLOCKD_TEST", "1".to_owned()),
    ])
}

/// An exported `BLOCKD_RELAY_COW` once made a read-only attachment writable.
#[test]
fn variables_of_the_relay_change_nothing_in_a_read_only_attachment() {
    let bench = Bench::new();
    let variables = variables(&bench);
    let mut attach = bench.attach_command("repo", &["--read-only"]);
    run(attach.envs(&variables).env("BLOCKD_LOG", "warn"));

    let relay = bench.relay();
    let environment = fs::read(format!("/proc/{relay}/environ")).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    let inherited = environment.split_terminator('\0');
    let inherited: BTreeMap<_, _> = inherited
        .map(|variable| variable.split_once('=').unwrap())
        .collect();
    for name in variables.keys() {
        assert!(!inherited.contains_key(name), "{environment:?}");
    }
    assert_eq!(inherited.get("BLOCKD_LOG"), Some(&"warn"));

    let status = run(&mut bench.blockd(&["status", "--json"]));
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let relay = &status["attachments"][0]["relay"];
    assert_eq!(relay["state"], "alive", "{status}");
    assert_eq!(relay["changed"], serde_json::Value::Null, "{status}");
    for name in ["cow", "cache", "unix"] {
        assert!(!bench.path(name).exists(), "{name} was made");
    }
    let refused = fs::write(bench.mountpoint().join("README"), "x").unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ReadOnlyFilesystem);
    bench.detach(&[]);
    bench.nothing_is_left();
}

/// The relay has `/` as its directory, and outlives its caller.
#[test]
fn paths_are_relative_to_the_directory_of_the_caller() {
    let bench = Bench::new();
    let here = bench.path("");
    let mut attach = Command::new(env!("CARGO_BIN_EXE_blockd"));
    attach
        .current_dir(&here)
        .args([
            "attach",
            "--via",
            "fuse",
            "nbd+unix:///repo?socket=gone",
            "m",
        ])
        .args(["--also", "nbd+unix:///?socket=./s", "--state", "state"])
        .env("BLOCKD_ANY_EXT4", "1")
        .env("SSL_CERT_FILE", "ca.pem");
    run(&mut attach);

    let readme = bench.mountpoint().join("README");
    assert_eq!(fs::read_to_string(readme).unwrap(), "a repository\n");
    let status = run(&mut bench.blockd(&["status", "--json"]));
    let server = here.join("s").display().to_string();
    assert!(status.contains(&server), "{status}");
    let environment = fs::read(format!("/proc/{}/environ", bench.relay())).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    let certificates = format!("SSL_CERT_FILE={}", here.join("ca.pem").display());
    assert!(environment.contains(&certificates), "{environment:?}");
    bench.detach(&[]);
    bench.nothing_is_left();
}
