//! How codex, its descendants and the server end; full disks, leaks and floods.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::time::sleep;

use super::harness::{
    FAKE, LINE, Launch, Server, children, open_files, poll_until, resident, signal, state_of,
};

impl Server {
    /// The fake codex's process.
    fn codex(&self) -> u32 {
        let pid = fs::read_to_string(self.path("codex/pid")).unwrap();
        pid.parse().unwrap()
    }

    /// Has codex start a process that becomes an orphan. Returns its id.
    async fn orphan(&self) -> u32 {
        let name = self.path("orphan");
        let name = name.to_str().unwrap();
        self.run(&["message", &self.url, &format!("orphan {name}")]);
        let pid = poll_until("an orphan", || {
            let text = fs::read_to_string(name).ok()?;
            text.strip_suffix('\n')?.parse().ok()
        });
        self.is("idle").await;
        pid
    }

    /// Waits until every child that has ended is reaped.
    fn reaps_all_zombies(&self) {
        poll_until("all zombies to be reaped", || {
            let mut all = children(self.pid()).into_iter();
            all.all(|child| state_of(child) != Some('Z')).then_some(())
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_ends_but_not_while_codex_works() {
    let mut server = Server::fake(&["--idle-exit", "1"]);
    let watching = server.get("/live?follow=1", &[]).await;
    server.run(&["start", &server.url]);
    server.run(&["message", &server.url, "work 600"]);
    server.is("working").await;
    drop(watching);
    // For longer than it may be idle it must not announce its end.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        let ready = server.text("/readyz").await;
        assert!(
            ready.contains("\"working\""),
            "it ends while codex works: {ready}"
        );
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(server.post("/interrupt").await["interrupted"], true);
    assert_eq!(server.wait(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_codex_is_reported_and_can_be_started_again() {
    let server = Server::started();
    let orphan = server.orphan().await;
    signal("KILL", server.codex());
    server.is("exited").await;
    assert_eq!(server.status().await["signal"], "Killed");
    assert!(!runs(orphan), "a descendant is left");
    server.reaps_all_zombies();
    let refused = server.output(&["message", &server.url, "x"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("codex is gone"));
    let again = server.run(&["start", &server.url, "--resume"]);
    assert!(again.contains("\"idle\""), "{again}");
    server.shows("resume --last").await;
    server.run(&["message", &server.url, "hello"]);
    server.shows("did <hello>").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_descendant_is_reaped_and_codex_goes_on() {
    let server = Server::started();
    let orphan = server.orphan().await;
    assert!(runs(orphan), "the orphan has ended by itself");
    signal("KILL", orphan);
    poll_until("the orphan to be reaped", || {
        state_of(orphan).is_none().then_some(())
    });
    server.run(&["message", &server.url, "hello"]);
    server.shows("did <hello>").await;
    server.reaps_all_zombies();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_codex_goes_on() {
    let server = Server::started();
    for name in ["STOP", "TSTP", "TTOU"] {
        signal(name, server.codex());
        let sent = server.run(&["message", &server.url, &format!("after {name}")]);
        assert!(sent.contains("\"rollout\""), "{sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_gets_sigterm_leaves_no_process() {
    let mut server = Server::started();
    let (codex, orphan) = (server.codex(), server.orphan().await);
    let _watcher = server.terminal("?watch=1&format=output-1").await;
    server.run(&["message", &server.url, "work 600"]);
    assert_eq!(server.terminate(), 0);
    assert!(!runs(codex) && !runs(orphan), "a process is left");
}

/// Whether a process exists and has not ended.
fn runs(pid: u32) -> bool {
    state_of(pid).is_some_and(|state| state != 'Z')
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_reported_and_codex_goes_on() {
    let server = Launch::on_a_small_disk(FAKE).start();
    server.run(&["start", &server.url]);
    server.run(&["message", &server.url, "flood 32"]);
    server.answers("/status", "\"log\":\"full\"").await;
    server.is("idle").await;
    let status = server.status().await;
    let error = status["log_error"].as_str().unwrap().to_owned();
    assert!(error.contains("No space left"), "{error}");
    let status_text = server.run(&["status", &server.url]);
    assert!(status_text.contains("\"log\": \"full\""), "{status_text}");
    let resource = server.mcp().await.resource("agent://status").await;
    assert!(
        resource.contains("the disk under the log is full"),
        "{resource}"
    );
    let ready = server.text("/readyz").await;
    assert_eq!(ready, r#"{"log":"full","state":"idle"}"#);
    let metrics = server.text("/metrics").await;
    assert!(metrics.contains("agent_log{state=\"full\"} 1"), "{metrics}");
    let live = server.get("/live", &[]).await.bytes().await.unwrap();
    assert_eq!(live.len(), status["bytes"]);
    server.run(&["message", &server.url, "after"]);
    server.shows("did <after>").await;
    assert_eq!(server.status().await["bytes"], status["bytes"]);
    // Where nothing can be logged, no run begins, and no log of one is left.
    server.post("/stop").await;
    server.take_all_room();
    let refused = server.output(&["start", &server.url]);
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(stderr.contains("No space left"), "{stderr}");
    let runs: Value = serde_json::from_str(&server.text("/live/runs").await).unwrap();
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs}");
    assert_eq!(runs[0]["missing"], server.status().await["missing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_resumes_when_there_is_room_again() {
    let server = Launch::on_a_small_disk(FAKE).start();
    server.run(&["start", &server.url]);
    let following = server.get("/live?follow=1", &[]).await;
    server.run(&["message", &server.url, "flood 32"]);
    server.answers("/status", "\"log\":\"full\"").await;
    server.run(&["message", &server.url, "after"]);
    server.shows("did <after>").await;
    server.is("idle").await;
    let held = server.get("/live", &[]).await.bytes().await.unwrap();
    server.make_room();
    server.answers("/status", "\"log\":\"ok\"").await;
    server.run(&["message", &server.url, "again"]);
    server.shows("did <again>").await;
    let status = server.post("/stop").await;
    assert_eq!(status["log_error"], Value::Null);
    let live = server.get("/live", &[]).await;
    assert_eq!(
        live.headers()["agent-missing-bytes"],
        status["missing"].to_string()
    );
    let live = live.bytes().await.unwrap();
    // A follower gets the same, and the bytes from before keep their offsets.
    assert!(following.bytes().await.unwrap() == live);
    let (before, rest) = live.split_at(held.len());
    assert!(before == held);
    let mark = format!(
        "\x18\x1b[0m\r\n[agent: {} bytes of output are missing here: No space left on device (os error 28)]\r\n",
        status["missing"]
    );
    let after = rest.strip_prefix(mark.as_bytes()).unwrap();
    assert!(String::from_utf8_lossy(after).contains("did <again>\r\n"));
    // All of the output is in the log, or counted as missing.
    let written = fs::read_to_string(server.home().join("codex/written")).unwrap();
    let logged = u64::try_from(live.len() - mark.len()).unwrap();
    let missing = written.parse::<u64>().unwrap() - logged;
    assert_eq!(status["missing"], missing);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_leave_no_files_threads_or_memory() {
    let server = Server::fake(&["--log-total", "200000000", "--log-cap", "1000000"]);
    let mut before = None;
    for round in 0..6 {
        server.run(&["start", &server.url]);
        server.run(&["message", &server.url, "hello"]);
        server.post("/stop").await;
        let threads = format!("/proc/{}/task", server.pid());
        let now = || {
            (
                open_files(server.pid()),
                fs::read_dir(&threads).unwrap().count(),
            )
        };
        match before {
            // By now the thread pools have their size.
            None if round == 2 => before = Some(now()),
            None => {}
            // Threads end after the answer to /stop.
            Some((files, tasks)) => poll_until("files and threads to go", || {
                (now().0 <= files && now().1 <= tasks).then_some(())
            }),
        }
    }
    server.reaps_all_zombies();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_costs_no_memory() {
    flood(1600).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a gigabyte: make soak"]
async fn a_gigabyte_costs_no_memory() {
    flood(16384).await;
}

/// Floods the terminal with so many lines, into a log of 8 MiB.
async fn flood(lines: usize) {
    const CAP: usize = 8 << 20;
    let server = Server::fake(&["--log-cap", &CAP.to_string()]);
    server.run(&["start", &server.url]);
    server.run(&["message", &server.url, "flood 16"]);
    server.shows("did <flood 16>").await;
    let before = resident(server.pid());
    server.run(&["message", &server.url, &format!("flood {lines}")]);
    let began = Instant::now();
    let done = format!("did <flood {lines}>");
    let mut highest = before;
    while !server.text("/screen").await.contains(&done) {
        highest = highest.max(resident(server.pid()));
        assert!(began.elapsed() < Duration::from_secs(900));
        sleep(Duration::from_millis(50)).await;
    }
    server.is("idle").await;
    let grown = highest - before;
    assert!(grown < 16 << 20, "{grown} bytes more memory");
    let status = server.status().await;
    let (first, end) = (&status["first"], &status["bytes"]);
    let retained = end.as_u64().unwrap() - first.as_u64().unwrap();
    assert!(end.as_u64().unwrap() > u64::try_from(lines * LINE).unwrap());
    assert!(retained <= u64::try_from(CAP).unwrap(), "{retained} bytes");
    let live = server.get("/live", &[]).await;
    assert_eq!(live.headers()["agent-first-offset"], first.to_string());
    let live = live.bytes().await.unwrap();
    assert_eq!(u64::try_from(live.len()).unwrap(), retained);
    let end = String::from_utf8_lossy(&live[live.len() - 200..]).into_owned();
    assert!(end.contains(&done), "{end}");
}
