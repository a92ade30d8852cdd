//! What may be seen: nothing outside of --repos, nothing that was purged, and
//! nothing in the state by other users of the host.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use rand::random;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::{
    harness::{Peer, TestBlockd, blockd, git, peer::request, program, run, stdout},
    snapshots::canonical,
};

const POLICY: u32 = (1 << 31) + 2;
const PLATFORM: u32 = (1 << 31) + 4;
const UNKNOWN: u32 = (1 << 31) + 6;

/// A folder for repositories, with one that works, and beside it one that is
/// nobody's business.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.repos()).unwrap();
        place.repository("secret");
        place.repository("repos/app");
        place
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn repos(&self) -> std::path::PathBuf {
        self.path("repos")
    }

    /// A repository with a work tree and one commit, whose file has its name.
    fn repository(&self, name: &str) {
        let path = self.path(name);
        run(git(self.0.path())
            .args(["init", "-q", "-b", "main"])
            .arg(&path));
        fs::write(path.join("file"), format!("content of {name}\n")).unwrap();
        commit(&path, "one");
    }

    fn bare(&self, name: &str) -> std::path::PathBuf {
        let path = self.repos().join(name);
        let app = self.repos().join("app");
        run(git(self.0.path())
            .args(["clone", "-q", "--bare", "--no-hardlinks"])
            .args([&app, &path]));
        path
    }
}

fn commit_file(path: &Path, name: &str) -> String {
    fs::write(path.join(name), name).unwrap();
    commit(path, name)
}

fn commit(path: &Path, message: &str) -> String {
    run(git(path).args(["add", "."]));
    run(git(path).args(["commit", "-q", "-m", message]));
    stdout(git(path).args(["rev-parse", "HEAD"]))
}

#[track_caller]
fn assert_served(server: &TestBlockd, export: &str) {
    run(program("nbdinfo").arg(server.uri(export)));
}

#[track_caller]
fn assert_refused(server: &TestBlockd, export: &str, expected: u32, words: &str) {
    let (kind, said) = Peer::refusal(server, export);
    assert_eq!(kind, expected, "{export}: {said}");
    assert!(said.contains(words), "{export} must say {words}: {said}");
    assert_served(server, "app@main");
}

#[test]
fn what_a_push_brings_into_a_work_tree_is_no_repository() {
    let place = Place::new();
    let inside = place.repos().join("app/x");
    fs::create_dir_all(inside.join("objects")).unwrap();
    fs::create_dir_all(inside.join("refs")).unwrap();
    fs::write(inside.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    let secret = place.path("secret/.git");
    fs::write(inside.join("commondir"), secret.to_str().unwrap()).unwrap();
    let server = TestBlockd::serve(&place.repos());
    assert_refused(&server, "app/x@main", UNKNOWN, "there is no repository");
}

#[test]
fn a_repository_leads_nowhere_out_of_the_served_directory() {
    let place = Place::new();
    let secret = place.path("secret/.git");
    let text = secret.to_str().unwrap();
    fs::create_dir(place.repos().join("gitfile")).unwrap();
    fs::write(
        place.repos().join("gitfile/.git"),
        format!("gitdir: {text}"),
    )
    .unwrap();
    fs::create_dir(place.repos().join("link")).unwrap();
    symlink(&secret, place.repos().join("link/.git")).unwrap();
    fs::write(place.bare("common").join("commondir"), text).unwrap();
    let pool = place.bare("pool").join("objects/info/alternates");
    fs::write(pool, format!("{text}/objects\n")).unwrap();
    // Through another one that lies inside.
    let chain = place.bare("chain").join("objects/info/alternates");
    let pool = place.repos().join("pool/objects");
    fs::write(chain, format!("{}\n", pool.display())).unwrap();
    let refs = place.bare("refs").join("refs/heads/main");
    drop(fs::remove_file(&refs));
    symlink(secret.join("refs/heads/main"), refs).unwrap();
    let object = place.bare("object").join("objects/ab");
    fs::create_dir_all(&object).unwrap();
    symlink(secret.join("config"), object.join("c".repeat(38))).unwrap();
    let names = [
        "gitfile", "link", "common", "pool", "chain", "refs", "object",
    ];
    let server = TestBlockd::serve(&place.repos());
    for name in names {
        for export in [format!("{name}@main"), format!("{name}@main:history=none")] {
            assert_refused(&server, &export, POLICY, "--allow DIR");
        }
    }
    let secret = place.path("secret");
    let server = TestBlockd::serve_with(&place.repos(), &["--allow", secret.to_str().unwrap()]);
    for name in ["gitfile", "link", "common", "pool", "chain"] {
        assert_served(&server, &format!("{name}@main"));
    }
}

#[test]
fn a_repository_that_is_served_alone_has_what_it_consists_of() {
    let place = Place::new();
    let shared = place.path("shared.git");
    run(git(place.0.path())
        .args(["clone", "-q", "--bare", "--shared"])
        .args([place.path("secret"), shared.clone()]));
    let linked = place.path("linked");
    run(git(&place.path("secret"))
        .args(["worktree", "add", "-q", "--detach"])
        .arg(&linked));
    for (path, export) in [(&shared, "shared@main"), (&linked, "linked@HEAD")] {
        let server = TestBlockd::serve(path);
        assert_served(&server, export);
    }
    // What is added later is not part of it.
    let alone = place.bare("alone.git");
    let server = TestBlockd::serve(&alone);
    assert_served(&server, "alone@main");
    let text = format!("{}\n", place.path("secret/.git/objects").display());
    fs::write(alone.join("objects/info/alternates"), text).unwrap();
    let (kind, said) = Peer::refusal(&server, "alone@HEAD");
    assert_eq!(kind, POLICY, "{said}");
}

#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    let place = Place::new();
    let index = format!("objects/pack/pack-{}.idx", "1".repeat(40));
    let tree = stdout(git(&place.repos().join("app")).args(["rev-parse", "main^{tree}"]));
    let tree = format!("objects/{}/{}", &tree[..2], &tree[2..]);
    for (name, file) in [
        ("index", index.as_str()),
        ("loose", &tree),
        ("head", "HEAD"),
        ("config", "config"),
        ("packed", "packed-refs"),
        ("branch", "refs/heads/other"),
        ("shallow", "shallow"),
        ("alternates", "objects/info/alternates"),
    ] {
        let repository = place.bare(name);
        let path = repository.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        drop(fs::remove_file(&path));
        if name == "index" {
            fs::write(path.with_extension("pack"), [0; 200]).unwrap();
        }
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    }
    let server = TestBlockd::serve(&place.repos());
    for name in [
        "index",
        "loose",
        "head",
        "config",
        "packed",
        "branch",
        "shallow",
        "alternates",
    ] {
        for export in [format!("{name}@main"), format!("{name}@main:history=none")] {
            let (kind, said) = Peer::refusal(&server, &export);
            assert!([PLATFORM, UNKNOWN].contains(&kind), "{export}: {said}");
        }
    }
    let (_, said) = Peer::refusal(&server, "loose@main");
    assert!(said.contains("it is a FIFO"), "{said}");
    assert_served(&server, "app@main");
}

