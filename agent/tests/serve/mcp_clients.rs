//! MCP clients as they come: with one id for all calls, silent, half done, in a
//! page of another origin.

use std::{fs, io::Write, net::TcpStream};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::harness::{Server, TOKEN};

const SESSION: &str = "mcp-session-id";

/// A client without an SDK.
struct Raw<'a> {
    server: &'a Server,
    session: String,
}

impl<'a> Raw<'a> {
    async fn new(server: &'a Server) -> Self {
        let initialize = json!({
            "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-06-18", "capabilities": {},
                "clientInfo": { "name": "raw", "version": "1" },
            },
        });
        let answer = request(server, Method::POST);
        let answer = answer.body(initialize.to_string()).send().await.unwrap();
        let session = answer.headers()[SESSION].to_str().unwrap().to_owned();
        let raw = Self { server, session };
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let answer = raw.post(&initialized.to_string()).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        raw
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
