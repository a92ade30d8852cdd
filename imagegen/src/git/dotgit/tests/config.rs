//! git reads the configuration of an image.

use gix::{ObjectId, hash::Kind};
use proptest::prelude::*;

use super::Served;
use crate::git::{Refs, vanilla::Vanilla};

#[test]
fn the_config_is_minimal() {
    let mut served = Served::new(Kind::Sha256);
    served.branch("refs/heads/main", 2);
    served.origin = Some("/srv/a b".into());
    insta::assert_snapshot!(served.file(2, "config"), @r#"
    [core]
    	repositoryformatversion = 1
    	bare = false
    	filemode = true
    	logallrefupdates = true
    [gc]
    	auto = 0
    [maintenance]
    	auto = false
    [extensions]
    	objectformat = sha256
    [remote "origin"]
    	url = "/srv/a b"
    	fetch = +refs/heads/*:refs/remotes/origin/*
    [branch "main"]
    	remote = origin
    	merge = "refs/heads/main"
    "#);
    for none in [None, Some("nul\0".into())] {
        served.origin = none;
        assert!(!served.file(2, "config").contains("url"));
    }
    served.fsmonitor = true;
    let config = served.file(2, "config");
    assert!(config.starts_with("[include]\n\tpath = blockd.gitconfig\n[core]\n"));
}

/// What is included has a value until `config` has another.
#[test]
fn the_included_file_gives_way_to_what_a_user_sets() {
    let mut served = Served::new(Kind::Sha1);
    served.branch("refs/heads/main", 2);
    served.fsmonitor = true;
    let shown = served.image(2);
    let get = || shown.line(["config", "core.untrackedCache"]);
    assert_eq!(get(), "true");
    shown.git(["config", "core.untrackedCache", "false"]);
    assert_eq!(get(), "false");
}

/// The URL of origin and the upstream of `branch` that git reads from the
/// configuration.
fn read_back(origin: &str, branch: &str) -> (String, String) {
    let git = Vanilla::new(Kind::Sha1);
    let mut served = Served {
        kind: Kind::Sha1,
        refs: Refs::default(),
        origin: Some(origin.into()),
        shallow: None,
        commits: vec![ObjectId::empty_blob(Kind::Sha1)],
        head: Some(branch.into()),
        fsmonitor: false,
        git,
    };
    served.branch(format!("refs/heads/{branch}"), 0);
    served.git.write(".git/config", served.file(0, "config"));
    let get = |key: &str| {
        let value = served.git.git(["config", "-z", "--get-all", key]);
        String::from_utf8(value)
            .unwrap()
            .trim_end_matches('\0')
            .to_owned()
    };
    (
        get("remote.origin.url"),
        get(&format!("branch.{branch}.merge")),
    )
}

#[test]
fn malicious_values_are_quoted() {
    let hostile = [
        "a\n[core]\n\tfsmonitor = evil",
        "quo\"te",
        "back\\slash",
        "#;",
        " space ",
        "\t",
        "\r\n",
        "end\\",
        "\u{e4}\u{1f600}",
        "\u{8}",
        "\r",
        "\"\n\\\n",
    ];
    for origin in hostile {
        let (url, merge) = read_back(origin, "quo\"te#;\u{e4}]'$(x)");
        assert_eq!(url, origin);
        assert_eq!(merge, "refs/heads/quo\"te#;\u{e4}]'$(x)");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_origin_is_read_back(
        origin in "[^\0]{1,12}|[ \t\r\n\"\\\\#;\\[\\]=a]{1,12}", branch in "[a-z\"#;\\]%']{1,8}",
    ) {
        let (url, merge) = read_back(&origin, &branch);
        prop_assert_eq!(url, origin);
        prop_assert_eq!(merge, format!("refs/heads/{branch}"));
    }
}
