//! The whole way of an image: `agent smoke` tests a machine of the gate, as the
//! platform's machine check does, with a real `agent exercises` there. An image
//! that passes is promoted and rolled out; one that fails changes nothing.

use std::{
    env,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::{
    AGENT,
    candidate::{Candidate, NEW},
    fleet::{Fleet, config, under_both},
    platform::{APP, COORD, GATE},
};

/// A machine of the gate, with `agent exercises`.
struct Gate {
    candidate: Candidate,
    exercises: Child,
    _folder: TempDir,
}

impl Gate {
    async fn new(fleet: &mut Fleet) -> Self {
        let candidate = Candidate::new(fleet, GATE, NEW);
        fleet.platform.boot(&candidate.id);
        fleet.platform.listens(&candidate.id).await;
        let folder = tempfile::tempdir().unwrap();
        let mut exercises = Command::new(AGENT);
        exercises.args(["exercises", "--listen", &at(fleet, &candidate, 8081)]);
        exercises.arg("--directory").arg(folder.path());
        exercises.arg("--blockd").arg(blockd());
        exercises.args(["--token-file", &fleet.platform.file("token")]);
        exercises.env("AGENT_LOG", "warn").env("BLOCKD_LOG", "warn");
        let mut exercises = exercises.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let output = exercises.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert!(line.starts_with("exercises at"), "{line}");
        Self {
            candidate,
            exercises,
            _folder: folder,
        }
    }

    /// Runs the machine check, as on another machine of the app.
    async fn smoke(&self, fleet: &Fleet, more: &[&str]) -> Output {
        let mut command = Command::new(AGENT);
        let url = |port| format!("http://{}", at(fleet, &self.candidate, port));
        command.args(["smoke", "--target", &url(8080), "--exercises", &url(8081)]);
        command.args(["--token-file", &fleet.platform.file("token")]);
        command.args(["--promote", &fleet.platform.flycast(COORD).await]);
        command.args(more);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        output.await.unwrap()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Only `agent exercises` itself detaches its views.
        let pid = self.exercises.id().to_string();
        let kill = Command::new("kill").arg(pid).status();
        kill.expect("kill is installed");
        self.exercises.wait().expect("it is our child");
    }
}

fn at(fleet: &Fleet, candidate: &Candidate, port: u16) -> String {
    let ip = fleet.platform.change(&candidate.id, |machine| machine.ip);
    format!("{ip}:{port}")
}

/// The program that was built beside `agent`, or that `BLOCKD` names.
fn blockd() -> PathBuf {
    let built = PathBuf::from(AGENT).with_file_name("blockd");
    let program = env::var_os("BLOCKD").map_or(built, PathBuf::from);
    assert!(program.exists(), "{} is missing", program.display());
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_passes_at_the_gate_is_promoted_and_rolled_out() {
    under_both(async |mut fleet| {
        let template = fleet.template();
        let agent = fleet.stopped("agent");
        fleet.platform.boot(&agent);
        fleet.platform.listens(&agent).await;
        let gate = Gate::new(&mut fleet).await;
        fleet.coordinator(&["--sweep", "3600", "--roll-idle", "0"]);
        let socket = ["--platform", &gate.candidate.socket];
        let more = [&["--tier", "wiring", "--image", NEW], &socket[..]].concat();
        let output = gate.smoke(&fleet, &more).await;
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{message}");
        assert_eq!(fleet.platform.image(&template), NEW);
        assert_eq!(fleet.platform.count("create", ""), 1, "one trial");
        fleet.until(|| fleet.platform.image(&agent) == NEW).await;
        assert_eq!(fleet.status_of(&agent).await.status(), 200);
        assert_eq!(fleet.platform.image(&agent), NEW);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_fails_or_forges_its_identity_changes_nothing() {
    under_both(async |mut fleet| {
        let template = fleet.template();
        let gate = Gate::new(&mut fleet).await;
        let agent = Candidate::new(&mut fleet, APP, NEW);
        let forger = fleet.platform.forger(&gate.candidate.id);
        fleet.coordinator(&[]);
        let other = NEW.replace('b', "d");
        let own = gate.candidate.socket.as_str();
        for (tier, image, socket, expected) in [
            // The scripted codex does not add.
            ("codex", NEW, own, "has not answered"),
            ("wiring", &other, own, "about another image"),
            ("wiring", NEW, &forger, "is not valid"),
            (
                "wiring",
                NEW,
                &agent.socket,
                "machines of app agents may not promote",
            ),
            ("wiring", NEW, "/no/such/socket", "only a machine of the"),
        ] {
            let more = ["--tier", tier, "--image", image, "--platform", socket];
            let output = gate.smoke(&fleet, &more).await;
            let message = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{expected}: {message}");
            assert!(message.contains(expected), "{expected}: {message}");
        }
        assert_eq!(fleet.platform.config(&template), {
            let mut before = config();
            before["metadata"]["role"] = "template".into();
            before
        });
        assert_eq!(fleet.platform.count("create", ""), 0, "no trial");
    })
    .await;
}
