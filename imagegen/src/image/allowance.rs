//! What planning an image may take: asked before it is taken.

use std::fmt;

use crate::{Result, numbers::to_u64};

/// Bounds what one image takes, while it is planned and after.
pub trait Allowance: Sync {
    /// The plan is to hold `bytes` of memory in all from now on, the listings of
    /// its trees not among them.
    ///
    /// # Errors
    ///
    /// That it may not: planning ends with this error.
    fn memory(&self, bytes: u64) -> Result<()>;

    /// The files that checkout converts have `bytes` in all: before they are
    /// measured, by the lengths of their blobs; after, by the greater of both
    /// lengths of each.
    ///
    /// # Errors
    ///
    /// That they may not: planning ends with this error, and the path of the
    /// largest of the files.
    fn converted(&self, bytes: u64) -> Result<()>;
}

/// Allows everything.
#[derive(Clone, Copy, Debug)]
pub struct Unlimited;

impl Allowance for Unlimited {
    fn memory(&self, _: u64) -> Result<()> {
        Ok(())
    }

    fn converted(&self, _: u64) -> Result<()> {
        Ok(())
    }
}

/// The memory of a plan that grows, asked for a step ahead.
pub(super) struct Meter<'a> {
    allowance: &'a dyn Allowance,
    held: u64,
    allowed: u64,
}

impl<'a> Meter<'a> {
    /// What is asked for at once: small enough not to matter, so large that the
    /// directories of a commit seldom ask.
    const STEP: u64 = 64 << 10;

    pub(super) fn new(allowance: &'a dyn Allowance) -> Self {
        Self {
            allowance,
            held: 0,
            allowed: 0,
        }
    }

    /// The plan is to hold `bytes` more.
    ///
    /// # Errors
    ///
    /// As [`Allowance::memory`].
    pub(super) fn grow(&mut self, bytes: usize) -> Result<()> {
        self.held = self.held.saturating_add(to_u64(bytes));
        if self.held > self.allowed {
            let allowed = self.held.saturating_add(Self::STEP);
            self.allowance.memory(allowed)?;
            self.allowed = allowed;
        }
        Ok(())
    }
}

impl fmt::Debug for Meter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.held, self.allowed)
    }
}
