//! The relay between real servers that are killed, stopped and changed, and
//! malicious ones.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod background;
mod cow;
mod distant_server;
mod harness;
mod host;
mod hydrate;
mod in_process_server;
mod kills;
mod malicious_server;
mod page_cache;
mod private;
mod raw;
mod throttle;

use std::{fs, time::Duration};

use blockd_nbd::{client::Error, wire::NBD_EIO};
use rustix::process::Signal;
use tokio::time::sleep;

use self::harness::{Bench, FRONT, check_read, is_eio, poll_until, read_at_random, send};

/// How long reads go on in each state of a server.
const READING: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_while_the_server_is_killed_and_restarted() {
    let bench = Bench::new();
    let server = bench.serve("a").await;
    let truth = bench.truth("a").await;
    let relay = bench.relay(&[bench.uri("a")], &[]).await;
    let client = relay.client().await;
    let restarts = async {
        for _ in 0..3 {
            sleep(READING).await;
            drop(bench.serve("b").await);
        }
    };
    let (count, _) = read_at_random(&client, &truth, restarts).await;
    assert!(count > 0);

    let mut server = Some(server);
    let restarts = async {
        for _ in 0..3 {
            sleep(READING).await;
            drop(server.take());
            sleep(READING).await;
            server = Some(bench.serve("a").await);
            relay.upstream_is(0, "connected").await;
        }
    };
    let (count, worst) = read_at_random(&client, &truth, restarts).await;
    println!("{count} reads, the longest took {worst:?}");
    let status = relay.status();
    assert_eq!(status["errors"], 0, "{status}");
    assert_eq!(status["reconnects"], 3, "{status}");
    check_read(&client, &truth, 0, 4096).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_a_stopped_server_fail_after_the_timeout_and_recover() {
    let bench = Bench::new();
    let server = bench.serve("a").await;
    let truth = bench.truth("a").await;
    let relay = bench
        .relay(&[bench.uri("a")], &["--timeout", "700ms"])
        .await;
    let client = relay.client().await;
    check_read(&client, &truth, 0, 4096).await.unwrap();

    server.stop().await;
    for _ in 0..2 {
        let error = client.read(0, 4096).await.unwrap_err();
        let Error::Remote { code, text } = error else {
            panic!("{error}");
        };
        assert_eq!(code, NBD_EIO);
        assert!(text.contains("no upstream answered"), "{text}");
    }
    assert_eq!(relay.status()["errors"], 2);
    server.resume();
    poll_until("the disk is back", async || {
        check_read(&client, &truth, 8192, 4096).await.is_ok()
    })
    .await;
    let (count, _) = read_at_random(&client, &truth, sleep(READING)).await;
    assert!(count > 0);
}

/// Each in turn is stopped and then killed, while reads go on.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_one_is_enough() {
    let bench = Bench::new();
    let mut servers = [Some(bench.serve("a").await), Some(bench.serve("b").await)];
    let truth = bench.truth("a").await;
    let relay = bench.relay(&[bench.uri("a"), bench.uri("b")], &[]).await;
    let client = relay.client().await;
    for (index, name) in [(0, "a"), (1, "b")] {
        relay.upstream_is(0, "connected").await;
        relay.upstream_is(1, "connected").await;
        let server = servers[index].as_ref().unwrap();
        let stopped = async {
            server.stop().await;
            sleep(READING * 4).await;
        };
        let (count, worst) = read_at_random(&client, &truth, stopped).await;
        println!("{name} stopped: {count} reads, the longest took {worst:?}");
        assert!(count > 0);
        server.resume();
        let killed = async {
            servers[index] = None;
            sleep(READING).await;
        };
        let (count, worst) = read_at_random(&client, &truth, killed).await;
        println!("{name} killed: {count} reads, the longest took {worst:?}");
        assert!(count > 0);
        servers[index] = Some(bench.serve(name).await);
    }
    let status = relay.status();
    assert_eq!(status["errors"], 0, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_commit_behind_the_moving_name_is_never_mixed_in() {
    let bench = Bench::new();
    let server = bench.serve("a").await;
    let truth = bench.truth("a").await;
    let relay = bench
        .relay(&[bench.uri("a")], &["--timeout", "700ms"])
        .await;
    let client = relay.client().await;
    check_read(&client, &truth, 0, FRONT).await.unwrap();

    // The branch moves, and the server has no snapshot of its old commit.
    drop(server);
    bench.commit("second");
    fs::rename(bench.path("a.state"), bench.path("old.state")).unwrap();
    let server = bench.serve("a").await;
    relay.upstream_is(0, "refused").await;
    let error = client.read(0, 4096).await.unwrap_err();
    assert!(is_eio(&error), "{error}");
    let reason = relay.status()["upstreams"][0]["reason"].to_string();
    assert!(reason.contains("no such export"), "{reason}");

    drop(server);
    fs::remove_dir_all(bench.path("a.state")).unwrap();
    fs::rename(bench.path("old.state"), bench.path("a.state")).unwrap();
    let _server = bench.serve("a").await;
    relay.upstream_is(0, "connected").await;
    check_read(&client, &truth, 0, FRONT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_does_not_block_others() {
    let bench = Bench::new();
    let _server = bench.serve("a").await;
    let truth = bench.truth("a").await;
    let relay = bench.relay(&[bench.uri("a")], &[]).await;
    let mut slow = raw::Raw::connect(&relay.socket).await;
    slow.ask_without_end(200, 1 << 20).await;
    let client = relay.client().await;
    let (count, _) = read_at_random(&client, &truth, sleep(READING)).await;
    assert!(count > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_the_relay_and_its_files_are_removed() {
    let bench = Bench::new();
    let _server = bench.serve("a").await;
    let pid_file = bench.path("pid");
    let pid_file = pid_file.to_str().unwrap();
    let mut relay = bench
        .relay(&[bench.uri("a")], &["--pid-file", pid_file])
        .await;
    let _client = relay.client().await;
    let text = fs::read_to_string(pid_file).unwrap();
    assert!(
        text.starts_with(&format!("{} ", relay.child.id())),
        "{text}"
    );
    assert_eq!(text.split_whitespace().count(), 3, "{text}");
    assert_eq!(relay.status()["pid"], relay.child.id());
    send(&relay.child, Signal::TERM);
    assert!(
        relay.child.wait().unwrap().success(),
        "{}",
        bench.relay_log()
    );
    for name in ["relay.sock", "status.sock", "pid"] {
        assert!(!bench.path(name).exists(), "{name}");
    }
}
