//! The access file itself.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use crate::harness::{blockd, fails, stdout};

#[test]
fn an_access_file_is_checked_before_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        let mut check = blockd();
        check.arg("check-config").arg(&file);
        check
    };
    let good =
        "version = 1\n[[rule]]\nnetworks = [\"10.0.0.0/8\", \"::1/128\"]\nrepositories = [\"*\"]\n";
    assert!(stdout(&mut check(good)).contains("0 keys, 1 rules"));
    for (text, reason) in [
        ("", "version"),
        ("version = 2\n", "has version 2, and this blockd reads 1"),
        (
            "version = 1\n[[rule]]\nrepositories = [\"te*\"]\n",
            "team/*",
        ),
        (
            "version = 1\n[[rule]]\nrepository = [\"a\"]\n",
            "repository",
        ),
        (
            "version = 1\n[[rule]]\nnetworks = [\"10.0.0.0/99\"]\nrepositories = [\"*\"]\n",
            "networks",
        ),
        (
            "version = 1\n[[key]]\nid = \"a\"\npublic_key = \"x\"\n",
            "no public key of Ed25519",
        ),
        (&format!("{good}nonsense"), "line"),
    ] {
        let said = fails(&mut check(text));
        assert!(
            said.contains(reason) && said.contains("access.toml"),
            "{text}: {said}"
        );
        let mut serve = blockd();
        serve
            .args(["serve", "--repos"])
            .arg(folder.path())
            .arg("--access")
            .arg(&file);
        assert!(fails(&mut serve).contains(reason));
    }
    let key = folder.path().join("key");
    File::create(&key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    for (repository, expires, reason) in [
        ("a@main", "1h", "no commit id"),
        ("a", "1y", "30m, 12h or 7d"),
        ("a/../b", "1h", "names no repositories"),
        ("a", "1h", "no private key of Ed25519"),
    ] {
        let mut create = blockd();
        create.args(["token", "create", repository, "--expires", expires, "--key"]);
        let said = fails(create.arg::<&Path>(&key));
        assert!(said.contains(reason), "{said}");
    }
}
