//! Upstreams that show another disk, fail, or break the protocol.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use blockd_nbd::{BlockSize, Export, ExportInfo, Extent, ReadError, wire};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};
use zerocopy::IntoBytes;

use crate::{
    harness::{Bench, check_read, is_eio},
    in_process_server,
};

/// A disk with the name and size of another.
struct Impostor {
    info: ExportInfo,
    /// Every read fails.
    fails: bool,
}

impl Export for Impostor {
    fn info(&self) -> &ExportInfo {
        &self.info
    }

    fn try_read_cached(&self, _: u64, _: &mut [u8]) -> Option<Result<(), ReadError>> {
        None
    }

    fn read(
        self: Arc<Self>,
        _: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        async move {
            if self.fails {
                Err(ReadError("a broken pack".into()))
            } else {
                Ok(vec![0xee; usize::try_from(length).unwrap()])
            }
        }
        .boxed()
    }

    fn extents(&self, offset: u64, each: &mut dyn FnMut(Extent) -> bool) {
        each(Extent {
            length: self.info.size - offset,
            hole: false,
            zero: false,
        });
    }

    fn prefetch(self: Arc<Self>, _: u64, _: u64) -> BoxFuture<'static, Result<(), ReadError>> {
        async { Ok(()) }.boxed()
    }
}

fn info(name: &str, size: u64) -> ExportInfo {
    ExportInfo {
        name: name.into(),
        description: String::new(),
        size,
        block_size: BlockSize::default(),
    }
}

/// The canonical name and size of the repository's disk.
async fn name_and_size(bench: &Bench) -> (String, u64) {
    let relay = bench.relay(&[bench.uri("a")], &[]).await;
    let status = relay.status();
    let name = status["export"].as_str().unwrap().to_owned();
    (name, status["size"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_disk_is_refused_and_never_read_from() {
    let bench = Bench::new();
    let server = bench.serve("a").await;
    let truth = bench.truth("a").await;
    let (name, size) = name_and_size(&bench).await;
    for (socket, info, reason) in [
        ("b", info("another", size), "two commits are never mixed"),
        (
            "c",
            info(&name, size + 4096),
            "another disk of the same name",
        ),
        ("d", info(&name, 0), "another disk of the same name"),
    ] {
        let impostor = Impostor { info, fails: false };
        let impostor =
            in_process_server::serve(&bench, socket, Arc::new(impostor), Duration::ZERO).await;
        let relay = bench
            .relay(
                &[bench.uri("a"), bench.uri(socket)],
                &["--timeout", "700ms"],
            )
            .await;
        relay.upstream_is(1, "refused").await;
        let shown = relay.status()["upstreams"][1]["reason"].to_string();
        assert!(shown.contains(reason), "{shown}");
        let client = relay.client().await;
        check_read(&client, &truth, 0, 4096).await.unwrap();
        server.stop().await;
        let error = client.read(4096, 4096).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        server.resume();
        impostor.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_one_server_cannot_read_is_read_from_the_other() {
    let bench = Bench::new();
    let server = bench.serve("a").await;
    let truth = bench.truth("a").await;
    let (name, size) = name_and_size(&bench).await;
    let broken = Impostor {
        info: info(&name, size),
        fails: true,
    };
    let _broken = in_process_server::serve(&bench, "b", Arc::new(broken), Duration::ZERO).await;
    let relay = bench.relay(&[bench.uri("b"), bench.uri("a")], &[]).await;
    relay.upstream_is(1, "connected").await;
    let client = relay.client().await;
    check_read(&client, &truth, 0, 4096).await.unwrap();
    drop(server);
    relay.upstream_is(1, "down").await;
    let error = client.read(0, 4096).await.unwrap_err();
    assert!(error.to_string().contains("a broken pack"), "{error}");
}

/// What was open goes on being asked for by its canonical name, and a server that
/// refuses that is not read from: reads fail, and say why.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_on_reconnecting_is_the_reason_of_failed_reads() {
    let bench = Bench::new();
    let server = bench.serve("a").await;
    let truth = bench.truth("a").await;
    let relay = bench
        .relay(&[bench.uri("a")], &["--timeout", "700ms"])
        .await;
    let client = relay.client().await;
    check_read(&client, &truth, 0, 4096).await.unwrap();
    drop(server);

    // The repository is gone, and another is there in its place.
    fs::rename(bench.path("repo"), bench.path("gone")).unwrap();
    fs::rename(bench.path("a.state"), bench.path("a.gone")).unwrap();
    fs::create_dir(bench.path("repo")).unwrap();
    bench.git(&["init", "-q", "-b", "main"]);
    bench.commit("of others");
    let server = bench.serve("a").await;
    relay.upstream_is(0, "refused").await;
    let error = client.read(65536, 4096).await.unwrap_err();
    assert!(is_eio(&error), "{error}");
    assert!(error.to_string().contains("refuses the export"), "{error}");
    let shown = relay.status()["upstreams"][0]["reason"].to_string();
    assert!(shown.contains("refuses the export"), "{shown}");
    assert!(bench.relay_log().contains("refuses the export"));
    drop(server);

    fs::rename(bench.path("repo"), bench.path("others")).unwrap();
    fs::rename(bench.path("gone"), bench.path("repo")).unwrap();
    let _server = bench.serve("a").await;
    relay.upstream_is(0, "connected").await;
    check_read(&client, &truth, 65536, 4096).await.unwrap();
}

/// Every read of its disk has other bytes.
struct Fickle {
    info: ExportInfo,
    reads: AtomicU8,
}

impl Export for Fickle {
    fn info(&self) -> &ExportInfo {
        &self.info
    }

    fn try_read_cached(&self, _: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>> {
        buffer.fill(self.reads.fetch_add(1, Ordering::Relaxed));
        Some(Ok(()))
    }

    fn read(
        self: Arc<Self>,
        _: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        self.try_read_cached(0, &mut bytes).unwrap().unwrap();
        async { Ok(bytes) }.boxed()
    }

    fn extents(&self, offset: u64, each: &mut dyn FnMut(Extent) -> bool) {
        each(Extent {
            length: self.info.size - offset,
            hole: false,
            zero: false,
        });
    }

    fn prefetch(self: Arc<Self>, _: u64, _: u64) -> BoxFuture<'static, Result<(), ReadError>> {
        async { Ok(()) }.boxed()
    }
}

/// The superblock that attach has checked is the one that the kernel reads.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_block_is_the_same_for_every_reader() {
    let bench = Bench::new();
    let fickle = Fickle {
        info: info("fickle", 1 << 20),
        reads: AtomicU8::new(1),
    };
    let _fickle = in_process_server::serve(&bench, "a", Arc::new(fickle), Duration::ZERO).await;
    let relay = bench.relay(&[bench.uri("a")], &[]).await;
    let client = relay.client().await;
    let first = client.read(0, 4096).await.unwrap();
    let later = client.read(4096, 4096).await.unwrap();
    for (offset, length) in [(0, 4096), (1024, 1024), (0, 8192), (4000, 96)] {
        let again = client.read(offset, length).await.unwrap();
        let start = usize::try_from(offset).unwrap();
        let end = usize::try_from(u64::from(length) + offset)
            .unwrap()
            .min(4096);
        assert_eq!(again[..end - start], first[start..end]);
    }
    assert_ne!(client.read(4096, 4096).await.unwrap(), later);
}

/// A server that negotiates as it should, and then sends noise.
#[tokio::test(flavor = "multi_thread")]
async fn noise_ends_the_connection_and_reads_go_elsewhere() {
    let bench = Bench::new();
    let _server = bench.serve("a").await;
    let truth = bench.truth("a").await;
    let (name, size) = name_and_size(&bench).await;
    let listener = tokio::net::UnixListener::bind(bench.socket("b")).unwrap();
    let noise = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            negotiate(&mut stream, &name, size).await;
            let mut request = [0; 28];
            while stream.read_exact(&mut request).await.is_ok() {
                stream.write_all(&[0x5a; 300]).await.ok();
            }
        }
    });
    let relay = bench.relay(&[bench.uri("b"), bench.uri("a")], &[]).await;
    relay.upstream_is(1, "connected").await;
    let client = relay.client().await;
    for _ in 0..20 {
        check_read(&client, &truth, 4096, 9000).await.unwrap();
    }
    assert_eq!(relay.status()["errors"], 0);
    noise.abort();
}

