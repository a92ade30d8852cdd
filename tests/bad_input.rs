//! Whatever is wrong is said clearly, and the server goes on.

use std::{
    fs,
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    time::Duration,
};

use crate::harness::{
    Fixture, Mounted, Peer, TestBlockd, binary, blockd, fails, program, requires_mounting, run,
    stdout,
};

/// An export that works.
const GOOD: &str = "good@main";

fn broken() -> TestBlockd {
    TestBlockd::serve(Fixture::get("broken").folder())
}

#[track_caller]
fn assert_serves(server: &TestBlockd) {
    let size = stdout(program("nbdinfo").arg("--size").arg(server.uri(GOOD)));
    assert!(size.parse::<u64>().unwrap() > 0);
}

/// `NBD_REP_ERR_…`
const UNSUPPORTED: u32 = (1 << 31) + 1;
const PLATFORM: u32 = (1 << 31) + 4;
const INVALID: u32 = (1 << 31) + 3;
const UNKNOWN: u32 = (1 << 31) + 6;

/// The client is told what is wrong, in words that name it.
#[track_caller]
fn assert_refused(server: &TestBlockd, export: &str, kinds: &[u32], named: &str) {
    let (kind, said) = Peer::refusal(server, export);
    assert!(
        kinds.is_empty() || kinds.contains(&kind),
        "{export}: {kind:#x} {said}"
    );
    assert!(said.contains(named), "{export} must name {named}: {said}");
    assert_serves(server);
}

#[test]
fn names_that_mean_nothing() {
    let server = broken();
    for (export, named) in [
        ("no-such-repository", "no-such-repository"),
        ("not-a-repository", "not-a-repository"),
        ("good@no-such-branch", "no-such-branch"),
        (
            "good@0123456789012345678901234567890123456789",
            "0123456789",
        ),
        ("empty@HEAD~1", "no commits"),
        ("", "name"),
    ] {
        assert_refused(&server, export, &[UNKNOWN, INVALID], named);
    }
}

#[test]
fn options_that_mean_nothing() {
    let server = broken();
    for (option, named) in [
        ("nonsense=1", "nonsense"),
        ("history=some", "history"),
        ("uid=-1", "uid"),
        ("gid=99999999999", "gid"),
        ("free=lots", "free"),
        ("path=no/such/folder", "no/such/folder"),
        ("path=../..", "path"),
    ] {
        assert_refused(
            &server,
            &format!("{GOOD}:{option}"),
            &[INVALID, UNKNOWN],
            named,
        );
    }
}

#[test]
fn a_name_cannot_climb_out_of_the_folder() {
    let outside = Fixture::get("history").repo("history").copy();
    let server = broken();
    let absolute = outside.path().to_str().unwrap();
    let up = format!("../{}", "../".repeat(20)) + absolute.trim_start_matches('/');
    let linked = format!("escape{absolute}");
    for name in [
        absolute,
        &up,
        &linked,
        "good/../../../..",
        "./../x",
        "..",
        "good.git/objects/..",
    ] {
        let said = fails(program("nbdinfo").arg(server.uri(name)));
        assert!(!said.contains("export-size"), "{name}: {said}");
        assert_serves(&server);
    }
    let list = Peer::list(&server);
    assert!(list.iter().any(|name| name.starts_with("good")), "{list:?}");
    assert!(!list.iter().any(|name| name.contains("escape")), "{list:?}");
}

#[test]
fn damaged_repositories_are_named_and_the_others_go_on() {
    let server = broken();
    assert_refused(&server, "truncated-index", &[], ".idx");
    for (export, named) in [
        ("hostile@git", ".git"),
        ("hostile@dotdot", ".."),
        ("hostile@long", "255"),
    ] {
        assert_refused(&server, export, &[UNSUPPORTED, INVALID, PLATFORM], named);
    }
    // Sizes come from headers, so what is corrupt may show only when read.
    for export in ["corrupt-pack@main", "missing-blob@main"] {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        let said = fails(program("nbdcopy").arg(server.uri(export)).arg(&copy));
        let text = said + &server.log();
        assert!(text.contains(export.split('@').next().unwrap()), "{text}");
        assert_serves(&server);
    }
}

#[test]
fn image_says_what_is_wrong_and_leaves_no_file() {
    let broken = Fixture::get("broken");
    let partial = Fixture::get("storage").repo("partial");
    // Attributes are read before any other file.
    let blob = partial.git(&["rev-parse", "main:.gitattributes"]);
    let state = tempfile::tempdir().unwrap();
    let path = |name: &str| broken.folder().join(name).display().to_string();
    let missing = path("missing-blob.git");
    let id = Fixture::get("broken").repo("good").id("main:README.md");
    for (spec, named) in [
        (path("nowhere"), "nowhere"),
        (path("not-a-repository"), "not-a-repository"),
        (path("empty.git") + "@main~1", "empty.git"),
        (path("good.git") + "@nope", "nope"),
        (path("good.git") + ":what=ever", "what"),
        (path("corrupt-pack.git"), "corrupt-pack"),
        (path("truncated-index.git"), ".idx"),
        (missing, id.as_str()),
        (partial.path().display().to_string(), "is a partial clone"),
        (
            format!("{}:history=none", partial.path().display()),
            blob.as_str(),
        ),
    ] {
        let file = state.path().join("image");
        let said = fails(
            blockd()
                .arg("image")
                .arg(&spec)
                .arg(&file)
                .arg("--state")
                .arg(state.path()),
        );
        assert!(said.contains(named), "{spec} must name {named}: {said}");
        assert!(!file.exists(), "{spec} left a file");
    }
}

