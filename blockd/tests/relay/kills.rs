//! Servers and relays that are killed (SIGKILL) under load: a read has the right bytes
//! or fails, whatever dies.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use blockd_nbd::{client::Client, uri::Address};
use tokio::time::{sleep, timeout};

use crate::harness::{Bench, FRONT, POLL_TIMEOUT, Relay, Server, poll_until};

/// A client that connects again whenever the relay is gone.
async fn read_until(
    address: Address,
    truth: Arc<Vec<u8>>,
    (is_over, reads): (Arc<AtomicBool>, Arc<AtomicUsize>),
) {
    let mut client: Option<Client> = None;
    let mut count = 0_u32;
    while !is_over.load(Ordering::Relaxed) {
        let Some(open) = &client else {
            let connections = NonZeroUsize::new(2).unwrap();
            client = Client::connect(&address, "", connections).await.ok();
            sleep(Duration::from_millis(5)).await;
            continue;
        };
        count = count.wrapping_add(1);
        let offset = count.wrapping_mul(7919 * 512) % (FRONT - 70_000);
        let length = 1 + count.wrapping_mul(977) % 70_000;
        let read = timeout(POLL_TIMEOUT, open.read(offset.into(), length)).await;
        match read.expect("a read hangs") {
            Ok(bytes) => {
                let start = usize::try_from(offset).unwrap();
                let expected = &truth[start..start + usize::try_from(length).unwrap()];
                assert!(bytes == expected, "wrong bytes at {offset}");
                reads.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => client = None,
        }
    }
}

/// Kills the server and the relay in turn, each as soon as reads go on.
async fn kill(times: usize) {
    let bench = Bench::new();
    let mut server: Option<Server> = Some(bench.serve("a").await);
    let truth = Arc::new(bench.truth("a").await);
    let uris = [bench.uri("a")];
    let mut relay: Option<Relay> = Some(bench.relay(&uris, &["--timeout", "20s"]).await);
    let (is_over, reads) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let address = Address::Unix(bench.socket("relay"));
    let shared = (Arc::clone(&is_over), Arc::clone(&reads));
    let read = |_| {
        tokio::spawn(read_until(
            address.clone(),
            Arc::clone(&truth),
            shared.clone(),
        ))
    };
    let readers: Vec<_> = (0..3).map(read).collect();
    for round in 0..times {
        let before = reads.load(Ordering::Relaxed);
        poll_until("reads go on", async || {
            reads.load(Ordering::Relaxed) > before + 20
        })
        .await;
        if round % 2 == 0 {
            drop(server.take());
            server = Some(bench.serve("a").await);
        } else {
            drop(relay.take());
            relay = Some(bench.relay(&uris, &["--timeout", "20s"]).await);
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    let relay = relay.unwrap();
    assert_eq!(relay.status()["errors"], 0, "{}", relay.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_right_over_kills_of_server_and_relay() {
    kill(6).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute: make soak"]
async fn reads_are_right_over_two_hundred_kills() {
    kill(200).await;
}
