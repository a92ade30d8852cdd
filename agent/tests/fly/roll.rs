//! Agents that run get the template's image when they have nothing to do, and
//! keep the one that they have whenever something goes wrong.

use serde_json::Value;

use crate::{
    candidate::NEW,
    fleet::{Fleet, config, under_both, until},
    platform::Fault,
};

const GENTLY: [&str; 6] = ["--sweep", "1", "--roll-idle", "1", "--drain", "2"];
const STEPS: [&str; 6] = ["cordon", "stop", "update", "uncordon", "start", "lease"];

/// A fleet of one agent that runs, whose template has a new image.
async fn outdated(fleet: &Fleet) -> String {
    let template = fleet.template();
    let id = fleet.stopped("agent");
    fleet.platform.boot(&id);
    fleet.platform.listens(&id).await;
    set_image(fleet, &template, NEW);
    id
}

fn set_image(fleet: &Fleet, id: &str, image: &str) {
    let image = Value::from(image);
    fleet
        .platform
        .with(id, |machine| machine.config["image"] = image);
}

fn is_cordoned(fleet: &Fleet, id: &str) -> bool {
    fleet.platform.with(id, |machine| machine.cordoned)
}

/// Whether nobody is at it any more.
fn is_let_go(fleet: &Fleet, id: &str) -> bool {
    fleet.platform.with(id, |machine| {
        let is_marked = machine.config["metadata"]["rolling"] == "yes";
        !machine.cordoned && !is_marked && machine.lease.is_none()
    })
}

fn old() -> String {
    config()["image"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_with_nothing_to_do_gets_it_and_is_started_when_asked_for() {
    under_both(async |mut fleet| {
        let id = outdated(&fleet).await;
        fleet.coordinator(&GENTLY);
        fleet.coordinator(&GENTLY);
        until(|| fleet.platform.image(&id) == NEW && is_let_go(&fleet, &id)).await;
        assert_eq!(fleet.platform.state(&id), "stopped");
        let steps = fleet.platform.done(&id, &STEPS[..4]);
        assert_eq!(steps, STEPS[..4], "once, by one of the two");
        assert_eq!(fleet.asked(&id).await.status(), 200);
        assert_eq!(fleet.platform.count("start", &id), 1);
        assert_eq!(fleet.platform.image(&id), NEW);
        let before = fleet.platform.config(&id)["metadata"]["image-before"].clone();
        assert_eq!(before, "", "it has come up: there is no way back");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_work_is_left_alone_until_it_is_done() {
    under_both(async |mut fleet| {
        let id = outdated(&fleet).await;
        fleet.message(&id, "work 600").await;
        fleet.is(&id, "working").await;
        let other = fleet.stopped("other");
        fleet.coordinator(&GENTLY);
        // A whole sweep has gone by when the second machine is up to date.
        until(|| fleet.platform.image(&other) == NEW).await;
        set_image(&fleet, &other, "registry.fly.io/agents@sha256:cccc");
        until(|| fleet.platform.image(&other) == NEW).await;
        assert_eq!(fleet.platform.done(&id, &STEPS), Vec::<String>::new());
        fleet.is(&id, "working").await;
        fleet.interrupt(&id).await;
        until(|| fleet.platform.image(&id) == NEW).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_meanwhile_waits_and_gets_the_new_one() {
    under_both(async |mut fleet| {
        let id = outdated(&fleet).await;
        fleet.coordinator(&GENTLY);
        fleet.coordinator(&GENTLY);
        until(|| is_cordoned(&fleet, &id)).await;
        let (first, second) = tokio::join!(fleet.asked(&id), fleet.asked(&id));
        assert_eq!(
            (first.status().as_u16(), second.status().as_u16()),
            (200, 200)
        );
        assert_eq!(fleet.platform.image(&id), NEW);
        assert_eq!(fleet.platform.count("stop", &id), 1);
        assert_eq!(fleet.platform.count("start", &id), 1);
        assert!(is_let_go(&fleet, &id));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_finds_work_all_the_same_keeps_its_image() {
    under_both(async |mut fleet| {
        let id = outdated(&fleet).await;
        fleet.coordinator(&GENTLY);
        until(|| is_cordoned(&fleet, &id)).await;
        // Past the coordinator and the proxy.
        fleet.message(&id, "work 600").await;
        until(|| is_let_go(&fleet, &id)).await;
        assert_eq!(fleet.platform.state(&id), "started");
        assert_eq!(fleet.platform.image(&id), old());
        assert_eq!(fleet.platform.count("stop", &id), 0);
        fleet.is(&id, "working").await;
        assert_eq!(fleet.asked(&id).await.status(), 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_killed_half_way_leaves_a_machine_that_is_found_again() {
    under_both(async |mut fleet| {
        let id = outdated(&fleet).await;
        fleet.coordinator(&GENTLY);
        until(|| is_cordoned(&fleet, &id)).await;
        fleet.kill_coordinators();
        assert!(!is_let_go(&fleet, &id));
        // Nobody makes its lease last; half a minute is long in a test.
        fleet.platform.with(&id, |machine| machine.lease = None);
        fleet.coordinator(&["--sweep", "0"]);
        assert_eq!(fleet.asked(&id).await.status(), 200);
        assert!(is_let_go(&fleet, &id));
        assert_eq!(fleet.platform.image(&id), old());
        assert_eq!(fleet.platform.count("start", &id), 0, "it ran all the time");
        // The next one begins anew.
        fleet.coordinator(&GENTLY);
        until(|| fleet.platform.image(&id) == NEW).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_come_up_with_it_gets_the_one_before() {
    under_both(async |mut fleet| {
        let id = outdated(&fleet).await;
        fleet.coordinator(&[&GENTLY[..], &["--patience", "20"]].concat());
        until(|| fleet.platform.image(&id) == NEW && is_let_go(&fleet, &id)).await;
        fleet.platform.fault(&id, &[Fault::Crashes; 2]);
        let answer = fleet.asked(&id).await;
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        assert_eq!(fleet.platform.image(&id), old());
        // It is not tried again here; another image would be.
        let other = fleet.stopped("other");
        until(|| fleet.platform.image(&other) == NEW).await;
        set_image(&fleet, &other, "registry.fly.io/agents@sha256:cccc");
        until(|| fleet.platform.image(&other) == NEW).await;
        assert_eq!(fleet.platform.image(&id), old());
        assert_eq!(fleet.platform.count("cordon", &id), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_somebody_else_has_leased_is_passed_over() {
    under_both(async |mut fleet| {
        let id = outdated(&fleet).await;
        fleet.platform.lease(&id, 600);
        fleet.coordinator(&GENTLY);
        until(|| fleet.platform.statuses("lease").len() > 3).await;
        assert_eq!(fleet.platform.done(&id, &STEPS), Vec::<String>::new());
        assert_eq!(fleet.platform.state(&id), "started");
        assert_eq!(fleet.platform.image(&id), old());
    })
    .await;
}
