//! No message chooses an entry of a list that a person opens, whenever he opens it.

use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tokio::{
    sync::Notify,
    time::{Duration, Instant, sleep},
};

use super::{codex::Real, fetched, newest};
use crate::harness::{OneId, Server, Terminal, poll_until, read_until, type_keys};

/// How long a person waits for a list that may not come: none does while codex works.
const PATIENCE: Duration = Duration::from_secs(2);
const LISTS: [&str; 2] = ["/model", "/permissions"];

/// What one message came to.
#[derive(Debug, Clone)]
struct Outcome {
    client: usize,
    sent: String,
    submitted: bool,
}

/// Messages of every shape, each with its number in it.
fn shapes(count: usize) -> Vec<String> {
    let shape = |index: usize| match index % 10 {
        0 => format!("short #{index}#"),
        1 => format!("two\nlines #{index}#"),
        2 => format!("π 👩‍👩‍👧 שלום 日本語 한국어 é #{index}#"),
        3 => format!("@src #{index}# @x"),
        4 => format!("with\n\n\nempty lines\n\n#{index}#"),
        5 => format!("{} #{index}#", "long ".repeat(150)),
        6 => format!("#{index}# {}", "pasted ".repeat(2000)),
        7 => format!(" /no command #{index}#"),
        8 => format!("use $x ; ? 1 #{index}#"),
        _ => format!("!touch shell-#{index}#"),
    };
    (0..count).map(shape).collect()
}

/// Sends what is left until nothing is.
async fn send_all(client: OneId, number: usize, queue: &Mutex<Vec<String>>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    loop {
        let Some(sent) = queue.lock().unwrap().pop() else {
            return outcomes;
        };
        let answer = client.message(&sent).await;
        let content = &answer["structuredContent"];
        let submitted = content["submitted"] == true;
        let screen = if answer["isError"] == true {
            &answer["content"][0]["text"]
        } else {
            &content["screen"]
        };
        let screen = screen.as_str().unwrap_or_default();
        assert!(submitted || screen.contains('\n'), "{sent:.40}: {answer}");
        outcomes.push(Outcome {
            client: number,
            sent,
            submitted,
        });
    }
}

/// Opens lists, moves to another entry, and closes them, until all is sent.
async fn open_lists(
    server: &Server,
    mut keys: Terminal,
    mut random: StdRng,
    (is_open, is_over): (&Notify, &AtomicBool),
) -> u32 {
    let mut opened = 0;
    while !is_over.load(Ordering::SeqCst) {
        let list = LISTS[random.random_range(0..2)];
        // Over the text of a message the list would not open.
        server.is_at_rest().await;
        type_keys(&mut keys, format!("\x1b[200~{list} \x1b[201~\r").as_bytes()).await;
        if !server.becomes("blocked").await {
            continue;
        }
        opened += 1;
        is_open.notify_one();
        type_keys(&mut keys, b"\x1b[B").await;
        sleep(Duration::from_millis(random.random_range(0..500))).await;
        let state = server.status().await;
        assert_eq!(
            state["state"],
            "blocked",
            "{list} was answered: {}",
            server.text("/screen").await
        );
        type_keys(&mut keys, b"\x1b").await;
        while server.status().await["state"] == "blocked" {
            sleep(Duration::from_millis(20)).await;
        }
    }
    opened
}