#[test]
fn image_does_not_write_where_it_may_not() {
    let repo = Fixture::get("history").repo("history");
    let said = fails(
        blockd()
            .arg("image")
            .arg(repo.path())
            .arg("/no/such/folder/image"),
    );
    assert!(said.contains("/no/such/folder"), "{said}");
}

#[test]
fn silent_clients_hold_up_nobody() {
    let server = broken();
    let silent: Vec<_> = (0..32)
        .map(|_| UnixStream::connect(server.socket()).unwrap())
        .collect();
    assert_serves(&server);
    drop(silent);
    let tcp = TestBlockd::serve_tcp(Fixture::get("broken").folder());
    let still = TcpStream::connect(("127.0.0.1", tcp.port())).unwrap();
    tcp.stop();
    drop(still);
}

#[test]
fn the_folder_that_it_was_started_in_may_go() {
    let server = broken();
    fs::remove_dir(server.started_in()).unwrap();
    assert_serves(&server);
}

#[test]
fn serve_says_why_it_cannot() {
    for (arguments, named) in [
        (["--repos", "/no/such/folder"], "/no/such/folder"),
        (["--listen", "nonsense"], "nonsense"),
        (["--cache", "lots"], "lots"),
        (["--unix", "/no/such/folder/socket"], "/no/such/folder"),
    ] {
        let said = fails(blockd().arg("serve").args(arguments));
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
}

#[test]
fn attach_says_what_it_cannot_reach() {
    let server = broken();
    let mounted = Mounted::nowhere();
    let socket = "nbd+unix:///x?socket=/no/such/socket";
    for (uri, named) in [
        ("nonsense://", "nonsense"),
        (socket, "/no/such/socket"),
        ("nbd://127.0.0.1:1/x", "127.0.0.1"),
        (&server.uri("no-such-repository"), "no-such-repository"),
        (&server.uri("hostile@long"), "255"),
    ] {
        let said = fails(&mut mounted.attach_command(uri));
        assert!(said.contains(named), "{uri}: {said}");
    }
    assert_serves(&server);
    // What has gone already is taken away: scripts may say it twice.
    let said = stdout(&mut mounted.detach_command());
    assert!(said.contains("nothing is attached"), "{said}");
}

#[test]
fn a_busy_mount_point_is_left_alone() {
    let server = broken();
    let mounted = Mounted::attach(&server.uri(GOOD));
    let place = mounted.path();
    let said = fails(&mut mounted.attach_command(&server.uri(GOOD)));
    assert!(said.contains(place.to_str().unwrap()), "{said}");
    assert!(place.join("README.md").exists());

    let mut guest = program("sleep")
        .arg("600")
        .current_dir(&place)
        .spawn()
        .unwrap();
    let said = fails(&mut mounted.detach_command());
    assert!(said.contains("busy"), "{said}");
    assert!(place.join("README.md").exists(), "half detached");
    run(mounted.detach_command().arg("--lazy"));
    assert!(!place.join("README.md").exists());
    guest.kill().unwrap();
    guest.wait().unwrap();
    mounted.assert_gone_within(Duration::from_secs(10));
}

#[test]
fn a_mount_point_must_be_an_empty_place_that_exists() {
    let server = broken();
    let mounted = Mounted::nowhere();
    fs::remove_dir(mounted.path()).unwrap();
    fs::write(mounted.path(), "a file").unwrap();
    let said = fails(&mut mounted.attach_command(&server.uri(GOOD)));
    assert!(said.contains(mounted.path().to_str().unwrap()), "{said}");
}

#[test]
fn without_permission_it_says_so() {
    requires_mounting();
    let server = broken();
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path());
    let program = folder.path().join("blockd");
    fs::copy(binary(), &program).unwrap();
    let place = folder.path().join("mnt");
    fs::create_dir(&place).unwrap();
    let nobody = || {
        let mut command = crate::harness::program("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program);
        command.env("HOME", folder.path());
        command
    };
    let state = folder.path().join("state");
    let mut attach = nobody();
    attach
        .arg("attach")
        .arg(server.uri(GOOD))
        .arg(&place)
        .arg("--state")
        .arg(&state);
    let said = fails(&mut attach);
    assert!(
        said.contains("sudo") && said.contains("CAP_SYS_ADMIN"),
        "{said}"
    );

    let secret = folder.path().join("secret.git");
    run(crate::harness::program("cp")
        .arg("-a")
        .arg(Fixture::get("broken").repo("good").path())
        .arg(&secret));
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).unwrap();
    let file = folder.path().join("image");
    let said = fails(
        nobody()
            .arg("image")
            .arg(&secret)
            .arg(&file)
            .arg("--state")
            .arg(&state),
    );
    assert!(said.contains("secret.git"), "{said}");
    assert_serves(&server);
}

fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o1777)).unwrap();
}
