use std::{
    fs::{self, OpenOptions},
    io::Write,
};

use tempfile::{TempDir, tempdir};

use super::{Program, Rollouts};

fn program(words: &[&str]) -> (TempDir, Program) {
    let home = tempdir().unwrap();
    let program = Program {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        workspace: "/work space/\"a\"".into(),
        environment: vec![
            ("HOME".into(), home.path().into()),
            ("PATH".into(), "/bin".into()),
            ("OPENAI_API_KEY".into(), "key".into()),
            ("AWS_SECRET".into(), "secret".into()),
        ],
        passed: vec!["OPENAI_API_KEY".into()],
        alternate_screen: false,
        is_trusted: true,
        user: None,
    };
    (home, program)
}

fn line_of(program: &Program, resume: bool) -> String {
    let words = program.command_line(resume);
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

#[test]
fn codex_comes_up_without_a_dialog() {
    let (_home, program) = program(&["/opt/codex", "-m", "x"]);
    let line = line_of(&program, true);
    assert!(
        line.starts_with("/opt/codex -c features.daemon_auto_start=false"),
        "{line}"
    );
    assert!(line.contains("trust_level = \"trusted\""), "{line}");
    let asks = Program {
        is_trusted: false,
        ..program.clone()
    };
    let line_of_asking = line_of(&asks, true);
    assert!(!line_of_asking.contains("trust"), "{line_of_asking}");
    assert!(
        line.ends_with("--no-alt-screen -m x resume --last"),
        "{line}"
    );
}

#[test]
fn settings_of_the_user_are_kept() {
    let (home, program) = program(&["codex"]);
    program.prepare().unwrap();
    let config =
        "[tui]\nanimations = true\n[projects.'/work space/\"a\"']\ntrust_level = \"untrusted\"\n";
    let path = home.path().join(".codex/config.toml");
    fs::write(&path, config).unwrap();
    let line = line_of(&program, false);
    assert!(
        !line.contains("animations") && !line.contains("projects"),
        "{line}"
    );
    assert_eq!(fs::read_to_string(path).unwrap(), config);
}

/// The key that chooses nothing is one more of those that submit.
#[test]
fn a_key_that_only_submits_is_added_to_those_of_the_user() {
    for (config, keys) in [
        ("", "[\"enter\", \"ctrl-shift-f12\"]"),
        (
            "[tui.keymap.composer]\nsubmit = \"ctrl-enter\"\n",
            "[\"ctrl-enter\", \"ctrl-shift-f12\"]",
        ),
        (
            "[tui.keymap.composer]\nsubmit = [\"enter\", \"f5\"]\n",
            "[\"enter\", \"f5\", \"ctrl-shift-f12\"]",
        ),
    ] {
        let (home, program) = program(&["codex"]);
        program.prepare().unwrap();
        fs::write(home.path().join(".codex/config.toml"), config).unwrap();
        let line = line_of(&program, false);
        let setting = format!("-c tui.keymap.composer.submit={keys}");
        assert!(line.contains(&setting), "{line}");
    }
}

#[test]
fn other_programs_are_started_as_they_are() {
    let (home, program) = program(&["bash", "-i"]);
    assert_eq!(line_of(&program, true), "bash -i");
    program.prepare().unwrap();
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn the_environment_holds_no_secret_but_the_key() {
    let (_home, program) = program(&["codex"]);
    let environment = program.environment("7");
    let value = |name: &str| {
        environment
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    assert_eq!(value("OPENAI_API_KEY"), Some("key".into()));
    assert_eq!(value("AWS_SECRET"), None);
    assert_eq!(value("TERM"), Some("xterm-256color".into()));
    assert_eq!(value("AGENT_RUN"), Some("7".into()));
}

#[test]
fn each_record_is_claimed_once() {
    let home = tempdir().unwrap();
    let folder = home.path().join("sessions/2026/11/20");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("rollout-a.jsonl");
    let say = |role: &str, text: &str, end: &str| {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        let content = serde_json::json!([{"type": "input_text", "text": text}]);
        let line = serde_json::json!({"type": "response_item", "payload": {"role": role, "content": content}});
        write!(file, "{line}{end}").unwrap();
    };
    say("user", "early", "\n");
    let mut rollouts = Rollouts::new(home.path());
    let mut claim = |text: &str| rollouts.claim(text);
    assert!(!claim("early"));
    say("user", "one", "\n");
    say("assistant", "two", "\n");
    say("user", "one", "\n");
    say("user", "three", "");
    assert!(claim("one") && claim("one") && !claim("one"));
    assert!(!claim("two"));
    assert!(!claim("three"), "its line has not ended");
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"\n")
        .unwrap();
    assert!(claim("three"));
}
