//! Machines that the platform has lost: each is replaced once, by one that has its
//! changes.

use futures_util::future::join_all;
use reqwest::{Response, redirect::Policy};
use serde_json::{Value, json};

use crate::{
    fleet::{COMMIT, Fleet, TOKEN, under_both},
    mcp::{SESSION, call, initialize, post},
    platform::{APP, Fault},
    reuse::{id, pick},
};

/// The machine of this app that is not this one, nor the template.
fn other(fleet: &Fleet, than: &str) -> String {
    let machines = fleet.platform.machines_of(APP).into_iter();
    let mut others = machines.filter(|(id, name)| id != than && name != "ag-template");
    let (other, _) = others.next().expect("there is another machine");
    assert_eq!(others.next(), None);
    other
}

/// Requests a page without following a redirection.
async fn unfollowed(url: &str, path: &str) -> Response {
    let http = reqwest::Client::builder().redirect(Policy::none());
    let request = http.build().unwrap().get(format!("{url}{path}"));
    request.bearer_auth(TOKEN).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_machine_is_replaced_once_with_its_changes() {
    under_both(async |mut fleet| {
        let url = fleet.coordinator(&[]);
        fleet.coordinator(&[]);
        for (state, name) in [("failed", "task-x"), ("launch_failed", "")] {
            let old = fleet.stopped(state);
            let set_name = |config: &mut Value| config["env"]["AGENT_NAME"] = name.into();
            fleet
                .platform
                .change(&old, |machine| set_name(&mut machine.config));
            let before = fleet.platform.count("create", "");
            fleet.platform.lose(&old, state);
            let answers = join_all((0..20).map(|_| fleet.status_of(&old))).await;
            let new = fleet.platform.config(&old)["metadata"]["replaced-by"].clone();
            let new = new.as_str().unwrap();
            for answer in answers {
                assert_eq!(answer.status(), 200, "{state}");
                assert_eq!(answer.url().query(), Some(&*format!("machine={new}")));
            }
            assert_eq!(fleet.platform.count("create", "") - before, 1, "{state}");
            let config = fleet.platform.config(new);
            assert_eq!(config["metadata"]["replaces"], old.as_str());
            assert_eq!(config["metadata"]["unproven"], "", "it has become ready");
            // What the old one has stored is stored under this name.
            let stored = if name.is_empty() { &old } else { name };
            assert_eq!(config["env"]["AGENT_NAME"], stored);
            let moved = unfollowed(&url, &format!("/?machine={old}")).await;
            assert_eq!(moved.status(), 307);
            assert_eq!(moved.headers()["location"], format!("/?machine={new}"));
            let path = format!("/live?machine={old}&offset=5");
            let gone = unfollowed(&url, &path).await;
            assert_eq!(gone.status(), 410);
            let message = gone.text().await.unwrap();
            assert!(message.contains(&old) && message.contains(new), "{message}");
            // The old one is never started again, even if it is found again.
            fleet.platform.set_state(&old, "stopped");
            assert_eq!(fleet.status_of(&old).await.status(), 200);
            assert_eq!(fleet.platform.state(&old), "stopped");
            fleet.platform.lose(new, "failed");
            let third = fleet.status_of(&old).await;
            assert_eq!(third.status(), 200, "one that worked is replaced, too");
            assert_eq!(fleet.platform.count("create", "") - before, 2);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_machine_is_replaced_where_the_platform_remembers_it() {
    under_both(async |mut fleet| {
        fleet.template();
        fleet.coordinator(&[]);
        let first = pick(&fleet, COMMIT, "rw", "one").await;
        fleet.platform.lose(id(&first), "destroyed");
        let answer = fleet.status_of(id(&first)).await;
        if fleet.platform.remembers() {
            assert_eq!(answer.status(), 200);
            let new = fleet.platform.config(&other(&fleet, id(&first)));
            assert_eq!(new["metadata"]["replaces"], id(&first));
        } else {
            assert_eq!(answer.status(), 410);
            let message = answer.text().await.unwrap();
            assert!(message.contains("ask for its repository"), "{message}");
        }
        // Its task goes on with its changes either way, on one machine.
        let next = pick(&fleet, COMMIT, "rw", "one").await;
        assert_eq!(other(&fleet, id(&first)), id(&next));
        let name = |machine: &Value| machine["config"]["env"]["AGENT_NAME"].clone();
        assert_eq!(name(&next), name(&first));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_was_destroyed_on_request_is_not_replaced() {
    under_both(async |mut fleet| {
        fleet.template();
        fleet.coordinator(&[]);
        let first = pick(&fleet, COMMIT, "rw", "one").await;
        let path = format!("/machines/{}", id(&first));
        let (status, message) = fleet.manage("DELETE", &path, Value::Null).await;
        assert_eq!(status, 200, "{message}");
        let status = fleet.status_of(id(&first)).await.status();
        let remembers = fleet.platform.remembers();
        assert_eq!(status, if remembers { 410 } else { 404 });
        assert_eq!(fleet.platform.count("create", ""), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lost_machine_of_a_task_is_replaced_for_the_task() {
    under_both(async |mut fleet| {
        let template = fleet.template();
        fleet.coordinator(&[]);
        fleet.coordinator(&[]);
        let first = pick(&fleet, COMMIT, "rw", "one").await;
        fleet.platform.lose(id(&first), "failed");
        fleet.platform.change(&template, |machine| {
            machine.config["image"] = "registry.fly.io/agents@sha256:bbbb".into();
        });
        let picked = join_all((0..10).map(|_| pick(&fleet, COMMIT, "rw", "one"))).await;
        let new = other(&fleet, id(&first));
        for machine in &picked {
            assert_eq!(id(machine), new);
            assert_eq!(machine["config"]["metadata"]["task"], "one");
            assert_eq!(
                machine["config"]["env"]["AGENT_NAME"],
                first["config"]["env"]["AGENT_NAME"]
            );
        }
        let image = fleet.platform.image(&new);
        assert_eq!(
            image,
            fleet.platform.image(&template),
            "that of new machines"
        );
        // One whose launch fails, and which the platform then destroys.
        fleet.platform.next_faults(&[Fault::LaunchFails]);
        pick(&fleet, COMMIT, "rw", "two").await;
        assert_eq!(fleet.platform.count("create", ""), 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_fails_too_is_an_error_with_the_way_out() {
    under_both(async |mut fleet| {
        fleet.template();
        fleet.coordinator(&[]);
        let old = fleet.stopped("old");
        fleet.platform.lose(&old, "failed");
        fleet.platform.each_fault(Some(Fault::LaunchFails));
        for _ in 0..2 {
            let path = format!("/machines/{old}/start");
            let (status, message) = fleet.manage("POST", &path, Value::Null).await;
            let message = message["error"].as_str().unwrap();
            assert_eq!(status, 502, "{message}");
            let new = fleet.platform.config(&old)["metadata"]["replaced-by"].clone();
            assert!(message.contains(&old), "{message}");
            assert!(message.contains(new.as_str().unwrap()), "{message}");
            assert!(message.contains("agent machines destroy"), "{message}");
            assert_eq!(fleet.platform.count("create", ""), 1, "one try");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_on_a_lost_machine_is_not_found_and_a_new_one_is_on_the_next() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let old = fleet.stopped("one");
        let path = format!("/mcp?machine={old}");
        let session = initialize(&fleet, &path).await;
        fleet.platform.lose(&old, "failed");
        let body = call(3, "start", &json!({}));
        let lost = post(&fleet, "coord", "/mcp", Some(&session), &body).await;
        assert_eq!(lost.status(), 404, "{}", lost.text().await.unwrap());
        for method in ["GET", "DELETE"] {
            let request = fleet.request(method, "coord", "/mcp");
            let request = request.header("accept", "text/event-stream");
            let answer = request.header(SESSION, &session).send().await.unwrap();
            assert_eq!(answer.status(), 404, "{method}");
        }
        assert_eq!(fleet.platform.count("create", ""), 0);
        let session = initialize(&fleet, &path).await;
        let new = other(&fleet, &old);
        assert!(session.starts_with(&format!("{new}.")), "{session} {new}");
    })
    .await;
}
