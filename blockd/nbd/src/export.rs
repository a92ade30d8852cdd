//! What a disk is to the protocol.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use thiserror::Error;

/// The sizes of requests an export likes, in bytes (proto.md, "Block size
/// constraints").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSize {
    /// Every offset and length must be a multiple of this.
    pub minimum: u32,
    /// Requests aligned to this are answered best.
    pub preferred: u32,
    /// No request may ask for more.
    pub maximum: u32,
}

impl Default for BlockSize {
    /// Any byte may be asked for, whole 4 KiB blocks are best, 32 MiB are most.
    fn default() -> Self {
        Self {
            minimum: 1,
            preferred: 4096,
            maximum: 32 << 20,
        }
    }
}

/// What a client is told about an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportInfo {
    /// The canonical name: opening it again gives the same bytes (`NBD_INFO_NAME`).
    pub name: String,
    /// A sentence for people (`NBD_INFO_DESCRIPTION`).
    pub description: String,
    /// Bytes on the disk.
    pub size: u64,
    /// `NBD_INFO_BLOCK_SIZE`.
    pub block_size: BlockSize,
}

/// A run of bytes that are all allocated or all not (`base:allocation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes, never 0.
    pub length: u64,
    /// `NBD_STATE_HOLE`: no storage behind it.
    pub hole: bool,
    /// `NBD_STATE_ZERO`: it reads as zeroes.
    pub zero: bool,
}

/// A read that cannot be answered; `NBD_EIO` with this text.
#[derive(Clone, Debug, Error)]
#[error("{0}")]
pub struct ReadError(pub String);

/// A write that was not done.
#[derive(Clone, Debug, Error)]
pub enum WriteError {
    /// `NBD_ENOSPC`: there is no room for it.
    #[error("{0}")]
    NoSpace(String),
    /// `NBD_EIO`.
    #[error("{0}")]
    Failed(String),
}

/// Why a name could not be opened; each is an option error of the protocol
/// with its text.
#[derive(Clone, Debug, Error)]
pub enum OpenError {
    /// `NBD_REP_ERR_UNKNOWN`: there is no such export.
    #[error("{0}")]
    Unknown(String),
    /// `NBD_REP_ERR_INVALID`: the name or one of its options makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// `NBD_REP_ERR_POLICY`: it is there, and this server does not show it.
    #[error("{0}")]
    Policy(String),
    /// `NBD_REP_ERR_PLATFORM`: it is there, and cannot be opened now.
    #[error("{0}")]
    Failed(String),
}

/// One disk, read-only unless [`Export::writes`] says otherwise.
///
/// The transmission phase checks every request against [`ExportInfo`] before
/// it calls: an implementation never sees a range outside the disk.
pub trait Export: Send + Sync + 'static {
    /// Name, size and block sizes; the same at every call.
    fn info(&self) -> &ExportInfo;

    /// Fills `buffer` when that takes neither disk nor inflating; `None`
    /// means: ask [`Export::read`].
    fn read_ready(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>>;

    /// Reads `length` bytes at `offset`, however long it takes.
    fn read(
        self: Arc<Self>,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>>;

    /// Calls `each` with the extents from `offset` on, until it says `false`
    /// or the disk ends.
    fn extents(&self, offset: u64, each: &mut dyn FnMut(Extent) -> bool);

    /// Makes a later read of this range quick (`NBD_CMD_CACHE`).
    fn prefetch(
        self: Arc<Self>,
        offset: u64,
        length: u64,
    ) -> BoxFuture<'static, Result<(), ReadError>>;

    /// Takes writes to this disk, if it can be written. All connections write
    /// to the same disk, and what one flushes is flushed for all
    /// (`NBD_FLAG_CAN_MULTI_CONN`).
    fn writes(&self) -> Option<Arc<dyn Writes>> {
        None
    }
}

/// What a future of [`Writes`] ends with.
pub type Written = BoxFuture<'static, Result<(), WriteError>>;

/// The writing side of a disk. `durable` asks for storage that outlives a loss
/// of power before the future ends (`NBD_CMD_FLAG_FUA`).
pub trait Writes: Send + Sync + 'static {
    /// Writes `data` at `offset`.
    fn write(self: Arc<Self>, offset: u64, data: Vec<u8>, durable: bool) -> Written;

    /// Makes a range read as zeroes, and gives its storage back.
    fn zero(self: Arc<Self>, offset: u64, length: u64, durable: bool) -> Written;

    /// Makes everything durable that was written before.
    fn flush(self: Arc<Self>) -> Written;
}

/// All disks of a server, by name.
pub trait Exports: Send + Sync + 'static {
    /// The exports worth showing to somebody who asks: name and description.
    fn list(&self) -> BoxFuture<'_, Vec<(String, String)>>;

    /// Opens an export by any of its names.
    fn open<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn Export>, OpenError>>;
}
