//! What a client sees of the handshake.

mod bounds;
mod meta;
mod options;
mod start_tls;

use std::sync::Arc;

use crate::Limits;
use crate::testing::{Client, Region, Scripted, ScriptedExports, info};
use crate::wire;

const INVALID: u32 = wire::NBD_REP_ERR_INVALID;

fn disk() -> Arc<Scripted> {
    Scripted::new(&[Region::Data, Region::Hole])
}
