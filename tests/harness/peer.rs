//! A client that sends what it is told to, byte for byte.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    time::Duration,
};

use super::blockd::TestBlockd;

const OPTION_MAGIC: u64 = 0x4948_4156_454F_5054;
const REPLY_MAGIC: u64 = 0x0003_E889_0455_65A9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
const ACK: u32 = 1;
const ERROR: u32 = 1 << 31;
pub(crate) const EXPORT_NAME: u32 = 1;
pub(crate) const LIST: u32 = 3;
pub(crate) const INFO: u32 = 6;
pub(crate) const GO: u32 = 7;
pub(crate) const STRUCTURED_REPLY: u32 = 8;
pub(crate) const SET_META_CONTEXT: u32 = 10;
const FIXED_AND_NO_ZEROES: u32 = 3;

/// A client that sends what it is told to.
pub(crate) struct Peer(UnixStream);

impl Peer {
    pub(crate) fn connect(server: &TestBlockd) -> Self {
        let stream = UnixStream::connect(server.socket()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut peer = Self(stream);
        let mut greeting = [0; 18];
        peer.0.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting[..16], b"NBDMAGICIHAVEOPT");
        peer
    }

    pub(crate) fn greeted(server: &TestBlockd) -> Self {
        let mut peer = Self::connect(server);
        peer.send(&FIXED_AND_NO_ZEROES.to_be_bytes());
        peer
    }

    /// In transmission, with simple replies.
    pub(crate) fn transmitting(server: &TestBlockd, export: &[u8]) -> Self {
        let mut peer = Self::greeted(server);
        peer.send(&option(GO, &go(export)));
        peer.until_acknowledged("GO");
        peer
    }

    /// The error with which this export is refused, and the server's words.
    #[track_caller]
    pub(crate) fn refusal(server: &TestBlockd, export: &str) -> (u32, String) {
        let mut peer = Self::greeted(server);
        peer.send(&option(GO, &go(export.as_bytes())));
        loop {
            let (kind, data) = peer.reply().unwrap();
            assert_ne!(kind, ACK, "{export} is served");
            if kind & ERROR != 0 {
                return (kind, String::from_utf8(data).unwrap());
            }
        }
    }

    /// The names of all exports.
    pub(crate) fn list(server: &TestBlockd) -> Vec<String> {
        let mut peer = Self::greeted(server);
        peer.send(&option(LIST, &[]));
        let replies = std::iter::from_fn(|| peer.reply().ok()).take_while(|(kind, _)| *kind != ACK);
        let name = |data: Vec<u8>| {
            let (length, rest) = data.split_at(4);
            let length = u32::from_be_bytes(length.try_into().unwrap());
            String::from_utf8(rest[..usize::try_from(length).unwrap()].to_vec()).unwrap()
        };
        replies.map(|(_, data)| name(data)).collect()
    }

    #[track_caller]
    pub(crate) fn until_acknowledged(&mut self, what: &str) {
        while self
            .reply()
            .unwrap_or_else(|error| panic!("{what}: {error}"))
            .0
            != ACK
        {}
    }

    pub(crate) fn read(&mut self, length: usize) -> Vec<u8> {
        let mut data = vec![0; length];
        self.0.read_exact(&mut data).unwrap();
        data
    }

    /// The server may have hung up already; what it does is seen by reading.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        drop(self.0.write_all(bytes));
    }

    /// The kind of the next option reply, and its data.
    pub(crate) fn reply(&mut self) -> io::Result<(u32, Vec<u8>)> {
        let mut header = [0; 20];
        self.0.read_exact(&mut header)?;
        assert_eq!(
            u64::from_be_bytes(header[..8].try_into().unwrap()),
            REPLY_MAGIC
        );
        let kind = u32::from_be_bytes(header[12..16].try_into().unwrap());
        let length = u32::from_be_bytes(header[16..].try_into().unwrap());
        let mut data = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut data)?;
        Ok((kind, data))
    }

    /// The error of the next simple reply.
    pub(crate) fn simple_error(&mut self) -> u32 {
        let mut header = [0; 16];
        self.0.read_exact(&mut header).unwrap();
        assert_eq!(
            u32::from_be_bytes(header[..4].try_into().unwrap()),
            SIMPLE_REPLY_MAGIC
        );
        u32::from_be_bytes(header[4..8].try_into().unwrap())
    }

    /// Whatever it still says, it ends; waiting for more is a hang.
    #[track_caller]
    pub(crate) fn assert_ends(mut self, case: &str) {
        drop(self.0.shutdown(Shutdown::Write));
        let mut rest = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut rest) {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{case} hangs");
        }
    }
}

pub(crate) fn option(kind: u32, data: &[u8]) -> Vec<u8> {
    option_of_length(kind, u32::try_from(data.len()).unwrap(), data)
}

pub(crate) fn option_of_length(kind: u32, length: u32, data: &[u8]) -> Vec<u8> {
    [
        &OPTION_MAGIC.to_be_bytes()[..],
        &kind.to_be_bytes(),
        &length.to_be_bytes(),
        data,
    ]
    .concat()
}

pub(crate) fn go(name: &[u8]) -> Vec<u8> {
    let length = u32::try_from(name.len()).unwrap();
    [&length.to_be_bytes()[..], name, &[0, 0]].concat()
}

pub(crate) fn request(flags: u16, command: u16, offset: u64, length: u32) -> Vec<u8> {
    [
        &REQUEST_MAGIC.to_be_bytes()[..],
        &flags.to_be_bytes(),
        &command.to_be_bytes(),
        &7_u64.to_be_bytes(),
        &offset.to_be_bytes(),
        &length.to_be_bytes(),
    ]
    .concat()
}
