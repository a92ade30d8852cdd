//! Who gets which machine: one task, one machine; a free one before a new one.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    fleet::{COMMIT, Fleet, TOKEN, under_both, until},
    platform::{APP, Fault},
};

const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba98";

async fn pick(fleet: &Fleet, commit: &str, mode: &str, task: &str) -> Value {
    let wanted = json!({ "repository": "org/x", "commit": commit, "mode": mode, "task": task });
    let (status, machine) = fleet.manage("POST", "/machines", wanted).await;
    assert_eq!(status, 200, "{machine}");
    machine
}

fn id(machine: &Value) -> &str {
    machine["id"].as_str().unwrap()
}

async fn release(fleet: &Fleet, machine: &Value) {
    let path = format!("/machines/{}/release", id(machine));
    let (status, told) = fleet.manage("POST", &path, Value::Null).await;
    assert_eq!(status, 200, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_machine_is_handed_out_before_a_new_one_is_made() {
    under_both(async |mut fleet| {
        fleet.template();
        fleet.coordinator(&[]);
        let first = pick(&fleet, COMMIT, "ro", "one").await;
        assert_eq!(first["config"]["env"]["REPO"], "org/x");
        assert_eq!(first["config"]["env"]["BASE"], COMMIT);
        assert_eq!(first["config"]["env"]["MODE"], "ro");
        assert_eq!(
            first["config"]["rootfs"]["persist"], "restart",
            "the template's, untouched"
        );
        // It is not free: others get their own.
        let second = pick(&fleet, COMMIT, "ro", "two").await;
        assert_ne!(id(&first), id(&second));
        release(&fleet, &first).await;
        assert_eq!(fleet.platform.state(id(&first)), "started", "warm");
        for (commit, mode) in [(OTHER, "ro"), (COMMIT, "rw")] {
            let machine = pick(&fleet, commit, mode, "three").await;
            assert_ne!(id(&machine), id(&first), "another commit, another mode");
        }
        let third = pick(&fleet, COMMIT, "ro", "three").await;
        assert_eq!(id(&third), id(&first));
        assert_eq!(fleet.platform.count("create", ""), 4);
        assert_eq!(
            fleet.platform.count("start", id(&first)),
            0,
            "it ran all the time"
        );
        // Its first task's name is taken by it; the task gets another.
        let again = pick(&fleet, COMMIT, "ro", "one").await;
        assert_ne!(id(&again), id(&first));
        assert_eq!(id(&pick(&fleet, COMMIT, "ro", "one").await), id(&again));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_could_write_begins_anew() {
    under_both(async |mut fleet| {
        fleet.template();
        fleet.coordinator(&[]);
        let first = pick(&fleet, COMMIT, "rw", "one").await;
        release(&fleet, &first).await;
        assert_eq!(fleet.platform.state(id(&first)), "stopped");
        let second = pick(&fleet, COMMIT, "rw", "two").await;
        assert_eq!(id(&second), id(&first));
        assert_eq!(fleet.platform.count("start", id(&first)), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_ask_two_coordinators_and_one_machine_is_made() {
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
        assert_eq!(fleet.platform.machines_of(APP).len(), 2, "and the template");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_get_one_each_and_the_free_one_only_once() {
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

/// The same of one coordinator, whoever's turn it is.
async fn pick_at(url: &str, task: &str) -> String {
    let wanted = json!({ "repository": "org/x", "commit": COMMIT, "mode": "ro", "task": task });
    let request = reqwest::Client::new().post(format!("{url}/machines"));
    let answer = request.bearer_auth(TOKEN).json(&wanted).send().await;
    let told: Value = answer.unwrap().json().await.unwrap();
    id(&told).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_coordinators_and_one_that_is_given_back_make_one_machine_for_a_task() {
    under_both(async |mut fleet| {
        fleet.template();
        let (one, two) = (fleet.coordinator(&[]), fleet.coordinator(&[]));
        let first = pick_at(&one, "first").await;
        // None is free, and so one is about to be made: in that moment one is
        // given back, and the other coordinator looks.
        fleet.platform.hold(Some("create"));
        let (made, (given, waited)) = tokio::join!(pick_at(&one, "second"), async {
            until(|| fleet.platform.is_waited_for()).await;
            let path = format!("/machines/{first}/release");
            let given = fleet.manage("POST", &path, Value::Null).await;
            let other = pick_at(&two, "second");
            let release = async {
                until(|| fleet.platform.statuses("lease").contains(&409)).await;
                fleet.platform.hold(None);
            };
            (given, tokio::join!(other, release).0)
        });
        assert_eq!(given.0, 200, "{}", given.1);
        assert_eq!(made, waited, "one task, one machine");
        assert_ne!(made, first);
        assert_eq!(fleet.platform.count("create", ""), 2);
        assert_eq!(pick_at(&two, "third").await, first, "it is free");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_machine_goes_to_a_task_once_although_two_hand_it_out() {
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
async fn what_cannot_be_made_is_refused_with_a_sentence() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let wanted = json!({ "repository": "org/x", "commit": COMMIT });
        let (status, told) = fleet.manage("POST", "/machines", wanted.clone()).await;
        assert_eq!(status, 404);
        let told = told["error"].as_str().unwrap();
        assert!(
            told.contains("agent machines create ag-template --stopped"),
            "{told}"
        );
        fleet.template();
        let full = "could not reserve resource for machine: insufficient CPUs available";
        fleet.platform.next_faults(&[Fault::Capacity(409, full)]);
        let (status, told) = fleet.manage("POST", "/machines", wanted).await;
        assert_eq!(status, 503);
        assert!(
            told["error"].as_str().unwrap().contains("no capacity"),
            "{told}"
        );
        for wanted in [
            json!({ "repository": "../x y", "commit": COMMIT }),
            json!({ "repository": "x", "commit": "main" }),
            json!({ "repository": "x", "commit": COMMIT, "task": "a\nb" }),
        ] {
            let (status, told) = fleet.manage("POST", "/machines", wanted).await;
            assert_eq!(status, 400, "{told}");
        }
        assert_eq!(
            fleet.platform.machines_of(APP).len(),
            1,
            "the template alone"
        );
    })
    .await;
}
