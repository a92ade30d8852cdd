//! `--machine ID`: this machine and no other, and never woken.

use std::process::Command;

use crate::{
    AGENT,
    fleet::{Fleet, config, under_both},
    platform::{APP, COORD},
};

/// One of the agent's commands, through the proxy by the app's own name.
async fn command(fleet: &Fleet, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(AGENT);
    // The proxy goes by the Host; our clients by the address.
    command
        .args(arguments)
        .env("AGENT_TOKEN_FILE", fleet.platform.file("token"));
    command.env("NO_COLOR", "1");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(told).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_target_fails_at_once_and_is_not_woken() {
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
            let (done, told) = command(&fleet, arguments).await;
            assert!(!done, "{arguments:?}: {told}");
            let sentence = format!("machine {id} does not answer, and --machine never wakes one");
            assert!(told.contains(&sentence), "{arguments:?}: {told}");
        }
        assert_eq!(fleet.platform.state(&id), "stopped");
        assert_eq!(fleet.platform.count("proxy start", ""), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_runs_is_the_one_that_answers() {
    under_both(async |fleet| {
        let ids = ["first", "second", "third"].map(|name| fleet.stopped(name));
        let url = fleet.platform.flycast(APP).await;
        for id in &ids {
            fleet.platform.boot(id);
        }
        fleet.platform.listens(&ids[1]).await;
        let (done, told) = command(&fleet, &["start", &url, "--machine", &ids[1]]).await;
        assert!(done, "{told}");
        for (id, expected) in [(&ids[0], "none"), (&ids[1], "idle"), (&ids[2], "none")] {
            fleet.platform.listens(id).await;
            let (done, told) = command(&fleet, &["status", &url, "--machine", id]).await;
            assert!(done && told.contains(&format!("\"{expected}\"")), "{told}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_service_has_autostart_is_why_ours_have_not() {
    under_both(async |fleet| {
        let mut config = config();
        config["services"][0]["autostart"] = true.into();
        let id = fleet.platform.machine(APP, "autostart", config);
        let request = fleet
            .ask("GET", APP, "/status")
            .header("fly-force-instance-id", &id);
        let status = request.send().await.unwrap().status();
        // The documents say both; we depend on neither.
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
        let (done, told) = command(&fleet, &["start", &url, "--wake", &id]).await;
        assert!(done && told.contains("\"idle\""), "{told}");
        let (done, told) = command(&fleet, &["message", &url, "--wake", &id, "hello"]).await;
        assert!(done && told.contains("\"submitted\": true"), "{told}");
        let (done, told) = command(&fleet, &["live", &url, "--wake", &id]).await;
        assert!(done && told.contains("fake codex"), "{told}");
        assert_eq!(fleet.platform.count("start", &id), 1);
    })
    .await;
}
