//! What strangers may spend. Whoever spends is a [`Spender`]: a connection, and
//! the peer behind it. A share is first the peer's own, then everybody's.
//!
//! Two ledgers serve everything: [`Places`] are held for long, and whoever has
//! most gives one back when there are none left; [`Turns`] are held for a moment,
//! and taken in turn. [`Rates`] are for what costs nothing but its number, such as
//! lines in a log.

mod places;
mod rates;
mod spender;
mod turns;

pub use self::{
    places::{Full, Place, Places},
    rates::{Rate, Rates},
    spender::{Peer, Spender},
    turns::{Turn, Turns},
};
