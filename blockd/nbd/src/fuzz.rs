//! What the fuzz targets call: a whole connection over bytes in memory.
//!
//! `fuzz/` has the targets and their seeds. The tests below replay the seeds and
//! mutations of them, so that every run of the tests is a short run of the fuzzer.

use std::{
    io,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context as Waker, Poll},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Builder,
    time::timeout,
};
use zerocopy::FromBytes;

use crate::{
    Identity,
    client::{Client, Stream},
    export::{Export, ExportInfo, Exports, Extent, OpenError, ReadError},
    memory::MemoryExport,
    server::{Admission, ConnectionError, Context, Limits, ShutdownTrigger, serve},
    uri::Address,
    width::to_usize,
    wire::{self, StructuredReply},
};

/// A connection that takes longer than this hangs: it has nothing to wait for.
const HANG_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a client that sends `data` from the first byte on.
///
/// # Panics
///
/// If the server panics or hangs, which is what the fuzzer looks for.
pub fn fuzz_handshake(data: &[u8]) {
    converse(data.to_vec());
}

/// Serves a client that sends `data` in the transmission phase. Bit 0 of the first
/// byte says whether replies are structured; if so, they are checked.
///
/// # Panics
///
/// If the server panics, hangs, or sends a malformed reply.
pub fn fuzz_transmission(data: &[u8]) {
    let Some((first, requests)) = data.split_first() else {
        return;
    };
    let structured = first & 1 == 1;
    let prologue = prologue(structured);
    let greeting = converse(prologue.clone()).len();
    let output = converse([&prologue, requests].concat());
    if structured {
        check_chunks(output.get(greeting..).expect("the same prologue"));
    }
}

/// Reads from a server that sends `data` from the first byte on, or after a good
/// handshake (bit 0 of the first byte), with structured replies or simple ones (bit 1).
///
/// # Panics
///
/// If the client panics or hangs, or has bytes of a read that were not sent for it.
pub fn fuzz_client(data: &[u8]) {
    let Some((first, replies)) = data.split_first() else {
        return;
    };
    let input = if first & 1 == 1 {
        [&server_prologue(first & 2 == 2), replies].concat()
    } else {
        replies.to_vec()
    };
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime needs nothing that may be missing");
    let read = runtime.block_on(async { timeout(HANG_TIMEOUT, read_all(input)).await });
    read.expect("nothing hangs");
}

/// Reads of several lengths at once: cookies 1 to 4.
async fn read_all(input: Vec<u8>) {
    let address = Address::Unix(PathBuf::new());
    let sent = input.len();
    let stream: Box<dyn Stream> = Box::new(Script::new(input));
    let Ok(client) = Client::handshake(stream, &address, "").await else {
        return;
    };
    let reads = [(0, 1), (0, 4096), (4096, 512), (8192, 8192)];
    let reads = reads.map(|(offset, length)| {
        let read = client.read(offset, length);
        read.map(move |read| (length, read))
    });
    for (length, read) in join_all(reads).await {
        let Ok(bytes) = read else { continue };
        assert_eq!(bytes.len(), to_usize(length));
        let data = bytes.iter().filter(|byte| **byte != 0).count();
        assert!(data <= sent, "{data} bytes were never sent");
    }
}

/// The server's side of a handshake up to transmission, of a disk of 16 KiB.
fn server_prologue(structured: bool) -> Vec<u8> {
    let mut sent = [wire::NBDMAGIC, wire::IHAVEOPT]
        .map(u64::to_be_bytes)
        .concat();
    sent.extend([0, 3]);
    let mut reply = |option: u32, kind: u32, data: &[u8]| {
        let length = u32::try_from(data.len()).expect("the data is short");
        sent.extend(wire::NBD_REP_MAGIC.to_be_bytes());
        for word in [option, kind, length] {
            sent.extend(word.to_be_bytes());
        }
        sent.extend(data);
    };
    let agreed = if structured {
        wire::NBD_REP_ACK
    } else {
        wire::NBD_REP_ERR_UNSUP
    };
    reply(wire::NBD_OPT_STRUCTURED_REPLY, agreed, &[]);
    let disk = [&[0, 0][..], &16384_u64.to_be_bytes(), &[1, 3]].concat();
    reply(wire::NBD_OPT_GO, wire::NBD_REP_INFO, &disk);
    reply(wire::NBD_OPT_GO, wire::NBD_REP_ACK, &[]);
    sent
}

