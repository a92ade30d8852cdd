//! A request for a stopped machine: it is started once, and all are served.

use futures_util::future::join_all;
use serde_json::Value;

use crate::{
    fleet::{Fleet, config, under_both, until},
    platform::APP,
};

async fn fifty_ask(fleet: &Fleet, id: &str) {
    let answers = join_all((0..50).map(|_| fleet.asked(id))).await;
    for answer in answers {
        assert_eq!(answer.status(), 200);
        let told: Value = answer.json().await.unwrap();
        assert_eq!(told["state"], "none", "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_ask_at_once_and_it_is_started_once() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        fifty_ask(&fleet, &id).await;
        assert_eq!(fleet.platform.count("start", &id), 1);
        assert_eq!(
            fleet.platform.count("proxy start", ""),
            0,
            "the coordinator wakes, not the proxy"
        );
        fifty_ask(&fleet, &id).await;
        assert_eq!(fleet.platform.count("start", &id), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_coordinators_start_it_once() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        fifty_ask(&fleet, &id).await;
        assert_eq!(fleet.platform.count("start", &id), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_stopped_behind_our_back_is_woken_again() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        assert_eq!(fleet.asked(&id).await.status(), 200);
        // It is believed to be ready; the replay fails, and comes back to us.
        let process = fleet.platform.with(&id, |machine| {
            machine.state = "stopped";
            machine.process.take()
        });
        let mut process = process.unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        let answer = fleet.asked(&id).await;
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        assert_eq!(fleet.platform.count("start", &id), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn states_between_are_waited_out() {
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
            let (answer, ()) = tokio::join!(fleet.asked(&id), async {
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                fleet.platform.set_state(&id, then);
            });
            assert_eq!(answer.status(), 200, "{state}");
            assert_eq!(fleet.platform.count("start", &id), 1, "{state}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_proxy_the_answer_says_what_it_is() {
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
        let replay = answer.headers()["fly-replay"].to_str().unwrap();
        let expected = format!("app=agents;instance={id};timeout=10s;fallback=force_self;state=ey");
        assert!(replay.starts_with(&expected), "{replay}");
        assert!(answer.text().await.unwrap().contains("no such proxy"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_large_or_of_unknown_length_is_passed_on() {
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
        let large = post(fleet.ask("POST", "coord", &path)).body(message.to_string());
        let large = large.send().await.unwrap();
        // The agent's own answer: there is no session in it.
        assert!(
            large.status().is_client_error() && large.status() != 409,
            "{}",
            large.status()
        );
        let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>("{"), Ok("}")]);
        let unknown = post(fleet.ask("POST", "coord", &path));
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
async fn only_those_with_the_token_wake_anything() {
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
async fn an_agent_that_ended_itself_is_woken_again() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let mut config = config();
        config["env"]["AGENT_IDLE_EXIT"] = "1".into();
        let id = fleet.platform.machine(APP, "idle", config);
        for times in 1..=2 {
            assert_eq!(fleet.asked(&id).await.status(), 200);
            assert_eq!(fleet.platform.count("start", &id), times);
            until(|| fleet.platform.state(&id) == "stopped").await;
        }
        assert_eq!(fleet.platform.count("stop", &id), 0, "it did so by itself");
    })
    .await;
}