/// Everything up to the transmission phase, with simple replies.
async fn negotiate(stream: &mut UnixStream, name: &str, size: u64) {
    let hello = wire::Hello {
        nbdmagic: wire::NBDMAGIC.into(),
        ihaveopt: wire::IHAVEOPT.into(),
        flags: 3.into(),
    };
    stream.write_all(hello.as_bytes()).await.ok();
    stream.read_u32().await.ok();
    loop {
        let mut option = [0; 16];
        if stream.read_exact(&mut option).await.is_err() {
            return;
        }
        let code = u32::from_be_bytes(option[8..12].try_into().unwrap());
        let length = u32::from_be_bytes(option[12..].try_into().unwrap());
        let mut data = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut data).await.ok();
        if code != wire::NBD_OPT_GO {
            reply(stream, code, wire::NBD_REP_ERR_UNSUP, &[]).await;
            continue;
        }
        let disk = wire::InfoExport {
            information: wire::NBD_INFO_EXPORT.into(),
            size: size.into(),
            flags: (wire::NBD_FLAG_HAS_FLAGS | wire::NBD_FLAG_CAN_MULTI_CONN).into(),
        };
        let name = [&wire::NBD_INFO_NAME.to_be_bytes(), name.as_bytes()].concat();
        let sizes = wire::InfoBlockSize {
            information: wire::NBD_INFO_BLOCK_SIZE.into(),
            minimum: 1.into(),
            preferred: 4096.into(),
            maximum: (32 << 20).into(),
        };
        for info in [disk.as_bytes(), &name, sizes.as_bytes()] {
            reply(stream, code, wire::NBD_REP_INFO, info).await;
        }
        reply(stream, code, wire::NBD_REP_ACK, &[]).await;
        return;
    }
}

async fn reply(stream: &mut UnixStream, option: u32, reply_type: u32, data: &[u8]) {
    let head = wire::OptionReply {
        magic: wire::NBD_REP_MAGIC.into(),
        option: option.into(),
        reply_type: reply_type.into(),
        length: u32::try_from(data.len()).unwrap().into(),
    };
    // The client may have closed the connection.
    stream
        .write_all(&[head.as_bytes(), data].concat())
        .await
        .ok();
}
