//! The fixed newstyle handshake (proto.md, "Fixed newstyle negotiation"), from the
//! client's side.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    error::{Error, Result},
    stream::Stream,
};
use crate::{
    export::{BlockSize, ExportInfo},
    string::parse_string,
    token::Asked,
    width::to_usize,
    wire::{
        IHAVEOPT, InfoBlockSize, InfoExport, MAX_STRING, META_BASE_ALLOCATION,
        NBD_FLAG_CAN_MULTI_CONN, NBD_FLAG_FIXED_NEWSTYLE, NBD_FLAG_NO_ZEROES, NBD_INFO_BLOCK_SIZE,
        NBD_INFO_DESCRIPTION, NBD_INFO_EXPORT, NBD_INFO_NAME, NBD_OPT_ABORT, NBD_OPT_GO,
        NBD_OPT_INFO, NBD_OPT_SET_META_CONTEXT, NBD_OPT_STARTTLS, NBD_OPT_STRUCTURED_REPLY,
        NBD_REP_ACK, NBD_REP_FLAG_ERROR, NBD_REP_INFO, NBD_REP_MAGIC, NBD_REP_META_CONTEXT,
        NBDMAGIC, OptionHeader,
    },
};

/// The second word of a server that speaks the oldstyle handshake, which nobody
/// needs any more.
const CLISERV_MAGIC: u64 = 0x0000_4202_8186_1253;
/// How many replies to one option are accepted; four kinds of `NBD_REP_INFO` are
/// requested.
const MAX_REPLIES: usize = 64;
/// How much data a reply to an option may have, in bytes: a string and what may
/// precede it.
const MAX_REPLY_DATA: usize = MAX_STRING + 64;

/// What a server says of an export in reply to `NBD_OPT_INFO` or `NBD_OPT_GO`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Name, description, size and block sizes. Where the server says nothing,
    /// the name is the requested one, the description empty, and block sizes as
    /// proto.md ("Size constraints") has a client assume: a minimum of 512
    /// bytes, a preferred size of 4 KiB, a maximum of 32 MiB.
    pub info: ExportInfo,
    /// `NBD_FLAG_CAN_MULTI_CONN`: several connections see the same disk.
    pub multi_conn: bool,
    /// Whether `info.name` is the server's own (`NBD_INFO_NAME`).
    pub named: bool,
    /// Whether structured replies were negotiated.
    pub(super) structured: bool,
}

impl Offer {
    /// Whether two connections show the same disk, as far as the handshake tells.
    pub(super) fn is_same_disk(&self, other: &Self) -> bool {
        (&self.info.name, self.info.size, self.named)
            == (&other.info.name, other.info.size, other.named)
    }
}

/// Receives the greeting and sends the client flags; an error says what the peer
/// does instead.
pub(super) async fn greet(stream: &mut Box<dyn Stream>) -> Result<(), String> {
    let lost = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "it closes the connection before the greeting is complete".to_owned()
        }
        _ => error.to_string(),
    };
    if stream.read_u64().await.map_err(lost)? != NBDMAGIC {
        return Err("its greeting does not begin with NBDMAGIC".to_owned());
    }
    match stream.read_u64().await.map_err(lost)? {
        IHAVEOPT => {}
        CLISERV_MAGIC => return Err("it speaks the oldstyle handshake".to_owned()),
        _ => return Err("its greeting has an unknown second word".to_owned()),
    }
    let offered = stream.read_u16().await.map_err(lost)?;
    if offered & NBD_FLAG_FIXED_NEWSTYLE == 0 {
        return Err("it does not speak the fixed newstyle handshake".to_owned());
    }
    let flags = u32::from(offered & (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES));
    stream.write_u32(flags).await.map_err(lost)
}

/// `NBD_OPT_STARTTLS`; returns whether the server agrees, and TLS begins.
pub(super) async fn start_tls(stream: &mut Box<dyn Stream>) -> Result<bool> {
    accepts(stream, NBD_OPT_STARTTLS).await
}

/// `NBD_OPT_INFO`, then `NBD_OPT_ABORT`.
pub(super) async fn info(stream: &mut Box<dyn Stream>, export: Asked<'_>) -> Result<Offer> {
    let offer = choose(stream, NBD_OPT_INFO, export).await?;
    // The server need not have received it: it may close the connection at once.
    let _best_effort = send_option(stream, NBD_OPT_ABORT, &[]).await;
    Ok(offer)
}

