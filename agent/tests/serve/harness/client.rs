//! Clients of the server: HTTP and MCP.

use std::time::Instant;

use reqwest::{Client, RequestBuilder, Response};
use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResult, ReadResourceRequestParams},
    service::RunningService,
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use super::{DEADLINE, Server, TOKEN};

/// An MCP client of a server.
pub(crate) struct Mcp(RunningService<RoleClient, ()>);

impl Mcp {
    /// Calls a tool, whose answer may be an error.
    pub(crate) async fn call(&self, tool: &'static str, arguments: Value) -> CallToolResult {
        let arguments = arguments.as_object().unwrap().clone();
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        self.0.call_tool(call).await.unwrap()
    }

    pub(crate) async fn start(&self) -> Value {
        succeeded(self.call("start", json!({})).await)
    }

    pub(crate) async fn message(&self, text: &str) -> Value {
        succeeded(self.call("message", json!({ "text": text })).await)
    }

    pub(crate) async fn tools(&self) -> Vec<String> {
        let tools = self.0.list_all_tools().await.unwrap();
        tools.into_iter().map(|tool| tool.name.into()).collect()
    }

    pub(crate) async fn resource(&self, uri: &str) -> String {
        let read = self.0.read_resource(ReadResourceRequestParams::new(uri));
        serde_json::to_string(&read.await.unwrap()).unwrap()
    }
}

/// The answer of a tool, which must not be an error.
#[track_caller]
fn succeeded(answer: CallToolResult) -> Value {
    assert_ne!(answer.is_error, Some(true), "{}", text_of(&answer));
    answer.structured_content.unwrap()
}

/// The text in the answer of a tool.
pub(crate) fn text_of(answer: &CallToolResult) -> String {
    let texts = answer.content.iter().filter_map(|block| block.as_text());
    texts.map(|text| text.text.as_str()).collect()
}

/// An MCP client all of whose calls have the id 1.
pub(crate) struct OneId {
    url: String,
    session: String,
}

impl OneId {
    pub(crate) async fn message(&self, text: &str) -> Value {
        let call = json!({ "name": "message", "arguments": { "text": text } });
        let (_, answer) = ask(&self.url, Some(&self.session), "tools/call", call).await;
        answer["result"].clone()
    }
}

/// Posts a request, and returns the session and the answer.
async fn ask(url: &str, session: Option<&str>, method: &str, params: Value) -> (String, Value) {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let mut request = Client::new().post(url).bearer_auth(TOKEN).json(&body);
    request = request.header("accept", "application/json, text/event-stream");
    if let Some(session) = session {
        request = request.header("mcp-session-id", session);
        request = request.header("mcp-protocol-version", "2025-11-25");
    }
    let response = request.send().await.unwrap();
    let given = response.headers().get("mcp-session-id");
    let given = given.map_or_else(String::new, |id| id.to_str().unwrap().to_owned());
    let body = response.text().await.unwrap();
    let lines = body.lines().map(|line| line.trim_start_matches("data: "));
    let mut objects = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let answer = objects.find(|object| object["id"] == 1);
    (given, answer.unwrap_or_else(|| panic!("{method}: {body}")))
}

impl Server {
    pub(crate) async fn one_id(&self) -> OneId {
        let url = format!("{}/mcp", self.url);
        let client = json!({ "name": "test", "version": "1" });
        let hello =
            json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
        let (session, _) = ask(&url, None, "initialize", hello).await;
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let request = Client::new().post(&url).bearer_auth(TOKEN).json(&ready);
        let request = request.header("accept", "application/json, text/event-stream");
        let request = request.header("mcp-session-id", &session);
        assert!(request.send().await.unwrap().status().is_success());
        OneId { url, session }
    }

    pub(crate) async fn mcp(&self) -> Mcp {
        let config = StreamableHttpClientTransportConfig::with_uri(format!("{}/mcp", self.url));
        let transport = StreamableHttpClientTransport::from_config(config.auth_header(TOKEN));
        Mcp(().serve(transport).await.unwrap())
    }

    pub(crate) fn request(&self, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.url);
        Client::new().get(url).bearer_auth(TOKEN)
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let request = headers
            .iter()
            .fold(self.request(path), |request, (name, value)| {
                request.header(*name, *value)
            });
        request.send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.url);
        let answer = Client::new().post(url).bearer_auth(TOKEN).send().await;
        serde_json::from_slice(&answer.unwrap().bytes().await.unwrap()).unwrap()
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        self.get(path, &[]).await.text().await.unwrap()
    }

    pub(crate) async fn status(&self) -> Value {
        serde_json::from_str(&self.text("/status").await).unwrap()
    }

    /// Waits until the screen shows a text.
    pub(crate) async fn shows(&self, text: &str) {
        self.answers("/screen", text).await;
    }

    /// Waits until codex is in this state.
    pub(crate) async fn is(&self, state: &str) {
        self.answers("/status", &format!("\"state\":\"{state}\""))
            .await;
    }

    /// Waits until the body at this path contains a text.
    pub(crate) async fn answers(&self, path: &str, text: &str) {
        let began = Instant::now();
        loop {
            let body = self.text(path).await;
            if body.contains(text) {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "no {text} at {path}: {body}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}
