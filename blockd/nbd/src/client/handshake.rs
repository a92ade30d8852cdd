//! The fixed newstyle handshake, from the client's side.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zerocopy::{FromBytes, IntoBytes};

use super::{Error, Result, stream::Stream};
use crate::{
    BlockSize, ExportInfo,
    wire::{
        IHAVEOPT, InfoBlockSize, InfoExport, MAX_STRING, META_BASE_ALLOCATION,
        NBD_FLAG_CAN_MULTI_CONN, NBD_FLAG_FIXED_NEWSTYLE, NBD_FLAG_NO_ZEROES, NBD_INFO_BLOCK_SIZE,
        NBD_INFO_DESCRIPTION, NBD_INFO_EXPORT, NBD_INFO_NAME, NBD_OPT_ABORT, NBD_OPT_GO,
        NBD_OPT_INFO, NBD_OPT_SET_META_CONTEXT, NBD_OPT_STARTTLS, NBD_OPT_STRUCTURED_REPLY,
        NBD_REP_ACK, NBD_REP_FLAG_ERROR, NBD_REP_INFO, NBD_REP_MAGIC, NBD_REP_META_CONTEXT,
        NBDMAGIC, OptionHeader,
    },
};

/// The second word of a server that speaks the oldstyle handshake.
const CLISERV_MAGIC: u64 = 0x0000_4202_8186_1253;
/// A server sends four kinds of `NBD_REP_INFO`; one that goes on is not sane.
const MAXIMUM_INFOS: usize = 64;

/// What a server says of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its canonical name, size and so on.
    pub info: ExportInfo,
    /// Several connections see the same disk (`NBD_FLAG_CAN_MULTI_CONN`).
    pub multi_conn: bool,
    /// The server said the canonical name itself (`NBD_INFO_NAME`).
    pub named: bool,
    pub(super) structured: bool,
}

impl Offer {
    /// Whether another connection shows the same disk.
    pub(super) fn shows_the_disk_of(&self, other: &Self) -> bool {
        (&self.info.name, self.info.size, self.named)
            == (&other.info.name, other.info.size, other.named)
    }
}

/// The greeting and the client's flags; `Err` says what is wrong with it.
pub(super) async fn greet(stream: &mut Box<dyn Stream>) -> Result<(), String> {
    let lost = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "it hangs up without a greeting".to_owned(),
        _ => error.to_string(),
    };
    if stream.read_u64().await.map_err(lost)? != NBDMAGIC {
        return Err("its first bytes are not NBDMAGIC".to_owned());
    }
    match stream.read_u64().await.map_err(lost)? {
        IHAVEOPT => {}
        CLISERV_MAGIC => return Err("it speaks the oldstyle handshake".to_owned()),
        _ => return Err("its greeting is not NBD's".to_owned()),
    }
    let offered = stream.read_u16().await.map_err(lost)?;
    if offered & NBD_FLAG_FIXED_NEWSTYLE == 0 {
        return Err("it does not speak the fixed newstyle handshake".to_owned());
    }
    let flags = u32::from(offered & (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES));
    stream.write_u32(flags).await.map_err(lost)
}

/// `NBD_OPT_STARTTLS`: whether TLS begins now.
pub(super) async fn start_tls(stream: &mut Box<dyn Stream>) -> Result<bool> {
    agreed(stream, NBD_OPT_STARTTLS).await
}

/// `NBD_OPT_INFO` and a farewell.
pub(super) async fn info(stream: &mut Box<dyn Stream>, export: &str) -> Result<Offer> {
    let offer = choose(stream, NBD_OPT_INFO, export).await?;
    // The server may be gone before it hears this; nobody waits for its answer.
    let _farewell = option(stream, NBD_OPT_ABORT, &[]).await;
    Ok(offer)
}

/// `NBD_OPT_STRUCTURED_REPLY` and `NBD_OPT_GO`: the transmission phase follows.
pub(super) async fn go(stream: &mut Box<dyn Stream>, export: &str) -> Result<Offer> {
    let structured = structured(stream).await?;
    let offer = choose(stream, NBD_OPT_GO, export).await?;
    Ok(Offer {
        structured,
        ..offer
    })
}

/// The same with `NBD_OPT_SET_META_CONTEXT` between; the id of
/// `base:allocation`, if the server has it.
pub(super) async fn go_with_allocation(
    stream: &mut Box<dyn Stream>,
    export: &str,
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
    agreed(stream, NBD_OPT_STRUCTURED_REPLY).await
}

