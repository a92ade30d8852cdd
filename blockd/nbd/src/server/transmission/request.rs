//! Validates requests (proto.md, "Request types"), once: what comes out lies on
//! the disk, and what it needs is there.

use std::{borrow::Cow, sync::Arc};

use crate::{
    export::{ExportInfo, Writes},
    server::negotiated::MAX_PAYLOAD,
    wire::{self, Request},
};

/// A valid request, other than `NBD_CMD_WRITE` and `NBD_CMD_DISC`.
pub(super) enum Command {
    Read(Read),
    BlockStatus {
        offset: u64,
        length: u32,
        one: bool,
    },
    Cache {
        offset: u64,
        length: u32,
    },
    /// There is nothing to flush in an export that takes no writes.
    Flush(Option<Arc<dyn Writes>>),
    /// `NBD_CMD_TRIM` and `NBD_CMD_WRITE_ZEROES`.
    Zero(Arc<dyn Writes>, Change),
}

/// A range to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) offset: u64,
    pub(super) length: u32,
    /// `NBD_CMD_FLAG_FUA`.
    pub(super) durable: bool,
}

/// A range to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) offset: u64,
    pub(super) length: u32,
    /// Whether the reply may have several content chunks: no `NBD_CMD_FLAG_DF`.
    pub(super) fragments: bool,
}

/// Why a request is not served.
pub(super) struct Refusal {
    /// `NBD_E…`.
    pub(super) error: u32,
    /// A message for people.
    pub(super) text: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn shutting_down() -> Self {
        Self {
            error: wire::NBD_ESHUTDOWN,
            text: "the server is shutting down".into(),
        }
    }

    fn read_only() -> Self {
        Self {
            error: wire::NBD_EPERM,
            text: "the export is read-only".into(),
        }
    }
}

/// What requests are validated against.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) info: &'a ExportInfo,
    pub(super) structured_replies: bool,
    pub(super) base_allocation: bool,
    /// `None` if the export is read-only.
    pub(super) writes: Option<&'a Arc<dyn Writes>>,
}

impl Terms<'_> {
    /// The longest read or write, in bytes.
    fn maximum(self) -> u32 {
        self.info.block_size.maximum.min(MAX_PAYLOAD)
    }

    fn writes(self) -> Result<Arc<dyn Writes>, Refusal> {
        self.writes.cloned().ok_or_else(Refusal::read_only)
    }
}

/// Validates any request but `NBD_CMD_WRITE` and `NBD_CMD_DISC`.
pub(super) fn validate(request: &Request, terms: Terms<'_>) -> Result<Command, Refusal> {
    match request.command.get() {
        wire::NBD_CMD_READ => read(request, terms),
        wire::NBD_CMD_BLOCK_STATUS => block_status(request, terms),
        wire::NBD_CMD_CACHE => cache(request, terms),
        wire::NBD_CMD_FLUSH => flush(request, terms),
        wire::NBD_CMD_TRIM => zero(request, terms, 0),
        wire::NBD_CMD_WRITE_ZEROES => zero(request, terms, wire::NBD_CMD_FLAG_NO_HOLE),
        command => Err(invalid(format!("unknown command {command}"))),
    }
}

/// `NBD_CMD_FLAG_DF` is known when structured replies are. Too long a read is
/// `NBD_EOVERFLOW` where the client may retry it in parts, which proto.md says
/// only of structured replies.
fn read(request: &Request, terms: Terms<'_>) -> Result<Command, Refusal> {
    let known = if terms.structured_replies {
        wire::NBD_CMD_FLAG_DF
    } else {
        0
    };
    let flags = flags(request, terms, known)?;
    let (offset, length) = range(request, terms.info)?;
    let maximum = terms.maximum();
    if length > maximum {
        let text = format!("a read of {length} bytes is longer than the maximum of {maximum}");
        let error = if terms.structured_replies {
            wire::NBD_EOVERFLOW
        } else {
            wire::NBD_EINVAL
        };
        return Err(Refusal {
            error,
            text: text.into(),
        });
    }
    let fragments = flags & wire::NBD_CMD_FLAG_DF == 0;
    Ok(Command::Read(Read {
        offset,
        length,
        fragments,
    }))
}

