//! Writes to an export that takes them.

use std::{mem, sync::Mutex};

use futures_util::{FutureExt, future::BoxFuture};

use super::*;
use crate::{
    Identity,
    export::{
        BlockSize, Export, ExportInfo, Exports, Extent, OpenError, ReadError, WriteError, Writes,
        Written,
    },
    server::Limits,
    testing::info,
};

const SIZE: u32 = 1 << 20;
/// A write at this offset finds no space.
const FULL: u64 = 4096;
/// A write at this offset fails.
const BROKEN: u64 = 8192;

/// A disk in memory that records the calls to it.
#[derive(Clone)]
struct Recorder(Arc<Recorded>);

struct Recorded {
    info: ExportInfo,
    bytes: Mutex<Vec<u8>>,
    calls: Mutex<Vec<String>>,
}

impl Recorder {
    fn new() -> Self {
        let info = ExportInfo {
            name: "recorder".into(),
            description: String::new(),
            size: SIZE.into(),
            block_size: BlockSize {
                maximum: SIZE / 2,
                ..BlockSize::default()
            },
        };
        Self(Arc::new(Recorded {
            info,
            bytes: Mutex::new(vec![9; SIZE as usize]),
            calls: Mutex::default(),
        }))
    }

    fn calls(&self) -> Vec<String> {
        mem::take(&mut self.0.calls.lock().unwrap())
    }

    fn record(&self, text: String, change: impl FnOnce(&mut [u8])) -> Written {
        self.0.calls.lock().unwrap().push(text);
        change(&mut self.0.bytes.lock().unwrap());
        async { Ok(()) }.boxed()
    }

    async fn client(&self, structured: bool) -> Client {
        let mut client = Client::new(Arc::new(self.clone()), Limits::default());
        client.hello(3).await;
        if structured {
            client.option(wire::NBD_OPT_STRUCTURED_REPLY, &[]).await;
            assert_eq!(client.answer().await.0, wire::NBD_REP_ACK);
        }
        client.option(wire::NBD_OPT_GO, &info("", &[])).await;
        let (_, export) = client.answer().await;
        let flags = u16::from_be_bytes(export[10..12].try_into().unwrap());
        assert_eq!(flags & !wire::NBD_FLAG_SEND_DF, 0b101_0110_1101);
        assert_eq!(client.answer().await.0, wire::NBD_REP_ACK);
        client
    }
}

impl Exports for Recorder {
    fn list(&self, _: &Identity) -> BoxFuture<'_, Vec<(String, String)>> {
        async { Vec::new() }.boxed()
    }

    fn open<'a>(
        &'a self,
        _: &'a str,
        _: &Identity,
    ) -> BoxFuture<'a, Result<Arc<dyn Export>, OpenError>> {
        let export: Arc<dyn Export> = Arc::new(self.clone());
        async { Ok(export) }.boxed()
    }
}

impl Export for Recorder {
    fn info(&self) -> &ExportInfo {
        &self.0.info
    }

    fn try_read_cached(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>> {
        let bytes = self.0.bytes.lock().unwrap();
        buffer.copy_from_slice(&bytes[offset as usize..][..buffer.len()]);
        Some(Ok(()))
    }

    fn read(self: Arc<Self>, _: u64, _: u32) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn extents(&self, offset: u64, visit: &mut dyn FnMut(Extent) -> bool) {
        visit(Extent {
            length: u64::from(SIZE) - offset,
            hole: false,
            zero: false,
        });
    }

    fn prefetch(self: Arc<Self>, _: u64, _: u64) -> BoxFuture<'static, Result<(), ReadError>> {
        async { Ok(()) }.boxed()
    }

    fn writes(&self) -> Option<Arc<dyn Writes>> {
        Some(Arc::new(self.clone()))
    }
}

impl Writes for Recorder {
    fn write(self: Arc<Self>, offset: u64, data: Vec<u8>, durable: bool) -> Written {
        match offset {
            FULL => async { Err(WriteError::NoSpace("full".into())) }.boxed(),
            BROKEN => async { Err(WriteError::Failed("broken".into())) }.boxed(),
            _ => self.record(format!("write {offset} {durable}"), |bytes| {
                bytes[offset as usize..][..data.len()].copy_from_slice(&data);
            }),
        }
    }

