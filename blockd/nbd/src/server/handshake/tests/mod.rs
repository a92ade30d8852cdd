//! The handshake, as a client sees it.

mod bounds;
mod meta;
mod options;
mod start_tls;

use std::sync::Arc;

use crate::{
    server::Limits,
    testing::{Client, Region, Scripted, ScriptedExports, info},
    wire,
};

const INVALID: u32 = wire::NBD_REP_ERR_INVALID;

fn disk() -> Arc<Scripted> {
    Scripted::new(&[Region::Data, Region::Hole])
}
