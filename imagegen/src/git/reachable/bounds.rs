//! What a closed subset may take.

use std::fmt;

use crate::error::Result;

/// What a closed subset may take.
pub struct Bounds<'a> {
    /// Asked, now and then, whether it may hold so many bytes of memory in all while
    /// it is made; also ends what takes too long, or what nobody waits for.
    pub memory: &'a dyn Fn(u64) -> Result<()>,
    /// Bytes of its pack.
    pub pack: u64,
}

impl fmt::Debug for Bounds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounds").field("pack", &self.pack).finish()
    }
}