/// `NBD_OPT_STRUCTURED_REPLY` and `NBD_OPT_GO`: the transmission phase follows.
pub(super) async fn go(stream: &mut Box<dyn Stream>, export: Asked<'_>) -> Result<Offer> {
    let structured = structured(stream).await?;
    let offer = choose(stream, NBD_OPT_GO, export).await?;
    Ok(Offer {
        structured,
        ..offer
    })
}

/// As [`go`], with `NBD_OPT_SET_META_CONTEXT` before `NBD_OPT_GO`; returns the id
/// of `base:allocation` too, if the server has it.
pub(super) async fn go_with_allocation(
    stream: &mut Box<dyn Stream>,
    export: Asked<'_>,
) -> Result<(Offer, Option<u32>)> {
    let structured = structured(stream).await?;
    let context = if structured {
        set_meta_context(stream, export).await?
    } else {
        None
    };
    let offer = choose(stream, NBD_OPT_GO, export).await?;
    let offer = Offer {
        structured,
        ..offer
    };
    Ok((offer, context))
}

async fn structured(stream: &mut Box<dyn Stream>) -> Result<bool> {
    accepts(stream, NBD_OPT_STRUCTURED_REPLY).await
}

/// Sends an option without data; returns whether the server accepts it.
async fn accepts(stream: &mut Box<dyn Stream>, code: u32) -> Result<bool> {
    send_option(stream, code, &[]).await?;
    match reply(stream, code).await? {
        (NBD_REP_ACK, _) => Ok(true),
        (kind, _) if kind & NBD_REP_FLAG_ERROR != 0 => Ok(false),
        (kind, _) => Err(unexpected(kind)),
    }
}

async fn set_meta_context(stream: &mut Box<dyn Stream>, export: Asked<'_>) -> Result<Option<u32>> {
    let code = NBD_OPT_SET_META_CONTEXT;
    let mut data = prefixed(&export.sent())?;
    data.extend_from_slice(&1_u32.to_be_bytes());
    data.extend_from_slice(&prefixed(META_BASE_ALLOCATION)?);
    send_option(stream, code, &data).await?;
    let mut context = None;
    for _ in 0..MAX_REPLIES {
        match reply(stream, code).await? {
            (NBD_REP_META_CONTEXT, data) => {
                let (id, name) = data
                    .split_first_chunk()
                    .ok_or_else(|| Error::protocol("an NBD_REP_META_CONTEXT of no length"))?;
                if name == META_BASE_ALLOCATION.as_bytes() {
                    context = Some(u32::from_be_bytes(*id));
                }
            }
            (NBD_REP_ACK, _) => return Ok(context),
            (kind, _) if kind & NBD_REP_FLAG_ERROR != 0 => return Ok(None),
            (kind, _) => return Err(unexpected(kind)),
        }
    }
    Err(Error::protocol("NBD_REP_META_CONTEXT without end"))
}

/// `NBD_OPT_INFO` or `NBD_OPT_GO`.
async fn choose(stream: &mut Box<dyn Stream>, code: u32, export: Asked<'_>) -> Result<Offer> {
    send_option(stream, code, &info_request(export)?).await?;
    let mut infos = Infos::default();
    for _ in 0..MAX_REPLIES {
        match reply(stream, code).await? {
            (NBD_REP_INFO, data) => infos.add(&data)?,
            (NBD_REP_ACK, _) => return infos.finish(export),
            (kind, text) if kind & NBD_REP_FLAG_ERROR != 0 => {
                let text = String::from_utf8_lossy(&text).trim().to_owned();
                return Err(Error::Refused {
                    export: export.name.to_owned(),
                    code: kind,
                    text,
                });
            }
            (kind, _) => return Err(unexpected(kind)),
        }
    }
    Err(Error::protocol("NBD_REP_INFO without end"))
}

/// The data of `NBD_OPT_INFO` and `NBD_OPT_GO`: the name and three requests.
fn info_request(export: Asked<'_>) -> Result<Vec<u8>> {
    let mut data = prefixed(&export.sent())?;
    for word in [3, NBD_INFO_NAME, NBD_INFO_DESCRIPTION, NBD_INFO_BLOCK_SIZE] {
        data.extend_from_slice(&word.to_be_bytes());
    }
    Ok(data)
}

