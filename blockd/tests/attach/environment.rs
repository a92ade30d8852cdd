//! Variables of the environment that are meant for `blockd relay`.

use std::{collections::BTreeMap, fs, io};

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
