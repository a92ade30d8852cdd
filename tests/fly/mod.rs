//! The configuration files for Fly, checked as flyctl would, which is not available
//! everywhere; and the script that promotes an image.

mod config;
mod rules;
mod service;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use self::rules::faults;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// All configuration files, with their text.
fn files() -> Vec<(PathBuf, String)> {
    let folder = fs::read_dir(root().join("fly")).unwrap();
    let beside = folder.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = beside
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        // The configuration of codex.
        .filter(|path| !path.ends_with("codex.toml"))
        .collect();
    paths.push(root().join("fly.toml"));
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(path).unwrap());
    paths.into_iter().map(read).collect()
}

#[test]
fn our_files_are_valid() {
    let files = files();
    assert_eq!(files.len(), 5);
    for (path, text) in files {
        assert_eq!(
            faults(&text, &path),
            Vec::<String>::new(),
            "{}",
            path.display()
        );
    }
}

/// Changes that make a file invalid: the file, the text, its replacement, and a part
/// of the message.
const WRONG: [(&str, &str, &str, &str); 22] = [
    (
        "fly.toml",
        "kill_timeout = \"120s\"",
        "kill_timout = \"120s\"",
        "unknown field `kill_timout`",
    ),
    ("fly.toml", "kill_signal = \"SIGTERM\"", "", "kill_signal"),
    (
        "fly.toml",
        "kill_timeout = \"120s\"",
        "kill_timeout = \"301s\"",
        "over 300s",
    ),
    (
        "fly.toml",
        "kill_timeout = \"120s\"",
        "kill_timeout = \"long\"",
        "over 300s",
    ),
    (
        "fly.toml",
        "build-target = \"agent\"",
        "build-target = \"agents\"",
        "no such build-target",
    ),
    (
        "fly.toml",
        "dockerfile = \"fly/Dockerfile\"",
        "dockerfile = \"Dockerfile\"",
        "no such dockerfile",
    ),
    (
        "fly.toml",
        "strategy = \"rolling\"",
        "strategy = \"bluegreen\"",
        "exclude mounts",
    ),
    (
        "fly.toml",
        "strategy = \"rolling\"",
        "strategy = \"careful\"",
        "unknown deploy.strategy",
    ),
    (
        "fly.toml",
        "  processes = [\"blockd\"]\n  protocol",
        "  protocol",
        "a service without processes",
    ),
    (
        "fly.toml",
        "processes = [\"agent\"]\n  protocol",
        "processes = [\"agents\"]\n  protocol",
        "unknown process",
    ),
    (
        "fly.toml",
        "    port = 80\n",
        "    port = 10809\n",
        "share a port",
    ),
    (
        "fly.toml",
        "interval = \"15s\"\n    timeout = \"2s\"",
        "interval = \"1s\"\n    timeout = \"2s\"",
        "an interval is",
    ),
    (
        "fly.toml",
        "auto_stop_machines = \"off\"\n  auto_start",
        "auto_stop_machines = \"stop\"\n  auto_start",
        "at work",
    ),
    (
        "fly.toml",
        "auto_extend_size_threshold = 80",
        "auto_extend_size_threshold = 40",
        "50 to 99",
    ),
    (
        "fly.toml",
        "memory = \"4gb\"",
        "memory = \"5gb\"",
        "over 2gb",
    ),
    (
        "fly.toml",
        "hard_limit = 400",
        "hard_limit = 100",
        "below soft_limit",
    ),
    (
        "fly.toml",
        "policy = \"always\"",
        "policy = \"no\"",
        "unknown restart policy",
    ),
    (
        "fly/gate.toml",
        "command = [\"smoke\", \"--tier\", \"all\"]",
        "interval = \"30s\"",
        "unknown field `interval`",
    ),
    (
        "fly/gate.toml",
        "command = [\"smoke\", \"--tier\", \"all\"]",
        "",
        "without a command",
    ),
    (
        "fly/gate.toml",
        "strategy = \"rolling\"",
        "strategy = \"canary\"",
        "need rolling",
    ),
    ("fly/gate.toml", "wait_timeout = \"20m\"", "", "need 20m"),
    (
        "fly/coordinator.toml",
        "force_https = false",
        "force_https = true",
        "has no TLS",
    ),
];

#[test]
fn invalid_files_are_reported() {
    for (name, right, wrong, message) in WRONG {
        let path = root().join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(right), "{name} has no {right}");
        let found = faults(&text.replacen(right, wrong, 1), &path).join("; ");
        assert!(found.contains(message), "{wrong}: {found:?}");
    }
}

#[test]
fn the_images_and_the_tests_use_the_same_codex() {
    let text = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let dockerfile = text("fly/Dockerfile");
    let pinned = dockerfile
        .lines()
        .find_map(|line| line.strip_prefix("ARG CODEX="));
    let tested = text("agent/tests/versions.sh");
    let tested = tested.lines().find_map(|line| line.strip_prefix("codex="));
    assert_eq!(pinned.unwrap(), tested.unwrap());
}

/// Runs `fly/promote.sh` with a flyctl that records its calls, and fails in one whose
/// arguments contain `fails_at`.
fn promote(arguments: &[&str], fails_at: &str) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    let (fly, calls) = (folder.path().join("fly"), folder.path().join("calls"));
    let script = format!(
        "#!/bin/sh\necho \"$*\" >>{}\ncase $* in *--build-only*) echo 'image: host/agents@sha256:cafe';; esac\n\
         case $* in *{fails_at}*) exit 1;; esac\n",
        calls.display()
    );
    fs::write(&fly, script).unwrap();
    fs::set_permissions(&fly, fs::Permissions::from_mode(0o755)).unwrap();
    let mut promote = Command::new("bash");
    promote.arg(root().join("fly/promote.sh")).args(arguments);
    let output = promote.env("FLY", &fly).output().unwrap();
    (output, fs::read_to_string(calls).unwrap_or_default())
}

#[test]
fn an_image_is_deployed_to_the_gate_by_its_digest() {
    let (output, calls) = promote(&[], "nowhere");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let calls: Vec<_> = calls.lines().collect();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[0].contains("fly/agents.toml") && calls[0].contains("--build-only --push"));
    assert!(
        calls[1].contains("fly/gate.toml") && calls[1].contains("--image host/agents@sha256:cafe")
    );
}

#[test]
fn a_failure_of_flyctl_or_an_image_by_tag_is_an_error() {
    let (output, _) = promote(&["x@sha256:cafe"], "gate.toml");
    assert!(!output.status.success());
    let (output, calls) = promote(&[], "--build-only");
    assert!(!output.status.success());
    assert_eq!(calls.lines().count(), 1, "{calls}");
    let (output, calls) = promote(&["x:latest"], "nowhere");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("@sha256:"));
    assert_eq!(calls, "");
}
