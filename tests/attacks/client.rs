//! An NBD client at an address of its own, which sends what it is told to.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::harness::peer::{GO, go, option, request};

const READ: u16 = 0;
const CACHE: u16 = 5;
const ACK: u32 = 1;
const ERROR: u32 = 1 << 31;
/// The most of one request, whose length has 32 bits.
const LONGEST: u64 = 0xffff_f000;

/// A connection.
pub(super) struct Client {
    stream: TcpStream,
    /// The length of the export, once it is open.
    pub(super) size: u64,
}

impl Client {
    /// Connects from this address of the loopback, and says nothing.
    pub(super) fn silent(from: Ipv4Addr, port: u16) -> io::Result<Self> {
        let stream = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&stream, &SocketAddrV4::new(from, 0))?;
        connect(&stream, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
        let stream = TcpStream::from(stream);
        stream.set_nodelay(true)?;
        // Longer than anything takes that works.
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream, size: 0 })
    }

    /// In the handshake.
    pub(super) fn greeted(from: Ipv4Addr, port: u16) -> io::Result<Self> {
        let mut client = Self::silent(from, port)?;
        client.take(18)?;
        client.stream.write_all(&3_u32.to_be_bytes())?;
        Ok(client)
    }

    /// In transmission.
    pub(super) fn open(from: Ipv4Addr, port: u16, name: &str) -> io::Result<Self> {
        let mut client = Self::greeted(from, port)?;
        client.go(name)?;
        loop {
            let header = client.take(20)?;
            let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
            let data = client.take(usize::try_from(number(16)).unwrap())?;
            match number(12) {
                ACK => return Ok(client),
                kind if kind & ERROR != 0 => {
                    let text = String::from_utf8_lossy(&data).into_owned();
                    return Err(io::Error::other(text));
                }
                _ if data.len() >= 10 && data.starts_with(&[0, 0]) => {
                    client.size = u64::from_be_bytes(data[2..10].try_into().unwrap());
                }
                _ => {}
            }
        }
    }

    /// Asks for an export, without waiting for the answer.
    pub(super) fn go(&mut self, name: &str) -> io::Result<()> {
        self.send(&option(GO, &go(name.as_bytes())))
    }

    /// Reads `length` bytes.
    pub(super) fn read(&mut self, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        self.ask(offset, length)?;
        let header = self.take(16)?;
        if header[4..8] != [0; 4] {
            return Err(io::Error::other(format!("the read failed: {header:?}")));
        }
        self.take(usize::try_from(length).unwrap())
    }

    /// Asks for bytes that nobody takes.
    pub(super) fn ask(&mut self, offset: u64, length: u32) -> io::Result<()> {
        self.send(&request(0, READ, offset, length))
    }

    /// Asks for all of the export in the cache.
    pub(super) fn cache(&mut self) -> io::Result<()> {
        let length = u32::try_from(self.size.min(LONGEST)).unwrap();
        self.send(&request(0, CACHE, 0, length))
    }

    /// Sends option `kind` without data.
    pub(super) fn option(&mut self, kind: u32) -> io::Result<()> {
        self.send(&option(kind, &[]))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Waits until the server ends it, or for `time`.
    pub(super) fn wait(&mut self, time: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(time))?;
        match self.stream.read(&mut [0])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
