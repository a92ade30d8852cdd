//! Who may open what.
//!
//! Without an access file whoever connects may open everything. With one, a client
//! may open what a rule for its network, user or certificate permits, and what the
//! token in the name permits ([`blockd_nbd::token`]): a JSON Web Token (RFC 7519)
//! that is signed with Ed25519 (RFC 8037).
//!
//! What may not be opened looks like what does not exist.

mod claims;
mod file;
mod key;
mod pattern;
mod permissions;
mod rules;

pub(crate) use self::permissions::{Denied, Permissions};
pub use self::{
    claims::{Claims, Shown},
    file::AccessFile,
    key::SigningKey,
    pattern::Pattern,
    rules::AccessRules,
};
