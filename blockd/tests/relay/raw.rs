//! A client that speaks for itself, with simple replies.

use std::path::Path;

use blockd_nbd::wire;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};
use zerocopy::IntoBytes;

pub(crate) struct Raw {
    stream: UnixStream,
    /// The transmission flags.
    pub(crate) flags: u16,
}

impl Raw {
    pub(crate) async fn connect(socket: &Path) -> Self {
        let mut stream = UnixStream::connect(socket).await.unwrap();
        let mut hello = [0; 18];
        stream.read_exact(&mut hello).await.unwrap();
        stream.write_all(&3_u32.to_be_bytes()).await.unwrap();
        let option = wire::OptionHeader {
            magic: wire::IHAVEOPT.into(),
            option: wire::NBD_OPT_EXPORT_NAME.into(),
            length: 0.into(),
        };
        stream.write_all(option.as_bytes()).await.unwrap();
        stream.read_u64().await.unwrap();
        let flags = stream.read_u16().await.unwrap();
        Self { stream, flags }
    }

    async fn request(&mut self, (command, offset, length): (u16, u64, u32), flags: u16) {
        let request = wire::Request {
            magic: wire::NBD_REQUEST_MAGIC.into(),
            flags: flags.into(),
            command: command.into(),
            cookie: 1.into(),
            offset: offset.into(),
            length: length.into(),
        };
        self.stream.write_all(request.as_bytes()).await.unwrap();
    }

    /// Reads that nobody takes the answers of.
    pub(crate) async fn ask_without_end(&mut self, count: u32, length: u32) {
        for _ in 0..count {
            self.request((wire::NBD_CMD_READ, 0, length), 0).await;
        }
    }

    /// The error code of a command without data.
    pub(crate) async fn ask(&mut self, request: (u16, u64, u32), flags: u16) -> u32 {
        self.request(request, flags).await;
        self.answer().await
    }

    pub(crate) async fn write(&mut self, offset: u64, data: &[u8], flags: u16) -> u32 {
        let length = u32::try_from(data.len()).unwrap();
        let request = (wire::NBD_CMD_WRITE, offset, length);
        self.request(request, flags).await;
        self.stream.write_all(data).await.unwrap();
        self.answer().await
    }

    async fn answer(&mut self) -> u32 {
        let mut reply = [0; 16];
        self.stream.read_exact(&mut reply).await.unwrap();
        u32::from_be_bytes(reply[4..8].try_into().unwrap())
    }
}
