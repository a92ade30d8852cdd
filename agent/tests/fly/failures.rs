//! Faults of the platform end in success or in one error: never in two machines,
//! never in a hang.

use futures_util::future::join_all;
use serde_json::json;

use crate::{
    fleet::{COMMIT, Fleet, under_both},
    platform::{APP, Fault},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_dies_once_is_started_again() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        for fault in [Fault::Dies, Fault::Crashes] {
            let id = fleet.stopped(&format!("{fault:?}"));
            fleet.platform.fault(&id, &[fault]);
            let answer = fleet.status_of(&id).await;
            assert_eq!(answer.status(), 200, "{fault:?}");
            assert_eq!(fleet.platform.count("start", &id), 2, "{fault:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_always_dies_is_one_error_for_all_callers() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        for fault in [Fault::Dies, Fault::Crashes] {
            let id = fleet.stopped(&format!("{fault:?}"));
            fleet.platform.fault(&id, &[fault; 8]);
            let asked = join_all((0..10).map(|_| fleet.refusal_of(&id))).await;
            for (status, message, _) in asked {
                assert_eq!(status, 502, "{message}");
                assert!(
                    message.contains("was started 2 times and is stopped again"),
                    "{message}"
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
        let (status, message, retry) = fleet.refusal_of(&id).await;
        assert_eq!((status, retry.as_deref()), (504, Some("5")), "{message}");
        assert!(
            message.contains("its agent was not ready in time"),
            "{message}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_capacity_is_distinguished_from_a_conflict() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        for (status, message) in [
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
            fleet
                .platform
                .fault(&id, &[Fault::Capacity(status, message)]);
            let (code, message, retry) = fleet.refusal_of(&id).await;
            assert_eq!((code, retry.as_deref()), (503, Some("5")), "{message}");
            assert!(
                message.contains("no capacity for the start of machine"),
                "{message}"
            );
            assert!(
                fleet.platform.statuses("start").ends_with(&[status]),
                "a start without capacity is not retried"
            );
            // There is capacity again.
            assert_eq!(fleet.status_of(&id).await.status(), 200);
        }
        // A start by somebody else is a conflict, and waited for.
        let id = fleet.stopped("conflict");
        let conflict = Fault::Capacity(
            412,
            "failed_precondition: unable to start machine from current state",
        );
        fleet.platform.fault(&id, &[conflict]);
        assert_eq!(fleet.status_of(&id).await.status(), 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_somebody_else_holds_a_call() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("leased");
        fleet.platform.lease(&id, 600);
        let (answer, ()) = tokio::join!(fleet.status_of(&id), async {
            fleet
                .until(|| fleet.platform.statuses("start").contains(&409))
                .await;
            fleet.platform.change(&id, |machine| machine.lease = None);
        });
        assert_eq!(answer.status(), 200);
        assert_eq!(fleet.platform.count("start", &id), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_not_released_is_an_error_and_changes_nothing() {
    under_both(async |mut fleet| {
        fleet.coordinator(&["--patience", "3"]);
        let id = fleet.stopped("leased");
        fleet.platform.lease(&id, 600);
        let before = fleet.platform.config(&id);
        let (status, message) = fleet
            .manage(
                "POST",
                &format!("/machines/{id}/resize"),
                json!({ "cpus": 4, "memory_mb": 16384 }),
            )
            .await;
        assert_eq!(status, 503, "{message}");
        assert!(
            message["error"]
                .as_str()
                .unwrap()
                .contains("is leased by somebody else"),
            "{message}"
        );
        assert_eq!(fleet.platform.config(&id), before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_ends_the_change() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("lost");
        fleet.platform.set_state(&id, "stopping");
        let path = format!("/machines/{id}/resize");
        let change = fleet.manage("POST", &path, json!({ "cpus": 4, "memory_mb": 16384 }));
        let ((status, message), ()) = tokio::join!(change, async {
            fleet.until(|| fleet.platform.count("lease", &id) > 0).await;
            // It has expired, and somebody else has taken the lease.
            fleet.platform.lease(&id, 600);
            fleet.platform.set_state(&id, "stopped");
        });
        assert!(matches!(status, 409 | 503), "{status} {message}");
        assert_eq!(
            fleet.platform.config(&id)["guest"]["cpus"],
            2,
            "the configuration is unchanged"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limit_errors_are_retried() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("limited");
        fleet.platform.storm(6);
        for answer in join_all((0..20).map(|_| fleet.status_of(&id))).await {
            assert_eq!(answer.status(), 200);
        }
        assert_eq!(fleet.platform.count("start", &id), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limit_errors_until_the_deadline_are_an_error() {
    under_both(async |mut fleet| {
        fleet.coordinator(&["--patience", "3"]);
        let id = fleet.stopped("limited");
        fleet.platform.storm(u32::MAX);
        let (status, message, retry) = fleet.refusal_of(&id).await;
        assert_eq!((status, retry.as_deref()), (504, Some("5")), "{message}");
        assert!(
            message.contains("429") && message.contains("did not finish in time"),
            "{message}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_killed_between_start_and_response_leaves_one_machine() {
    under_both(async |mut fleet| {
        fleet.template();
        fleet.coordinator(&[]);
        // The coordinator waits for an agent that does not listen yet.
        let id = fleet.stopped("slow");
        fleet.platform.fault(&id, &[Fault::Silent]);
        let path = format!("/status?machine={id}");
        let spec = json!({ "repository": "org/x", "commit": COMMIT });
        fleet.platform.next_faults(&[Fault::Silent]);
        let started = |fleet: &Fleet| {
            fleet.platform.count("start", &id) == 1 && fleet.platform.count("create", "") == 1
        };
        {
            let first = fleet.request("GET", "coord", &path).send();
            let made = fleet
                .request("POST", "coord", "/machines")
                .json(&spec)
                .send();
            let until = fleet.until(|| started(&fleet));
            tokio::select! {
                both = async { tokio::join!(first, made) } => panic!("answered before the agent was ready: {both:?}"),
                () = until => {}
            }
        }
        fleet.kill_coordinators();
        // The machines become ready without it; another coordinator is asked.
        start_agents(&fleet).await;
        fleet.coordinator(&[]);
        assert_eq!(fleet.status_of(&id).await.status(), 200);
        let (status, message) = fleet.manage("POST", "/machines", spec).await;
        assert_eq!(status, 200, "{message}");
        assert_eq!(
            fleet.platform.count("start", &id),
            1,
            "it is not started a second time"
        );
        assert_eq!(
            fleet.platform.count("create", ""),
            1,
            "nor is a second one created"
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

/// Has the agents listen that did not do so yet.
async fn start_agents(fleet: &Fleet) {
    for (id, name) in fleet.platform.machines_of(APP) {
        fleet
            .until(|| fleet.platform.state(&id) != "starting")
            .await;
        if name != "ag-template" {
            fleet.platform.boot(&id);
        }
    }
}
