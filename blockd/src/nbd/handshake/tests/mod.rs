//! What a client sees of the handshake.

mod bounds;
mod meta;
mod options;
mod start_tls;

use std::sync::Arc;

use crate::nbd::Limits;
use crate::nbd::testing::{Client, Region, Scripted, ScriptedExports, info};
use crate::nbd::wire;

const INVALID: u32 = wire::NBD_REP_ERR_INVALID;

fn disk() -> Arc<Scripted> {
    Scripted::new(&[Region::Data, Region::Hole])
}
