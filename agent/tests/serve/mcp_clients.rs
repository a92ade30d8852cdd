//! MCP clients as they come: with one id for all calls, silent, half done, in a
//! page of another origin.

use std::{fs, io::Write, net::TcpStream};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::harness::{Server, TOKEN, resident};

const SESSION: &str = "mcp-session-id";

/// A client without an SDK.
struct Raw<'a> {
    server: &'a Server,
    session: String,
}

impl<'a> Raw<'a> {
    async fn new(server: &'a Server) -> Self {
        let raw = Self::initializing(server).await;
        raw.initialized().await;
        raw
    }

    /// A client that has not said yet that it is initialized.
    async fn initializing(server: &'a Server) -> Self {
        let initialize = json!({
            "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-06-18", "capabilities": {},
                "clientInfo": { "name": "raw", "version": "1" },
            },
        });
        let answer = request(server, Method::POST);
        let answer = answer.body(initialize.to_string()).send().await.unwrap();
        let session = answer.headers()[SESSION].to_str().unwrap().to_owned();
        Self { server, session }
    }

    async fn initialized(&self) {
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let answer = self.post(&initialized.to_string()).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
    }

    async fn post(&self, body: &str) -> Response {
        let post = request(self.server, Method::POST).header(SESSION, &self.session);
        post.body(body.to_owned()).send().await.unwrap()
    }

    /// Calls a tool, with the id 1.
    async fn call(&self, tool: &str, arguments: Value) -> Value {
        let call = call(tool, &arguments);
        let events = self.post(&call).await.text().await.unwrap();
        let mut data = events
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        let answer: Value = data.next_back().unwrap().parse().unwrap();
        assert_eq!(answer["id"], 1, "{answer}");
        answer["result"]["structuredContent"].clone()
    }

    async fn message(&self, text: &str) {
        let sent = self.call("message", json!({ "text": text })).await;
        assert_eq!(sent["submitted"], true, "{sent}");
    }
}

