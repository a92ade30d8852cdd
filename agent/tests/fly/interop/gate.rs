//! The whole way of an image: `agent smoke` tries a machine of the gate, as the
//! platform's machine check does, with a real ground under it; what has passed
//! is promoted and rolled, what has not changes nothing.

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
    fleet::{Fleet, config, under_both, until},
    platform::{APP, COORD, GATE},
};

/// A machine of the gate that runs, and lays out exercises.
struct Gate {
    candidate: Candidate,
    ground: Child,
    _folder: TempDir,
}

impl Gate {
    async fn new(fleet: &mut Fleet) -> Self {
        let candidate = Candidate::new(fleet, GATE, NEW);
        fleet.platform.boot(&candidate.id);
        fleet.platform.listens(&candidate.id).await;
        let folder = tempfile::tempdir().unwrap();
        let mut ground = Command::new(AGENT);
        ground.args(["ground", "--listen", &at(fleet, &candidate, 8081)]);
        ground.arg("--directory").arg(folder.path());
        ground.arg("--blockd").arg(blockd());
        ground.args(["--token-file", &fleet.platform.file("token")]);
        ground.env("AGENT_LOG", "warn").env("BLOCKD_LOG", "warn");
        let mut ground = ground.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let said = ground.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut line).unwrap();
        assert!(line.starts_with("exercises at"), "{line}");
        Self {
            candidate,
            ground,
            _folder: folder,
        }
    }

    /// The machine check, on another machine of the app.
    async fn smoke(&self, fleet: &Fleet, more: &[&str]) -> Output {
        let mut command = Command::new(AGENT);
        let url = |port| format!("http://{}", at(fleet, &self.candidate, port));
        command.args(["smoke", "--target", &url(8080), "--ground", &url(8081)]);
        command.args(["--token-file", &fleet.platform.file("token")]);
        command.args(["--promote", &fleet.platform.flycast(COORD).await]);
        command.args(more);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        output.await.unwrap()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Its views go only if it takes them down itself.
        let pid = self.ground.id().to_string();
        let _told = Command::new("kill").arg(pid).status();
        let _ended = self.ground.wait();
    }
}

fn at(fleet: &Fleet, candidate: &Candidate, port: u16) -> String {
    let ip = fleet.platform.with(&candidate.id, |machine| machine.ip);
    format!("{ip}:{port}")
}

/// Newly built, beside ours.
fn blockd() -> PathBuf {
    let built = PathBuf::from(AGENT).with_file_name("blockd");
    let program = env::var_os("BLOCKD").map_or(built, PathBuf::from);
    assert!(program.exists(), "{} is missing", program.display());
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_passes_at_the_gate_is_promoted_and_rolled() {
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
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        assert_eq!(fleet.platform.image(&template), NEW);
        assert_eq!(fleet.platform.count("create", ""), 1, "one was tried");
        until(|| fleet.platform.image(&agent) == NEW).await;
        assert_eq!(fleet.asked(&agent).await.status(), 200);
        assert_eq!(fleet.platform.image(&agent), NEW);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_or_lies_at_the_gate_changes_nothing() {
    under_both(async |mut fleet| {
        let template = fleet.template();
        let gate = Gate::new(&mut fleet).await;
        let agent = Candidate::new(&mut fleet, APP, NEW);
        let forger = fleet.platform.forger(&gate.candidate.id);
        fleet.coordinator(&[]);
        let other = NEW.replace('b', "d");
        let own = gate.candidate.socket.as_str();
        for (tier, image, socket, expected) in [
            // This codex echoes, and does not add.
            ("codex", NEW, own, "has not answered"),
            ("wiring", &other, own, "about another image"),
            ("wiring", NEW, &forger, "does not count"),
            ("wiring", NEW, &agent.socket, "machines of agents promote"),
            ("wiring", NEW, "/no/such/socket", "only a machine of the"),
        ] {
            let more = ["--tier", tier, "--image", image, "--platform", socket];
            let output = gate.smoke(&fleet, &more).await;
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{expected}: {told}");
            assert!(told.contains(expected), "{expected}: {told}");
        }
        assert_eq!(fleet.platform.config(&template), {
            let mut before = config();
            before["metadata"]["role"] = "template".into();
            before
        });
        assert_eq!(fleet.platform.count("create", ""), 0, "none was tried");
    })
    .await;
}
