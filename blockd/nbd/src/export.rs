//! What the server serves: an [`Export`] is one disk, [`Exports`] are all of
//! them by name.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use thiserror::Error;

use crate::identity::Identity;

/// Which requests an export takes, in bytes (proto.md, "Size constraints").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSize {
    /// Every offset and length is a multiple of this: a power of 2, at most
    /// 65,536. A request that is not gets `NBD_EINVAL`.
    pub minimum: u32,
    /// Requests aligned to this are the fastest: a power of 2, at least 512 and
    /// at least `minimum`.
    pub preferred: u32,
    /// The longest read or write, at least `preferred`. This server takes no
    /// more than 64 MiB, whatever is stated here.
    pub maximum: u32,
}

impl Default for BlockSize {
    /// What proto.md has a server support that advertises nothing: 1 byte,
    /// 4 KiB, 32 MiB.
    fn default() -> Self {
        Self {
            minimum: 1,
            preferred: 4096,
            maximum: 32 << 20,
        }
    }
}

impl BlockSize {
    /// Whether requests can be checked against these sizes.
    pub(crate) fn is_valid(self) -> bool {
        self.minimum.is_power_of_two() && self.minimum <= 1 << 16 && self.maximum >= self.minimum
    }
}

/// What a client learns of an export when it opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportInfo {
    /// The canonical name (`NBD_INFO_NAME`): opening it again gives the same
    /// bytes. UTF-8 without NUL, at most 4096 bytes.
    pub name: String,
    /// A text for people (`NBD_INFO_DESCRIPTION`); may be empty. What is longer
    /// than 4096 bytes is cut.
    pub description: String,
    /// Size of the disk in bytes.
    pub size: u64,
    /// Constraints on requests (`NBD_INFO_BLOCK_SIZE`).
    pub block_size: BlockSize,
}

/// A range of bytes of one kind (proto.md, "`base:allocation` metadata context").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Number of bytes, at least 1.
    pub length: u64,
    /// `NBD_STATE_HOLE`: nothing is allocated for it.
    pub hole: bool,
    /// `NBD_STATE_ZERO`: it reads as zeroes. The server sends no bytes for it.
    pub zero: bool,
}

/// Why a read failed. The client gets `NBD_EIO`, with this text if structured
/// replies were negotiated.
#[derive(Clone, Debug, Error)]
#[error("{0}")]
pub struct ReadError(pub String);

/// Why a write failed. The client gets the text if structured replies were
/// negotiated.
#[derive(Clone, Debug, Error)]
pub enum WriteError {
    /// `NBD_ENOSPC`: there is no space left for it.
    #[error("{0}")]
    NoSpace(String),
    /// `NBD_EIO`: any other reason.
    #[error("{0}")]
    Failed(String),
}

/// Why an export cannot be opened. The client gets the reply to its option, with
/// this text (proto.md, "Option reply types").
#[derive(Clone, Debug, Error)]
pub enum OpenError {
    /// `NBD_REP_ERR_UNKNOWN`: there is no export of that name.
    #[error("{0}")]
    Unknown(String),
    /// `NBD_REP_ERR_INVALID`: the name is malformed.
    #[error("{0}")]
    Invalid(String),
    /// `NBD_REP_ERR_POLICY`: this server does not give it to this client.
    #[error("{0}")]
    Policy(String),
    /// `NBD_REP_ERR_PLATFORM`: it exists, and opening it failed.
    #[error("{0}")]
    Failed(String),
}

/// One disk, read-only unless [`Export::writes`] says otherwise.
///
/// Every request is validated against [`Export::info`] before one of these
/// methods is called: offset and length lie on the disk and are aligned to the
/// minimum block size. A method that panics ends the connection that called it,
/// and no other.
///
/// All connections to one name may share one `Export`, so the server advertises
/// `NBD_FLAG_CAN_MULTI_CONN`: what one connection has written and flushed, all
/// others read.
pub trait Export: Send + Sync + 'static {
    /// Name, size and block sizes; the same at every call.
    fn info(&self) -> &ExportInfo;

    /// Fills `buffer` from `offset` on if that takes no waiting, as when the bytes
    /// are in memory. It is called on a thread of the async runtime, before every
    /// [`Export::read`]. `None` if it would have to wait; what it has written to
    /// `buffer` by then is discarded.
    ///
    /// # Errors
    ///
    /// If the bytes cannot be read; [`Export::read`] is then not called.
    fn try_read_cached(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>>;

    /// Reads exactly `length` bytes at `offset`, in a task of its own: requests
    /// that come later may be answered before it.
    ///
    /// # Errors
    ///
    /// If the bytes cannot be read. A result of another length is an error too.
    fn read(
        self: Arc<Self>,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>>;

    /// Calls `visit` with the extents from `offset` on, in order, until it returns
    /// `false` or the disk ends. It takes no waiting.
    fn extents(&self, offset: u64, visit: &mut dyn FnMut(Extent) -> bool);

    /// Prepares for reads of this range (`NBD_CMD_CACHE`).
    ///
    /// # Errors
    ///
    /// If that fails; a later read may succeed all the same.
    fn prefetch(
        self: Arc<Self>,
        offset: u64,
        length: u64,
    ) -> BoxFuture<'static, Result<(), ReadError>>;

    /// The writing side of the disk; `None` if it is read-only
    /// (`NBD_FLAG_READ_ONLY`). The same at every call.
    fn writes(&self) -> Option<Arc<dyn Writes>> {
        None
    }
}

/// The result of every method of [`Writes`].
pub type Written = BoxFuture<'static, Result<(), WriteError>>;

/// The writing side of a disk.
///
/// With `durable` (`NBD_CMD_FLAG_FUA`), what was written survives a loss of power
/// from the moment the future is ready. Every future may run beside others; a
/// range that two of them change has the bytes of either.
pub trait Writes: Send + Sync + 'static {
    /// Writes `data` at `offset` (`NBD_CMD_WRITE`).
    fn write(self: Arc<Self>, offset: u64, data: Vec<u8>, durable: bool) -> Written;

    /// Makes a range read as zeroes, and may free its storage
    /// (`NBD_CMD_WRITE_ZEROES`, `NBD_CMD_TRIM`).
    fn zero(self: Arc<Self>, offset: u64, length: u64, durable: bool) -> Written;

    /// Makes all writes durable whose futures were ready before the call, on any
    /// connection (`NBD_CMD_FLUSH`).
    fn flush(self: Arc<Self>) -> Written;
}

/// The disks of a server, by name.
pub trait Exports: Send + Sync + 'static {
    /// Name and description of each export to advertise to a client
    /// (`NBD_OPT_LIST`); a name longer than 4096 bytes is left out. Other names may
    /// be opened too.
    fn list(&self, by: &Identity) -> BoxFuture<'_, Vec<(String, String)>>;

    /// Opens an export by name for a client; the empty name is the default export. A
    /// connection calls it once for each name, and keeps the result. A name may have
    /// a secret in it, so that the server logs none: the error says what of it may be
    /// shown.
    ///
    /// # Errors
    ///
    /// If there is no such export, or it cannot be opened for this client.
    fn open<'a>(
        &'a self,
        name: &'a str,
        by: &Identity,
    ) -> BoxFuture<'a, Result<Arc<dyn Export>, OpenError>>;
}