fn call(tool: &str, arguments: &Value) -> String {
    let params = json!({ "name": tool, "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
}

fn request(server: &Server, method: Method) -> RequestBuilder {
    Client::new()
        .request(method, format!("{}/mcp", server.url))
        .bearer_auth(TOKEN)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
}

/// How often the fake codex was sent a text.
fn typed(server: &Server, text: &str) -> usize {
    let input = fs::read(server.home().join("codex/input")).unwrap();
    String::from_utf8(input).unwrap().matches(text).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_may_all_have_one_id() {
    let server = Server::fake(&[]);
    let client = Raw::new(&server).await;
    client.call("start", json!({})).await;
    client.message("continue").await;
    client.message("continue").await;
    assert_eq!(typed(&server, "continue"), 2);
    server.post("/stop").await;
    let started = client.call("start", json!({})).await;
    assert_eq!(started["state"], "idle");
    // At once: each is answered by what it has done.
    tokio::join!(client.message("both-a"), client.message("both-b"));
    assert_eq!([typed(&server, "both-a"), typed(&server, "both-b")], [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_proxy_sends_again_is_done_once() {
    let server = Server::fake(&[]);
    let client = Raw::new(&server).await;
    client.call("start", json!({})).await;
    client.message("once").await;
    let again = request(&server, Method::POST).header(SESSION, &client.session);
    let again = again.header("fly-replay-failed", "instance=x");
    let again = again.body(call("message", &json!({ "text": "once" })));
    let answer = again.send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("submitted"), "{answer}");
    assert_eq!(typed(&server, "once"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_and_what_is_no_session_is_said() {
    let server = Server::fake(&[]);
    let client = Raw::new(&server).await;
    let answer = client.post("{").await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["error"]["code"], -32700);
    for expected in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        let delete = request(&server, Method::DELETE).header(SESSION, &client.session);
        assert_eq!(delete.send().await.unwrap().status(), expected);
    }
    let gone = client.post(&call("start", &json!({}))).await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_left_are_bounded() {
    let server = Server::fake(&[]);
    let first = Raw::new(&server).await;
    let stream = request(&server, Method::GET).header(SESSION, &first.session);
    let stream = stream.send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    let second = Raw::new(&server).await;
    for _ in 0..600 {
        Raw::new(&server).await;
    }
    // The one whose stream is open is used; the other is the oldest of all.
    first.call("start", json!({})).await;
    let gone = second.post(&call("start", &json!({}))).await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

/// Reads a stream until it has this text; whether it did.
async fn read_until(stream: &mut Response, text: &str) -> String {
    let mut read = String::new();
    while let Some(piece) = stream.chunk().await.unwrap() {
        read.push_str(std::str::from_utf8(&piece).unwrap());
        if read.contains(text) {
            return read;
        }
    }
    panic!("the stream ends without {text}: {read}");
}

/// The ids of the events in a stream.
fn event_ids(events: &str) -> Vec<&str> {
    let ids = events.lines().filter_map(|line| line.strip_prefix("id:"));
    ids.map(str::trim).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_cut_is_read_on_also_after_the_answer() {
    let server = Server::fake(&[]);
    let client = Raw::new(&server).await;
    let resume = async |id: &str| {
        let get = request(&server, Method::GET).header(SESSION, &client.session);
        get.header("last-event-id", id).send().await.unwrap()
    };
    let mut cut = client.post(&call("start", &json!({}))).await;
    let begun = read_until(&mut cut, "\n\n").await;
    let first = event_ids(&begun)[0].to_owned();
    drop(cut);
    // Whether it is answered by now or not: its answer comes, and the stream ends.
    for _ in 0..2 {
        let answer = resume(&first).await.text().await.unwrap();
        assert!(answer.contains("\"id\":1,"), "{answer}");
        assert!(answer.contains("structuredContent"), "{answer}");
        let last = event_ids(&answer).pop().unwrap().to_owned();
        assert_eq!(resume(&last).await.text().await.unwrap(), "");
    }
    // Another call's events are not among them.
    client.message("another").await;
    let answer = resume(&first).await.text().await.unwrap();
    assert!(!answer.contains("submitted"), "{answer}");
    assert_eq!(resume("none/0").await.text().await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_after_the_server_was_started_again() {
    let mut server = Server::fake(&[]);
    let sessions = {
        let (kept, deleted) = (Raw::new(&server).await, Raw::new(&server).await);
        let delete = request(&server, Method::DELETE).header(SESSION, &deleted.session);
        assert_eq!(
            delete.send().await.unwrap().status(),
            StatusCode::NO_CONTENT
        );
        [kept.session, deleted.session]
    };
    server.restart();
    let [kept, deleted] = sessions.map(|session| Raw {
        server: &server,
        session,
    });
    let started = kept.call("start", json!({})).await;
    assert_eq!(started["state"], "idle");
    kept.message("once more").await;
    let gone = deleted.post(&call("start", &json!({}))).await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    for expected in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        let delete = request(&server, Method::DELETE).header(SESSION, &kept.session);
        assert_eq!(delete.send().await.unwrap().status(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_specification_says_of_sessions_versions_and_bodies() {
    let server = Server::fake(&[]);
    let client = Raw::new(&server).await;
    let ping = json!({ "jsonrpc": "2.0", "id": 7, "method": "ping" }).to_string();
    let send = async |session: Option<&str>, version: Option<&str>, body: &str| {
        let mut post = request(&server, Method::POST).body(body.to_owned());
        if let Some(session) = session {
            post = post.header(SESSION, session);
        }
        if let Some(version) = version {
            post = post.header("mcp-protocol-version", version);
        }
        post.send().await.unwrap()
    };
    let own = Some(client.session.as_str());
    for (session, version, expected) in [
        (own, Some("2025-06-18"), StatusCode::OK),
        // A server assumes a version where none is named.
        (own, None, StatusCode::OK),
        (own, Some("1999-01-01"), StatusCode::BAD_REQUEST),
        (
            Some("00000000-0000-4000-8000-000000000000"),
            None,
            StatusCode::NOT_FOUND,
        ),
    ] {
        let answer = send(session, version, &ping).await;
        assert_eq!(answer.status(), expected, "{session:?} {version:?}");
    }
    // Without a session only `initialize` is answered.
    let without = send(None, Some("2025-06-18"), &ping).await;
    assert!(without.status().is_client_error(), "{}", without.status());
    for (method, expected) in [
        (Method::GET, StatusCode::NOT_FOUND),
        (Method::DELETE, StatusCode::NOT_FOUND),
        (Method::PUT, StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let unknown = request(&server, method.clone()).header(SESSION, "unknown");
        assert_eq!(unknown.send().await.unwrap().status(), expected, "{method}");
    }
    // Notifications and responses are accepted without a body.
    let response = json!({ "jsonrpc": "2.0", "id": 99, "result": {} }).to_string();
    let accepted = send(own, None, &response).await;
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    assert_eq!(accepted.text().await.unwrap(), "");
    // A body that is JSON and no message.
    let strange = send(own, None, "{\"a\":1}").await;
    assert!(strange.status().is_client_error(), "{}", strange.status());
    let text = Client::new().post(format!("{}/mcp", server.url));
    let text = text.bearer_auth(TOKEN).header("content-type", "text/plain");
    let text = text.header("accept", "application/json, text/event-stream");
    let text = text.header(SESSION, &client.session).body(ping);
    let status = text.send().await.unwrap().status();
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_before_initialized_does_not_break_the_session() {
    let server = Server::fake(&[]);
    let hasty = Raw::initializing(&server).await;
    // MCP: a client should not; the server may answer or refuse, and does not hang.
    let early = hasty.post(&call("start", &json!({}))).await;
    let early = (early.status(), early.text().await.unwrap());
    assert!(
        early.0.is_success() || early.0.is_client_error(),
        "{early:?}"
    );
    hasty.initialized().await;
    let started = hasty.call("start", json!({})).await;
    assert_eq!(started["state"], "idle", "after {early:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute: 5,000 sessions"]
async fn thousands_of_sessions_that_are_left_cost_little() {
    let server = Server::fake(&[]);
    for _ in 0..600 {
        Raw::new(&server).await;
    }
    let full = resident(server.pid());
    for _ in 0..5000 {
        Raw::new(&server).await;
    }
    let after = resident(server.pid());
    println!("resident: {full} bytes with 512 sessions, {after} after 5,000 more");
    // Memory that was freed is not all returned; a leak of 10 KiB each is more.
    assert!(after < full + (48 << 20), "{full}, then {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_allowed_origins_may_call() {
    let origin = "http://app.example:6274";
    let server = Server::fake(&["--allow-origin", origin]);
    let preflight = Client::new()
        .request(Method::OPTIONS, format!("{}/mcp", server.url))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,mcp-session-id",
        );
    let preflight = preflight.send().await.unwrap();
    assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
    let allowed = &preflight.headers()["access-control-allow-headers"];
    assert_eq!(allowed, "authorization,mcp-session-id");
    let answer = server.get("/status", &[("origin", origin)]).await;
    assert_eq!(answer.headers()["access-control-allow-origin"], origin);
    let exposed = answer.headers()["access-control-expose-headers"]
        .to_str()
        .unwrap();
    assert!(exposed.contains(SESSION), "{exposed}");
    // Without that Origin a response says nothing of it.
    let own = server.get("/status", &[("origin", &server.url)]).await;
    assert!(!own.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_is_cut_off() {
    let server = Server::fake(&[]);
    let address = server.url.strip_prefix("http://").unwrap();
    let mut half = TcpStream::connect(address).unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
        .unwrap();
    let cut = tokio::task::spawn_blocking(move || {
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut half, &mut rest).map(|_| rest)
    });
    let rest = cut.await.unwrap().unwrap();
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
}
