//! `--machine ID`: this machine and no other, which is never started.

use std::process::Command;

use crate::{
    AGENT,
    fleet::{Fleet, config, under_both},
    platform::{APP, COORD},
};

/// Runs a command of `agent` through the proxy; whether it succeeded, and its output.
async fn command(fleet: &Fleet, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(AGENT);
    command
        .args(arguments)
        .env("AGENT_TOKEN_FILE", fleet.platform.file("token"));
    command.env("NO_COLOR", "1");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let message = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(message).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_machine_that_is_stopped_is_not_started() {
    under_both(async |fleet| {
        let id = fleet.stopped("pinned");
        let other = fleet.stopped("other");
        fleet.platform.boot(&other);
        let url = fleet.platform.flycast(APP).await;
        for arguments in [
            &["status", &url, "--machine", &id][..],
            &["live", &url, "--machine", &id],
            &["live", &url, "--follow", "--machine", &id],
            &["start", &url, "--machine", &id],
            &["message", &url, "--machine", &id, "hello"],
        ] {
            let (done, message) = command(&fleet, arguments).await;
            assert!(!done, "{arguments:?}: {message}");
            let sentence = format!("machine {id} does not answer, and --machine never wakes one");
            assert!(message.contains(&sentence), "{arguments:?}: {message}");
        }
        assert_eq!(fleet.platform.state(&id), "stopped");
        assert_eq!(fleet.platform.count("proxy start", ""), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_machine_that_runs_answers() {
    under_both(async |fleet| {
        let ids = ["first", "second", "third"].map(|name| fleet.stopped(name));
        let url = fleet.platform.flycast(APP).await;
        for id in &ids {
            fleet.platform.boot(id);
        }
        fleet.platform.listens(&ids[1]).await;
        let (done, message) = command(&fleet, &["start", &url, "--machine", &ids[1]]).await;
        assert!(done, "{message}");
        for (id, expected) in [(&ids[0], "none"), (&ids[1], "idle"), (&ids[2], "none")] {
            fleet.platform.listens(id).await;
            let (done, message) = command(&fleet, &["status", &url, "--machine", id]).await;
            assert!(
                done && message.contains(&format!("\"{expected}\"")),
                "{message}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_a_pinned_request_starts_a_machine_depends_on_autostart() {
    under_both(async |fleet| {
        let mut config = config();
        config["services"][0]["autostart"] = true.into();
        let id = fleet.platform.machine(APP, "autostart", config);
        let request = fleet
            .request("GET", APP, "/status")
            .header("fly-force-instance-id", &id);
        let status = request.send().await.unwrap().status();
        // The documents say both; the coordinator depends on neither.
        let wakes = fleet.platform.shared.switches.forced_wakes;
        assert_eq!(status.is_success(), wakes, "{status}");
        assert_eq!(fleet.platform.count("proxy start", &id), usize::from(wakes));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wake_asks_the_coordinator() {
    under_both(async |mut fleet| {
        fleet.coordinator(&[]);
        let id = fleet.stopped("one");
        let url = fleet.platform.flycast(COORD).await;
        let (done, message) = command(&fleet, &["start", &url, "--wake", &id]).await;
        assert!(done && message.contains("\"idle\""), "{message}");
        let (done, message) = command(&fleet, &["message", &url, "--wake", &id, "hello"]).await;
        assert!(done && message.contains("\"submitted\": true"), "{message}");
        let (done, message) = command(&fleet, &["live", &url, "--wake", &id]).await;
        assert!(done && message.contains("fake codex"), "{message}");
        assert_eq!(fleet.platform.count("start", &id), 1);
    })
    .await;
}
