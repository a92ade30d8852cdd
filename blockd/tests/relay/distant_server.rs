//! A server a long round trip away: the relay reads ahead.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use blockd_nbd::{
    Export, ExportInfo, Extent, ReadError,
    client::{Client, Error},
    memory::MemoryExport,
    wire::NBD_EIO,
};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::sleep;

use crate::{
    harness::{Bench, Relay, is_eio, poll_until},
    in_process_server,
};

const ROUND_TRIP: Duration = Duration::from_millis(5);
const BLOCK: u32 = 4096;

/// A disk in memory, a round trip away.
struct Distant {
    disk: Arc<MemoryExport>,
    /// The one block that cannot be read.
    broken: Option<u64>,
    reads: AtomicUsize,
    /// No read is answered any more.
    frozen: AtomicBool,
}

impl Distant {
    /// Every block has bytes of its own, and none has zeroes only: those a
    /// server reports without a read.
    fn new(blocks: u32, broken: Option<u64>) -> Arc<Self> {
        let bytes = (1..=blocks).flat_map(|block| block.to_le_bytes().repeat(1024));
        Arc::new(Self {
            disk: Arc::new(MemoryExport::new("far", bytes.collect())),
            broken,
            reads: AtomicUsize::new(0),
            frozen: AtomicBool::new(false),
        })
    }

    /// A relay of it, and a client of that.
    async fn relayed(self: &Arc<Self>, more: &[&str]) -> (Bench, Relay, Client) {
        let bench = Bench::new();
        let disk: Arc<dyn Export> = Arc::<Self>::clone(self);
        // The connect, the greeting and the options take their round trips too.
        // The server ends with the test.
        drop(in_process_server::serve(&bench, "far", disk, 4 * ROUND_TRIP).await);
        let relay = bench.relay(&[bench.uri("far")], more).await;
        let client = relay.client().await;
        (bench, relay, client)
    }
}

impl Export for Distant {
    fn info(&self) -> &ExportInfo {
        self.disk.info()
    }

    fn try_read_cached(&self, _: u64, _: &mut [u8]) -> Option<Result<(), ReadError>> {
        None
    }

    fn read(
        self: Arc<Self>,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        async move {
            self.reads.fetch_add(1, Ordering::Relaxed);
            sleep(ROUND_TRIP).await;
            if self.frozen.load(Ordering::Relaxed) {
                return pending().await;
            }
            let range = offset..offset + u64::from(length);
            if self.broken.is_some_and(|place| range.contains(&place)) {
                return Err(ReadError("a broken pack".into()));
            }
            Arc::clone(&self.disk).read(offset, length).await
        }
        .boxed()
    }

    fn extents(&self, offset: u64, each: &mut dyn FnMut(Extent) -> bool) {
        self.disk.extents(offset, each);
    }

    fn prefetch(self: Arc<Self>, _: u64, _: u64) -> BoxFuture<'static, Result<(), ReadError>> {
        async { Ok(()) }.boxed()
    }
}

/// The offset of a block, and the bytes that it must have.
fn block(number: u32) -> (u64, Vec<u8>) {
    let offset = u64::from(number) * u64::from(BLOCK);
    (offset, (number + 1).to_le_bytes().repeat(1024))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_through_the_disk_waits_for_few_round_trips() {
    let far = Distant::new(2048, None);
    let (_bench, relay, client) = far.relayed(&[]).await;
    for number in 0..2048 {
        let (offset, truth) = block(number);
        assert_eq!(client.read(offset, BLOCK).await.unwrap(), truth, "{number}");
    }
    let (asked, status) = (far.reads.load(Ordering::Relaxed), relay.status());
    assert!(asked < 2048 / 16, "{asked} reads for 2048 blocks: {status}");
    let ahead = &status["ahead"];
    let [bytes, used] = ["bytes", "used"].map(|name| ahead[name].as_u64().unwrap());
    assert!(used > 7 << 20 && bytes <= (8 << 20), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn random_reads_are_not_read_ahead_of() {
    let far = Distant::new(8192, None);
    let (_bench, relay, client) = far.relayed(&[]).await;
    // Block 0 is kept as it was read first.
    for step in 1..65 {
        let (offset, truth) = block(step * 257 % 8192);
        assert_eq!(client.read(offset, BLOCK).await.unwrap(), truth, "{step}");
    }
    assert_eq!(relay.status()["ahead"]["bytes"], 0);
    assert_eq!(far.reads.load(Ordering::Relaxed), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_front_is_read_at_once() {
    let far = Distant::new(1024, None);
    let (_bench, relay, client) = far.relayed(&["--front", "1M"]).await;
    poll_until("the front is read", async || {
        relay.status()["ahead"]["bytes"] == 1 << 20
    })
    .await;
    let asked = far.reads.load(Ordering::Relaxed);
    let (offset, truth) = block(200);
    assert_eq!(client.read(offset, BLOCK).await.unwrap(), truth);
    assert_eq!(far.reads.load(Ordering::Relaxed), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_waits_for_a_chunk_in_flight_has_the_same_timeout() {
    let far = Distant::new(4096, None);
    let (_bench, _relay, client) = far.relayed(&["--timeout", "700ms"]).await;
    for number in 0..200 {
        let (offset, truth) = block(number);
        assert_eq!(client.read(offset, BLOCK).await.unwrap(), truth, "{number}");
    }
    far.frozen.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    let mut number = 200;
    // What was read ahead needs no server.
    let error = loop {
        match client.read(block(number).0, BLOCK).await {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
    };
    assert!(is_eio(&error), "{error}");
    println!("an error after {:?}, at block {number}", begun.elapsed());
    far.frozen.store(false, Ordering::Relaxed);
    let (offset, truth) = block(number);
    poll_until("the disk is back", async || {
        let read = client.read(offset, BLOCK).await;
        read.is_ok_and(|bytes| bytes == truth)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_cannot_be_read_fails_alone() {
    let (place, _) = block(100);
    let far = Distant::new(256, Some(place));
    let (_bench, _relay, client) = far.relayed(&[]).await;
    for number in 0..256 {
        let (offset, truth) = block(number);
        match client.read(offset, BLOCK).await {
            Ok(bytes) => assert_eq!(bytes, truth, "{number}"),
            Err(Error::Remote { code, .. }) => assert_eq!((number, code), (100, NBD_EIO)),
            Err(error) => panic!("{number}: {error}"),
        }
    }
}
