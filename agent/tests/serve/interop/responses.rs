//! A scripted Responses API on loopback, so that a real codex works offline.
//!
//! It answers each message with `done`. `edit FILE TEXT` becomes a command that
//! writes the file; `team A B` becomes two sub-agents that each write the file
//! of their name; `call TOOL {…}` calls a tool of an MCP server named agent.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Who has asked, and the last thing they said.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

pub(super) struct Model {
    pub(super) port: u16,
    asked: Asked,
}

impl Model {
    pub(super) async fn new() -> Self {
        let asked = Asked::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new()
            .route("/v1/responses", post(respond))
            .route("/v1/models", get(async || Json(json!({ "models": [] }))))
            // A message may have a million characters, and all of them come again.
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&asked));
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { port, asked }
    }

    /// Who has asked so far: `/root`, `/root/a`.
    pub(super) fn askers(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(name, _)| name.clone()).collect()
    }

    /// What a tool has answered, to the call of this name.
    pub(super) fn answer_to(&self, call: &str) -> Option<String> {
        let asked = self.asked.lock().unwrap();
        let mut items = asked.iter().map(|(_, item)| item);
        let found = items.find(|item| item["call_id"] == call)?;
        Some(found["output"].to_string())
    }
}

async fn respond(
    State(asked): State<Asked>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let metadata = headers.get("x-codex-turn-metadata");
    let metadata = metadata.and_then(|value| serde_json::from_slice(value.as_bytes()).ok());
    let metadata: Value = metadata.unwrap_or_default();
    let last = body["input"].as_array().and_then(|items| items.last());
    let last = last.cloned().unwrap_or_default();
    // Codex asks for a title of its own accord.
    let items = if metadata["thread_source"] == "thread_title" {
        vec![message("title")]
    } else {
        let agent = metadata["agent_name"]
            .as_str()
            .unwrap_or("/root")
            .to_owned();
        let items = reply(&agent, &last, body["tools"].is_array());
        asked.lock().unwrap().push((agent, last));
        items
    };
    let mut stream = event("response.created", json!({ "response": { "id": "r" } }));
    for (index, item) in items.iter().enumerate() {
        let fields = json!({ "output_index": index, "item": item });
        stream += &event("response.output_item.added", fields.clone());
        stream += &event("response.output_item.done", fields);
    }
    let usage = json!({ "input_tokens": 1, "output_tokens": 1, "total_tokens": 2 });
    let response = json!({ "response": { "id": "r", "usage": usage } });
    stream += &event("response.completed", response);
    ([(header::CONTENT_TYPE, "text/event-stream")], stream).into_response()
}

fn event(kind: &str, mut data: Value) -> String {
    data["type"] = kind.into();
    format!("event: {kind}\ndata: {data}\n\n")
}

/// What the model does next. Newer models have no list of tools, but run
/// scripts that call them.
fn reply(agent: &str, last: &Value, classic: bool) -> Vec<Value> {
    if let Some(task) = agent.strip_prefix("/root/") {
        let is_done = last["type"] == "custom_tool_call_output";
        let write = || write(task, "by a sub-agent", classic);
        return vec![if is_done { message("done") } else { write() }];
    }
    let parts = last["content"]
        .as_array()
        .filter(|_| last["role"] == "user");
    let texts = parts.into_iter().flatten();
    let text: String = texts.filter_map(|part| part["text"].as_str()).collect();
    let words: Vec<_> = text.trim().splitn(3, ' ').collect();
    match words.as_slice() {
        ["edit", name, text] => vec![write(name, text, classic)],
        ["team", first, second] => {
            let mut items = vec![spawn(first), spawn(second)];
            items.push(function(
                "wait_agent",
                "collaboration",
                &json!({ "timeout_ms": 1000 }),
            ));
            items
        }
        ["call", tool, arguments] => {
            let arguments = serde_json::from_str(arguments).unwrap();
            vec![function(tool, "mcp__agent", &arguments)]
        }
        _ => vec![message("done")],
    }
}

fn message(text: &str) -> Value {
    let content = json!([{ "type": "output_text", "text": text, "annotations": [] }]);
    json!({ "type": "message", "id": "m", "role": "assistant", "content": content })
}

fn function(name: &str, namespace: &str, arguments: &Value) -> Value {
    json!({
        "type": "function_call", "id": format!("f-{name}"), "call_id": format!("call-{name}"),
        "name": name, "namespace": namespace, "arguments": arguments.to_string(),
    })
}

fn spawn(task: &str) -> Value {
    let arguments = json!({ "task_name": task, "message": "work", "fork_turns": "none" });
    let mut call = function("spawn_agent", "collaboration", &arguments);
    call["call_id"] = format!("call-{task}").into();
    call
}

fn write(name: &str, text: &str, classic: bool) -> Value {
    let command = json!({ "cmd": format!("printf %s '{text}' > '{name}'") });
    if classic {
        let mut call = function("exec_command", "", &command);
        call.as_object_mut().unwrap().remove("namespace");
        return call;
    }
    json!({
        "type": "custom_tool_call", "id": "c", "call_id": format!("call-{name}"),
        "name": "exec", "namespace": "functions",
        "input": format!("const r = await tools.exec_command({command}); text(r)"),
    })
}