/// A string behind its length.
fn prefixed(text: &str) -> Result<Vec<u8>> {
    let length = u32::try_from(text.len()).ok();
    let length = length
        .filter(|_| text.len() <= MAX_STRING)
        .ok_or_else(|| Error::protocol(format!("an export name has at most {MAX_STRING} bytes")))?;
    let mut data = length.to_be_bytes().to_vec();
    data.extend_from_slice(text.as_bytes());
    Ok(data)
}

async fn send_option(stream: &mut Box<dyn Stream>, code: u32, data: &[u8]) -> Result<()> {
    let length =
        u32::try_from(data.len()).map_err(|_| Error::protocol("an option longer than 4 GiB"))?;
    let header = OptionHeader {
        magic: IHAVEOPT.into(),
        option: code.into(),
        length: length.into(),
    };
    let mut message = header.as_bytes().to_vec();
    message.extend_from_slice(data);
    stream.write_all(&message).await?;
    Ok(stream.flush().await?)
}

/// Receives one reply to option `code`: its type and data.
async fn reply(stream: &mut Box<dyn Stream>, code: u32) -> Result<(u32, Vec<u8>)> {
    if stream.read_u64().await? != NBD_REP_MAGIC {
        return Err(Error::protocol("an option reply without its magic"));
    }
    if stream.read_u32().await? != code {
        return Err(Error::protocol("a reply to an option that was not sent"));
    }
    let kind = stream.read_u32().await?;
    let length = to_usize(stream.read_u32().await?);
    if length > MAX_REPLY_DATA {
        return Err(Error::protocol(format!(
            "an option reply of {length} bytes"
        )));
    }
    let mut data = vec![0; length];
    stream.read_exact(&mut data).await?;
    Ok((kind, data))
}

fn unexpected(kind: u32) -> Error {
    Error::protocol(format!("an option reply of type {kind:#x}"))
}

/// What came in `NBD_REP_INFO` replies so far.
#[derive(Debug, Default)]
struct Infos {
    export: Option<(u64, u16)>,
    name: Option<String>,
    description: Option<String>,
    block_size: Option<BlockSize>,
}

impl Infos {
    /// Adds one reply. A client "MUST ignore information types that it
    /// does not recognize".
    fn add(&mut self, data: &[u8]) -> Result<()> {
        let malformed = || Error::protocol("an NBD_REP_INFO of the wrong length");
        let (kind, text) = data.split_first_chunk().ok_or_else(malformed)?;
        match u16::from_be_bytes(*kind) {
            NBD_INFO_EXPORT => {
                let info = InfoExport::read_from_bytes(data).map_err(|_| malformed())?;
                self.export = Some((info.size.get(), info.flags.get()));
            }
            NBD_INFO_NAME => self.name = Some(string(text)?),
            NBD_INFO_DESCRIPTION => self.description = Some(string(text)?),
            NBD_INFO_BLOCK_SIZE => {
                let info = InfoBlockSize::read_from_bytes(data).map_err(|_| malformed())?;
                self.block_size = Some(block_size(info)?);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self, export: Asked<'_>) -> Result<Offer> {
        let (size, flags) = self
            .export
            .ok_or_else(|| Error::protocol("no NBD_INFO_EXPORT before the ACK"))?;
        // "Size constraints", of a server that does not advertise any.
        let assumed = BlockSize {
            minimum: 512,
            ..BlockSize::default()
        };
        Ok(Offer {
            named: self.name.is_some(),
            info: ExportInfo {
                name: self.name.unwrap_or_else(|| export.name.to_owned()),
                description: self.description.unwrap_or_default(),
                size,
                block_size: self.block_size.unwrap_or(assumed),
            },
            multi_conn: flags & NBD_FLAG_CAN_MULTI_CONN != 0,
            structured: false,
        })
    }
}

fn string(data: &[u8]) -> Result<String> {
    match parse_string(data) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(Error::protocol(format!("a string that {error}"))),
    }
}

fn block_size(info: InfoBlockSize) -> Result<BlockSize> {
    let block_size = BlockSize {
        minimum: info.minimum.get(),
        preferred: info.preferred.get(),
        maximum: info.maximum.get(),
    };
    block_size
        .is_valid()
        .then_some(block_size)
        .ok_or_else(|| Error::protocol(format!("invalid block sizes: {block_size:?}")))
}
