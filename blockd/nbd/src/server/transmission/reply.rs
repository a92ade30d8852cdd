//! Simple replies and the chunks of structured ones (proto.md, "Simple reply
//! message", "Structured reply types").

use std::time::Instant;

use crate::{
    server::{figures::Command, send_buffer::SendBuffer},
    string::truncate,
    width::to_usize,
    wire::{
        self, BlockDescriptor, ErrorChunk, OffsetData, OffsetHole, SimpleReply, StructuredReply,
    },
};

/// The reply to one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    /// Of the request.
    pub(super) cookie: u64,
    /// Whether structured replies were negotiated.
    pub(super) structured: bool,
    /// What was asked for, and when it was received: for the figures.
    pub(super) command: Command,
    pub(super) received: Instant,
}

impl Reply {
    /// Success without a payload.
    pub(super) fn done(self, out: &mut SendBuffer) {
        if self.structured {
            self.chunk(out, wire::NBD_REPLY_TYPE_NONE, 0, true);
        } else {
            self.simple(out, 0);
        }
    }

    /// An error, with a message if the reply can have one.
    pub(super) fn error(self, out: &mut SendBuffer, error: u32, text: &str) {
        if !self.structured {
            return self.simple(out, error);
        }
        let text = truncate(text);
        let length = u16::try_from(text.len()).expect("a string has at most 4096 bytes");
        let payload = length_of::<ErrorChunk>(text.len());
        self.chunk(out, wire::NBD_REPLY_TYPE_ERROR, payload, true);
        out.put(&ErrorChunk {
            error: error.into(),
            message_length: length.into(),
        });
        out.put(text);
    }

    /// The header of a simple reply; if it says success to a read, the data must
    /// follow.
    pub(super) fn simple(self, out: &mut SendBuffer, error: u32) {
        out.put(&SimpleReply {
            magic: wire::NBD_SIMPLE_REPLY_MAGIC.into(),
            error: error.into(),
            cookie: self.cookie.into(),
        });
    }

    /// The header of a data chunk; `length` bytes must follow.
    pub(super) fn offset_data(
        self,
        out: &mut SendBuffer,
        (offset, length): (u64, u32),
        last: bool,
    ) {
        let payload = length_of::<OffsetData>(to_usize(length));
        self.chunk(out, wire::NBD_REPLY_TYPE_OFFSET_DATA, payload, last);
        out.put(&OffsetData {
            offset: offset.into(),
        });
    }

    /// A whole hole chunk.
    pub(super) fn offset_hole(
        self,
        out: &mut SendBuffer,
        (offset, length): (u64, u32),
        last: bool,
    ) {
        self.chunk(
            out,
            wire::NBD_REPLY_TYPE_OFFSET_HOLE,
            size_of::<OffsetHole>(),
            last,
        );
        out.put(&OffsetHole {
            offset: offset.into(),
            length: length.into(),
        });
    }

    /// A whole status chunk; the reply has one for each context, and there is one.
    pub(super) fn block_status(
        self,
        out: &mut SendBuffer,
        context: u32,
        extents: &[BlockDescriptor],
    ) {
        let payload = length_of::<u32>(size_of_val(extents));
        self.chunk(out, wire::NBD_REPLY_TYPE_BLOCK_STATUS, payload, true);
        out.put(&context.to_be_bytes());
        out.put(extents);
    }

    fn chunk(self, out: &mut SendBuffer, chunk_type: u16, payload: usize, last: bool) {
        out.put(&StructuredReply {
            magic: wire::NBD_STRUCTURED_REPLY_MAGIC.into(),
            flags: if last { wire::NBD_REPLY_FLAG_DONE } else { 0 }.into(),
            chunk_type: chunk_type.into(),
            cookie: self.cookie.into(),
            length: u32::try_from(payload)
                .expect("requests and the number of extents are limited")
                .into(),
        });
    }
}

/// The length of a payload of a header `H` and `rest` more bytes.
fn length_of<H>(rest: usize) -> usize {
    size_of::<H>()
        .checked_add(rest)
        .expect("what follows lies in memory")
}
