//! A real codex through an MCP client. Nothing leaves this host.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{fetched, responses::Model};
use crate::harness::{Launch, Server, poll_until, read_until, signal, state_of, type_keys};

/// A codex, and its model.
pub(super) struct Real {
    pub(super) server: Server,
    pub(super) model: Model,
}

impl Real {
    pub(super) async fn new(more: &[&str]) -> Self {
        let codex = fetched("codex-$codex/bin/codex");
        Self::of(codex.to_str().unwrap(), more).await
    }

    async fn of(program: &str, more: &[&str]) -> Self {
        Self::configured(program, more, |config| config).await
    }

    /// One whose settings are changed.
    pub(super) async fn configured(
        program: &str,
        more: &[&str],
        change: impl Fn(String) -> String,
    ) -> Self {
        let model = Model::new().await;
        let mut launch = Launch::of(program);
        let home = launch.home().join("codex");
        configure(&home, model.port, "");
        let config = fs::read_to_string(home.join("config.toml")).unwrap();
        fs::write(home.join("config.toml"), change(config)).unwrap();
        launch.command.arg("--trust-workspace");
        launch.command.args(["--pass-env", "MODEL_KEY"]).args(more);
        launch.command.env("MODEL_KEY", "none");
        let server = launch.start();
        Self { server, model }
    }

    /// What the user has said, as codex has recorded it.
    pub(super) fn said(&self) -> Vec<String> {
        let mut said = Vec::new();
        for line in self.records() {
            let payload = &line["payload"];
            if line["type"] == "response_item" && payload["role"] == "user" {
                let parts = payload["content"].as_array().unwrap().iter();
                let text: String = parts.filter_map(|part| part["text"].as_str()).collect();
                said.push(text.trim().to_owned());
            }
        }
        said
    }

    /// Codex's records of its conversations.
    pub(super) fn records(&self) -> Vec<Value> {
        let files = rollouts(&self.server.path("codex/sessions")).into_iter();
        let texts = files.map(|path| fs::read_to_string(path).unwrap());
        let lines = texts.flat_map(|text| {
            let lines = text.lines().map(serde_json::from_str);
            lines.filter_map(Result::ok).collect::<Vec<_>>()
        });
        lines.collect()
    }

