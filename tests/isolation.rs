//! What a taken-over codex gains: nothing. A script stands for it, as codex's user
//! with a shell, and says what it has reached.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::harness::{Fixture, TOKEN, TestBlockd, TestMachine, agent, program, stdout};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/isolation/taken-over.sh");
/// Keys for tests alone, in the folder of the agent's tests.
const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../agent/tests/keys");
/// A user of no other program.
const USER: &str = "4242";
const PASSED: &str = "STATE,PLATFORM,PORT,GRANT,COORDINATOR,BLOCKD";

/// A grant, which openssl signs as the coordinator does.
fn grant(machine: &str, task: &str) -> String {
    const SIGN: &str = r#"
        b64() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
        text=$(printf %s '{"alg":"EdDSA","typ":"JWT"}' | b64).$(printf %s "$1" | b64)
        printf %s "$text" >"$3"
        printf %s "$text.$(openssl pkeyutl -sign -rawin -inkey "$2" -in "$3" | b64)""#;
    let expires = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 60;
    let claims = format!(
        "{{\"v\":2,\"sub\":\"{machine}\",\"aud\":\"agent\",\"task\":\"{task}\",\"exp\":{expires}}}"
    );
    let folder = tempfile::tempdir().unwrap();
    let mut sign = program("sh");
    sign.args(["-euc", SIGN, "sh", &claims]);
    sign.arg(format!("{KEYS}/grant.pem"));
    stdout(sign.arg(folder.path().join("text")))
}

/// The status of an answer of the agent's to a request with this grant.
fn status_with(port: &str, grant: &str) -> String {
    let mut curl = program("curl");
    curl.args([
        "--silent",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
    ]);
    let header = format!("fly-replay-src: instance=x;state={grant}");
    curl.args(["--header", &header]);
    stdout(curl.arg(format!("http://127.0.0.1:{port}/status")))
}

/// A free port of loopback. Whoever is there first gets it; then the test fails.
fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// What the script says, to its end.
fn until_it_has_tried(live: &mut Command) -> String {
    let mut live = live.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(live.stdout.take().unwrap()).lines();
    let mut said = String::new();
    for line in lines {
        said += line.unwrap().trim_end();
        said.push('\n');
        if said.ends_with(" attempts\n") {
            break;
        }
    }
    live.kill().unwrap();
    live.wait().unwrap();
    said
}

/// Runs the script on the machine as what was taken over while it works for a task.
fn taken_over(machine: &mut TestMachine, server: &TestBlockd, repo: &str, task: &str) -> String {
    let platform = machine.home().join("api");
    drop(fs::remove_file(&platform));
    let _platform = UnixListener::bind(&platform).unwrap();
    fs::set_permissions(&platform, PermissionsExt::from_mode(0o666)).unwrap();
    let (port, state) = (free_port(), machine.state());
    let listen = format!("127.0.0.1:{port}");
    let others = grant("m2", task);
    let public = fs::read_to_string(format!("{KEYS}/grant-public.pem")).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (platform, state, socket) = (text(&platform), text(&state), text(&server.socket()));
    let boot = [
        ["--repo", repo],
        ["--servers", &socket],
        ["--uid", USER],
        ["--gid", USER],
        ["--platform", &platform],
    ]
    .concat();
    let command = format!("bash {SCRIPT}");
    let serve = ["--command", &command, "--pass-env", PASSED];
    let environment = [
        ("AGENT_LISTEN", listen.as_str()),
        ("AGENT_NAME", task),
        ("STATE", &state),
        ("PLATFORM", &platform),
        ("PORT", &port),
        ("GRANT", &others),
        ("COORDINATOR", "http://127.0.0.1:9"),
        ("FLY_MACHINE_ID", "m1"),
        ("AGENT_GRANT_KEY", &public),
        ("GITHUB_TOKEN", "secret"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ACCESS_KEY_ID", "secret"),
    ];
    machine.boot(&boot, &serve, &environment);
    let url = machine.url();
    let token = machine.home().join("token");
    fs::write(&token, TOKEN).unwrap();
    let client = |command: &str| {
        let mut client: Command = agent();
        client.args([command, &url]).arg("--token-file").arg(&token);
        client
    };
    stdout(&mut client("start"));
    let said = until_it_has_tried(client("live").arg("--follow"));
    // Else nothing would be shown by a refusal.
    assert_eq!(status_with(&port, &grant("m1", task)), "200");
    assert_eq!(status_with(&port, &grant("m1", "three")), "401");
    assert!(machine.stop().success(), "{}", machine.log());
    said
}

#[test]
fn a_taken_over_codex_reaches_nothing_and_leaves_nothing_to_the_next_task() {
    let repo = Fixture::get("history").repo("history");
    let server = TestBlockd::serve(repo.folder());
    let mut machine = TestMachine::new();
    machine.is_open_to_all();
    for task in ["one", "two", "one"] {
        let said = taken_over(&mut machine, &server, repo.name(), task);
        assert!(!said.contains("REACHED"), "as task {task}:\n{said}");
        assert!(said.matches("refused ").count() > 30, "{said}");
    }
    // Its own it finds again.
    let planted = machine.state().join("tasks/one/home/planted");
    assert_eq!(fs::read_to_string(planted).unwrap(), "planted\n");
    server.stop();
}
