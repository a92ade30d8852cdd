mod lists;

use std::{
    fs,
    num::NonZeroU16,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::{TempDir, tempdir};

use super::{Evidence, Options, Refusal, Session, StartError, State};
use crate::{serve::codex::Program, serve::output_log::Limits, serve::screen::Size};

/// How long anything may take; what takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// A fake codex in a home and a workspace of its own.
struct Fake {
    home: TempDir,
    session: Arc<Session>,
}

fn fake(mode: &str) -> Fake {
    let codex = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake/codex");
    with(&[codex], mode)
}

fn with(words: &[&str], mode: &str) -> Fake {
    let home = tempdir().unwrap();
    let workspace = home.path().join("work");
    fs::create_dir(&workspace).unwrap();
    let environment = [
        ("PATH", std::env::var_os("PATH").unwrap()),
        ("HOME", home.path().into()),
        ("CODEX_HOME", home.path().join("codex").into()),
        ("FAKE", mode.into()),
        ("SECRET", "secret".into()),
    ];
    let session = Session::new(Options {
        program: Program {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            workspace,
            environment: environment
                .map(|(name, value)| (name.into(), value))
                .to_vec(),
            passed: vec!["FAKE".to_owned()],
            alternate_screen: false,
            is_trusted: false,
            user: None,
        },
        logs: home.path().join("logs"),
        limits: Limits::default(),
        size: Size {
            rows: NonZeroU16::new(40).unwrap(),
            columns: NonZeroU16::new(120).unwrap(),
        },
        start_timeout: Duration::from_secs(if mode == "dialog" { 2 } else { 120 }),
        version: None,
    });
    Fake {
        home,
        session: session.unwrap(),
    }
}

impl Fake {
    async fn started(mode: &str) -> Self {
        let fake = fake(mode);
        assert_eq!(fake.session.start(false).await.unwrap().state, State::Idle);
        fake
    }

    fn said(&self) -> Vec<String> {
        let folder = self.home.path().join("codex/sessions/2026/11/20");
        let mut said = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            for line in fs::read_to_string(entry.unwrap().path()).unwrap().lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let text = &line["payload"]["content"][0]["text"];
                said.push(text.as_str().unwrap().to_owned());
            }
        }
        said
    }

    /// Waits until the screen shows a text.
    async fn shows(&self, text: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !self.session.screen_text().contains(text) {
            let screen = self.session.screen_text();
            assert!(Instant::now() < deadline, "no {text} in {screen}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until codex is in this state.
    async fn is(&self, state: State) {
        let deadline = Instant::now() + DEADLINE;
        while self.session.status().state != state {
            assert!(Instant::now() < deadline, "{:?}", self.session.status());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn output(&self) -> Vec<u8> {
        let log = Arc::clone(self.session.run().unwrap().log());
        let (mut all, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        let mut reader = log.reader(0);
        loop {
            match reader.read(&mut buffer).unwrap() {
                0 => return all,
                read => all.extend_from_slice(&buffer[..read]),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_once_and_in_order() {
    let fake = Fake::started("").await;
    let long = "x".repeat(60_000);
    let shapes = [
        "a",
        "see @x",
        "two\nlines",
        "π 👩‍👩‍👧 שלום",
        "--help",
        "#",
        "{\"a\": [1]}",
        &long,
        "same",
        "same",
        "break\x1b[201~\r\x03\x1a\x04out",
    ];
    for shape in shapes {
        let sent = fake.session.message(shape).await.unwrap();
        assert_eq!(sent.evidence, Evidence::Rollout, "{shape:.40}");
    }
    let mut expected: Vec<_> = shapes.map(str::to_owned).to_vec();
    "break\nout".clone_into(expected.last_mut().unwrap());
    assert_eq!(fake.said(), expected);
    let status = fake.session.stop().await;
    assert_eq!((status.state, status.exit_code), (State::Exited, Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_at_once_wait_for_each_other_only_while_typed() {
    let fake = Fake::started("").await;
    let sending = (0..20).map(|index| {
        let session = Arc::clone(&fake.session);
        tokio::spawn(async move { session.message(&format!("number {index}")).await.unwrap() })
    });
    for sent in sending.collect::<Vec<_>>() {
        assert_eq!(sent.await.unwrap().evidence, Evidence::Rollout);
    }
    let mut said = fake.said();
    said.sort();
    said.dedup();
    assert_eq!(said.len(), 20);
    fake.session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn start_is_idempotent_and_begins_anew_after_an_exit() {
    let fake = fake("");
    assert!(matches!(
        fake.session.message("x").await,
        Err(Refusal::NotStarted)
    ));
    assert_eq!(fake.session.status().state, State::None);
    let (first, second) = tokio::join!(fake.session.start(false), fake.session.start(false));
    let run = first.unwrap().run;
    assert_eq!(run, second.unwrap().run);
    fake.session.message("exit 3").await.unwrap();
    fake.is(State::Exited).await;
    let status = fake.session.status();
    assert_eq!((status.exit_code, status.signal), (Some(3), None));
    assert!(matches!(
        fake.session.message("x").await,
        Err(Refusal::Ended(_))
    ));
    let again = fake.session.start(true).await.unwrap();
    assert_ne!(again.run, run);
    assert!(fake.session.screen_text().contains("resume --last"));
    assert_eq!(fake.session.runs().list().unwrap().len(), 2);
    fake.session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_says_its_signal_and_leaves_nothing_behind() {
    let fake = Fake::started("").await;
    fake.session.message("spawn").await.unwrap();
    fake.session.message("crash").await.unwrap();
    fake.is(State::Exited).await;
    let status = fake.session.status();
    assert_eq!(status.signal.as_deref(), Some("Segmentation fault"));
    let marker = format!("AGENT_RUN={}", status.run);
    let left = fs::read_dir("/proc").unwrap().filter(|entry| {
        let environment = entry.as_ref().unwrap().path().join("environ");
        fs::read(environment).is_ok_and(|bytes| {
            bytes
                .windows(marker.len())
                .any(|part| part == marker.as_bytes())
        })
    });
    assert_eq!(left.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialog_refuses_messages_and_shows_itself() {
    let fake = Fake::started("").await;
    fake.session.message("ask").await.unwrap();
    fake.is(State::Blocked).await;
    let refused = fake.session.message("yes").await.unwrap_err();
    assert!(
        matches!(refused, Refusal::Blocked { ref kind, ref screen } if kind == "permission" && screen.contains("<ask>")),
        "{refused}"
    );
    assert_eq!(fake.said(), ["ask"]);
    fake.session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialog_at_the_start_is_shown() {
    let fake = fake("dialog");
    let began = Instant::now();
    loop {
        let error = fake.session.start(false).await.unwrap_err();
        assert!(matches!(error, StartError::NotReady { .. }), "{error}");
        if error.to_string().contains("trust this folder") {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "{error}");
    }
    assert!(matches!(
        fake.session.message("x").await,
        Err(Refusal::NotReady(_))
    ));
    fake.session.keys(b"y".to_vec()).await.unwrap();
    fake.is(State::Idle).await;
    assert_eq!(fake.session.start(false).await.unwrap().state, State::Idle);
    fake.session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_start_is_reported_with_its_output() {
    let error = fake("dead")
        .session
        .start(false)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("code 1") && error.contains("cannot start"),
        "{error}"
    );
    let error = with(&["no-such-program"], "")
        .session
        .start(false)
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::Spawn(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_read_is_reported_as_hung() {
    let fake = Fake::started("").await;
    let go_on = fake.home.path().join("go on");
    let hang = format!("hang {}", go_on.display());
    fake.session.message(&hang).await.unwrap();
    let refused = fake
        .session
        .message(&"x".repeat(500_000))
        .await
        .unwrap_err();
    assert!(matches!(refused, Refusal::Write(_)), "{refused}");
    assert_eq!(fake.session.status().state, State::Hung);
    let refused = fake.session.message("y").await.unwrap_err();
    assert!(matches!(refused, Refusal::Write(_)), "{refused}");
    let refused = fake.session.keys(b"z".to_vec()).await.unwrap_err();
    assert!(matches!(refused, Refusal::Write(_)), "{refused}");
    fs::write(go_on, "").unwrap();
    fake.is(State::Idle).await;
    fake.session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_leaves_no_record_is_a_hint() {
    let fake = Fake::started("").await;
    let sent = fake.session.message("lost").await.unwrap();
    assert_eq!((sent.submitted, sent.evidence), (true, Evidence::Report));
    fake.session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_left_in_the_input_line_gets_a_second_enter() {
    let fake = Fake::started("").await;
    for (text, evidence, enters) in [
        ("deaf", Evidence::Rollout, 2),
        ("swallow", Evidence::None, 1),
    ] {
        fake.is(State::Idle).await;
        let sent = fake.session.message(text).await.unwrap();
        assert_eq!(sent.evidence, evidence, "{text}");
        let typed = fs::read_to_string(fake.home.path().join("codex/input")).unwrap();
        let (_, typed) = typed.rsplit_once(text).unwrap();
        assert_eq!(typed.matches(['\r', '~']).count() - 1, enters, "{typed:?}");
    }
    assert_eq!(fake.said(), ["deaf"]);
    fake.session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_interrupted_only_while_it_runs() {
    let fake = Fake::started("").await;
    assert!(!fake.session.interrupt().await.unwrap());
    fake.session.message("work 600").await.unwrap();
    fake.is(State::Working).await;
    assert_eq!(fake.session.idle_since(), None);
    assert!(fake.session.interrupt().await.unwrap());
    fake.is(State::Idle).await;
    fake.shows("interrupted").await;
    assert!(fake.session.idle_since().is_some());
    fake.session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_logged_exactly() {
    let fake = Fake::started("").await;
    let before = fake.output().len();
    fake.session.message("flood 200").await.unwrap();
    fake.shows("did <flood 200>").await;
    let output = fake.output();
    let line = [
        "0123456789abcdef".repeat(4095).as_str(),
        "0123456789abcd\r\n",
    ]
    .concat();
    let flood = line.repeat(200);
    let start = output[before..]
        .windows(16)
        .position(|part| part == b"0123456789abcdef")
        .unwrap()
        + before;
    assert!(output[start..].starts_with(flood.as_bytes()));
    fake.session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suspending_itself_does_not_stop_it() {
    let fake = Fake::started("").await;
    fake.session.keys(b"\x1a".to_vec()).await.unwrap();
    let sent = fake.session.message("still there").await.unwrap();
    assert_eq!(sent.evidence, Evidence::Rollout);
    fake.session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_has_no_secrets() {
    let fake = Fake::started("").await;
    fake.session.message("environment").await.unwrap();
    fake.shows("did <environment>").await;
    let screen = fake.session.screen_text();
    assert!(
        screen.contains("CODEX_HOME") && !screen.contains("SECRET"),
        "{screen}"
    );
    fake.session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_terminal_program_can_be_run() {
    let other = with(&["bash", "--norc", "-i"], "");
    assert_eq!(other.session.start(false).await.unwrap().state, State::Idle);
    let sent = other.session.message("echo $((40 + 2)) > made").await;
    let sent = sent.unwrap();
    assert_eq!((sent.submitted, sent.evidence), (true, Evidence::Output));
    let made = other.home.path().join("work/made");
    wait_for(&made).await;
    assert_eq!(fs::read_to_string(made).unwrap(), "42\n");
    assert_eq!(other.session.stop().await.state, State::Exited);
}

async fn wait_for(path: &Path) {
    let deadline = Instant::now() + DEADLINE;
    while !path.metadata().is_ok_and(|metadata| metadata.len() > 0) {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
