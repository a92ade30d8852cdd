//! The protocol's numbers and messages, with the names and in the order of
//! [proto.md]. Everything on the wire is big-endian.
//!
//! [proto.md]: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md

use zerocopy::byteorder::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes};

// Newstyle negotiation.

/// `NBDMAGIC`, the first word of a server.
pub const NBDMAGIC: u64 = 0x4e42_444d_4147_4943;
/// `IHAVEOPT`, the second word of a newstyle server and the first of every option.
pub const IHAVEOPT: u64 = 0x4948_4156_454F_5054;
/// The first word of every reply to an option.
pub const NBD_REP_MAGIC: u64 = 0x0003_e889_0455_65a9;

/// Handshake flag: options get replies.
pub const NBD_FLAG_FIXED_NEWSTYLE: u16 = 1;
/// Handshake flag: the server can leave out the zeroes after `NBD_OPT_EXPORT_NAME`.
pub const NBD_FLAG_NO_ZEROES: u16 = 1 << 1;

/// Client flag: options get replies.
pub const NBD_FLAG_C_FIXED_NEWSTYLE: u32 = 1;
/// Client flag: leave out the zeroes after `NBD_OPT_EXPORT_NAME`.
pub const NBD_FLAG_C_NO_ZEROES: u32 = 1 << 1;

/// Length of the zeroes that end an answer to `NBD_OPT_EXPORT_NAME`.
pub const EXPORT_NAME_ZEROES: usize = 124;
/// No string of the protocol is longer ("Conventions").
pub const MAX_STRING: usize = 4096;

// Transmission flags.

/// Always set.
pub const NBD_FLAG_HAS_FLAGS: u16 = 1;
/// Writes are errors.
pub const NBD_FLAG_READ_ONLY: u16 = 1 << 1;
/// `NBD_CMD_FLUSH` is understood.
pub const NBD_FLAG_SEND_FLUSH: u16 = 1 << 2;
/// `NBD_CMD_FLAG_FUA` is understood.
pub const NBD_FLAG_SEND_FUA: u16 = 1 << 3;
/// `NBD_CMD_TRIM` is understood.
pub const NBD_FLAG_SEND_TRIM: u16 = 1 << 5;
/// `NBD_CMD_WRITE_ZEROES` is understood.
pub const NBD_FLAG_SEND_WRITE_ZEROES: u16 = 1 << 6;
/// `NBD_CMD_FLAG_DF` is understood; only with structured replies.
pub const NBD_FLAG_SEND_DF: u16 = 1 << 7;
/// Several connections see one and the same disk.
pub const NBD_FLAG_CAN_MULTI_CONN: u16 = 1 << 8;
/// `NBD_CMD_CACHE` is understood.
pub const NBD_FLAG_SEND_CACHE: u16 = 1 << 10;

// Option types.

/// Enter transmission, without any way to report an error.
pub const NBD_OPT_EXPORT_NAME: u32 = 1;
/// End the connection.
pub const NBD_OPT_ABORT: u32 = 2;
/// List the exports.
pub const NBD_OPT_LIST: u32 = 3;
/// Go on in TLS.
pub const NBD_OPT_STARTTLS: u32 = 5;
/// Tell about an export.
pub const NBD_OPT_INFO: u32 = 6;
/// Tell about an export and enter transmission.
pub const NBD_OPT_GO: u32 = 7;
/// Use structured replies.
pub const NBD_OPT_STRUCTURED_REPLY: u32 = 8;
/// List the metadata contexts of an export.
pub const NBD_OPT_LIST_META_CONTEXT: u32 = 9;
/// Choose the metadata contexts of an export.
pub const NBD_OPT_SET_META_CONTEXT: u32 = 10;
/// Use headers with 64-bit lengths.
pub const NBD_OPT_EXTENDED_HEADERS: u32 = 11;

// Option reply types.