fn block_status(request: &Request, terms: Terms<'_>) -> Result<Command, Refusal> {
    if !terms.base_allocation {
        return Err(invalid("no metadata context was selected for this export"));
    }
    let flags = flags(request, terms, wire::NBD_CMD_FLAG_REQ_ONE)?;
    let (offset, length) = range(request, terms.info)?;
    if length == 0 {
        return Err(invalid("a block status of 0 bytes"));
    }
    Ok(Command::BlockStatus {
        offset,
        length,
        one: flags != 0,
    })
}

/// "The server MUST reject any command flags it does not recognize."
fn cache(request: &Request, terms: Terms<'_>) -> Result<Command, Refusal> {
    flags(request, terms, 0)?;
    let (offset, length) = range(request, terms.info)?;
    Ok(Command::Cache { offset, length })
}

fn zero(request: &Request, terms: Terms<'_>, known: u16) -> Result<Command, Refusal> {
    let writes = terms.writes()?;
    Ok(Command::Zero(writes, change(request, terms, known)?))
}

/// Validates `NBD_CMD_WRITE`.
pub(super) fn write(
    request: &Request,
    terms: Terms<'_>,
) -> Result<(Arc<dyn Writes>, Change), Refusal> {
    let writes = terms.writes()?;
    let change = change(request, terms, 0)?;
    let maximum = terms.maximum();
    if change.length > maximum {
        let length = change.length;
        return Err(invalid(format!(
            "a write of {length} bytes is longer than the maximum of {maximum}"
        )));
    }
    Ok((writes, change))
}

/// "The server SHOULD return `NBD_ENOSPC` if it receives a write request
/// including one or more sectors beyond the size of the device."
fn change(request: &Request, terms: Terms<'_>, known: u16) -> Result<Change, Refusal> {
    flags(request, terms, known)?;
    let (offset, length) = range(request, terms.info).map_err(|refusal| {
        let end = request
            .offset
            .get()
            .checked_add(request.length.get().into());
        let beyond = end.is_none_or(|end| end > terms.info.size);
        Refusal {
            error: if beyond {
                wire::NBD_ENOSPC
            } else {
                refusal.error
            },
            ..refusal
        }
    })?;
    Ok(Change {
        offset,
        length,
        durable: request.flags.get() & wire::NBD_CMD_FLAG_FUA != 0,
    })
}

/// Not an error without writes. "*length* and *offset* are reserved, and MUST
/// be set to all-zero".
fn flush(request: &Request, terms: Terms<'_>) -> Result<Command, Refusal> {
    flags(request, terms, 0)?;
    if request.offset.get() == 0 && request.length.get() == 0 {
        Ok(Command::Flush(terms.writes.cloned()))
    } else {
        Err(invalid("offset and length of a flush must be 0"))
    }
}

/// The command flags, none of which may be unknown. `NBD_CMD_FLAG_FUA`, which all
/// commands accept if it was advertised, is left out.
fn flags(request: &Request, terms: Terms<'_>, known: u16) -> Result<u16, Refusal> {
    let everywhere = if terms.writes.is_some() {
        wire::NBD_CMD_FLAG_FUA
    } else {
        0
    };
    let flags = request.flags.get() & !everywhere;
    let unknown = flags & !known;
    if unknown == 0 {
        Ok(flags)
    } else {
        Err(invalid(format!("unknown command flags {unknown:#x}")))
    }
}

/// Inside the disk, and aligned to the minimum block size.
fn range(request: &Request, info: &ExportInfo) -> Result<(u64, u32), Refusal> {
    let (offset, length) = (request.offset.get(), request.length.get());
    if offset
        .checked_add(length.into())
        .is_none_or(|end| end > info.size)
    {
        let size = info.size;
        let text = format!("{length} bytes at {offset} pass the end of the export at {size}");
        return Err(invalid(text));
    }
    let minimum = info.block_size.minimum;
    if offset.is_multiple_of(minimum.into()) && length.is_multiple_of(minimum) {
        Ok((offset, length))
    } else {
        Err(invalid(format!(
            "{length} bytes at {offset} are not aligned to blocks of {minimum}"
        )))
    }
}

fn invalid(text: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal {
        error: wire::NBD_EINVAL,
        text: text.into(),
    }
}
