//! What mount(8) gives its helper `/sbin/mount.blockd`, in the words of attach.
//!
//! ```text
//! mount -t blockd SPEC DIR -o uid=1000,_netdev
//!   ─► /sbin/mount.blockd SPEC DIR -o rw,uid=1000,_netdev
//!     ─► option_list ─► attach_arguments ─► blockd attach --uid=1000 SPEC DIR
//! ```

mod attach_arguments;
mod option_list;

pub use self::{
    attach_arguments::{Unknown, attach_arguments},
    option_list::{MalformedOptions, MountOption, parse},
};
