//! `agent smoke` against a machine with a real codex, whose model is a script: one
//! that works passes every tier, and each kind of cheat fails one.

use serde_json::Value;

use crate::harness::{Model, TestMachine, agent};

/// A machine whose codex has a model of this character.
fn candidate(character: &str) -> (TestMachine, Model) {
    let model = Model::start(character);
    let mut machine = TestMachine::new();
    model.configure(&machine.home());
    let codex = Model::codex();
    let codex = codex.to_str().unwrap();
    let environment = [
        ("SCRIPT_KEY", "x"),
        ("AGENT_PASS_ENV", "SCRIPT_KEY"),
        ("AGENT_COMMAND", codex),
    ];
    machine.boot(&["--exercises", "127.0.0.1:0"], &[], &environment);
    (machine, model)
}

/// The verdict; the exit status must say the same.
#[track_caller]
fn smoke(machine: &mut TestMachine, more: &[&str]) -> Value {
    let mut command = agent();
    command.args([
        "smoke",
        "--target",
        &machine.url(),
        "--exercises",
        &machine.exercises(),
    ]);
    let output = command.args(more).output().unwrap();
    let messages = String::from_utf8_lossy(&output.stderr);
    let verdict: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {messages}\n{}", machine.log()));
    assert_eq!(
        output.status.success(),
        verdict["passed"] == true,
        "{messages}"
    );
    verdict
}

/// The tier that failed, and why.
#[track_caller]
fn failure(character: &str, more: &[&str]) -> (String, String) {
    let (mut machine, _model) = candidate(character);
    let verdict = smoke(&mut machine, more);
    let last = verdict["tiers"].as_array().unwrap().last().unwrap();
    assert_eq!(last["passed"], false, "{verdict:#}");
    assert!(machine.stop().success());
    assert!(!machine.has_mounts());
    let text = |name: &str| last[name].as_str().unwrap().to_owned();
    (text("tier"), text("reason"))
}

#[test]
fn a_codex_that_works_passes_every_tier_and_is_recorded() {
    let (mut machine, _model) = candidate("solver");
    let (passes, image) = (
        tempfile::tempdir().unwrap(),
        format!("x@sha256:{}", "ab".repeat(32)),
    );
    let recorded = [
        "--passes",
        passes.path().to_str().unwrap(),
        "--image",
        &image,
    ];
    let verdict = smoke(&mut machine, &recorded);
    assert_eq!(verdict["passed"], true, "{verdict:#}");
    let tiers = verdict["tiers"].as_array().unwrap();
    let names: Vec<_> = tiers
        .iter()
        .map(|tier| tier["tier"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["wiring", "codex", "puzzle", "team"]);
    assert!(tiers[3]["facts"]["contributed"].as_array().unwrap().len() >= 2);
    assert_eq!(verdict["digest"], format!("sha256:{}", "ab".repeat(32)));
    let again = smoke(&mut machine, &recorded);
    assert_eq!(
        (&again["passed"], &again["cached"]),
        (&true.into(), &true.into())
    );
    assert_eq!(again["tiers"].as_array().unwrap().len(), 1);
    assert!(machine.stop().success());
    assert!(!machine.has_mounts());
}

#[test]
fn a_codex_that_fails_does_not_pass() {
    let (tier, reason) = failure("failure", &[]);
    assert_eq!(tier, "codex");
    assert!(reason.contains("in the state error"), "{reason}");
}

#[test]
fn a_codex_that_only_claims_success_does_not_pass() {
    let (tier, reason) = failure("claimer", &["--turns", "2"]);
    assert_eq!(tier, "puzzle");
    assert!(reason.contains("still fails after 2 turns"), "{reason}");
}

#[test]
fn a_codex_that_fits_its_solution_to_the_tests_does_not_pass() {
    let (tier, reason) = failure("guesser", &[]);
    assert_eq!(tier, "puzzle");
    assert!(reason.contains("the tests pass, but"), "{reason}");
}

#[test]
fn a_codex_that_edits_the_tests_does_not_pass() {
    let (tier, reason) = failure("cheater", &[]);
    assert_eq!(tier, "team");
    assert!(reason.contains("has changed the tests"), "{reason}");
}

#[test]
fn a_codex_that_works_alone_does_not_pass() {
    let (tier, reason) = failure("loner", &["--turns", "1"]);
    assert_eq!(tier, "team");
    assert!(
        reason.contains("total.t or report.t still fails"),
        "{reason}"
    );
}

#[test]
fn a_codex_that_hangs_does_not_pass() {
    let (tier, reason) = failure("sleeper", &["--seconds", "60"]);
    assert_eq!(tier, "team");
    assert!(reason.contains("over its limit of 60 seconds"), "{reason}");
}

#[test]
fn a_machine_that_does_not_answer_does_not_pass() {
    let mut command = agent();
    command.args(["smoke", "--tier", "wiring", "--target", "http://[::1]:9"]);
    let output = command.output().unwrap();
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!output.status.success());
    assert_eq!(verdict["passed"], false);
    let reason = verdict["tiers"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("http://[::1]:9 does not answer"),
        "{reason}"
    );
}

#[test]
fn the_platform_names_the_machine_under_test() {
    let mut command = agent();
    command
        .args(["smoke", "--tier", "wiring"])
        .env("FLY_TEST_MACHINE_IP", "::1");
    let output = command.output().unwrap();
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["target"], "http://[::1]:8080");
    command.env_remove("FLY_TEST_MACHINE_IP");
    let output = command.output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("--target"));
}
