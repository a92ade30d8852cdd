//! The constants and messages of the protocol, with the names and in the order of
//! [proto.md]. Everything on the wire is big-endian, and no message has padding.
//!
//! [proto.md]: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md

use zerocopy::{
    FromBytes, Immutable, IntoBytes,
    byteorder::network_endian::{U16, U32, U64},
};

// Newstyle negotiation.

/// `NBDMAGIC`, the first word of the server's greeting.
pub const NBDMAGIC: u64 = 0x4e42_444d_4147_4943;
/// `IHAVEOPT`, the second word of a newstyle server and the first of every option.
pub const IHAVEOPT: u64 = 0x4948_4156_454F_5054;
/// The first word of every reply to an option.
pub const NBD_REP_MAGIC: u64 = 0x0003_e889_0455_65a9;

/// Handshake flag: the server replies to options it does not support.
pub const NBD_FLAG_FIXED_NEWSTYLE: u16 = 1;
/// Handshake flag: the server can omit the zeroes after `NBD_OPT_EXPORT_NAME`.
pub const NBD_FLAG_NO_ZEROES: u16 = 1 << 1;

/// Client flag: the client understands such replies.
pub const NBD_FLAG_C_FIXED_NEWSTYLE: u32 = 1;
/// Client flag: the server omits the zeroes after `NBD_OPT_EXPORT_NAME`.
pub const NBD_FLAG_C_NO_ZEROES: u32 = 1 << 1;

/// Number of zeroes that end the reply to `NBD_OPT_EXPORT_NAME`.
pub const EXPORT_NAME_ZEROES: usize = 124;
/// The longest string, in bytes ("Conventions").
pub const MAX_STRING: usize = 4096;

// Transmission flags.

/// Transmission flag: always set.
pub const NBD_FLAG_HAS_FLAGS: u16 = 1;
/// Transmission flag: the export takes no writes.
pub const NBD_FLAG_READ_ONLY: u16 = 1 << 1;
/// Transmission flag: `NBD_CMD_FLUSH` is supported.
pub const NBD_FLAG_SEND_FLUSH: u16 = 1 << 2;
/// Transmission flag: `NBD_CMD_FLAG_FUA` is supported.
pub const NBD_FLAG_SEND_FUA: u16 = 1 << 3;
/// Transmission flag: `NBD_CMD_TRIM` is supported.
pub const NBD_FLAG_SEND_TRIM: u16 = 1 << 5;
/// Transmission flag: `NBD_CMD_WRITE_ZEROES` is supported.
pub const NBD_FLAG_SEND_WRITE_ZEROES: u16 = 1 << 6;
/// Transmission flag: `NBD_CMD_FLAG_DF` is supported; only with structured replies.
pub const NBD_FLAG_SEND_DF: u16 = 1 << 7;
/// Transmission flag: what one connection has flushed, all others see.
pub const NBD_FLAG_CAN_MULTI_CONN: u16 = 1 << 8;
/// Transmission flag: `NBD_CMD_CACHE` is supported.
pub const NBD_FLAG_SEND_CACHE: u16 = 1 << 10;

// Option types.

/// Enter the transmission phase; an error can only be a disconnect.
pub const NBD_OPT_EXPORT_NAME: u32 = 1;
/// End the session.
pub const NBD_OPT_ABORT: u32 = 2;
/// List the exports.
pub const NBD_OPT_LIST: u32 = 3;
/// Upgrade to TLS.
pub const NBD_OPT_STARTTLS: u32 = 5;
/// Request information about an export.
pub const NBD_OPT_INFO: u32 = 6;
/// The same, and enter the transmission phase.
pub const NBD_OPT_GO: u32 = 7;
/// Use structured replies.
pub const NBD_OPT_STRUCTURED_REPLY: u32 = 8;
/// List the metadata contexts of an export.
pub const NBD_OPT_LIST_META_CONTEXT: u32 = 9;
/// Choose the metadata contexts of an export.
pub const NBD_OPT_SET_META_CONTEXT: u32 = 10;
/// Use extended headers, with 64-bit lengths.
pub const NBD_OPT_EXTENDED_HEADERS: u32 = 11;

// Option reply types.

