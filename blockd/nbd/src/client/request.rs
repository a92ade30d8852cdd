//! Requests as bytes (proto.md, "Request message").

use zerocopy::IntoBytes;

use crate::wire::{self, NBD_CMD_DISC, NBD_REQUEST_MAGIC};

/// What a request names besides its command; the client sets no command flags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) cookie: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
}

impl Request {
    /// Appends the request for `command` (`NBD_CMD_…`) to `bytes`.
    pub(super) fn encode(self, command: u16, bytes: &mut Vec<u8>) {
        let request = wire::Request {
            magic: NBD_REQUEST_MAGIC.into(),
            flags: 0.into(),
            command: command.into(),
            cookie: self.cookie.into(),
            offset: self.offset.into(),
            length: self.length.into(),
        };
        bytes.extend_from_slice(request.as_bytes());
    }
}

/// `NBD_CMD_DISC`.
pub(super) fn disconnect() -> Vec<u8> {
    let request = Request {
        cookie: 0,
        offset: 0,
        length: 0,
    };
    let mut bytes = Vec::new();
    request.encode(NBD_CMD_DISC, &mut bytes);
    bytes
}