/// The end of a list, or a plain yes.
pub const NBD_REP_ACK: u32 = 1;
/// One export.
pub const NBD_REP_SERVER: u32 = 2;
/// One fact about an export.
pub const NBD_REP_INFO: u32 = 3;
/// One metadata context.
pub const NBD_REP_META_CONTEXT: u32 = 4;
/// The bit that all errors have.
pub const NBD_REP_FLAG_ERROR: u32 = 1 << 31;
/// The server does not know the option.
pub const NBD_REP_ERR_UNSUP: u32 = NBD_REP_FLAG_ERROR | 1;
/// The server does not want it.
pub const NBD_REP_ERR_POLICY: u32 = NBD_REP_FLAG_ERROR | 2;
/// The option or its data makes no sense.
pub const NBD_REP_ERR_INVALID: u32 = NBD_REP_FLAG_ERROR | 3;
/// The server cannot do it where it runs.
pub const NBD_REP_ERR_PLATFORM: u32 = NBD_REP_FLAG_ERROR | 4;
/// Not without TLS.
pub const NBD_REP_ERR_TLS_REQD: u32 = NBD_REP_FLAG_ERROR | 5;
/// There is no such export.
pub const NBD_REP_ERR_UNKNOWN: u32 = NBD_REP_FLAG_ERROR | 6;
/// The server is about to end.
pub const NBD_REP_ERR_SHUTDOWN: u32 = NBD_REP_FLAG_ERROR | 7;
/// Not without `NBD_INFO_BLOCK_SIZE`.
pub const NBD_REP_ERR_BLOCK_SIZE_REQD: u32 = NBD_REP_FLAG_ERROR | 8;
/// The request or its reply is too large.
pub const NBD_REP_ERR_TOO_BIG: u32 = NBD_REP_FLAG_ERROR | 9;

/// Size and transmission flags.
pub const NBD_INFO_EXPORT: u16 = 0;
/// The canonical name.
pub const NBD_INFO_NAME: u16 = 1;
/// A text for people.
pub const NBD_INFO_DESCRIPTION: u16 = 2;
/// The size constraints.
pub const NBD_INFO_BLOCK_SIZE: u16 = 3;

// Metadata querying.

/// The namespace of the protocol itself, which asks for all its contexts.
pub const META_BASE: &str = "base:";
/// What is allocated and what reads as zeroes.
pub const META_BASE_ALLOCATION: &str = "base:allocation";
/// `base:allocation`: not allocated.
pub const NBD_STATE_HOLE: u32 = 1;
/// `base:allocation`: reads as zeroes.
pub const NBD_STATE_ZERO: u32 = 1 << 1;

// Transmission phase.

/// The first word of a request.
pub const NBD_REQUEST_MAGIC: u32 = 0x2560_9513;
/// The first word of a simple reply.
pub const NBD_SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
/// The first word of a chunk of a structured reply.
pub const NBD_STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;

/// Command flag: what is written is on storage before the reply.
pub const NBD_CMD_FLAG_FUA: u16 = 1;
/// Command flag: zeroes keep their storage.
pub const NBD_CMD_FLAG_NO_HOLE: u16 = 1 << 1;
/// Command flag: at most one content chunk.
pub const NBD_CMD_FLAG_DF: u16 = 1 << 2;
/// Command flag: exactly one extent.
pub const NBD_CMD_FLAG_REQ_ONE: u16 = 1 << 3;

/// Read.
pub const NBD_CMD_READ: u16 = 0;
/// Write; its data follows the request.
pub const NBD_CMD_WRITE: u16 = 1;
/// Finish what is outstanding and disconnect.
pub const NBD_CMD_DISC: u16 = 2;
/// Bring writes to storage.
pub const NBD_CMD_FLUSH: u16 = 3;
/// Forget a range.
pub const NBD_CMD_TRIM: u16 = 4;
/// Make later reads of a range quick.
pub const NBD_CMD_CACHE: u16 = 5;
/// Write zeroes.
pub const NBD_CMD_WRITE_ZEROES: u16 = 6;
/// Ask for the metadata of a range.
pub const NBD_CMD_BLOCK_STATUS: u16 = 7;

/// Structured reply flag: the last chunk.
pub const NBD_REPLY_FLAG_DONE: u16 = 1;
/// Nothing, the end of a reply.
pub const NBD_REPLY_TYPE_NONE: u16 = 0;
/// Bytes at an offset.
pub const NBD_REPLY_TYPE_OFFSET_DATA: u16 = 1;
/// Zeroes at an offset.
pub const NBD_REPLY_TYPE_OFFSET_HOLE: u16 = 2;
/// Extents of a metadata context.
pub const NBD_REPLY_TYPE_BLOCK_STATUS: u16 = 5;
/// The bit that all error chunks have.
pub const NBD_REPLY_TYPE_FLAG_ERROR: u16 = 1 << 15;
/// An error with a text.
pub const NBD_REPLY_TYPE_ERROR: u16 = NBD_REPLY_TYPE_FLAG_ERROR | 1;
/// An error at an offset, with a text.
pub const NBD_REPLY_TYPE_ERROR_OFFSET: u16 = NBD_REPLY_TYPE_FLAG_ERROR | 2;