#[test]
fn what_was_purged_is_not_served_any_more() {
    let place = Place::new();
    let (app, state) = (place.repos().join("app"), place.path("state"));
    let public = stdout(git(&app).args(["rev-parse", "HEAD"]));
    let purged = commit_file(&app, "password");
    let server = TestBlockd::serve_with_state(&place.repos(), &state);
    let names = [
        format!("app@{purged}"),
        canonical(&server, "app@main"),
        canonical(&server, "app@main:history=none"),
    ];
    let kept = canonical(&server, &format!("app@{public}"));
    let mut open = Peer::transmitting(&server, names[1].as_bytes());
    run(git(&app).args(["reset", "-q", "--hard", "HEAD~1"]));
    run(git(&app).args(["reflog", "expire", "--expire=now", "--all"]));
    run(git(&app).args(["gc", "-q", "--prune=now"]));
    for name in &names {
        assert_refused(&server, name, UNKNOWN, &purged);
    }
    // A moving name moves on, also one that was held still.
    assert!(canonical(&server, "app@main").contains(&public));
    // Whoever has it open reads on.
    open.send(&request(0, 0, 0, 4096));
    assert_eq!(open.simple_error(), 0);
    drop(open);
    server.stop();
    // A commit that is still there has the packs of then, until they are forgotten.
    let server = TestBlockd::serve_with_state(&place.repos(), &state);
    for name in &names {
        assert_refused(&server, name, UNKNOWN, &purged);
    }
    assert_served(&server, &kept);
    let mut forget = blockd();
    forget.arg("forget").arg(&app).arg("--state").arg(&state);
    let said = stdout(&mut forget);
    assert!(said.contains("1 snapshots removed"), "{said}");
    assert_refused(&server, &kept, UNKNOWN, "has no snapshot");
}

#[test]
fn another_repository_at_a_path_does_not_show_what_the_first_one_had() {
    let place = Place::new();
    let (app, state) = (place.repos().join("app"), place.path("state"));
    let first = stdout(git(&app).args(["rev-parse", "HEAD"]));
    let copy = place.path("copy");
    let mut clone = git(place.0.path());
    run(clone
        .args(["clone", "-q", "--no-hardlinks"])
        .args([&app, &copy]));
    commit_file(&app, "private");
    let server = TestBlockd::serve_with_state(&place.repos(), &state);
    let kept = canonical(&server, &format!("app@{first}"));
    assert!(kept.contains(":snapshot="), "{kept}");
    // Restored from a copy it is the same.
    let restored = place.path("restored");
    run(program("cp").arg("-a").args([&app, &restored]));
    fs::remove_dir_all(&app).unwrap();
    fs::rename(&restored, &app).unwrap();
    assert_eq!(canonical(&server, &kept), kept);
    fs::remove_dir_all(&app).unwrap();
    fs::rename(&copy, &app).unwrap();
    assert_refused(&server, &kept, UNKNOWN, "has no snapshot");
}

