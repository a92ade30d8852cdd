//! Requests for stopped machines: a machine is started once, and all are answered.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    fleet::{Fleet, config, under_both},
    platform::APP,
};

async fn fifty_requests(fleet: &Fleet, id: &str) {
    let answers = join_all((0..50).map(|_| fleet.status_of(id))).await;
    for answer in answers {
        assert_eq!(answer.status(), 200);
        let message: Value = answer.json().await.unwrap();
        assert_eq!(message["state"], "none", "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_start_a_machine_once() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        fifty_requests(&fleet, &id).await;
        assert_eq!(fleet.platform.count("start", &id), 1);
        assert_eq!(
            fleet.platform.count("proxy start", ""),
            0,
            "the coordinator starts it, not the proxy"
        );
        fifty_requests(&fleet, &id).await;
        assert_eq!(fleet.platform.count("start", &id), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_coordinators_start_a_machine_once() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        fifty_requests(&fleet, &id).await;
        assert_eq!(fleet.platform.count("start", &id), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_was_cached_as_ready_and_stopped_is_started_again() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        assert_eq!(fleet.status_of(&id).await.status(), 200);
        // It is cached as ready; the replay fails, and returns to the coordinator.
        let process = fleet.platform.change(&id, |machine| {
            machine.state = "stopped";
            machine.process.take()
        });
        let mut process = process.unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        let answer = fleet.status_of(&id).await;
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        assert_eq!(fleet.platform.count("start", &id), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transitional_states_are_waited_for() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        for state in ["stopping", "suspending"] {
            let id = fleet.stopped(state);
            let then = if state == "stopping" {
                "stopped"
            } else {
                "suspended"
            };
            fleet.platform.set_state(&id, state);
            let (answer, ()) = tokio::join!(fleet.status_of(&id), async {
                // The coordinator has seen the state, and is about to wait or waits.
                fleet.until(|| fleet.platform.count("get", &id) > 0).await;
                fleet.platform.set_state(&id, then);
            });
            assert_eq!(answer.status(), 200, "{state}");
            assert_eq!(fleet.platform.count("start", &id), 1, "{state}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_proxy_the_response_explains_itself() {
    under_both(async |mut fleet| {
        let url = fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        let request = reqwest::Client::new().get(format!("{url}/live?machine={id}"));
        let answer = request
            .bearer_auth(crate::fleet::TOKEN)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 409);
        let warning = answer.headers()["warning"].to_str().unwrap();
        assert!(warning.contains("no such proxy"), "{warning}");
        let replay: Value = answer.json().await.unwrap();
        for (name, value) in [
            ("app", APP),
            ("instance", &id),
            ("timeout", "10s"),
            ("fallback", "force_self"),
        ] {
            assert_eq!(replay[name], value, "{replay}");
        }
        assert!(
            replay["state"].as_str().unwrap().starts_with("ey"),
            "{replay}"
        );
        let deleted = &replay["transform"]["delete_headers"];
        assert_eq!(*deleted, json!(["authorization", "cookie"]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_and_those_of_unknown_length_are_forwarded() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        let path = format!("/mcp?machine={id}");
        let mut message = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
        message["params"]["_meta"]["filler"] = "x".repeat(2_000_000).into();
        let post = |request: reqwest::RequestBuilder| {
            request
                .header("content-type", "application/json")
                .header("accept", "application/json, text/event-stream")
        };
        let large = post(fleet.request("POST", "coord", &path)).body(message.to_string());
        let large = large.send().await.unwrap();
        // The agent's own answer: the request has no session.
        assert!(
            large.status().is_client_error() && large.status() != 409,
            "{}",
            large.status()
        );
        let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>("{"), Ok("}")]);
        let unknown = post(fleet.request("POST", "coord", &path));
        let unknown = unknown
            .body(reqwest::Body::wrap_stream(pieces))
            .send()
            .await
            .unwrap();
        assert!(
            unknown.status().is_client_error() && unknown.status() != 409,
            "{}",
            unknown.status()
        );
        assert_eq!(fleet.platform.count("start", &id), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_the_token_start_no_machine() {
    under_both(async |mut fleet| {
        let url = fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        let http = reqwest::Client::new();
        for path in [
            format!("/status?machine={id}"),
            format!("/machines/{id}"),
            "/machines".into(),
        ] {
            for token in ["", "0123456789abcdef-toke", "0123456789abcdef-tokem"] {
                let request = http.get(format!("{url}{path}")).bearer_auth(token);
                assert_eq!(request.send().await.unwrap().status(), 401, "{path}");
            }
            let foreign = http
                .get(format!("{url}{path}"))
                .bearer_auth(crate::fleet::TOKEN);
            let foreign = foreign.header("host", "evil.example").send().await.unwrap();
            assert_eq!(foreign.status(), 403, "{path}");
        }
        assert_eq!(fleet.platform.state(&id), "stopped");
        assert_eq!(
            http.get(format!("{url}/healthz"))
                .send()
                .await
                .unwrap()
                .status(),
            200
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_ended_by_itself_is_started_again() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let mut config = config();
        // Long enough that a busy machine answers before it ends.
        config["env"]["AGENT_IDLE_EXIT"] = "5".into();
        let id = fleet.platform.machine(APP, "idle", config);
        for times in 1..=2 {
            assert_eq!(fleet.status_of(&id).await.status(), 200);
            assert_eq!(fleet.platform.count("start", &id), times);
            fleet.until(|| fleet.platform.state(&id) == "stopped").await;
        }
        assert_eq!(fleet.platform.count("stop", &id), 0, "it ended by itself");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_home_page_lists_the_machines_and_starts_none() {
    under_both(async |mut fleet| {
        let url = fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        let answer = fleet.get("/").await;
        assert_eq!(answer.status(), 200);
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        let page = answer.text().await.unwrap();
        assert!(page.contains(&format!("href=\"?machine={id}\"")), "{page}");
        assert_eq!(fleet.platform.state(&id), "stopped");
        let bare = reqwest::get(format!("{url}/")).await.unwrap();
        assert_eq!(bare.status(), 401);
        // A browser, which has the token as a password, gets pages of the coordinator's.
        let browser = |path: &str| {
            let request = reqwest::Client::new().get(format!("{url}{path}?machine={id}"));
            request.basic_auth("me", Some(crate::fleet::TOKEN)).send()
        };
        for path in ["/terminal", "/live/view", "/"] {
            let page = browser(path).await.unwrap();
            assert_eq!(page.status(), 200, "{path}");
            assert!(page.headers().contains_key("set-cookie"), "{path}");
            let text = page.text().await.unwrap();
            assert!(text.contains(&format!("machine={id}")), "{text}");
            assert_eq!(
                fleet.platform.state(&id),
                "stopped",
                "a page starts nothing"
            );
        }
        // A program gets the agent's.
        for path in ["/", "/assets/terminal.js"] {
            let request = reqwest::Client::new().get(format!("{url}{path}?machine={id}"));
            let answer = request
                .bearer_auth(crate::fleet::TOKEN)
                .send()
                .await
                .unwrap();
            let replay: Value = answer.json().await.unwrap();
            assert_eq!(replay["instance"], id.as_str(), "{replay}");
        }
        // What is an agent's comes by the coordinator, in a sandbox.
        let status = browser("/status").await.unwrap();
        assert_eq!(status.status(), 200);
        let policy = status.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(policy.starts_with("sandbox;"), "{policy}");
        for name in ["set-cookie", "fly-replay"] {
            assert!(!status.headers().contains_key(name), "{name}");
        }
    })
    .await;
}
