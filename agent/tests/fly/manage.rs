//! Operations on machines over HTTP, and the sweep.

use serde_json::{Value, json};

use crate::{
    fleet::{Fleet, config, under_both},
    platform::APP,
};

async fn act(fleet: &Fleet, id: &str, action: &str, body: Value) -> (u16, Value) {
    fleet
        .manage("POST", &format!("/machines/{id}/{action}"), body)
        .await
}

/// The status and the message about a machine that was destroyed on request.
fn after_destruction(fleet: &Fleet, id: &str) -> (u16, String) {
    if fleet.platform.remembers() {
        let message = format!("machine {id} is gone: it was destroyed on request; ask");
        return (410, message);
    }
    (404, format!("there is no machine {id}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn start_stop_suspend_resize_restart_and_destroy() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        for (action, body, state) in [
            ("start", Value::Null, "started"),
            ("suspend", Value::Null, "suspended"),
            ("start", Value::Null, "started"),
            ("stop", Value::Null, "stopped"),
            (
                "resize",
                json!({ "cpus": 4, "memory_mb": 16384 }),
                "stopped",
            ),
            ("start", Value::Null, "started"),
            (
                "resize",
                json!({ "cpu_kind": "shared", "cpus": 1, "memory_mb": 1024 }),
                "started",
            ),
            ("restart", json!({ "mode": "ro" }), "started"),
            ("restart", Value::Null, "started"),
        ] {
            let (status, message) = act(&fleet, &id, action, body).await;
            assert_eq!(
                (status, message["state"].as_str()),
                (200, Some(state)),
                "{action}: {message}"
            );
            assert_eq!(fleet.platform.state(&id), state, "{action}");
        }
        let now = fleet.platform.config(&id);
        let mut expected = config();
        expected["guest"] = json!({ "cpu_kind": "shared", "cpus": 1, "memory_mb": 1024 });
        expected["env"]["MODE"] = "ro".into();
        expected["metadata"]["mode"] = "ro".into();
        assert_eq!(now, expected, "nothing else is lost or added");
        let lease = fleet.platform.inspect(&id, |machine| machine.lease.clone());
        assert!(lease.is_none(), "it is released");
        let (status, listed) = fleet.manage("GET", "/machines", Value::Null).await;
        assert_eq!((status, listed[0]["id"].as_str()), (200, Some(id.as_str())));
        let (status, message) = fleet
            .manage("DELETE", &format!("/machines/{id}"), Value::Null)
            .await;
        assert_eq!(
            (status, message["state"].as_str()),
            (200, Some("destroyed"))
        );
        let (status, message) = act(&fleet, &id, "start", Value::Null).await;
        let expected = after_destruction(&fleet, &id);
        let message = message["error"].as_str().unwrap();
        assert!(message.starts_with(&expected.1), "{message}");
        assert_eq!(status, expected.0, "{message}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_interrupted_only_by_force() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        act(&fleet, &id, "start", Value::Null).await;
        fleet.message(&id, "work 600").await;
        fleet.wait_for_state(&id, "working").await;
        for action in ["stop", "restart", "resize", "suspend", "release"] {
            let (status, message) = act(&fleet, &id, action, Value::Null).await;
            assert_eq!(status, 409, "{action}: {message}");
            assert!(
                message["error"]
                    .as_str()
                    .unwrap()
                    .contains("codex is working"),
                "{message}"
            );
        }
        assert_eq!(fleet.platform.state(&id), "started");
        let (status, message) = act(&fleet, &id, "stop?force=true", Value::Null).await;
        assert_eq!(
            (status, message["state"].as_str()),
            (200, Some("stopped")),
            "{message}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_requests_are_refused_with_the_reason() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        for (action, body, expected) in [
            ("resize", json!({ "cpus": 3 }), "1, 2, 4, 8 or 16 CPUs"),
            ("resize", json!({ "memory_mb": 8000 }), "in steps of 256 MB"),
            (
                "resize",
                json!({ "memory_mb": 1024 }),
                "each with 2048 to 8192 MB",
            ),
            (
                "resize",
                json!({ "cpu_kind": "huge" }),
                "neither shared nor performance",
            ),
            ("resize", json!({ "disks": 1 }), "unknown field"),
            ("restart", json!({ "mode": "wo" }), "unknown variant"),
        ] {
            let (status, message) = act(&fleet, &id, action, body).await;
            assert_eq!(status, 400, "{message}");
            assert!(
                message["error"].as_str().unwrap().contains(expected),
                "{message}"
            );
        }
        assert_eq!(act(&fleet, &id, "explode", Value::Null).await.0, 404);
        assert_eq!(fleet.platform.count("lease", ""), 0, "nothing was changed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_have_a_token_of_their_own() {
    under_both(async |mut fleet| {
        let file = fleet.platform.file("manager");
        std::fs::write(&file, "fedcba9876543210-manager").unwrap();
        fleet.coordinator(&["--manager-token-file", &file]);
        let id = fleet.stopped("one");
        assert_eq!(fleet.status_of(&id).await.status(), 200);
        for (method, path) in [
            ("GET", "/machines".to_owned()),
            ("DELETE", format!("/machines/{id}")),
        ] {
            let (status, _) = fleet.manage(method, &path, Value::Null).await;
            assert_eq!(
                status, 401,
                "{path}: the token of callers is not that of managers"
            );
            let request = fleet
                .request_without_token(method, "coord", &path)
                .bearer_auth("fedcba9876543210-manager");
            assert_eq!(request.send().await.unwrap().status(), 200, "{path}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_stops_idle_machines_and_destroys_expired_ones() {
    under_both(async |mut fleet| {
        let template = fleet.template();
        let idle = fleet.stopped("idle");
        fleet.platform.boot(&idle);
        let strange =
            fleet
                .platform
                .machine(APP, "strange", json!({ "image": "other", "metadata": {} }));
        let expired = fleet.platform.machine(
            APP,
            "trial-1",
            json!({ "metadata": { "expires": "1000000000" } }),
        );
        let lasting = fleet.platform.machine(
            APP,
            "trial-2",
            json!({ "metadata": { "expires": "99999999999" } }),
        );
        let old = fleet.stopped("old");
        fleet
            .platform
            .change(&old, |machine| machine.config["image"] = "old".into());
        fleet.platform.listens(&idle).await;
        fleet.coordinator(&["--sweep", "1", "--idle-stop", "2"]);
        let is_done = |fleet: &Fleet| {
            fleet.platform.state(&idle) == "stopped"
                && fleet.platform.state(&expired) == "destroyed"
                && fleet.platform.config(&old)["image"] == config()["image"]
        };
        fleet.until(|| is_done(&fleet)).await;
        assert_eq!(fleet.platform.state(&template), "created");
        assert_eq!(fleet.platform.state(&lasting), "stopped");
        assert_eq!(
            fleet.platform.config(&strange)["image"],
            "other",
            "not an agent"
        );
        assert_eq!(
            fleet.platform.count("start", ""),
            0,
            "nothing is started by a sweep"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_started_machines_resolve_and_the_proxy_does_not_autostop_ours() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let ids = ["one", "two", "three"].map(|name| fleet.stopped(name));
        for id in &ids[..2] {
            act(&fleet, id, "start", Value::Null).await;
        }
        assert_eq!(fleet.platform.resolve("agents.internal").len(), 2);
        assert_eq!(
            fleet
                .platform
                .resolve("agent.role.kv._metadata.agents.internal")
                .len(),
            2
        );
        assert_eq!(
            fleet
                .platform
                .resolve(&format!("{}.vm.agents.internal", ids[0]))
                .len(),
            1
        );
        assert_eq!(
            fleet
                .platform
                .resolve(&format!("{}.vm.agents.internal", ids[2]))
                .len(),
            0
        );
        // No request is open: by the proxy's formula one machine is in excess.
        assert_eq!(fleet.platform.autostop(APP), None, "autostop is off");
        fleet.platform.change(&ids[1], |machine| {
            machine.config["services"][0]["autostop"] = "stop".into();
        });
        assert_eq!(fleet.platform.autostop(APP).as_ref(), Some(&ids[1]));
    })
    .await;
}