    fn zero(self: Arc<Self>, offset: u64, length: u64, durable: bool) -> Written {
        self.record(format!("zero {offset} {length} {durable}"), |bytes| {
            bytes[offset as usize..][..length as usize].fill(0);
        })
    }

    fn flush(self: Arc<Self>) -> Written {
        self.record("flush".into(), |_| {})
    }
}

#[tokio::test]
async fn writes_reach_the_export_and_are_read_back() {
    for structured in [false, true] {
        let recorder = Recorder::new();
        let mut client = recorder.client(structured).await;
        let data: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
        let fua = wire::NBD_CMD_FLAG_FUA;
        let zeroes = (fua | wire::NBD_CMD_FLAG_NO_HOLE, wire::NBD_CMD_WRITE_ZEROES);
        for (request, offset, length) in [
            ((0, wire::NBD_CMD_WRITE), 77, data.len() as u32),
            ((fua, wire::NBD_CMD_WRITE), 600_000, 10),
            ((0, wire::NBD_CMD_WRITE), 5, 0),
            (zeroes, 100, 50),
            ((0, wire::NBD_CMD_TRIM), 0, SIZE / 2),
            ((fua, wire::NBD_CMD_FLUSH), 0, 0),
        ] {
            client.request(request, offset, length).await;
            let sent = match request.1 {
                wire::NBD_CMD_WRITE => length as usize,
                _ => 0,
            };
            for part in data[..sent].chunks(7000) {
                client.send(part).await;
            }
            if structured {
                let chunk = client.chunk().await;
                assert_eq!((chunk.kind, chunk.done), (wire::NBD_REPLY_TYPE_NONE, true));
            } else {
                assert_eq!(client.simple_reply().await, (0, 1));
            }
            if length as usize == data.len() {
                assert_eq!(recorder.0.bytes.lock().unwrap()[77..300_077], data);
            }
        }
        let expected = [
            "write 77 false",
            "write 600000 true",
            "write 5 false",
            "zero 100 50 true",
            "zero 0 524288 false",
            "flush",
        ];
        assert_eq!(recorder.calls(), expected);
        client.request((fua, wire::NBD_CMD_READ), 600_000, 10).await;
        if structured {
            assert_eq!(super::data(&client.chunk().await), (600_000, &data[..10]));
        } else {
            assert_eq!(client.simple_reply().await, (0, 1));
            assert_eq!(client.bytes(10).await, data[..10]);
        }
    }
}

#[tokio::test]
async fn a_failed_or_invalid_write_is_an_error_and_its_data_is_skipped() {
    let recorder = Recorder::new();
    let mut client = recorder.client(false).await;
    for (request, offset, length, error) in [
        ((0, wire::NBD_CMD_WRITE), FULL, 512, wire::NBD_ENOSPC),
        ((0, wire::NBD_CMD_WRITE), BROKEN, 512, wire::NBD_EIO),
        (
            (0, wire::NBD_CMD_WRITE),
            u64::from(SIZE),
            1,
            wire::NBD_ENOSPC,
        ),
        ((0, wire::NBD_CMD_WRITE), u64::MAX, 1, wire::NBD_ENOSPC),
        ((0, wire::NBD_CMD_WRITE), 0, SIZE / 2 + 1, wire::NBD_EINVAL),
        ((1 << 1, wire::NBD_CMD_WRITE), 0, 512, wire::NBD_EINVAL),
        ((1 << 4, wire::NBD_CMD_TRIM), 0, 512, wire::NBD_EINVAL),
        ((0, wire::NBD_CMD_WRITE_ZEROES), 1, SIZE, wire::NBD_ENOSPC),
    ] {
        client.request(request, offset, length).await;
        if request.1 == wire::NBD_CMD_WRITE {
            client.send(&vec![1; length as usize]).await;
        }
        assert_eq!(client.simple_reply().await, (error, 1), "{request:?}");
    }
    assert_eq!(recorder.calls(), [""; 0]);
    assert!(
        recorder
            .0
            .bytes
            .lock()
            .unwrap()
            .iter()
            .all(|byte| *byte == 9)
    );
}
