//! A candidate promotes its own image, if the platform says who it is.

use reqwest::Client;
use serde_json::{Value, json};

use crate::{
    fleet::{Fleet, under_both, until},
    platform::{APP, AUDIENCE, Fault, GATE},
};

const NEW: &str = "registry.fly.io/agents@sha256:bbbb";

/// A machine of the gate app that runs the new image, and its socket.
fn candidate(fleet: &mut Fleet, app: &str) -> (String, Client) {
    let id = fleet
        .platform
        .machine(app, "candidate", json!({ "image": NEW, "metadata": {} }));
    fleet
        .platform
        .shared
        .world()
        .machines
        .get_mut(&id)
        .unwrap()
        .state = "started";
    let socket = fleet.platform.socket(&id);
    (id, Client::builder().unix_socket(socket).build().unwrap())
}

async fn token(socket: &Client, asked: Value) -> String {
    let request = socket.post("http://flaps/v1/tokens/oidc").json(&asked);
    request.send().await.unwrap().text().await.unwrap()
}

/// Without any token but that of the candidate.
async fn promote(fleet: &Fleet, token: &str, verdict: Value) -> (u16, Value) {
    let body = json!({ "token": token, "verdict": verdict });
    let request = fleet.bare("POST", "coord", "/promote").json(&body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn passed() -> Value {
    json!({ "passed": true, "digest": "sha256:bbbb", "tiers": [] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_passed_becomes_what_agents_are_made_of() {
    under_both(async |mut fleet| {
        let template = fleet.template();
        let (_, socket) = candidate(&mut fleet, GATE);
        let (running, stopped) = (fleet.stopped("running"), fleet.stopped("stopped"));
        fleet.platform.boot(&running);
        fleet.coordinator(&["--sweep", "1", "--idle-stop", "3600"]);
        let token = token(&socket, json!({ "aud": AUDIENCE })).await;
        let (status, told) = promote(&fleet, &token, passed()).await;
        assert_eq!((status, told["image"].as_str()), (200, Some(NEW)), "{told}");
        assert_eq!(fleet.platform.config(&template)["image"], NEW);
        assert_eq!(fleet.platform.state(&template), "created", "it never runs");
        assert_eq!(fleet.platform.count("create", ""), 1, "one was tried");
        assert_eq!(fleet.platform.machines_of(APP).len(), 3, "and taken away");
        until(|| fleet.platform.config(&stopped)["image"] == NEW).await;
        assert_ne!(
            fleet.platform.config(&running)["image"],
            NEW,
            "it is at work"
        );
        assert_eq!(fleet.platform.state(&running), "started");
        let (status, told) = promote(&fleet, &token, passed()).await;
        assert_eq!(
            (status, told["before"].as_str()),
            (200, Some(NEW)),
            "once is enough"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_come_up_changes_nothing() {
    under_both(async |mut fleet| {
        let template = fleet.template();
        let before = fleet.platform.config(&template);
        let (_, socket) = candidate(&mut fleet, GATE);
        fleet.coordinator(&["--patience", "8"]);
        let token = token(&socket, json!({ "aud": AUDIENCE })).await;
        let full = Fault::Capacity(412, "insufficient resources available");
        for (fault, code) in [
            (Fault::Dies, 502),
            (Fault::Crashes, 502),
            (Fault::Silent, 504),
            (full, 503),
        ] {
            fleet.platform.shared.world().next_faults = vec![fault; 4];
            let (status, told) = promote(&fleet, &token, passed()).await;
            fleet.platform.shared.world().next_faults.clear();
            assert_eq!(status, code, "{fault:?}: {told}");
            assert_eq!(fleet.platform.config(&template), before, "{fault:?}");
            assert_eq!(
                fleet.platform.machines_of(APP).len(),
                1,
                "{fault:?}: nothing is left over"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_platforms_word_counts() {
    under_both(async |mut fleet| {
        let template = fleet.template();
        let before = fleet.platform.config(&template);
        let (id, socket) = candidate(&mut fleet, GATE);
        let (_, agent) = candidate(&mut fleet, APP);
        fleet.coordinator(&[]);
        let good = token(&socket, json!({ "aud": AUDIENCE })).await;
        let mut forged = good.clone();
        let last = forged.pop().unwrap();
        forged.push(if last == 'A' { 'B' } else { 'A' });
        let mut parts = good.split('.');
        let (_, claims) = (parts.next(), parts.next().unwrap());
        let unsigned = format!("eyJhbGciOiJub25lIn0.{claims}.");
        for (token, verdict, expected) in [
            (forged.replace(claims, "e30"), passed(), "does not count"),
            (unsigned, passed(), "does not count"),
            ("no token".to_owned(), passed(), "does not count"),
            (
                token(&socket, json!({ "aud": "https://other" })).await,
                passed(),
                "does not count",
            ),
            (
                token(&socket, json!({ "aud": AUDIENCE, "lifetime": -120 })).await,
                passed(),
                "does not count",
            ),
            (
                token(&agent, json!({ "aud": AUDIENCE })).await,
                passed(),
                "machines of agents promote nothing",
            ),
            (good.clone(), json!({ "passed": false }), "did not pass"),
            (
                good.clone(),
                json!({ "passed": true, "digest": "sha256:cccc" }),
                "about another image",
            ),
        ] {
            let (status, told) = promote(&fleet, &token, verdict).await;
            assert_eq!(status, 403, "{told}");
            assert!(told["error"].as_str().unwrap().contains(expected), "{told}");
        }
        // The machine is gone, or runs something else by now.
        let other = json!("registry.fly.io/agents@sha256:dddd");
        fleet
            .platform
            .shared
            .world()
            .machines
            .get_mut(&id)
            .unwrap()
            .config["image"] = other;
        assert_eq!(promote(&fleet, &good, passed()).await.0, 400);
        fleet.platform.shared.world().machines.remove(&id);
        assert_eq!(promote(&fleet, &good, passed()).await.0, 404);
        assert_eq!(fleet.platform.config(&template), before);
        assert_eq!(fleet.platform.count("create", ""), 0);
    })
    .await;
}