/// Runs one connection; returns what the server sent.
fn converse(input: Vec<u8>) -> Vec<u8> {
    let mut script = Script::new(input);
    let (_trigger, shutdown) = ShutdownTrigger::new();
    let context = Context::new(Arc::new(FuzzDisk::new()), Limits::default());
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime needs nothing that may be missing");
    let served = runtime.block_on(async {
        timeout(
            HANG_TIMEOUT,
            serve(&mut script, context, shutdown, Admission::only()),
        )
        .await
    });
    let served = served.expect("nothing hangs");
    if let Err(
        error @ (ConnectionError::ExportPanicked(_) | ConnectionError::HandshakeTimeout(_)),
    ) = served
    {
        panic!("{error}");
    }
    script.output
}

/// The client's side of a handshake up to transmission.
fn prologue(structured: bool) -> Vec<u8> {
    let mut sent = 3_u32.to_be_bytes().to_vec();
    let mut option = |option: u32, data: &[u8]| {
        let length = u32::try_from(data.len()).expect("the data is short");
        sent.extend(wire::IHAVEOPT.to_be_bytes());
        sent.extend(option.to_be_bytes());
        sent.extend(length.to_be_bytes());
        sent.extend(data);
    };
    if structured {
        option(wire::NBD_OPT_STRUCTURED_REPLY, &[]);
        let query = b"\0\0\0\0\0\0\0\x01\0\0\0\x0fbase:allocation";
        option(wire::NBD_OPT_SET_META_CONTEXT, query);
    }
    option(wire::NBD_OPT_GO, &[0; 6]);
    sent
}

/// Checks that every chunk is of a known type and length, and that the last one
/// is whole.
fn check_chunks(output: &[u8]) {
    let mut rest = output;
    while let Ok((head, after)) = StructuredReply::read_from_prefix(rest) {
        assert_eq!(head.magic.get(), wire::NBD_STRUCTURED_REPLY_MAGIC);
        let length = to_usize(head.length.get());
        let known = match head.chunk_type.get() {
            wire::NBD_REPLY_TYPE_NONE => length == 0,
            wire::NBD_REPLY_TYPE_OFFSET_DATA => length > 8,
            wire::NBD_REPLY_TYPE_OFFSET_HOLE => length == 12,
            wire::NBD_REPLY_TYPE_BLOCK_STATUS => length % 8 == 4 && length > 4,
            wire::NBD_REPLY_TYPE_ERROR => length >= 6,
            _ => false,
        };
        assert!(known, "{head:?}");
        rest = after.get(length..).expect("a chunk is whole");
    }
    assert!(rest.is_empty(), "{} bytes are not a chunk", rest.len());
}

/// A peer that sends its input piece by piece, closes, and receives everything.
#[derive(Debug)]
struct Script {
    input: Vec<u8>,
    at: usize,
    /// Chooses the length of the next piece.
    step: usize,
    output: Vec<u8>,
}