/// Success, or the end of a list.
pub const NBD_REP_ACK: u32 = 1;
/// One export.
pub const NBD_REP_SERVER: u32 = 2;
/// One piece of information about an export.
pub const NBD_REP_INFO: u32 = 3;
/// One metadata context.
pub const NBD_REP_META_CONTEXT: u32 = 4;
/// The bit that all errors have.
pub const NBD_REP_FLAG_ERROR: u32 = 1 << 31;
/// The option is not supported.
pub const NBD_REP_ERR_UNSUP: u32 = NBD_REP_FLAG_ERROR | 1;
/// Forbidden by the server's policy.
pub const NBD_REP_ERR_POLICY: u32 = NBD_REP_FLAG_ERROR | 2;
/// The option or its data is invalid.
pub const NBD_REP_ERR_INVALID: u32 = NBD_REP_FLAG_ERROR | 3;
/// Not possible on the server's platform or in its present state.
pub const NBD_REP_ERR_PLATFORM: u32 = NBD_REP_FLAG_ERROR | 4;
/// TLS is required.
pub const NBD_REP_ERR_TLS_REQD: u32 = NBD_REP_FLAG_ERROR | 5;
/// There is no such export.
pub const NBD_REP_ERR_UNKNOWN: u32 = NBD_REP_FLAG_ERROR | 6;
/// The server is shutting down.
pub const NBD_REP_ERR_SHUTDOWN: u32 = NBD_REP_FLAG_ERROR | 7;
/// The client must request `NBD_INFO_BLOCK_SIZE`.
pub const NBD_REP_ERR_BLOCK_SIZE_REQD: u32 = NBD_REP_FLAG_ERROR | 8;
/// The request or its reply is too large.
pub const NBD_REP_ERR_TOO_BIG: u32 = NBD_REP_FLAG_ERROR | 9;

/// Information: size and transmission flags.
pub const NBD_INFO_EXPORT: u16 = 0;
/// Information: the canonical name.
pub const NBD_INFO_NAME: u16 = 1;
/// Information: a description for people.
pub const NBD_INFO_DESCRIPTION: u16 = 2;
/// Information: the size constraints.
pub const NBD_INFO_BLOCK_SIZE: u16 = 3;

// Metadata querying.

/// The namespace of the protocol itself; as a query, all its contexts.
pub const META_BASE: &str = "base:";
/// The context that tells what is allocated, and what reads as zeroes.
pub const META_BASE_ALLOCATION: &str = "base:allocation";
/// Status of `base:allocation`: not allocated.
pub const NBD_STATE_HOLE: u32 = 1;
/// Status of `base:allocation`: reads as zeroes.
pub const NBD_STATE_ZERO: u32 = 1 << 1;

// Transmission phase.

/// The first word of a request.
pub const NBD_REQUEST_MAGIC: u32 = 0x2560_9513;
/// The first word of a simple reply.
pub const NBD_SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
/// The first word of a chunk of a structured reply.
pub const NBD_STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;

/// Command flag: force unit access; what is written is on stable storage before
/// the reply.
pub const NBD_CMD_FLAG_FUA: u16 = 1;
/// Command flag: do not free the storage of what is zeroed.
pub const NBD_CMD_FLAG_NO_HOLE: u16 = 1 << 1;
/// Command flag: at most one content chunk.
pub const NBD_CMD_FLAG_DF: u16 = 1 << 2;
/// Command flag: exactly one extent.
pub const NBD_CMD_FLAG_REQ_ONE: u16 = 1 << 3;

/// Command: read.
pub const NBD_CMD_READ: u16 = 0;
/// Command: write; its data follows the request.
pub const NBD_CMD_WRITE: u16 = 1;
/// Command: finish what is in flight, and disconnect.
pub const NBD_CMD_DISC: u16 = 2;
/// Command: bring completed writes to stable storage.
pub const NBD_CMD_FLUSH: u16 = 3;
/// Command: the data of a range is not needed any more.
pub const NBD_CMD_TRIM: u16 = 4;
/// Command: prepare for reads of a range.
pub const NBD_CMD_CACHE: u16 = 5;
/// Command: write zeroes.
pub const NBD_CMD_WRITE_ZEROES: u16 = 6;
/// Command: query the metadata of a range.
pub const NBD_CMD_BLOCK_STATUS: u16 = 7;

/// Structured reply flag: this is the last chunk.
pub const NBD_REPLY_FLAG_DONE: u16 = 1;
/// Chunk type: no content, the end of a reply.
pub const NBD_REPLY_TYPE_NONE: u16 = 0;
/// Chunk type: data at an offset.
pub const NBD_REPLY_TYPE_OFFSET_DATA: u16 = 1;
/// Chunk type: zeroes at an offset.
pub const NBD_REPLY_TYPE_OFFSET_HOLE: u16 = 2;
/// Chunk type: extents of a metadata context.
pub const NBD_REPLY_TYPE_BLOCK_STATUS: u16 = 5;
/// The bit that all error chunks have.
pub const NBD_REPLY_TYPE_FLAG_ERROR: u16 = 1 << 15;
/// Chunk type: an error with a message.
pub const NBD_REPLY_TYPE_ERROR: u16 = NBD_REPLY_TYPE_FLAG_ERROR | 1;
/// Chunk type: an error at an offset, with a message.
pub const NBD_REPLY_TYPE_ERROR_OFFSET: u16 = NBD_REPLY_TYPE_FLAG_ERROR | 2;