#[test]
fn what_a_repository_hides_is_not_shown() {
    let place = Place::new();
    let app = place.repos().join("app");
    run(git(&app).args(["update-ref", "refs/pull/1/head", "HEAD"]));
    run(git(&app).args(["config", "transfer.hideRefs", "refs/pull"]));
    let server = TestBlockd::serve(&place.repos());
    assert_served(&server, "app@main:history=none");
    for (export, kind, words) in [
        ("app@main", POLICY, "--show-hidden"),
        ("app@refs/pull/1/head:history=none", UNKNOWN, "refs/pull/1"),
        ("app@pull/1/head~0:history=none", UNKNOWN, "pull/1"),
    ] {
        let (found, said) = Peer::refusal(&server, export);
        assert_eq!(found, kind, "{export}: {said}");
        assert!(said.contains(words), "{export}: {said}");
    }
    let server = TestBlockd::serve_with(&place.repos(), &["--show-hidden"]);
    for export in ["app@main", "app@refs/pull/1/head"] {
        assert_served(&server, export);
    }
}

#[test]
fn no_path_of_the_server_and_no_password_is_shown() {
    let place = Place::new();
    let app = place.repos().join("app");
    let broken = place.bare("broken").join("refs/heads/main");
    fs::write(broken, "1".repeat(40)).unwrap();
    let server = TestBlockd::serve(&place.repos());
    let folder = place.repos();
    for export in [
        "app@none",
        "broken@main",
        "app@main^{tree}",
        "none",
        "../app",
    ] {
        let (_, said) = Peer::refusal(&server, export);
        assert!(!said.contains(folder.to_str().unwrap()), "{said}");
    }
    let config = |export: &str| {
        let image = place.path("image");
        run(program("nbdcopy").arg(server.uri(export)).arg(&image));
        stdout(
            program("debugfs")
                .args(["-R", "cat /.git/config"])
                .arg(&image),
        )
    };
    let url = "https://user:word@example.org/app.git?private_token=word#x";
    run(git(&app).args(["remote", "add", "origin", url]));
    let shown = config("app@main");
    assert!(shown.contains("\"https://example.org/app.git\""), "{shown}");
    assert!(!shown.contains("word"), "{shown}");
    place.bare("local");
    let shown = config("local@main");
    assert!(!shown.contains("url"), "{shown}");
}

#[test]
fn the_state_is_its_owners_whatever_the_umask() {
    let place = Place::new();
    let state = place.path("state");
    let old = state.join("snapshots.2/0123456789abcdef/commits");
    fs::create_dir_all(&old).unwrap();
    fs::write(old.join("x"), "").unwrap();
    for path in [&state, &state.join("snapshots.2"), &old, &old.join("x")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let server = TestBlockd::serve_with_state(&place.repos(), &state);
    assert_served(&server, "app@main");
    let open = [
        "-type", "d", "-perm", "/077", "-o", "-type", "f", "-links", "1", "-perm", "/077",
    ];
    let found = stdout(program("find").arg(&state).args(open));
    assert_eq!(found, "");
    assert_eq!(fs::metadata(&state).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn a_truncated_pack_is_an_error_of_its_files_alone() {
    let place = Place::new();
    let app = place.repos().join("app");
    for number in 0..40_u8 {
        let noise: Vec<u8> = (0..100_000).map(|_| random()).collect();
        fs::write(app.join(format!("{number}")), noise).unwrap();
    }
    commit(&app, "noise");
    run(git(&app).args(["gc", "-q"]));
    place.repository("repos/other");
    let server = TestBlockd::serve_with(&place.repos(), &["--cache", "1M"]);
    let mut peer = Peer::transmitting(&server, b"app@main:history=none");
    let packs = fs::read_dir(app.join(".git/objects/pack")).unwrap();
    let mut packs = packs.map(|entry| entry.unwrap().path());
    let pack = packs.find(|path| path.extension().is_some_and(|end| end == "pack"));
    let pack = pack.unwrap();
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o644)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&pack).unwrap();
    file.set_len(12).unwrap();
    let mut errors = 0;
    for step in 0..16 {
        peer.send(&request(0, 0, step << 20, 1 << 20));
        match peer.simple_error() {
            0 => drop(peer.read(1 << 20)),
            error => {
                assert_eq!(error, 5, "EIO");
                errors += 1;
            }
        }
    }
    assert!(errors > 0, "nothing of the pack was read");
    assert_served(&server, "other@main");
}
