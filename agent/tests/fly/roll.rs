//! Rolling updates: running agents get the template's image when they are idle, and
//! retain their own if anything fails.

use serde_json::Value;

use crate::{
    candidate::NEW,
    fleet::{Fleet, config, under_both},
    platform::Fault,
};

/// Sweeps often, and rolls what has just become idle.
const EAGER: [&str; 6] = ["--sweep", "1", "--roll-idle", "1", "--drain", "2"];
const STEPS: [&str; 6] = ["cordon", "stop", "update", "uncordon", "start", "lease"];

/// A fleet of one running agent, whose template has a new image.
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
        .change(id, |machine| machine.config["image"] = image);
}

fn is_cordoned(fleet: &Fleet, id: &str) -> bool {
    fleet.platform.inspect(id, |machine| machine.cordoned)
}

/// Whether no coordinator is changing it.
fn is_released(fleet: &Fleet, id: &str) -> bool {
    fleet.platform.inspect(id, |machine| {
        let is_marked = machine.config["metadata"]["rolling"] == "yes";
        !machine.cordoned && !is_marked && machine.lease.is_none()
    })
}

fn old() -> String {
    config()["image"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_agent_gets_the_image_and_is_started_on_demand() {
    under_both(async |mut fleet| {
        let id = outdated(&fleet).await;
        fleet.coordinator(&EAGER);
        fleet.coordinator(&EAGER);
        fleet
            .until(|| fleet.platform.image(&id) == NEW && is_released(&fleet, &id))
            .await;
        assert_eq!(fleet.platform.state(&id), "stopped");
        let steps = fleet.platform.done(&id, &STEPS[..4]);
        assert_eq!(steps, STEPS[..4], "once, by one of the two coordinators");
        assert_eq!(fleet.status_of(&id).await.status(), 200);
        assert_eq!(fleet.platform.count("start", &id), 1);
        assert_eq!(fleet.platform.image(&id), NEW);
        let before = fleet.platform.config(&id)["metadata"]["image-before"].clone();
        assert_eq!(
            before, "",
            "the image before is forgotten once the new one is ready"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_agent_gets_the_image_when_it_is_done() {
    under_both(async |mut fleet| {
        let id = outdated(&fleet).await;
        fleet.message(&id, "work 600").await;
        fleet.wait_for_state(&id, "working").await;
        let other = fleet.stopped("other");
        fleet.coordinator(&EAGER);
        // A sweep is over when the second machine has the image that was set before it.
        fleet.until(|| fleet.platform.image(&other) == NEW).await;
        set_image(&fleet, &other, "registry.fly.io/agents@sha256:cccc");
        fleet.until(|| fleet.platform.image(&other) == NEW).await;
        assert_eq!(fleet.platform.done(&id, &STEPS), Vec::<String>::new());
        fleet.wait_for_state(&id, "working").await;
        fleet.interrupt(&id).await;
        fleet.until(|| fleet.platform.image(&id) == NEW).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_during_the_roll_waits_and_gets_the_new_image() {
    under_both(async |mut fleet| {
        let id = outdated(&fleet).await;
        fleet.coordinator(&EAGER);
        fleet.coordinator(&EAGER);
        fleet.until(|| is_cordoned(&fleet, &id)).await;
        let (first, second) = tokio::join!(fleet.status_of(&id), fleet.status_of(&id));
        assert_eq!(
            (first.status().as_u16(), second.status().as_u16()),
            (200, 200)
        );
        assert_eq!(fleet.platform.image(&id), NEW);
        assert_eq!(fleet.platform.count("stop", &id), 1);
        assert_eq!(fleet.platform.count("start", &id), 1);
        assert!(is_released(&fleet, &id));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_gets_work_during_the_roll_retains_its_image() {
    under_both(async |mut fleet| {
        let id = outdated(&fleet).await;
        // The roll has begun when it cordons the machine.
        fleet.platform.hold(Some("cordon"));
        fleet.coordinator(&EAGER);
        fleet.until(|| fleet.platform.holds_a_call()).await;
        // Past the coordinator and the proxy, which would wait.
        fleet.message(&id, "work 600").await;
        fleet.wait_for_state(&id, "working").await;
        fleet.platform.hold(None);
        fleet.until(|| is_cordoned(&fleet, &id)).await;
        fleet.until(|| is_released(&fleet, &id)).await;
        assert_eq!(fleet.platform.state(&id), "started");
        assert_eq!(fleet.platform.image(&id), old());
        assert_eq!(fleet.platform.count("stop", &id), 0);
        fleet.wait_for_state(&id, "working").await;
        assert_eq!(fleet.status_of(&id).await.status(), 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_recovers_from_a_coordinator_killed_during_the_roll() {
    under_both(async |mut fleet| {
        let id = outdated(&fleet).await;
        fleet.coordinator(&EAGER);
        fleet.until(|| is_cordoned(&fleet, &id)).await;
        fleet.kill_coordinators();
        assert!(!is_released(&fleet, &id));
        // Its lease would expire by itself in half a minute.
        fleet.platform.change(&id, |machine| machine.lease = None);
        fleet.coordinator(&["--sweep", "0"]);
        assert_eq!(fleet.status_of(&id).await.status(), 200);
        assert!(is_released(&fleet, &id));
        assert_eq!(fleet.platform.image(&id), old());
        assert_eq!(
            fleet.platform.count("start", &id),
            0,
            "it was never stopped"
        );
        // Another coordinator begins again.
        fleet.coordinator(&EAGER);
        fleet.until(|| fleet.platform.image(&id) == NEW).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_does_not_become_ready_is_rolled_back() {
    under_both(async |mut fleet| {
        let id = outdated(&fleet).await;
        fleet.coordinator(&[&EAGER[..], &["--patience", "20"]].concat());
        fleet
            .until(|| fleet.platform.image(&id) == NEW && is_released(&fleet, &id))
            .await;
        fleet.platform.fault(&id, &[Fault::Crashes; 2]);
        let answer = fleet.status_of(&id).await;
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        assert_eq!(fleet.platform.image(&id), old());
        // The same image is not tried again.
        let other = fleet.stopped("other");
        fleet.until(|| fleet.platform.image(&other) == NEW).await;
        set_image(&fleet, &other, "registry.fly.io/agents@sha256:cccc");
        fleet.until(|| fleet.platform.image(&other) == NEW).await;
        assert_eq!(fleet.platform.image(&id), old());
        assert_eq!(fleet.platform.count("cordon", &id), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_leased_by_somebody_else_is_skipped() {
    under_both(async |mut fleet| {
        let id = outdated(&fleet).await;
        fleet.platform.lease(&id, 600);
        fleet.coordinator(&EAGER);
        fleet
            .until(|| fleet.platform.statuses("lease").len() > 3)
            .await;
        assert_eq!(fleet.platform.done(&id, &STEPS), Vec::<String>::new());
        assert_eq!(fleet.platform.state(&id), "started");
        assert_eq!(fleet.platform.image(&id), old());
    })
    .await;
}
