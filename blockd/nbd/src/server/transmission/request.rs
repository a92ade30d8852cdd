//! What a request asks for, if it may (proto.md, "Request types"). Validated
//! here once; what comes out lies on the disk.

use std::borrow::Cow;

use crate::ExportInfo;
use crate::wire::{self, Request};

/// A valid request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    Flush,
    Write(Change),
    /// Trim, or write zeroes.
    Zero(Change),
}

/// A range to change; `durable` says whether it must be on storage before the
/// reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) durable: bool,
}

/// A range to read; `fragments` says whether the reply may have several
/// content chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) fragments: bool,
}

/// Why a request is not served: one of the protocol's errors, and a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) error: u32,
    pub(super) text: Cow<'static, str>,
}

/// What a request is measured by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) info: &'a ExportInfo,
    pub(super) structured_replies: bool,
    pub(super) base_allocation: bool,
    pub(super) writable: bool,
}

/// Checks everything there is to check.
pub(super) fn validate(request: &Request, terms: Terms<'_>) -> Result<Command, Refusal> {
    match request.command.get() {
        wire::NBD_CMD_READ => read(request, terms),
        wire::NBD_CMD_BLOCK_STATUS => block_status(request, terms),
        wire::NBD_CMD_CACHE => cache(request, terms),
        wire::NBD_CMD_FLUSH => flush(request, terms),
        wire::NBD_CMD_WRITE if terms.writable => write(request, terms),
        wire::NBD_CMD_TRIM if terms.writable => change(request, terms, 0).map(Command::Zero),
        wire::NBD_CMD_WRITE_ZEROES if terms.writable => {
            change(request, terms, wire::NBD_CMD_FLAG_NO_HOLE).map(Command::Zero)
        }
        wire::NBD_CMD_WRITE | wire::NBD_CMD_TRIM | wire::NBD_CMD_WRITE_ZEROES => Err(Refusal {
            error: wire::NBD_EPERM,
            text: "the export is read-only".into(),
        }),
        command => Err(invalid(format!("unknown command {command}"))),
    }
}

/// `NBD_CMD_FLAG_DF` is known when structured replies are. Too long a read is
/// `NBD_EOVERFLOW` where the client may retry it in parts, which is only said
/// of structured replies.
fn read(request: &Request, terms: Terms<'_>) -> Result<Command, Refusal> {
    let known = if terms.structured_replies {
        wire::NBD_CMD_FLAG_DF
    } else {
        0
    };
    let flags = flags(request, terms, known)?;
    let (offset, length) = range(request, terms.info)?;
    let maximum = terms.info.block_size.maximum;
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
        return Err(invalid("the status of no bytes is nothing"));
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

fn write(request: &Request, terms: Terms<'_>) -> Result<Command, Refusal> {
    let change = change(request, terms, 0)?;
    let maximum = terms.info.block_size.maximum;
    if change.length > maximum {
        let length = change.length;
        return Err(invalid(format!(
            "a write of {length} bytes is longer than the maximum of {maximum}"
        )));
    }
    Ok(Command::Write(change))
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

/// Harmless where there is nothing to write: "length and offset are reserved, and MUST be
/// set to all-zero".
fn flush(request: &Request, terms: Terms<'_>) -> Result<Command, Refusal> {
    flags(request, terms, 0)?;
    if request.offset.get() == 0 && request.length.get() == 0 {
        Ok(Command::Flush)
    } else {
        Err(invalid("a flush has neither offset nor length"))
    }
}

/// The flags of a request but FUA, which is known to all commands where it was
/// advertised, and means something to writes only.
fn flags(request: &Request, terms: Terms<'_>, known: u16) -> Result<u16, Refusal> {
    let everywhere = if terms.writable {
        wire::NBD_CMD_FLAG_FUA
    } else {
        0
    };
    let flags = request.flags.get() & !everywhere;
    let unknown = flags & !known;
    if unknown == 0 {
        Ok(flags)
    } else {
        Err(invalid(format!("command flags {unknown:#x}")))
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
            "{length} bytes at {offset} are no whole blocks of {minimum}"
        )))
    }
}

fn invalid(text: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal {
        error: wire::NBD_EINVAL,
        text: text.into(),
    }
}