    /// The process that has codex's terminal.
    async fn codex(&self) -> u32 {
        let run = self.server.status().await["run"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(!run.is_empty());
        let all = crate::harness::children(self.server.pid());
        all.into_iter().max().unwrap()
    }
}

/// Writes a codex home that uses the model at this port.
pub(super) fn configure(home: &Path, port: u16, more: &str) {
    let config = format!(
        r#"
model = "gpt-6.1-sol"
model_provider = "scripted"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false
[model_providers.scripted]
name = "scripted"
base_url = "http://127.0.0.1:{port}/v1"
wire_api = "responses"
env_key = "MODEL_KEY"
{more}
"#
    );
    fs::write(home.join("config.toml"), config).unwrap();
}

/// Codex's records, oldest first.
fn rollouts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(rollouts(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What is sent, and what codex must record.
fn shapes() -> Vec<(String, String)> {
    let as_is = [
        "x",
        "hello world",
        "two\nlines",
        "tab\there",
        "emoji 👩‍👩‍👧 🎉",
        "rtl שלום عليكم",
        "한국어 日本語",
        "see @x",
        "use $x",
        "mid @x word",
        "# heading",
        "--help",
        "- list\n- of\n- things",
        "json {\"a\": [1, 2]}",
        "quote \" ' ` \\",
        "same",
        "same",
        "?",
        "1",
        "é",
        "$(touch bad)",
        "; rm -rf bad",
        "<b>&amp;</b>",
        "a /word and !more",
        "1. first\n\n\n2. last",
    ];
    let mut shapes: Vec<_> = as_is.map(|text| (text.to_owned(), text.to_owned())).into();
    for long in [
        "a".repeat(10_000),
        "b".repeat(60_000),
        "long line ".repeat(200),
    ] {
        shapes.push((long.clone(), long.trim().to_owned()));
    }
    for (sent, recorded) in [
        ("crlf\r\nand\rcr", "crlf\nand\ncr"),
        ("esc \x1b[31mred\x1b[0m", "esc red"),
        ("out\x1b[201~\r\x03\x1a\x04in", "out\nin"),
        ("ends with space ", "ends with space"),
        ("  begins with space", "begins with space"),
        (" /nosuch is no command", "/nosuch is no command"),
        (" !touch bad", "!touch bad"),
    ] {
        shapes.push((sent.to_owned(), recorded.to_owned()));
    }
    shapes
}

async fn all_shapes(more: &[&str]) {
    let real = Real::new(more).await;
    let mcp = real.server.mcp().await;
    assert_eq!(mcp.start().await["state"], "idle");
    let mut expected = Vec::new();
    for (sent, recorded) in shapes() {
        let answer = mcp.message(&sent).await;
        assert_eq!(answer["submitted"], true, "{sent:.60}: {answer}");
        expected.push(recorded);
    }
    for name in ["one", "two", "three", "four", "five", "six"] {
        // What comes while codex works cuts the turn before it.
        real.server.is("idle").await;
        let edit = format!("edit {name} by codex, {name}");
        assert_eq!(mcp.message(&edit).await["submitted"], true);
        expected.push(edit);
        let made = real.server.path(&format!("work/{name}"));
        poll_until("the file to be edited", || {
            let text = fs::read_to_string(&made).ok()?;
            (text == format!("by codex, {name}")).then_some(())
        });
    }
    let mut said = real.said();
    said.retain(|text| expected.contains(text));
    assert_eq!(said, expected);
    assert!(!real.server.path("work/bad").exists());
    real.server.is("idle").await;
    assert_eq!(real.server.post("/stop").await["exit_code"], 0);
    let output = real.server.get("/live", &[]).await.bytes().await.unwrap();
    assert!(output == real.server.logged());
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_messages_of_every_shape() {
    all_shapes(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_messages_of_every_shape_on_the_alternate_screen() {
    all_shapes(&["--alt-screen"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_codex_resumes_its_conversation() {
    let real = Real::new(&[]).await;
    let mcp = real.server.mcp().await;
    mcp.start().await;
    mcp.message("remember the number 4711").await;
    real.server.is("idle").await;
    signal("KILL", real.codex().await);
    real.server.is("exited").await;
    assert_eq!(real.server.status().await["signal"], "Killed");
    real.server.run(&["start", &real.server.url, "--resume"]);
    // Codex may report that it works after it has come up.
    real.server.is("idle").await;
    real.server.shows("remember the number 4711").await;
    mcp.message("and the number 42").await;
    let said = real.said();
    let ours = said.iter().filter(|text| text.contains("the number"));
    let ours: Vec<_> = ours.collect();
    assert_eq!(ours, ["remember the number 4711", "and the number 42"]);
    real.server.post("/stop").await;
    let left = crate::harness::children(real.server.pid());
    assert!(left.is_empty(), "{left:?} are left behind");
}

/// `script` has a terminal between codex and ours, and writes down what passes.
#[tokio::test(flavor = "multi_thread")]
async fn live_is_what_a_terminal_gets() {
    let codex = fetched("codex-$codex/bin/codex");
    let folder = tempfile::tempdir().unwrap();
    let (program, copy) = (folder.path().join("codex"), folder.path().join("copy"));
    let record = format!(
        "#!/bin/bash\nexec script -q -e -f -O '{}' -c \"$(printf '%q ' '{}' \"$@\")\"\n",
        copy.display(),
        codex.display()
    );
    crate::harness::write_program(&program, &record);
    let real = Real::of(program.to_str().unwrap(), &[]).await;
    let mcp = real.server.mcp().await;
    mcp.start().await;
    for text in ["hello", "two\nlines", "edit made by codex"] {
        let answer = mcp.message(text).await;
        assert_eq!(answer["submitted"], true, "{text}: {answer}");
        real.server.is("idle").await;
    }
    assert_eq!(real.server.post("/stop").await["exit_code"], 0);
    let live = real.server.get("/live", &[]).await.bytes().await.unwrap();
    let copy = fs::read(copy).unwrap();
    let begin = copy.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let done = b"\nScript done on ";
    let mut tails = copy.windows(done.len());
    let end = tails.rposition(|tail| tail == done).unwrap();
    let same = live.iter().zip(&copy[begin..end]);
    let same = same.take_while(|(ours, theirs)| ours == theirs).count();
    let rest = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(rest(&live[same..]), rest(&copy[begin + same..end]));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_suspends_it() {
    let real = Real::new(&[]).await;
    let mcp = real.server.mcp().await;
    mcp.start().await;
    let pid = real.codex().await;
    let mut terminal = real.server.terminal("?format=output-1").await;
    read_until(&mut terminal, "\"writer\":true").await;
    for (first, second) in crate::keys::cut() {
        type_keys(&mut terminal, first).await;
        type_keys(&mut terminal, second).await;
        read_until(&mut terminal, "Ctrl+Z is blocked here").await;
        assert_ne!(state_of(pid), Some('T'));
    }
    drop(terminal);
    real.was_never_suspended(&mcp, "after the page").await;
    let script = format!("{} terminal {}", crate::harness::AGENT, real.server.url);
    let mut person = crate::keys::Person::new(&real.server, &script);
    person.sees("›");
    for (first, second) in crate::keys::cut() {
        person.types(first).await;
        person.types(second).await;
        assert_ne!(state_of(pid), Some('T'));
    }
    person.types(b"\x1d").await;
    person.sees("detached");
    real.was_never_suspended(&mcp, "after the person").await;
}

impl Real {
    /// Asserts that codex has not suspended itself, and accepts messages.
    async fn was_never_suspended(&self, mcp: &crate::harness::Mcp, text: &str) {
        let answer = mcp.message(text).await;
        assert_eq!(answer["evidence"], "rollout", "{answer}");
        let output = String::from_utf8_lossy(&self.server.logged()).into_owned();
        assert!(output.contains("]7501;state=idle"));
        assert!(!output.contains("]7501;state=clear"));
    }
}
