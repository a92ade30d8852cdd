//! `agent machines`.

use std::process::{Command, Output};

use serde_json::Value;

use crate::{
    AGENT,
    fleet::{Fleet, config, under_both},
    platform::APP,
};

async fn machines(fleet: &Fleet, arguments: &[&str]) -> Output {
    let mut command = Command::new(AGENT);
    command.arg("machines").args(arguments).args(["--app", APP]);
    command.args(["--api-url", &fleet.platform.api]);
    command.env("FLY_API_TOKEN", "fm2_secret");
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

async fn done(fleet: &Fleet, arguments: &[&str]) -> Value {
    let output = machines(fleet, &[arguments, &["--json"]].concat()).await;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {message}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_in_the_life_of_a_machine() {
    under_both(async |fleet| {
        let file = fleet.platform.file("config.json");
        std::fs::write(&file, config().to_string()).unwrap();
        let made = done(
            &fleet,
            &["create", "ag-one", "--config", &file, "--stopped"],
        )
        .await;
        assert_eq!(made[0]["state"], "created");
        let again = done(&fleet, &["create", "ag-one", "--config", &file]).await;
        assert_eq!(
            (&again[0]["id"], again[0]["state"].as_str()),
            (&made[0]["id"], Some("started"))
        );
        let id = made[0]["id"].as_str().unwrap();
        for (arguments, state) in [
            (&["stop", id][..], "stopped"),
            (&["start", id], "started"),
            (&["suspend", id], "suspended"),
            (&["restart", id, "--mode", "ro"], "started"),
            (
                &["resize", id, "--cpus", "4", "--memory-mb", "16384"],
                "started",
            ),
            (&["restart", id], "started"),
        ] {
            let message = done(&fleet, arguments).await;
            assert_eq!(message[0]["state"], state, "{arguments:?}");
            assert_eq!(fleet.platform.state(id), state, "{arguments:?}");
        }
        assert_eq!(fleet.platform.config(id)["env"]["MODE"], "ro");
        let list = machines(&fleet, &["list"]).await;
        let list = String::from_utf8(list.stdout).unwrap();
        assert!(
            list.contains(id) && list.contains("performance-4x/16384MB ro"),
            "{list}"
        );
        assert_eq!(
            done(&fleet, &["destroy", id]).await[0]["state"],
            "destroyed"
        );
        assert!(fleet.platform.machines_of(APP).is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_operations_print_the_reason() {
    under_both(async |fleet| {
        let id = fleet.stopped("one");
        for (arguments, expected) in [
            (&["start", "0badc0de"][..], "there is no machine 0badc0de"),
            (&["start", "../x"], "is not a machine's id"),
            (&["resize", &id, "--cpus", "3"], "1, 2, 4, 8 or 16 CPUs"),
            (
                &["restart", &id, "--mode", "wo"],
                "[possible values: ro, rw]",
            ),
            (
                &["create", "x", "--config", "/no/such/file"],
                "cannot read /no/such/file",
            ),
        ] {
            let output = machines(&fleet, arguments).await;
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                !output.status.success() && message.contains(expected),
                "{arguments:?}: {message}"
            );
            assert!(!message.contains("fm2_secret"), "{message}");
        }
    })
    .await;
}

#[test]
fn names_of_the_last_release_are_accepted() {
    for arguments in [
        &["ground", "--help"][..],
        &["boot", "--ground", "[::1]:0", "--help"],
        &["smoke", "--ground", "http://127.0.0.1:1", "--help"],
    ] {
        let output = Command::new(AGENT).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(!help.contains("ground"), "{help}");
    }
}
