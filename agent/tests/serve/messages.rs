//! Start, messages and stop: from a shell, over HTTP, over standard input.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
};

use reqwest::StatusCode;
use tempfile::tempdir;

use super::harness::{AGENT, FAKE, Launch, Server, text_of, write_program};

#[tokio::test(flavor = "multi_thread")]
async fn start_message_live_and_stop() {
    let mut server = Server::fake(&[]);
    let url = server.url.clone();
    let before = server.get("/live", &[]).await;
    assert_eq!(before.status(), StatusCode::OK);
    assert_eq!(before.text().await.unwrap(), "");
    assert!(!server.output(&["message", &url, "early"]).status.success());
    assert!(server.run(&["start", &url]).contains("\"idle\""));
    assert!(server.run(&["start", &url]).contains("\"idle\""));
    let sent = server.run(&["message", &url, "--", "-- hello"]);
    assert!(sent.contains("\"rollout\""), "{sent}");
    let sent = server.run(&["message", &url, "edit made by codex"]);
    assert!(sent.contains("\"rollout\""), "{sent}");
    server.shows("did <-- hello>").await;
    server.shows("did <edit made").await;
    let made = fs::read_to_string(server.path("work/made")).unwrap();
    assert_eq!(made, "by codex");
    server.is("idle").await;
    assert!(server.run(&["status", &url]).contains("\"idle\""));
    assert_eq!(server.run(&["live", &url]).as_bytes(), server.logged());
    let following = server.get("/live?follow=1&offset=5", &[]).await;
    assert_eq!(server.terminate(), 0);
    let all = server.logged();
    assert_eq!(following.bytes().await.unwrap(), &all[5..]);
    assert!(String::from_utf8_lossy(&all).contains("Session ID: fake"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mcp_client_finds_two_tools_and_three_resources() {
    let server = Server::fake(&[]);
    let mcp = server.mcp().await;
    let mut tools = mcp.tools().await;
    tools.sort();
    assert_eq!(tools, ["message", "start"]);
    let early = mcp
        .call("message", serde_json::json!({ "text": "x" }))
        .await;
    assert_eq!(early.is_error, Some(true));
    assert!(text_of(&early).contains("call start first"));
    assert_eq!(mcp.start().await["state"], "idle");
    assert_eq!(mcp.message("hello").await["evidence"], "rollout");
    server.shows("did <hello>").await;
    assert!(mcp.resource("agent://screen").await.contains("did <hello>"));
    assert!(mcp.resource("agent://status").await.contains("state"));
    assert!(mcp.resource("agent://log").await.contains("fake codex"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_message_is_taken_and_no_longer_one() {
    const MAX_CHARS: usize = 1_048_576;
    let server = Server::started();
    let mcp = server.mcp().await;
    let sent = mcp.message(&"ü".repeat(MAX_CHARS)).await;
    assert_eq!(sent["submitted"], true, "{sent}");
    let text = "x".repeat(MAX_CHARS + 1);
    let refused = mcp
        .call("message", serde_json::json!({ "text": text }))
        .await;
    assert!(text_of(&refused).contains("1048577 characters"));
    let typed = fs::read(server.path("codex/input")).unwrap();
    let expected = ["\x1b[200~", &"ü".repeat(MAX_CHARS), " \x1b[201~\x1b[24;6~"].concat();
    assert!(typed == expected.into_bytes(), "{} bytes", typed.len());
}

#[test]
fn mcp_over_standard_input_and_output() {
    let home = tempdir().unwrap();
    let mut command = Command::new(AGENT);
    command.args(["serve", "--command", FAKE, "--workspace"]);
    command.arg(home.path()).env("AGENT_STDIO", "1");
    command.arg("--log-dir").arg(home.path().join("logs"));
    command.env("CODEX_HOME", home.path().join("codex"));
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut ask = |id: u32, method: &str, parameters: &str| {
        let id = if id > 0 {
            format!("\"id\":{id},")
        } else {
            String::new()
        };
        let ask = format!(r#"{{"jsonrpc":"2.0",{id}"method":"{method}","params":{parameters}}}"#);
        writeln!(input, "{ask}").unwrap();
        let mut line = String::new();
        if !id.is_empty() {
            output.read_line(&mut line).unwrap();
        }
        line
    };
    let hello = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}"#;
    assert!(ask(1, "initialize", hello).contains("\"agent\""));
    ask(0, "notifications/initialized", "{}");
    let tools = ask(2, "tools/list", "{}");
    assert_eq!(tools.matches("\"inputSchema\"").count(), 2, "{tools}");
    let start = r#"{"name":"start","arguments":{}}"#;
    assert!(ask(3, "tools/call", start).contains("\"idle\""));
    let message = r#"{"name":"message","arguments":{"text":"hi"}}"#;
    assert!(ask(4, "tools/call", message).contains("\"rollout\""));
    let screen = r#"{"uri":"agent://screen"}"#;
    assert!(ask(5, "resources/read", screen).contains("fake codex"));
    drop(input);
    assert!(process.wait().unwrap().success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn one_machine_is_asked_for_by_name() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    for arguments in [&["start"][..], &["message", "x"], &["live"], &["status"]] {
        let mut command = Command::new(AGENT);
        command.arg(arguments[0]).arg(&url).args(&arguments[1..]);
        let command = command.args(["--machine", "148e21"]).stderr(Stdio::null());
        let mut client = command.spawn().unwrap();
        let (connection, _) = listener.accept().unwrap();
        let head = BufReader::new(&connection).lines().map_while(Result::ok);
        let head: Vec<_> = head.take_while(|line| !line.is_empty()).collect();
        let asks = "fly-force-instance-id: 148e21".to_owned();
        assert!(head.contains(&asks), "{arguments:?}: {head:?}");
        drop(connection);
        client.kill().unwrap();
        client.wait().unwrap();
    }
}

/// It is said which codex this is, and it is served whatever it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_codex_that_nobody_has_tried_is_said() {
    let tried = Server::started().status().await;
    assert_eq!(tried["codex_version"], "0.171.0", "{tried}");
    assert!(tried["codex_warning"].is_null(), "{tried}");
    let mut launch = Launch::of(FAKE);
    launch.command.args(["--pass-env", "FAKE_VERSION"]);
    launch.command.env("FAKE_VERSION", "0.999.0");
    let untried = launch.start().status().await;
    assert_eq!(untried["codex_version"], "0.999.0", "{untried}");
    let warning = untried["codex_warning"].as_str().unwrap();
    assert!(warning.contains("nobody has tried"), "{warning}");
    let folder = tempdir().unwrap();
    let mute = folder.path().join("codex");
    let script = format!("#!/bin/sh\n[ \"$1\" != --version ] || exit 3\nexec {FAKE} \"$@\"\n");
    write_program(&mute, &script);
    let server = Launch::of(mute.to_str().unwrap()).start();
    assert!(server.run(&["start", &server.url]).contains("\"idle\""));
    let unknown = server.status().await;
    assert!(unknown["codex_version"].is_null(), "{unknown}");
    let warning = unknown["codex_warning"].as_str().unwrap();
    assert!(warning.contains("exit status: 3"), "{warning}");
}
