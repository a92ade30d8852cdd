//! Simple replies and the chunks of structured ones (proto.md, "Simple reply
//! message", "Structured reply types").

use crate::server::outgoing::Outgoing;
use crate::wire::{
    self, BlockDescriptor, ErrorChunk, OffsetData, OffsetHole, SimpleReply, StructuredReply,
};

/// Which reply goes to whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    /// The request's.
    pub(super) cookie: u64,
    /// Whether replies are structured.
    pub(super) structured: bool,
}

impl Reply {
    /// Success, without anything to say.
    pub(super) fn done(self, out: &mut Outgoing) {
        if self.structured {
            self.chunk(out, wire::NBD_REPLY_TYPE_NONE, 0, true);
        } else {
            self.simple(out, 0);
        }
    }

    /// An error, and its text where the reply can carry one.
    pub(super) fn error(self, out: &mut Outgoing, error: u32, text: &str) {
        if !self.structured {
            return self.simple(out, error);
        }
        let text = wire::cut(text);
        let length = u16::try_from(text.len()).unwrap_or_default();
        let payload = size_of::<ErrorChunk>().saturating_add(text.len());
        self.chunk(out, wire::NBD_REPLY_TYPE_ERROR, payload, true);
        out.put(&ErrorChunk {
            error: error.into(),
            message_length: length.into(),
        });
        out.put(text);
    }

    /// The head of a simple reply; after an error of 0 to a read, its data
    /// must follow.
    pub(super) fn simple(self, out: &mut Outgoing, error: u32) {
        out.put(&SimpleReply {
            magic: wire::NBD_SIMPLE_REPLY_MAGIC.into(),
            error: error.into(),
            cookie: self.cookie.into(),
        });
    }

    /// The head of a data chunk; `length` bytes must follow.
    pub(super) fn offset_data(self, out: &mut Outgoing, (offset, length): (u64, u32), last: bool) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let payload = size_of::<OffsetData>().saturating_add(length);
        self.chunk(out, wire::NBD_REPLY_TYPE_OFFSET_DATA, payload, last);
        out.put(&OffsetData {
            offset: offset.into(),
        });
    }

    /// A whole hole chunk.
    pub(super) fn offset_hole(self, out: &mut Outgoing, (offset, length): (u64, u32), last: bool) {
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

    /// A whole status chunk, the only one, since there is one context.
    pub(super) fn block_status(
        self,
        out: &mut Outgoing,
        context: u32,
        extents: &[BlockDescriptor],
    ) {
        let payload = size_of_val(extents).saturating_add(size_of_val(&context));
        self.chunk(out, wire::NBD_REPLY_TYPE_BLOCK_STATUS, payload, true);
        out.put(&context.to_be_bytes());
        out.put(extents);
    }

    fn chunk(self, out: &mut Outgoing, chunk_type: u16, payload: usize, last: bool) {
        out.put(&StructuredReply {
            magic: wire::NBD_STRUCTURED_REPLY_MAGIC.into(),
            flags: if last { wire::NBD_REPLY_FLAG_DONE } else { 0 }.into(),
            chunk_type: chunk_type.into(),
            cookie: self.cookie.into(),
            length: u32::try_from(payload).unwrap_or(u32::MAX).into(),
        });
    }
}
