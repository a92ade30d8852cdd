//! What strangers may spend. Whoever spends is a [`Spender`]: a connection, and
//! the peer behind it. A share is first the peer's own, then everybody's.
//!
//! Two ledgers serve everything: [`Places`] are held for long, and whoever has
//! most gives one back when there are none left; [`Turns`] are held for a moment,
//! and taken in turn.

mod places;
mod spender;
mod turns;

pub use self::{
    places::{Full, Place, Places},
    spender::{Peer, Spender},
    turns::{Turn, Turns},
};
