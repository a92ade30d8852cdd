//! MCP through the coordinator: a session id names its machine, and a repeated call
//! is executed once.

use agent::token::GrantKey;
use reqwest::Response;
use serde_json::{Value, json};

use crate::{
    fleet::{COMMIT, Fleet, under_both},
    platform::APP,
};

pub(crate) const SESSION: &str = "mcp-session-id";

pub(crate) async fn post(
    fleet: &Fleet,
    app: &str,
    path: &str,
    session: Option<&str>,
    body: &Value,
) -> Response {
    let request = fleet.request("POST", app, path).json(body);
    let request = request.header("accept", "application/json, text/event-stream");
    let request = match session {
        Some(session) => request.header(SESSION, session),
        None => request,
    };
    request.send().await.unwrap()
}

pub(crate) async fn initialize(fleet: &Fleet, path: &str) -> String {
    let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" } } });
    let answer = post(fleet, "coord", path, None, &body).await;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let message = answer.text().await.unwrap();
    assert_eq!(status, 200, "{message}");
    let session = headers[SESSION].to_str().unwrap().to_owned();
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let answer = post(fleet, "coord", "/mcp", Some(&session), &ready).await;
    assert_eq!(answer.status(), 202);
    session
}

pub(crate) fn call(id: u32, tool: &str, arguments: &Value) -> Value {
    let params = json!({ "name": tool, "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
}

/// The result of a tool call, which is JSON or one event.
async fn called(answer: Response) -> Value {
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    let lines = text
        .lines()
        .map(|line| line.strip_prefix("data: ").unwrap_or(line));
    let mut read = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    read.find(|message| !message["result"].is_null())
        .unwrap_or_else(|| panic!("{text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_id_begins_with_its_machine_which_it_is_routed_by() {
    under_both(async |mut fleet| {
        fleet.template();
        fleet.coordinator(&[]);
        fleet.coordinator(&[]);
        let path = |task| format!("/mcp?repository=org/x&commit={COMMIT}&mode=rw&task={task}");
        let (one, two) = (
            initialize(&fleet, &path("one")).await,
            initialize(&fleet, &path("two")).await,
        );
        let machine = |session: &str| session.split_once('.').unwrap().0.to_owned();
        assert_ne!(machine(&one), machine(&two));
        assert_eq!(fleet.platform.state(&machine(&one)), "started");
        for session in [&one, &two] {
            let started = post(
                &fleet,
                "coord",
                "/mcp",
                Some(session),
                &call(1, "start", &json!({})),
            )
            .await;
            assert_eq!(
                called(started).await["result"]["structuredContent"]["state"],
                "idle"
            );
            let text = json!({ "text": format!("edit made by {session}") });
            let sent = post(
                &fleet,
                "coord",
                "/mcp",
                Some(session),
                &call(2, "message", &text),
            )
            .await;
            assert_eq!(
                called(sent).await["result"]["structuredContent"]["submitted"],
                true
            );
        }
        // The same task is the same machine, by another session.
        let again = initialize(&fleet, &path("one")).await;
        assert_eq!(machine(&again), machine(&one));
        assert_ne!(again, one);
        assert_eq!(fleet.platform.count("create", ""), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_machine_is_not_found() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let (one, two) = (fleet.stopped("one"), fleet.stopped("two"));
        let session = initialize(&fleet, &format!("/mcp?machine={one}")).await;
        for strange in [&session.replace(&one, &two), "unknown", "", "A.b", ".x"] {
            let body = call(3, "start", &json!({}));
            let refused = post(&fleet, "coord", "/mcp", Some(strange), &body).await;
            assert_eq!(refused.status(), 404, "{strange}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_may_be_made_again_with_the_same_id() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        let session = initialize(&fleet, &format!("/mcp?machine={id}")).await;
        let send = async |body: &Value| {
            called(post(&fleet, "coord", "/mcp", Some(&session), body).await).await
        };
        send(&call(1, "start", &json!({}))).await;
        // The same bytes, and then another id.
        for number in [1, 1, 2] {
            let message = call(number, "message", &json!({ "text": "again" }));
            let answer = send(&message).await;
            assert_eq!(answer["id"], number);
            assert_eq!(answer["result"]["structuredContent"]["submitted"], true);
        }
        send(&call(1, "message", &json!({ "text": "the last" }))).await;
        // The agent types in order: when the last text is done, the others are.
        let output = shows(&fleet, &id, "did <the last>").await;
        assert_eq!(output.matches("did <again>").count(), 3, "{output}");
    })
    .await;
}

/// Follows a machine's output until it has this text; all of it.
async fn shows(fleet: &Fleet, id: &str, text: &str) -> String {
    let mut answer = fleet.get(&format!("/live?follow=1&machine={id}")).await;
    let mut output = Vec::new();
    while let Some(piece) = answer.chunk().await.unwrap() {
        output.extend_from_slice(&piece);
        let shown = String::from_utf8_lossy(&output);
        if shown.contains(text) {
            return shown.into_owned();
        }
    }
    panic!(
        "the output ends without {text}: {}",
        String::from_utf8_lossy(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_and_its_stream_start_no_machine() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        let session = initialize(&fleet, &format!("/mcp?machine={id}")).await;
        let (status, message) = fleet
            .manage("POST", &format!("/machines/{id}/stop"), Value::Null)
            .await;
        assert_eq!(status, 200, "{message}");
        for (method, expected) in [("GET", 405), ("DELETE", 404)] {
            let request = fleet
                .request(method, "coord", "/mcp")
                .header(SESSION, &session);
            let answer = request
                .header("accept", "text/event-stream")
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), expected, "{method}");
        }
        assert_eq!(fleet.platform.state(&id), "stopped");
        // A message starts it, and the session goes on.
        let body = call(9, "start", &json!({}));
        let answer = post(&fleet, "coord", "/mcp", Some(&session), &body).await;
        let answer = called(answer).await;
        assert_eq!(answer["result"]["structuredContent"]["state"], "idle");
        assert_eq!(fleet.platform.state(&id), "started");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_stops_no_work_and_its_stop_ends_no_session() {
    under_both(async |mut fleet| {
        fleet.coordinator(&["--sweep", "1", "--idle-stop", "2"]);
        let id = fleet.stopped("one");
        let path = format!("/mcp?machine={id}");
        let session = initialize(&fleet, &path).await;
        let open = fleet.request("GET", "coord", "/mcp");
        let open = open.header("accept", "text/event-stream");
        let mut stream = open.header(SESSION, &session).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        let send = async |number, tool, arguments: Value| {
            let body = call(number, tool, &arguments);
            called(post(&fleet, "coord", "/mcp", Some(&session), &body).await).await
        };
        send(1, "start", json!({})).await;
        send(2, "message", json!({ "text": "work 600" })).await;
        fleet.wait_for_state(&id, "working").await;
        // Later sweeps have stopped a machine that nobody needs.
        for nth in 0..2 {
            let other = fleet.stopped(&format!("idle-{nth}"));
            fleet.platform.boot(&other);
            fleet
                .until(|| fleet.platform.state(&other) == "stopped")
                .await;
        }
        assert_eq!(fleet.platform.state(&id), "started");
        // A silent stream alone keeps no machine running.
        fleet.interrupt(&id).await;
        fleet.until(|| fleet.platform.state(&id) == "stopped").await;
        while let Ok(Some(_)) = stream.chunk().await {}
        let started = send(3, "start", json!({})).await;
        assert_eq!(started["id"], 3);
        let state = &started["result"]["structuredContent"]["state"];
        assert_eq!(state, "idle", "the same session after stop and wake");
        let again = fleet.request("GET", "coord", "/mcp");
        let again = again.header("accept", "text/event-stream");
        let stream = again.header(SESSION, &session).send().await.unwrap();
        assert_eq!(stream.status(), 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_accept_replayed_requests_by_a_valid_grant_only() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        assert_eq!(fleet.status_of(&id).await.status(), 200);
        // Directly to the app, without its token, and with a forged grant.
        let bare = |state: &str| {
            let request = fleet.request_without_token("GET", APP, "/status");
            request.header("fly-replay-src", format!("instance=x;state={state}"))
        };
        for state in ["", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."] {
            let answer = bare(state).send().await.unwrap();
            assert_eq!(answer.status(), 401);
        }
        // Past the proxy, which takes grants of a caller's own out.
        let bare = |grant: &str| {
            let request = reqwest::Client::new().get(fleet.own_url(&id) + "/status");
            request.header("fly-replay-src", format!("instance=x;state={grant}"))
        };
        // What the coordinator signs for one machine opens no other, nor another task.
        let key = GrantKey::from_pem(include_str!("../keys/grant.pem")).unwrap();
        for (machine, task, status, reason) in [
            (id.as_str(), "", 200, ""),
            ("another", "", 401, "for another machine"),
            (&id, "task-1", 401, "for another task"),
        ] {
            let answer = bare(&key.grant(machine, task)).send().await.unwrap();
            assert_eq!(answer.status(), status, "{machine} {task}");
            let message = answer.text().await.unwrap();
            assert!(message.contains(reason), "{message}");
        }
        // A grant of the last release.
        let old = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ4In0.AAAA";
        let message = bare(old).send().await.unwrap().text().await.unwrap();
        assert!(message.contains("update the coordinator"), "{message}");
    })
    .await;
}