/// Error: not permitted.
pub const NBD_EPERM: u32 = 1;
/// Error: input/output error.
pub const NBD_EIO: u32 = 5;
/// Error: out of memory; a server SHOULD NOT send it.
pub const NBD_ENOMEM: u32 = 12;
/// Error: the request is invalid.
pub const NBD_EINVAL: u32 = 22;
/// Error: no space left.
pub const NBD_ENOSPC: u32 = 28;
/// Error: the request is larger than the server can reply to.
pub const NBD_EOVERFLOW: u32 = 75;
/// Error: not supported; for `NBD_CMD_FLAG_FAST_ZERO` only.
pub const NBD_ENOTSUP: u32 = 95;
/// Error: the server is shutting down.
pub const NBD_ESHUTDOWN: u32 = 108;

// Messages.

/// The greeting of a newstyle server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Hello {
    /// [`NBDMAGIC`].
    pub nbdmagic: U64,
    /// [`IHAVEOPT`].
    pub ihaveopt: U64,
    /// Handshake flags.
    pub flags: U16,
}

/// The client's reply to the greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct ClientHello {
    /// Client flags.
    pub flags: U32,
}

/// The header of an option; its data follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct OptionHeader {
    /// [`IHAVEOPT`].
    pub magic: U64,
    /// `NBD_OPT_…`.
    pub option: U32,
    /// Length of the data.
    pub length: U32,
}

/// The header of a reply to an option; its data follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct OptionReply {
    /// [`NBD_REP_MAGIC`].
    pub magic: U64,
    /// The option as the client sent it.
    pub option: U32,
    /// `NBD_REP_…`.
    pub reply_type: U32,
    /// Length of the data.
    pub length: U32,
}

/// The reply to `NBD_OPT_EXPORT_NAME`, before the zeroes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct ExportNameReply {
    /// Size of the export in bytes.
    pub size: U64,
    /// Transmission flags.
    pub flags: U16,
}

/// The data of `NBD_REP_INFO` for `NBD_INFO_EXPORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct InfoExport {
    /// [`NBD_INFO_EXPORT`].
    pub information: U16,
    /// Size of the export in bytes.
    pub size: U64,
    /// Transmission flags.
    pub flags: U16,
}

/// The data of `NBD_REP_INFO` for `NBD_INFO_BLOCK_SIZE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct InfoBlockSize {
    /// [`NBD_INFO_BLOCK_SIZE`].
    pub information: U16,
    /// Minimum block size in bytes.
    pub minimum: U32,
    /// Preferred block size in bytes.
    pub preferred: U32,
    /// Maximum payload size in bytes.
    pub maximum: U32,
}

/// A request; the data of `NBD_CMD_WRITE` follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Request {
    /// [`NBD_REQUEST_MAGIC`].
    pub magic: U32,
    /// Command flags.
    pub flags: U16,
    /// `NBD_CMD_…`.
    pub command: U16,
    /// Chosen by the client to recognise the reply; opaque to the server.
    pub cookie: U64,
    /// First byte.
    pub offset: U64,
    /// Number of bytes.
    pub length: U32,
}

/// A simple reply; the data of a successful read follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct SimpleReply {
    /// [`NBD_SIMPLE_REPLY_MAGIC`].
    pub magic: U32,
    /// `NBD_E…`, 0 for success.
    pub error: U32,
    /// The cookie of the request.
    pub cookie: U64,
}

/// The header of a chunk of a structured reply; its payload follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct StructuredReply {
    /// [`NBD_STRUCTURED_REPLY_MAGIC`].
    pub magic: U32,
    /// `NBD_REPLY_FLAG_…`.
    pub flags: U16,
    /// `NBD_REPLY_TYPE_…`.
    pub chunk_type: U16,
    /// The cookie of the request.
    pub cookie: U64,
    /// Length of the payload.
    pub length: U32,
}

/// The payload of `NBD_REPLY_TYPE_OFFSET_DATA` before the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct OffsetData {
    /// First byte, from the start of the export.
    pub offset: U64,
}

/// The payload of `NBD_REPLY_TYPE_OFFSET_HOLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct OffsetHole {
    /// First byte, from the start of the export.
    pub offset: U64,
    /// Number of zeroes, never 0.
    pub length: U32,
}

/// One extent in `NBD_REPLY_TYPE_BLOCK_STATUS`, behind the id of the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct BlockDescriptor {
    /// Number of bytes, never 0.
    pub length: U32,
    /// `NBD_STATE_…`.
    pub status: U32,
}

/// The payload of `NBD_REPLY_TYPE_ERROR` before the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct ErrorChunk {
    /// `NBD_E…`.
    pub error: U32,
    /// Length of the message.
    pub message_length: U16,
}

/// The longest length that is a multiple of every minimum block size, up to
/// 65,536: what one request or extent of 32 bits can span of any export.
pub(crate) const MAX_ALIGNED_LENGTH: u32 = 0xffff_0000;

#[cfg(test)]
mod tests;