/// Not permitted.
pub const NBD_EPERM: u32 = 1;
/// Input/output error.
pub const NBD_EIO: u32 = 5;
/// Out of memory; a server SHOULD NOT say it.
pub const NBD_ENOMEM: u32 = 12;
/// The request makes no sense.
pub const NBD_EINVAL: u32 = 22;
/// No space left.
pub const NBD_ENOSPC: u32 = 28;
/// The request is larger than the server answers.
pub const NBD_EOVERFLOW: u32 = 75;
/// Not supported; for `NBD_CMD_FLAG_FAST_ZERO` only.
pub const NBD_ENOTSUP: u32 = 95;
/// The server is about to end.
pub const NBD_ESHUTDOWN: u32 = 108;

// Messages: no padding anywhere, since every number is a row of bytes.

/// What a newstyle server says first.
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

/// What the client says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct ClientHello {
    /// Client flags.
    pub flags: U32,
}

/// The head of an option; its data follows.
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

/// The head of a reply to an option; its data follows.
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

/// The answer to `NBD_OPT_EXPORT_NAME`, before the zeroes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct ExportNameReply {
    /// Bytes on the disk.
    pub size: U64,
    /// Transmission flags.
    pub flags: U16,
}

/// `NBD_INFO_EXPORT`, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct InfoExport {
    /// [`NBD_INFO_EXPORT`].
    pub information: U16,
    /// Bytes on the disk.
    pub size: U64,
    /// Transmission flags.
    pub flags: U16,
}

/// `NBD_INFO_BLOCK_SIZE`, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct InfoBlockSize {
    /// [`NBD_INFO_BLOCK_SIZE`].
    pub information: U16,
    /// Minimum block size.
    pub minimum: U32,
    /// Preferred block size.
    pub preferred: U32,
    /// Maximum payload size.
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
    /// The client's own word for the request.
    pub cookie: U64,
    /// First byte.
    pub offset: U64,
    /// Number of bytes.
    pub length: U32,
}

/// A simple reply; the data of a good read follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct SimpleReply {
    /// [`NBD_SIMPLE_REPLY_MAGIC`].
    pub magic: U32,
    /// `NBD_E…`, 0 for success.
    pub error: U32,
    /// The request's.
    pub cookie: U64,
}

/// The head of a chunk of a structured reply; its payload follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct StructuredReply {
    /// [`NBD_STRUCTURED_REPLY_MAGIC`].
    pub magic: U32,
    /// `NBD_REPLY_FLAG_…`.
    pub flags: U16,
    /// `NBD_REPLY_TYPE_…`.
    pub chunk_type: U16,
    /// The request's.
    pub cookie: U64,
    /// Length of the payload.
    pub length: U32,
}

/// The head of the payload of `NBD_REPLY_TYPE_OFFSET_DATA`; the bytes follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct OffsetData {
    /// First byte, from the start of the disk.
    pub offset: U64,
}

/// The payload of `NBD_REPLY_TYPE_OFFSET_HOLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct OffsetHole {
    /// First byte, from the start of the disk.
    pub offset: U64,
    /// Number of zeroes, never 0.
    pub length: U32,
}

/// One extent of `NBD_REPLY_TYPE_BLOCK_STATUS`, after the context's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct BlockDescriptor {
    /// Number of bytes, never 0.
    pub length: U32,
    /// `NBD_STATE_…`.
    pub status: U32,
}

/// The head of the payload of `NBD_REPLY_TYPE_ERROR`; the text follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct ErrorChunk {
    /// `NBD_E…`.
    pub error: U32,
    /// Length of the text.
    pub message_length: U16,
}

/// As much of a text as the protocol carries: [`MAX_STRING`] bytes.
pub fn cut(text: &str) -> &str {
    let longest = text.len().min(MAX_STRING);
    let fitting = (0..=longest).rev().find_map(|end| text.get(..end));
    fitting.unwrap_or_default()
}

#[cfg(test)]
mod tests;
