//! MCP clients: the conformance suite, the inspector, the Python and TypeScript
//! SDKs, and codex.

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use super::{codex::configure, fetched, responses::Model};
use crate::harness::{FAKE, Launch, Server, TOKEN};

const NPM: &str = "npm-$node-$conformance-$inspector/node_modules";
const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/serve/interop");

const EXPECTED_FAILURES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/serve/interop/conformance.yml"
);

/// A program that npm has installed, run by the pinned node, in the workspace.
fn npm(server: &Server, name: &str) -> Command {
    let modules = fetched(NPM);
    let mut command = Command::new(modules.join("node/bin/node"));
    command.arg(modules.join(".bin").join(name));
    let path = env::var("PATH").unwrap();
    let node = modules.join("node/bin");
    command.env("PATH", format!("{}:{path}", node.display()));
    command.current_dir(server.path("work"));
    command
}

/// The standard output of a program, which must succeed.
fn stdout_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    stdout
}

/// Runs the conformance suite against a server.
fn conformance(expected_failures: &Path) -> Output {
    let server = Launch::of(FAKE).without_token().start();
    let mut command = npm(&server, "conformance");
    command.args(["server", "--url", &server.printed("/mcp")]);
    command.arg("--expected-failures").arg(expected_failures);
    command.output().unwrap()
}

#[test]
fn the_conformance_suite() {
    let output = conformance(Path::new(EXPECTED_FAILURES));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{stdout}");
    for scenario in [
        "server-initialize",
        "ping",
        "completion-complete",
        "tools-list",
        "resources-list",
        "prompts-list",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
    ] {
        assert!(stdout.contains(&format!("✓ {scenario}")), "{stdout}");
    }
}

/// The list of expected failures must not name what passes.
#[test]
fn the_conformance_suite_notices_what_begins_to_pass() {
    let list = tempfile::NamedTempFile::new().unwrap();
    let expected = fs::read_to_string(EXPECTED_FAILURES).unwrap();
    fs::write(&list, expected + "  - tools-list\n").unwrap();
    let output = conformance(list.path());
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let printed = printed + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{printed}");
    let (_, stale) = printed.split_once("tale baseline").unwrap();
    assert!(stale.contains("tools-list"), "{printed}");
}

#[test]
fn the_inspector() {
    let server = Server::fake(&[]);
    let inspect = |more: &[&str]| -> Value {
        let mut command = npm(&server, "mcp-inspector");
        command.args(["--cli", &server.printed("/mcp"), "--transport", "http"]);
        command.args(["--header", &format!("Authorization: Bearer {TOKEN}")]);
        serde_json::from_str(&stdout_of(command.args(more))).unwrap()
    };
    let tools = inspect(&["--method", "tools/list"]);
    assert_eq!(tools["tools"].as_array().unwrap().len(), 2, "{tools}");
    let started = inspect(&["--method", "tools/call", "--tool-name", "start"]);
    assert_eq!(started["structuredContent"]["state"], "idle", "{started}");
    let call = ["--method", "tools/call", "--tool-name", "message"];
    let sent = inspect(&[&call[..], &["--tool-arg", "text=hi there"]].concat());
    assert_eq!(sent["structuredContent"]["evidence"], "rollout", "{sent}");
    let resources = inspect(&["--method", "resources/list"]);
    assert_eq!(resources["resources"].as_array().unwrap().len(), 3);
}

fn python_sdk(silence: &str) {
    let server = Launch::of(FAKE).without_token().start();
    let mut command = Command::new(fetched("python-$python").join("bin/python"));
    command.arg(format!("{TESTS}/sdk.py"));
    command.args([server.printed("/mcp"), silence.to_owned()]);
    assert_eq!(stdout_of(&mut command), "all right\n");
}

#[test]
fn the_python_sdk() {
    python_sdk("0");
}

#[test]
#[ignore = "20 minutes"]
fn the_python_sdk_after_twenty_minutes_of_silence() {
    python_sdk("1200");
}

#[test]
fn the_typescript_sdk() {
    let server = Launch::of(FAKE).without_token().start();
    let sdk = fetched("typescript-$typescript/node_modules/@modelcontextprotocol/sdk");
    let mut command = Command::new(fetched(NPM).join("node/bin/node"));
    command.arg(format!("{TESTS}/sdk.mjs")).arg(sdk);
    command.arg(server.printed("/mcp"));
    assert_eq!(stdout_of(&mut command), "all right\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_itself() {
    let server = Server::fake(&[]);
    let model = Model::new().await;
    let home = server.path("client");
    fs::create_dir(&home).unwrap();
    let ours = format!(
        "[mcp_servers.agent]\nurl = \"{}/mcp\"\nbearer_token_env_var = \"TOKEN\"",
        server.url
    );
    configure(&home, model.port, &ours);
    for (tool, arguments, expected) in [
        ("start", "{}", "idle"),
        ("message", "{\"text\": \"from a codex\"}", "rollout"),
    ] {
        let mut command = Command::new(fetched("codex-$codex/bin/codex"));
        command.args(["exec", "--skip-git-repo-check", "-m", "gpt-5.5"]);
        command.arg(format!("call {tool} {arguments}"));
        command
            .env("CODEX_HOME", &home)
            .env("HOME", server.path(""));
        command.env("MODEL_KEY", "none").env("TOKEN", TOKEN);
        command.current_dir(server.path("work"));
        let exec = tokio::task::spawn_blocking(move || stdout_of(&mut command));
        exec.await.unwrap();
        let answer = model.answer_to(&format!("call-{tool}")).unwrap();
        assert!(answer.contains(expected), "{answer}");
    }
    server.shows("did <from a codex>").await;
}
