//! Which machine a task gets: one machine for a task, a free one before a new one.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    fleet::{COMMIT, Fleet, TOKEN, under_both},
    mcp::post,
    platform::{APP, Fault},
};

const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba98";

pub(crate) async fn pick(fleet: &Fleet, commit: &str, mode: &str, task: &str) -> Value {
    let spec = json!({ "repository": "org/x", "commit": commit, "mode": mode, "task": task });
    let (status, machine) = fleet.manage("POST", "/machines", spec).await;
    assert_eq!(status, 200, "{machine}");
    machine
}

pub(crate) fn id(machine: &Value) -> &str {
    machine["id"].as_str().unwrap()
}

pub(crate) async fn release(fleet: &Fleet, machine: &Value) {
    let path = format!("/machines/{}/release", id(machine));
    let (status, message) = fleet.manage("POST", &path, Value::Null).await;
    assert_eq!(status, 200, "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_machine_is_assigned_before_a_new_one_is_created() {
    under_both(async |mut fleet| {
        fleet.template();
        fleet.coordinator(&[]);
        let first = pick(&fleet, COMMIT, "ro", "one").await;
        assert_eq!(first["config"]["env"]["REPO"], "org/x");
        assert_eq!(first["config"]["env"]["BASE"], COMMIT);
        assert_eq!(first["config"]["env"]["MODE"], "ro");
        assert_eq!(
            first["config"]["rootfs"]["persist"], "restart",
            "the template's, unchanged"
        );
        // It is not free: another task gets another one.
        let second = pick(&fleet, COMMIT, "ro", "two").await;
        assert_ne!(id(&first), id(&second));
        release(&fleet, &first).await;
        assert_eq!(fleet.platform.state(id(&first)), "stopped");
        for (commit, mode) in [(OTHER, "ro"), (COMMIT, "rw")] {
            let machine = pick(&fleet, commit, mode, "three").await;
            assert_ne!(id(&machine), id(&first), "another commit, another mode");
        }
        let third = pick(&fleet, COMMIT, "ro", "three").await;
        assert_eq!(id(&third), id(&first));
        assert_eq!(fleet.platform.count("create", ""), 4);
        assert_ne!(
            third["config"]["env"]["AGENT_NAME"], first["config"]["env"]["AGENT_NAME"],
            "it begins anew, under the name of its task"
        );
        // The name for its first task is taken; that task gets another machine.
        let again = pick(&fleet, COMMIT, "ro", "one").await;
        assert_ne!(id(&again), id(&first));
        assert_eq!(id(&pick(&fleet, COMMIT, "ro", "one").await), id(&again));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_read_write_machine_is_stopped() {
    under_both(async |mut fleet| {
        fleet.template();
        fleet.coordinator(&[]);
        let first = pick(&fleet, COMMIT, "rw", "one").await;
        let name = first["config"]["env"]["AGENT_NAME"].clone();
        assert!(name.as_str().unwrap().starts_with("task-"), "{name}");
        release(&fleet, &first).await;
        assert_eq!(fleet.platform.state(id(&first)), "stopped");
        let free = fleet.platform.config(id(&first));
        assert!(free["env"]["AGENT_NAME"].is_null(), "{free}");
        // The changes of the first task are not the second one's.
        let second = pick(&fleet, COMMIT, "rw", "two").await;
        assert_eq!(id(&second), id(&first));
        assert_ne!(second["config"]["env"]["AGENT_NAME"], name);
        // They are the first one's still, on whichever machine.
        let again = pick(&fleet, COMMIT, "rw", "one").await;
        assert_ne!(id(&again), id(&first));
        assert_eq!(again["config"]["env"]["AGENT_NAME"], name);
        assert_eq!(fleet.platform.count("start", id(&first)), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_for_one_task_create_one_machine() {
    under_both(async |mut fleet| {
        fleet.template();
        fleet.coordinator(&[]);
        fleet.coordinator(&[]);
        let picked = join_all((0..20).map(|_| pick(&fleet, COMMIT, "rw", "same")));
        let mut ids: Vec<_> = picked
            .await
            .iter()
            .map(|machine| id(machine).to_owned())
            .collect();
        ids.dedup();
        assert_eq!(ids.len(), 1);
        assert_eq!(fleet.platform.count("create", ""), 1);
        assert_eq!(
            fleet.platform.machines_of(APP).len(),
            2,
            "one, and the template"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_tasks_get_one_machine_each_and_a_free_one_once() {
    under_both(async |mut fleet| {
        fleet.template();
        fleet.coordinator(&[]);
        fleet.coordinator(&[]);
        let first = pick(&fleet, COMMIT, "ro", "zero").await;
        release(&fleet, &first).await;
        let tasks: Vec<_> = (0..3).map(|nth| format!("task-{nth}")).collect();
        let picked = join_all(tasks.iter().map(|task| pick(&fleet, COMMIT, "ro", task))).await;
        let mut ids: Vec<_> = picked.iter().map(id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 3);
        assert!(ids.contains(&id(&first)));
        assert_eq!(fleet.platform.count("create", ""), 3);
    })
    .await;
}

/// [`pick`] at one coordinator, past the proxy.
async fn pick_at(url: &str, task: &str) -> String {
    let spec = json!({ "repository": "org/x", "commit": COMMIT, "mode": "ro", "task": task });
    let request = reqwest::Client::new().post(format!("{url}/machines"));
    let answer = request.bearer_auth(TOKEN).json(&spec).send().await;
    let message: Value = answer.unwrap().json().await.unwrap();
    id(&message).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_during_a_creation_does_not_give_a_task_two_machines() {
    under_both(async |mut fleet| {
        fleet.template();
        let (one, two) = (fleet.coordinator(&[]), fleet.coordinator(&[]));
        let first = pick_at(&one, "first").await;
        // No machine is free, and so one is about to be created: meanwhile one is
        // released, and the other coordinator decides.
        fleet.platform.hold(Some("create"));
        let (created, (released, waited)) = tokio::join!(pick_at(&one, "second"), async {
            fleet.until(|| fleet.platform.holds_a_call()).await;
            let path = format!("/machines/{first}/release");
            let released = fleet.manage("POST", &path, Value::Null).await;
            let other = pick_at(&two, "second");
            let release = async {
                fleet
                    .until(|| fleet.platform.statuses("lease").contains(&409))
                    .await;
                fleet.platform.hold(None);
            };
            (released, tokio::join!(other, release).0)
        });
        assert_eq!(released.0, 200, "{}", released.1);
        assert_eq!(created, waited, "one task, one machine");
        assert_ne!(created, first);
        assert_eq!(fleet.platform.count("create", ""), 2);
        assert_eq!(pick_at(&two, "third").await, first, "it is free");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_coordinators_assign_the_same_free_machine_to_a_task() {
    under_both(async |mut fleet| {
        fleet.template();
        let (one, two) = (fleet.coordinator(&[]), fleet.coordinator(&[]));
        let first = pick_at(&one, "first").await;
        release(&fleet, &json!({ "id": first })).await;
        let picked = tokio::join!(pick_at(&one, "second"), pick_at(&two, "second"));
        assert_eq!(picked, (first.clone(), first));
        assert_eq!(fleet.platform.count("create", ""), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_make_machines_by_a_post_and_not_more_than_they_may() {
    under_both(async |mut fleet| {
        fleet.template();
        fleet.coordinator(&["--machines", "2"]);
        let path = |path: &str, task: &str| {
            format!("{path}?repository=org/x&commit={COMMIT}&mode=ro&task={task}")
        };
        for page in ["/status", "/live", "/screen"] {
            let answer = fleet.get(&path(page, "one")).await;
            assert_eq!(answer.status(), 404, "{page}");
            let message = answer.text().await.unwrap();
            assert!(message.contains("POST /mcp"), "{message}");
        }
        assert_eq!(fleet.platform.count("create", ""), 0, "by a GET");
        for (task, status) in [("one", 200), ("two", 200), ("three", 429), ("one", 200)] {
            let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": { "name": "test", "version": "1" } } });
            let answer = post(&fleet, "coord", &path("/mcp", task), None, &hello).await;
            assert_eq!(answer.status(), status, "{task}");
        }
        assert_eq!(fleet.get(&path("/status", "one")).await.status(), 200);
        assert_eq!(fleet.platform.count("create", ""), 2);
        // A manager makes more.
        pick(&fleet, COMMIT, "ro", "four").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_cannot_be_created_is_refused_with_the_reason() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let spec = json!({ "repository": "org/x", "commit": COMMIT });
        let (status, message) = fleet.manage("POST", "/machines", spec.clone()).await;
        assert_eq!(status, 404);
        let message = message["error"].as_str().unwrap();
        assert!(
            message.contains("agent machines create ag-template --stopped"),
            "{message}"
        );
        fleet.template();
        let full = "could not reserve resource for machine: insufficient CPUs available";
        fleet.platform.next_faults(&[Fault::Capacity(409, full)]);
        let (status, message) = fleet.manage("POST", "/machines", spec).await;
        assert_eq!(status, 503);
        assert!(
            message["error"].as_str().unwrap().contains("no capacity"),
            "{message}"
        );
        for spec in [
            json!({ "repository": "../x y", "commit": COMMIT }),
            json!({ "repository": "x", "commit": "main" }),
            json!({ "repository": "x", "commit": COMMIT, "task": "a\nb" }),
        ] {
            let (status, message) = fleet.manage("POST", "/machines", spec).await;
            assert_eq!(status, 400, "{message}");
        }
        assert_eq!(
            fleet.platform.machines_of(APP).len(),
            1,
            "the template alone"
        );
    })
    .await;
}
