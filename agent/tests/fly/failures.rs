//! What goes wrong ends in success or in one clear error: never in two
//! machines, never in a hang.

use futures_util::future::join_all;
use serde_json::json;

use crate::{
    fleet::{COMMIT, Fleet, under_both, until},
    platform::{APP, Fault},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_dies_once_is_started_again() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        for fault in [Fault::Dies, Fault::Crashes] {
            let id = fleet.stopped(&format!("{fault:?}"));
            fleet.platform.fault(&id, &[fault]);
            let answer = fleet.asked(&id).await;
            assert_eq!(answer.status(), 200, "{fault:?}");
            assert_eq!(fleet.platform.count("start", &id), 2, "{fault:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_always_dies_is_one_error_for_all() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        for fault in [Fault::Dies, Fault::Crashes] {
            let id = fleet.stopped(&format!("{fault:?}"));
            fleet.platform.fault(&id, &[fault; 8]);
            let asked = join_all((0..10).map(|_| fleet.refused(&id))).await;
            for (status, told, _) in asked {
                assert_eq!(status, 502, "{told}");
                assert!(
                    told.contains("was started 2 times and is stopped again"),
                    "{told}"
                );
            }
            assert_eq!(fleet.platform.count("start", &id), 2, "{fault:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_never_answers_is_an_error_at_the_deadline() {
    under_both(async |mut fleet| {
        fleet.coordinator(&["--patience", "4"]);
        let id = fleet.stopped("silent");
        fleet.platform.fault(&id, &[Fault::Silent]);
        let (status, told, retry) = fleet.refused(&id).await;
        assert_eq!((status, retry.as_deref()), (504, Some("5")), "{told}");
        assert!(told.contains("its agent was not ready in time"), "{told}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_capacity_is_told_apart_from_a_conflict() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        for (status, told) in [
            (
                409,
                "aborted: could not reserve resource for machine: insufficient memory available",
            ),
            (
                412,
                "failed_precondition: insufficient resources available to fulfill request",
            ),
        ] {
            let id = fleet.stopped(&format!("full-{status}"));
            fleet.platform.fault(&id, &[Fault::Capacity(status, told)]);
            let (code, told, retry) = fleet.refused(&id).await;
            assert_eq!((code, retry.as_deref()), (503, Some("5")), "{told}");
            assert!(
                told.contains("no capacity for the start of machine"),
                "{told}"
            );
            assert!(
                fleet.platform.statuses("start").ends_with(&[status]),
                "asked once"
            );
            // There is room again.
            assert_eq!(fleet.asked(&id).await.status(), 200);
        }
        // Another's start is no such thing: it is waited for.
        let id = fleet.stopped("conflict");
        let conflict = Fault::Capacity(
            412,
            "failed_precondition: unable to start machine from current state",
        );
        fleet.platform.fault(&id, &[conflict]);
        assert_eq!(fleet.asked(&id).await.status(), 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_somebody_left_is_waited_out() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("leased");
        fleet.platform.lease(&id, 2);
        assert_eq!(fleet.asked(&id).await.status(), 200);
        assert!(
            fleet.platform.statuses("start").contains(&409),
            "it was refused at first"
        );
        assert_eq!(fleet.platform.count("start", &id), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_lasts_is_an_error_and_changes_nothing() {
    under_both(async |mut fleet| {
        fleet.coordinator(&["--patience", "3"]);
        let id = fleet.stopped("leased");
        fleet.platform.lease(&id, 600);
        let before = fleet.platform.config(&id);
        let (status, told) = fleet
            .manage(
                "POST",
                &format!("/machines/{id}/resize"),
                json!({ "cpus": 4, "memory_mb": 16384 }),
            )
            .await;
        assert_eq!(status, 503, "{told}");
        assert!(
            told["error"]
                .as_str()
                .unwrap()
                .contains("is leased by somebody else"),
            "{told}"
        );
        assert_eq!(fleet.platform.config(&id), before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_lost_midway_ends_the_change() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("lost");
        fleet.platform.set_state(&id, "stopping");
        let path = format!("/machines/{id}/resize");
        let change = fleet.manage("POST", &path, json!({ "cpus": 4, "memory_mb": 16384 }));
        let ((status, told), ()) = tokio::join!(change, async {
            until(|| fleet.platform.count("lease", &id) > 0).await;
            // It has expired, and somebody else was faster.
            fleet.platform.lease(&id, 600);
            fleet.platform.set_state(&id, "stopped");
        });
        assert!(matches!(status, 409 | 503), "{status} {told}");
        assert_eq!(
            fleet.platform.config(&id)["guest"]["cpus"],
            2,
            "nothing has changed"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_429_is_outlived() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("stormy");
        fleet.platform.storm(6);
        for answer in join_all((0..20).map(|_| fleet.asked(&id))).await {
            assert_eq!(answer.status(), 200);
        }
        assert_eq!(fleet.platform.count("start", &id), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_without_end_is_one_clear_error() {
    under_both(async |mut fleet| {
        fleet.coordinator(&["--patience", "3"]);
        let id = fleet.stopped("stormy");
        fleet.platform.storm(u32::MAX);
        let (status, told, retry) = fleet.refused(&id).await;
        assert_eq!((status, retry.as_deref()), (504, Some("5")), "{told}");
        assert!(
            told.contains("429") && told.contains("was not done in time"),
            "{told}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_killed_between_start_and_answer_leaves_one_machine() {
    under_both(async |mut fleet| {
        fleet.template();
        fleet.coordinator(&[]);
        // It waits for an agent that takes its time.
        let id = fleet.stopped("slow");
        fleet.platform.fault(&id, &[Fault::Silent]);
        let path = format!("/status?machine={id}");
        let wanted = json!({ "repository": "org/x", "commit": COMMIT });
        fleet.platform.next_faults(&[Fault::Silent]);
        let started = |fleet: &Fleet| {
            fleet.platform.count("start", &id) == 1 && fleet.platform.count("create", "") == 1
        };
        {
            let first = fleet.ask("GET", "coord", &path).send();
            let made = fleet.ask("POST", "coord", "/machines").json(&wanted).send();
            let until = until(|| started(&fleet));
            tokio::select! {
                both = async { tokio::join!(first, made) } => panic!("answered too soon: {both:?}"),
                () = until => {}
            }
        }
        fleet.kill_coordinators();
        // The machines come up all the same; somebody else is asked.
        revive(&fleet).await;
        fleet.coordinator(&[]);
        assert_eq!(fleet.asked(&id).await.status(), 200);
        let (status, told) = fleet.manage("POST", "/machines", wanted).await;
        assert_eq!(status, 200, "{told}");
        assert_eq!(
            fleet.platform.count("start", &id),
            1,
            "it is not started a second time"
        );
        assert_eq!(
            fleet.platform.count("create", ""),
            1,
            "nor a second one made"
        );
        let agents = fleet.platform.machines_of(APP);
        assert_eq!(
            agents.len(),
            3,
            "the template, the slow one, the new one: {agents:?}"
        );
    })
    .await;
}

/// Machines whose agent did not listen yet: now it does.
async fn revive(fleet: &Fleet) {
    for (id, name) in fleet.platform.machines_of(APP) {
        until(|| fleet.platform.state(&id) != "starting").await;
        if name != "ag-template" {
            fleet.platform.boot(&id);
        }
    }
}
