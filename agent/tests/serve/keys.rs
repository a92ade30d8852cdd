//! No key suspends codex: by `/terminal`, by `agent terminal`, in a message;
//! in every encoding, and however it is cut.

use std::{fs, io::Read, num::NonZeroU16, sync::mpsc, thread};

use agent::serve::pty::{Command, Exit, Pty};
use tokio::time::timeout;

use super::{
    ctrl_z::CTRL_Z,
    harness::{AGENT, DEADLINE, Server, children, read_until, signal, type_keys},
};

/// Each encoding, cut in two at every byte.
pub(crate) fn cut() -> impl Iterator<Item = (&'static [u8], &'static [u8])> {
    let cuts = CTRL_Z.into_iter();
    cuts.flat_map(|key| (0..key.len()).map(move |at| key.split_at(at)))
}

impl Server {
    /// What has reached codex, without the Escapes that passed as lone keys.
    fn typed(&self) -> String {
        let mut typed = fs::read(self.path("codex/input")).unwrap();
        typed.retain(|byte| *byte != 0x1b);
        String::from_utf8(typed).unwrap()
    }

    fn was_never_suspended(&self) {
        let output = String::from_utf8_lossy(&self.logged()).into_owned();
        assert!(!output.contains("SUSPENDED"), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_terminal_of_the_web() {
    let server = Server::started();
    let mut terminal = server.terminal("?format=output-1").await;
    read_until(&mut terminal, "\"writer\":true").await;
    let mut expected = String::new();
    for (first, second) in cut() {
        for piece in [b"a", first, second, b"b"] {
            type_keys(&mut terminal, piece).await;
        }
        read_until(&mut terminal, "Ctrl+Z is blocked here").await;
        expected += "ab";
    }
    for key in [&b"\x03"[..], b"\x04", b"\x1c"] {
        type_keys(&mut terminal, key).await;
        read_until(&mut terminal, "is blocked here").await;
    }
    type_keys(&mut terminal, b"typed\r").await;
    read_until(&mut terminal, "did <abab").await;
    assert_eq!(server.typed(), expected + "typed\r");
    server.was_never_suspended();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_types_and_others_watch() {
    let server = Server::started();
    let mut terminal = server.terminal("?format=output-1").await;
    read_until(&mut terminal, "\"writer\":true").await;
    let mut other = server.terminal("?format=output-1").await;
    read_until(&mut other, "\"writer\":false").await;
    type_keys(&mut other, b"x").await;
    read_until(&mut other, "somebody else types").await;
    type_keys(&mut terminal, b"typed\r").await;
    read_until(&mut terminal, "did <typed>").await;
    read_until(&mut other, "did <typed>").await;
    let mut drawn = server.terminal("?format=ansi&watch=1").await;
    read_until(&mut drawn, "did <typed>").await;
    drop(terminal);
    // The keyboard is free once the server has seen the first one go.
    let began = std::time::Instant::now();
    loop {
        type_keys(&mut other, b"x").await;
        let writes = timeout(DEADLINE / 100, read_until(&mut other, "\"writer\":true"));
        if writes.await.is_ok() {
            break;
        }
        assert!(began.elapsed() < DEADLINE);
    }
    type_keys(&mut other, b" too\r").await;
    read_until(&mut other, "x too>").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_an_earlier_version_is_told_to_reload() {
    let server = Server::started();
    let mut terminal = server.terminal("").await;
    read_until(&mut terminal, "reload it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_message() {
    let server = Server::started();
    let mcp = server.mcp().await;
    let mut expected = String::new();
    for key in CTRL_Z {
        let key = str::from_utf8(key).unwrap();
        let cuts = (0..=key.len()).map(|at| format!("{}|{}", &key[..at], &key[at..]));
        let text = format!("begin {key} end {}", cuts.collect::<Vec<_>>().join(" "));
        let sent = mcp.message(&text).await;
        assert_eq!(sent["evidence"], "rollout", "{key:?}");
        expected += &text;
    }
    let typed = fs::read(server.path("codex/input")).unwrap();
    let typed = String::from_utf8(typed).unwrap();
    let pastes: Vec<_> = typed.split_inclusive(" \x1b[201~\x1b[24;6~").collect();
    assert_eq!(pastes.len(), CTRL_Z.len());
    for paste in pastes {
        let text = paste.strip_prefix("\x1b[200~").unwrap();
        let text = text.strip_suffix(" \x1b[201~\x1b[24;6~").unwrap();
        assert!(text.starts_with("begin  end "), "{text:?}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    server.was_never_suspended();
}

/// A person at a shell in a terminal of its own.
pub(crate) struct Person {
    shell: Pty,
    shown: mpsc::Receiver<Vec<u8>>,
    seen: String,
}

impl Person {
    pub(crate) fn new(server: &Server, script: &str) -> Self {
        let size = NonZeroU16::new(120).unwrap();
        let (shell, mut output) = Pty::spawn(&Command {
            owner: None,
            words: ["sh", "-c", script].map(Into::into).to_vec(),
            directory: "/".into(),
            environment: vec![
                ("AGENT_TOKEN_FILE".into(), server.path("token").into()),
                ("PATH".into(), "/usr/bin:/bin".into()),
            ],
            rows: size,
            columns: size,
        })
        .unwrap();
        let (show, shown) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 4096];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                // The test may be over.
                let _shown = show.send(buffer[..read].to_vec());
            }
        });
        Self {
            shell,
            shown,
            seen: String::new(),
        }
    }

    pub(crate) async fn types(&self, keys: &[u8]) {
        let typed = self.shell.writer().write(keys.to_vec(), DEADLINE, |_| {});
        typed.await.unwrap();
    }

    pub(crate) fn sees(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let piece = self.shown.recv_timeout(DEADLINE);
            let piece = piece.unwrap_or_else(|_| panic!("no {text} in {}", self.seen));
            self.seen += &String::from_utf8_lossy(&piece);
        }
    }

    /// How often this was shown so far.
    pub(crate) fn has_seen(&self, text: &str) -> usize {
        self.seen.matches(text).count()
    }

    /// The first word that follows this.
    pub(crate) fn word_after(&self, text: &str) -> String {
        let (_, rest) = self.seen.split_once(text).unwrap();
        rest.split_whitespace().next().unwrap().to_owned()
    }

    /// What `stty -g` has printed before and after is the same.
    fn settings_are_restored(&self) {
        let lines = self.seen.lines();
        let settings: Vec<_> = lines.filter(|line| is_settings(line)).collect();
        assert_eq!(settings.len(), 2, "{}", self.seen);
        assert_eq!(settings[0], settings[1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_terminal_of_a_person() {
    let server = Server::started();
    let script = format!(
        "stty -g; {AGENT} terminal {}; stty -g; echo over",
        server.url
    );
    let mut person = Person::new(&server, &script);
    person.sees("fake codex");
    let mut expected = String::new();
    for (first, second) in cut() {
        for piece in [b"a", first, second, b"b"] {
            person.types(piece).await;
        }
        expected += "ab";
    }
    person.types(b"typed\r").await;
    person.sees("did <abab");
    assert_eq!(server.typed(), expected + "typed\r");
    server.was_never_suspended();
    person.types(b"\x1d").await;
    person.sees("over\r\n");
    person.settings_are_restored();
    assert_eq!(person.shell.ended().await, Exit::Code(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_terminal_is_restored_after_a_signal() {
    let server = Server::started();
    for name in ["TERM", "HUP", "INT"] {
        let script = format!(
            "stty -g; {AGENT} terminal {}; stty -g; echo over",
            server.url
        );
        let mut person = Person::new(&server, &script);
        person.sees("fake codex");
        let shell = u32::try_from(person.shell.pid().as_raw_nonzero().get()).unwrap();
        for child in children(shell) {
            signal(name, child);
        }
        person.sees("over\r\n");
        person.settings_are_restored();
    }
}

/// What `stty -g` prints.
fn is_settings(line: &str) -> bool {
    let line = line.trim();
    let is_number = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_hexdigit());
    line.split(':').count() > 30 && line.split(':').all(is_number)
}
