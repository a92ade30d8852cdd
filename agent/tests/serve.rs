//! The whole program against a scripted fake codex: `agent serve` on a port of
//! its own, and the other commands as its clients.

#![cfg(test)]

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use reqwest::{Client, Response, StatusCode};
use tempfile::{TempDir, tempdir};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

const AGENT: &str = env!("CARGO_BIN_EXE_agent");
const FAKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake/codex");
const TOKEN: &str = "0123456789abcdef0123";

/// A server of its own; it is killed when dropped.
struct Server {
    process: Child,
    url: String,
    home: TempDir,
}

impl Server {
    fn start(more: &[&str]) -> Self {
        let home = tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        fs::create_dir(path("work")).unwrap();
        fs::write(path("token"), TOKEN).unwrap();
        let mut command = Command::new(AGENT);
        command.args(["serve", "--listen", "127.0.0.1:0", "--command", FAKE]);
        command.arg("--workspace").arg(path("work"));
        command.arg("--log-dir").arg(path("logs"));
        command.arg("--token-file").arg(path("token")).args(more);
        command
            .env("CODEX_HOME", path("codex"))
            .stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line
            .split_once("http://")
            .unwrap()
            .1
            .split('/')
            .next()
            .unwrap();
        Self {
            process,
            url: format!("http://{url}"),
            home,
        }
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(AGENT);
        command
            .args(arguments)
            .env("AGENT_TOKEN_FILE", self.home.path().join("token"));
        command.output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Client::new()
            .get(format!("{}{path}", self.url))
            .bearer_auth(TOKEN);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn shows(&self, text: &str) {
        self.tells("/screen", text).await;
    }

    /// Waits until this is to be read there.
    async fn tells(&self, path: &str, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self
            .get(path, &[])
            .await
            .text()
            .await
            .unwrap()
            .contains(text)
        {
            assert!(Instant::now() < deadline, "{text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn wait(&mut self) -> i32 {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn terminate(&mut self) -> i32 {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// The bytes of all segments of the only run.
fn logged(home: &Path) -> Vec<u8> {
    let run = fs::read_dir(home.join("logs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut segments: Vec<_> = fs::read_dir(run)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    segments.sort();
    segments
        .into_iter()
        .flat_map(|path| fs::read(path).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn start_message_live_and_stop() {
    let mut server = Server::start(&[]);
    let url = server.url.clone();
    let before = server.get("/live", &[]).await;
    assert_eq!(
        (before.status(), before.text().await.unwrap()),
        (StatusCode::OK, String::new())
    );
    assert!(
        !server
            .command(&["message", &url, "too early"])
            .status
            .success()
    );
    assert!(server.run(&["start", &url]).contains("\"idle\""));
    assert!(server.run(&["start", &url]).contains("\"idle\""));
    assert!(
        server
            .run(&["message", &url, "--", "-- hello"])
            .contains("\"rollout\"")
    );
    assert!(
        server
            .run(&["message", &url, "edit made by codex"])
            .contains("\"rollout\"")
    );
    server.shows("did <-- hello>").await;
    server.shows("did <edit made").await;
    let made = fs::read_to_string(server.home.path().join("work/made")).unwrap();
    assert_eq!(made, "by codex");
    server.tells("/status", "idle").await;
    assert!(server.run(&["status", &url]).contains("\"idle\""));
    assert_eq!(
        server.run(&["live", &url]).as_bytes(),
        logged(server.home.path())
    );
    let following = server.get("/live?follow=1&offset=5", &[]).await;
    assert_eq!(server.terminate(), 0);
    let all = logged(server.home.path());
    assert_eq!(following.bytes().await.unwrap(), &all[5..]);
    assert!(String::from_utf8_lossy(&all).contains("Session ID: fake"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_the_output() {
    let server = Server::start(&[]);
    server.run(&["start", &server.url]);
    let all = logged(server.home.path());
    let end = all.len();
    let part = server.get("/live", &[("range", "bytes=2-5")]).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], format!("bytes 2-5/{end}"));
    assert_eq!(part.headers()["content-length"], "4");
    assert_eq!(part.bytes().await.unwrap(), &all[2..6]);
    let beyond = server.get("/live", &[("range", "bytes=99999-")]).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.headers()["content-range"], format!("bytes */{end}"));
    let other = server
        .get(
            "/live",
            &[("range", "bytes=0-1"), ("if-range", "\"other\"")],
        )
        .await;
    assert_eq!(other.status(), StatusCode::OK);
    let head = Client::new()
        .head(format!("{}/live", server.url))
        .bearer_auth(TOKEN);
    let head = head.send().await.unwrap();
    assert_eq!(head.headers()["content-length"], end.to_string());
    assert_eq!(head.headers()["accept-ranges"], "bytes");
    assert_eq!(head.headers()["cache-control"], "no-store");
    let rest = server.get(&format!("/live?offset={}", end - 3), &[]).await;
    assert_eq!(rest.bytes().await.unwrap(), &all[end - 3..]);
    let runs = server.get("/live/runs", &[]).await.text().await.unwrap();
    let run = runs.split('"').nth(3).unwrap().to_owned();
    let earlier = server.get(&format!("/live/runs/{run}"), &[]).await;
    assert_eq!(earlier.bytes().await.unwrap(), all);
    let none = server.get("/live/runs/..%2f..%2fetc", &[]).await;
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_with_the_token_and_from_here_are_let_in() {
    let server = Server::start(&["--allow-host", "app.flycast"]);
    let client = Client::new();
    for path in [
        "/live",
        "/mcp",
        "/status",
        "/terminal",
        "/live/view",
        "/metrics",
        "/screen",
        "/readyz",
    ] {
        let answer = client
            .get(format!("{}{path}", server.url))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        let answer = server.get(path, &[("host", "evil.example")]).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
        let answer = server.get(path, &[("origin", "http://evil.example")]).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
    }
    let health = client
        .get(format!("{}/healthz", server.url))
        .send()
        .await
        .unwrap();
    assert_eq!(health.status(), StatusCode::OK);
    let own = server
        .get(
            "/status",
            &[("host", "app.flycast"), ("origin", "http://app.flycast")],
        )
        .await;
    assert_eq!(own.status(), StatusCode::OK);
    let page = server.get("/live/view", &[]).await;
    assert!(
        page.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .contains("HttpOnly; SameSite=Strict")
    );
    assert!(page.headers().contains_key("content-security-policy"));
    let metrics = server.get("/metrics", &[]).await.text().await.unwrap();
    assert!(
        metrics.contains("agent_state{state=\"none\"} 1"),
        "{metrics}"
    );
}

type Terminal = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Server {
    async fn terminal(&self, query: &str) -> Terminal {
        let url = format!("{}/terminal{query}", self.url.replace("http", "ws"));
        let mut request = url.into_client_request().unwrap();
        let bearer = format!("Bearer {TOKEN}").parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        connect_async(request).await.unwrap().0
    }
}

/// Reads what a terminal is sent until this is in it.
async fn read_until(terminal: &mut Terminal, text: &str) {
    let found = async {
        while let Some(message) = terminal.next().await {
            if String::from_utf8_lossy(&message.unwrap().into_data()).contains(text) {
                return;
            }
        }
        panic!("the terminal ends without {text}");
    };
    let found = tokio::time::timeout(Duration::from_secs(10), found).await;
    assert!(found.is_ok(), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_types_and_no_key_suspends_codex() {
    let server = Server::start(&[]);
    server.run(&["start", &server.url]);
    let mut terminal = server.terminal("").await;
    read_until(&mut terminal, "\"writer\":true").await;
    let mut other = server.terminal("").await;
    read_until(&mut other, "\"writer\":false").await;
    other.send(Message::binary(&b"x"[..])).await.unwrap();
    read_until(&mut other, "somebody else types").await;
    for key in [
        &b"\x1a"[..],
        b"\x1b[122;5u",
        b"\x1b[27;5;122~",
        b"\x1b\x1a",
        b"\x03",
        b"\x04",
    ] {
        for cut in 0..key.len() {
            terminal
                .send(Message::binary(key[..cut].to_vec()))
                .await
                .unwrap();
            terminal
                .send(Message::binary(key[cut..].to_vec()))
                .await
                .unwrap();
            read_until(&mut terminal, "is blocked here").await;
        }
    }
    terminal
        .send(Message::binary(&b"typed\r"[..]))
        .await
        .unwrap();
    read_until(&mut terminal, "did <typed>").await;
    let mut drawn = server.terminal("?format=ansi&watch=1").await;
    read_until(&mut drawn, "did <typed>").await;
    let output = server.run(&["live", &server.url]);
    assert!(!output.contains("SUSPENDED"), "{output}");
    drop(terminal);
    let mut next = server.terminal("").await;
    read_until(&mut next, "\"writer\":").await;
}

#[test]
fn what_cannot_work_is_refused_with_a_sentence() {
    for (arguments, expected) in [
        (&["--listen", "0.0.0.0:0"][..], "needs a --token-file"),
        (
            &["--command", "no-such-program"],
            "there is no program no-such-program",
        ),
        (&["--command", "'"], "--command"),
        (
            &["--workspace", "/no/such/folder"],
            "--workspace /no/such/folder",
        ),
        (&["--token-file", "/dev/null"], "16 visible"),
        (
            &["--log-dir", "/proc/none", "--command", "sh"],
            "--log-dir /proc/none",
        ),
    ] {
        let mut command = Command::new(AGENT);
        let output = command.arg("serve").args(arguments);
        let output = output
            .env("PATH", "/usr/bin:/bin")
            .env("AGENT_COMMAND", "sh")
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && told.contains(expected),
            "{arguments:?}: {told}"
        );
    }
}

#[test]
fn an_idle_server_ends() {
    let mut server = Server::start(&["--idle-exit", "1"]);
    server.run(&["start", &server.url]);
    server.run(&["message", &server.url, "work 2.5"]);
    let began = Instant::now();
    assert_eq!(server.wait(), 0);
    assert!(
        began.elapsed() > Duration::from_secs(2),
        "it worked until then"
    );
}

#[test]
fn mcp_over_standard_input_and_output() {
    let home = tempdir().unwrap();
    let mut command = Command::new(AGENT);
    command
        .args(["serve", "--stdio", "--command", FAKE, "--workspace"])
        .arg(home.path());
    command.arg("--log-dir").arg(home.path().join("logs"));
    command.env("CODEX_HOME", home.path().join("codex"));
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut ask = |request: &str| {
        use std::io::Write;
        writeln!(input, "{request}").unwrap();
    };
    let mut answer = || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line
    };
    ask(
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#,
    );
    assert!(answer().contains("\"agent\""));
    ask(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    ask(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#);
    let tools = answer();
    assert_eq!(tools.matches("\"inputSchema\"").count(), 2, "{tools}");
    ask(
        r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"start","arguments":{}}}"#,
    );
    assert!(answer().contains("\"idle\""));
    ask(
        r#"{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"message","arguments":{"text":"hi"}}}"#,
    );
    assert!(answer().contains("\"rollout\""));
    ask(r#"{"jsonrpc":"2.0","id":5,"method":"resources/read","params":{"uri":"agent://screen"}}"#);
    assert!(answer().contains("fake codex"));
    drop(input);
    assert!(process.wait().unwrap().success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
}