/// An option without data, that a server may refuse.
async fn agreed(stream: &mut Box<dyn Stream>, code: u32) -> Result<bool> {
    option(stream, code, &[]).await?;
    match reply(stream, code).await? {
        (NBD_REP_ACK, _) => Ok(true),
        (kind, _) if kind & NBD_REP_FLAG_ERROR != 0 => Ok(false),
        (kind, _) => Err(unexpected(kind)),
    }
}

async fn set_meta_context(stream: &mut Box<dyn Stream>, export: &str) -> Result<Option<u32>> {
    let code = NBD_OPT_SET_META_CONTEXT;
    let mut data = prefixed(export)?;
    data.extend_from_slice(&1_u32.to_be_bytes());
    data.extend_from_slice(&prefixed(META_BASE_ALLOCATION)?);
    option(stream, code, &data).await?;
    let mut context = None;
    for _ in 0..MAXIMUM_INFOS {
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

async fn choose(stream: &mut Box<dyn Stream>, code: u32, export: &str) -> Result<Offer> {
    option(stream, code, &choice(export)?).await?;
    let mut infos = Infos::default();
    for _ in 0..MAXIMUM_INFOS {
        match reply(stream, code).await? {
            (NBD_REP_INFO, data) => infos.note(&data)?,
            (NBD_REP_ACK, _) => return infos.finish(export),
            (kind, text) if kind & NBD_REP_FLAG_ERROR != 0 => {
                let text = String::from_utf8_lossy(&text).trim().to_owned();
                return Err(Error::Refused {
                    export: export.to_owned(),
                    code: kind,
                    text,
                });
            }
            (kind, _) => return Err(unexpected(kind)),
        }
    }
    Err(Error::protocol("NBD_REP_INFO without end"))
}

fn choice(export: &str) -> Result<Vec<u8>> {
    let mut data = prefixed(export)?;
    for word in [3, NBD_INFO_NAME, NBD_INFO_DESCRIPTION, NBD_INFO_BLOCK_SIZE] {
        data.extend_from_slice(&word.to_be_bytes());
    }
    Ok(data)
}

/// A string after its length.
fn prefixed(text: &str) -> Result<Vec<u8>> {
    let length = u32::try_from(text.len())
        .ok()
        .filter(|_| text.len() <= MAX_STRING);
    let length = length
        .ok_or_else(|| Error::protocol(format!("an export name has at most {MAX_STRING} bytes")))?;
    let mut data = length.to_be_bytes().to_vec();
    data.extend_from_slice(text.as_bytes());
    Ok(data)
}

async fn option(stream: &mut Box<dyn Stream>, code: u32, data: &[u8]) -> Result<()> {
    let length = u32::try_from(data.len()).map_err(|_| Error::protocol("an option too long"))?;
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

async fn reply(stream: &mut Box<dyn Stream>, code: u32) -> Result<(u32, Vec<u8>)> {
    if stream.read_u64().await? != NBD_REP_MAGIC {
        return Err(Error::protocol("an option reply without its magic"));
    }
    if stream.read_u32().await? != code {
        return Err(Error::protocol("a reply to an option that was not sent"));
    }
    let kind = stream.read_u32().await?;
    let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
    if length > MAX_STRING.saturating_add(64) {
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

/// What the `NBD_REP_INFO` replies said.
#[derive(Debug, Default)]
struct Infos {
    export: Option<(u64, u16)>,
    name: Option<String>,
    description: Option<String>,
    block_size: Option<BlockSize>,
}

impl Infos {
    /// Notes one reply; kinds we do not know are left alone, as proto.md asks.
    fn note(&mut self, data: &[u8]) -> Result<()> {
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

    fn finish(self, export: &str) -> Result<Offer> {
        let (size, flags) = self
            .export
            .ok_or_else(|| Error::protocol("no NBD_INFO_EXPORT before the ACK"))?;
        // What proto.md says to assume of a server that does not say.
        let assumed = BlockSize {
            minimum: 512,
            ..BlockSize::default()
        };
        Ok(Offer {
            named: self.name.is_some(),
            info: ExportInfo {
                name: self.name.unwrap_or_else(|| export.to_owned()),
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
    let text = str::from_utf8(data)
        .ok()
        .filter(|text| !text.contains('\0'));
    text.map(str::to_owned)
        .ok_or_else(|| Error::protocol("a string that is not UTF-8"))
}

fn block_size(info: InfoBlockSize) -> Result<BlockSize> {
    let block_size = BlockSize {
        minimum: info.minimum.get(),
        preferred: info.preferred.get(),
        maximum: info.maximum.get(),
    };
    let sane = block_size.minimum.is_power_of_two()
        && block_size.minimum <= 65536
        && block_size.maximum >= block_size.minimum;
    sane.then_some(block_size)
        .ok_or_else(|| Error::protocol("block sizes that make no sense"))
}