impl Script {
    fn new(input: Vec<u8>) -> Self {
        Self {
            step: input.len(),
            input,
            at: 0,
            output: Vec::new(),
        }
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Waker<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.step = self.step.wrapping_mul(31).wrapping_add(7);
        let left = self.input.get(self.at..).expect("at <= input.len()");
        let length = self.step.wrapping_rem(97).wrapping_add(1);
        let length = length.min(left.len()).min(buffer.remaining());
        let (piece, _) = left.split_at(length);
        buffer.put_slice(piece);
        let at = self.at.checked_add(length);
        self.at = at.expect("at <= input.len()");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Waker<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.output.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Waker<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Waker<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A small disk that defers reads at some offsets, and fails them at others.
struct FuzzDisk(MemoryExport);

impl FuzzDisk {
    fn new() -> Self {
        let block = |fill: u8| [fill; 4096];
        Self(MemoryExport::new(
            "fuzz",
            [block(1), block(0), block(2), block(0)].concat(),
        ))
    }
}

impl Export for FuzzDisk {
    fn info(&self) -> &ExportInfo {
        self.0.info()
    }

    fn try_read_cached(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>> {
        match offset.wrapping_rem(5) {
            3 => None,
            4 => Some(Err(ReadError("this offset is broken".into()))),
            _ => self.0.try_read_cached(offset, buffer),
        }
    }

    fn read(
        self: Arc<Self>,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        Arc::new(self.0.clone()).read(offset, length)
    }

    fn extents(&self, offset: u64, each: &mut dyn FnMut(Extent) -> bool) {
        self.0.extents(offset, each);
    }

    fn prefetch(self: Arc<Self>, _: u64, _: u64) -> BoxFuture<'static, Result<(), ReadError>> {
        async { Ok(()) }.boxed()
    }
}

impl Exports for FuzzDisk {
    fn list(&self, _: &Identity) -> BoxFuture<'_, Vec<(String, String)>> {
        async { vec![("fuzz".into(), "a disk to be fuzzed".into())] }.boxed()
    }

    fn open<'a>(
        &'a self,
        name: &'a str,
        _: &Identity,
    ) -> BoxFuture<'a, Result<Arc<dyn Export>, OpenError>> {
        async move {
            let export: Arc<dyn Export> = Arc::new(Self::new());
            match name {
                "" | "fuzz" => Ok(export),
                _ => Err(OpenError::Unknown("there is only \"fuzz\"".into())),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;
    use proptest::test_runner::{RngAlgorithm, TestRng};

    use super::*;

    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(target);
        let files = fs::read_dir(corpus).unwrap();
        let seeds: Vec<_> = files
            .map(|file| fs::read(file.unwrap().path()).unwrap())
            .collect();
        assert!(seeds.len() > 5, "the seeds of {target} are missing");
        seeds
    }

    /// A seed with a few changes; pieces of other seeds may come into it.
    fn mutate(rng: &mut TestRng, seeds: &[Vec<u8>]) -> Vec<u8> {
        let pick = |rng: &mut TestRng, below: usize| {
            usize::try_from(rng.next_u32()).unwrap() % below.max(1)
        };
        let mut data = seeds[pick(rng, seeds.len())].clone();
        for _ in 0..=pick(rng, 4) {
            let at = pick(rng, data.len());
            let end = (at + pick(rng, 40)).min(data.len());
            let numbers = [0, 1, 0x7f, 0x80, 0xff];
            match pick(rng, 6) {
                0 if at < data.len() => data[at] ^= 1 << pick(rng, 8),
                1 => data[at..end].fill(numbers[pick(rng, numbers.len())]),
                2 => drop(data.drain(at..end)),
                3 => drop(data.splice(at..at, seeds[pick(rng, seeds.len())].clone())),
                4 => drop(data.splice(at..at, vec![rng.next_u32().to_le_bytes()[0]; end - at])),
                _ => data.truncate(end),
            }
        }
        data
    }

    /// The same mutations every time.
    fn replay(target: &str, run: fn(&[u8])) {
        let seeds = seeds(target);
        for seed in &seeds {
            run(seed);
        }
        let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        for _ in 0..20_000 {
            run(&mutate(&mut rng, &seeds));
        }
    }

    #[test]
    fn seeds_of_handshake_and_their_mutations_do_no_harm() {
        replay("handshake", fuzz_handshake);
    }

    #[test]
    fn seeds_of_transmission_and_client_and_their_mutations_do_no_harm() {
        replay("transmission", fuzz_transmission);
        replay("client", fuzz_client);
    }

    proptest! {
        #[test]
        fn random_bytes_do_no_harm(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            fuzz_handshake(&data);
            fuzz_transmission(&data);
            fuzz_client(&data);
            fuzz_handshake(&[b"\0\0\0\x03IHAVEOPT", data.as_slice()].concat());
        }
    }
}