impl Server {
    /// Waits until codex waits for a message, with nothing in its input line.
    async fn is_at_rest(&self) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let is_idle = self.status().await["state"] == "idle";
            if is_idle && self.text("/screen").await.contains("› Ask Codex") {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether codex gets into this state soon.
    async fn becomes(&self, state: &str) -> bool {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.status().await["state"] == state {
                return true;
            }
            sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

/// What codex has recorded of its model, and of what it may do.
fn choices(real: &Real) -> HashSet<String> {
    let records = real.records().into_iter();
    let turns = records.filter(|line| line["type"] == "turn_context");
    let chosen = turns.map(|line| {
        let turn = &line["payload"];
        format!(
            "{} {} {}",
            turn["model"], turn["approval_policy"], turn["sandbox_policy"]["type"]
        )
    });
    chosen.collect()
}

/// Codex's records are the judge: each message is there once, whole, in the order of its
/// client, or was refused and is not there.
fn judge(real: &Real, outcomes: &[Outcome]) {
    let said = real.said();
    let ours: Vec<_> = said
        .iter()
        .filter(|text| text.contains('#') && !text.starts_with('<'))
        .collect();
    for client in 0..2 {
        let own = outcomes.iter().filter(|outcome| outcome.client == client);
        let messages = own.filter(|outcome| !outcome.sent.starts_with('!'));
        let sent: HashSet<_> = messages
            .clone()
            .map(|outcome| outcome.sent.trim())
            .collect();
        let submitted: Vec<_> = messages
            .filter(|outcome| outcome.submitted)
            .map(|outcome| outcome.sent.trim())
            .collect();
        let recorded: Vec<_> = ours
            .iter()
            .map(|text| text.as_str())
            .filter(|text| sent.contains(text))
            .collect();
        assert_eq!(recorded, submitted);
    }
    let all: HashSet<_> = outcomes.iter().map(|outcome| outcome.sent.trim()).collect();
    for text in &ours {
        assert!(all.contains(text.as_str()), "nobody has sent {text:?}");
    }
    for outcome in outcomes
        .iter()
        .filter(|outcome| outcome.sent.starts_with('!'))
    {
        let name = outcome.sent.trim_start_matches("!touch ");
        let made = real.server.path(&format!("work/{name}"));
        if outcome.submitted {
            poll_until("the shell's file", || made.exists().then_some(()));
        } else {
            assert!(!made.exists(), "{outcome:?}");
        }
    }
}

async fn messages_and_lists(codex: &Path, count: usize, seed: u64) {
    let on_request = |config: String| {
        let config = config.replace("\"never\"", "\"on-request\"");
        config.replace("\"danger-full-access\"", "\"workspace-write\"")
    };
    let real = Real::configured(codex.to_str().unwrap(), &[], on_request).await;
    real.server.run(&["start", &real.server.url]);
    let mut keys = real.server.terminal("?format=output-1").await;
    read_until(&mut keys, "\"writer\":true").await;
    let mut random = StdRng::seed_from_u64(seed);
    let mut shapes = shapes(count);
    for index in (1..shapes.len()).rev() {
        shapes.swap(index, random.random_range(0..=index));
    }
    let (queue, is_over) = (Mutex::new(shapes), Arc::new(AtomicBool::new(false)));
    let first = real.server.one_id().await;
    let second = real.server.one_id().await;
    let is_open = Notify::new();
    let person = open_lists(&real.server, keys, random, (&is_open, &is_over));
    let clients = async {
        is_open.notified().await;
        let (first, second) = tokio::join!(send_all(first, 0, &queue), send_all(second, 1, &queue));
        is_over.store(true, Ordering::SeqCst);
        [first, second].concat()
    };
    let (opened, outcomes) = tokio::join!(person, clients);
    let submitted = outcomes.iter().filter(|outcome| outcome.submitted).count();
    eprintln!("seed {seed}: {submitted} of {count} submitted, {opened} lists opened");
    judge(&real, &outcomes);
    assert!(opened > 0 && submitted > 0);
    assert!(choices(&real).len() <= 1, "{:?}", choices(&real));
    let config: toml::Table = std::fs::read_to_string(real.server.path("codex/config.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let kept = ["model", "approval_policy", "sandbox_mode"]
        .map(|key| config[key].as_str().unwrap().to_owned());
    assert_eq!(kept, ["gpt-6.1-sol", "on-request", "workspace-write"]);
    assert_eq!(real.server.post("/stop").await["state"], "exited");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_answers_a_list() {
    let codex = fetched("codex-$codex/bin/codex");
    messages_and_lists(&codex, 9, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "some minutes: make soak"]
async fn no_message_of_many_answers_a_list() {
    let mut versions = vec![fetched("codex-$codex/bin/codex")];
    match newest() {
        Some(newest) if newest == versions[0] => eprintln!("the pinned codex is the newest"),
        Some(newest) => versions.push(newest),
        None => eprintln!("the newest codex is not tested: setup.sh could not ask for it"),
    }
    for codex in versions {
        eprintln!("{}", codex.display());
        for seed in 0..5 {
            messages_and_lists(&codex, 30, seed).await;
        }
    }
}

/// While a list is open nothing is typed.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_opens_a_list_is_answered_by_a_person() {
    let real = Real::new(&[]).await;
    let mcp = real.server.mcp().await;
    mcp.start().await;
    // Each takes two deadlines of five seconds.
    for list in &LISTS[..1] {
        mcp.message(list).await;
        real.server.is("blocked").await;
        let refused = mcp
            .call("message", serde_json::json!({ "text": "1" }))
            .await;
        assert_eq!(refused.is_error, Some(true));
        let interrupted = real.server.post("/interrupt").await;
        assert_eq!(interrupted, serde_json::json!({ "interrupted": false }));
        let mut keys = real.server.terminal("?format=output-1").await;
        type_keys(&mut keys, b"\x1b").await;
        real.server.is("idle").await;
        let answer: Value = mcp.message(&format!("after {list}")).await;
        assert_eq!(answer["evidence"], "rollout", "{answer}");
        real.server.is("idle").await;
    }
}
