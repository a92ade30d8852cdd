//! The memory of plans, in use or kept.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use imagegen::{Error, Kind, image::Image};

/// The bytes that all plans together may take.
#[derive(Debug)]
pub(super) struct Plans {
    limit: u64,
    used: AtomicU64,
}

/// What one plan takes, while anything uses it.
#[derive(Debug)]
pub(super) struct Charge {
    plans: Arc<Plans>,
    bytes: u64,
}

impl Plans {
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
        })
    }

    /// The bytes that are in use, and may be.
    pub(super) fn in_use(&self) -> (u64, u64) {
        (self.used.load(Ordering::Relaxed), self.limit)
    }

    /// Charges a plan of `bytes`. While it does not fit, `forget` drops one that
    /// nobody uses.
    ///
    /// # Errors
    ///
    /// `forget` finds none: all that there are are in use.
    pub(super) fn charge(
        self: &Arc<Self>,
        bytes: usize,
        mut forget: impl FnMut() -> bool,
    ) -> Result<Charge, Error> {
        let bytes = u64::try_from(bytes).expect("a usize has 64 bits at most");
        loop {
            let sum = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
            let charged = self
                .used
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
            match charged {
                Ok(_) => {
                    return Ok(Charge {
                        plans: Arc::clone(self),
                        bytes,
                    });
                }
                Err(_) if forget() => {}
                Err(used) => return Err(self.refused(bytes, used)),
            }
        }
    }

    fn refused(&self, bytes: u64, used: u64) -> Error {
        let limit = self.limit;
        let text = format!(
            "the plan of this image takes {bytes} bytes of memory, and plans in use take {used} of \
             {limit}: close others, or start the server with a greater --plans"
        );
        Error::new(Kind::Unsupported, text)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.plans.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// An image, and what its plan takes.
pub(super) struct Planned {
    pub(super) image: Image,
    pub(super) charge: Arc<Charge>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_in_use_refuse_others_and_unused_ones_make_room() {
        let plans = Plans::new(10);
        let mut kept = Some(plans.charge(6, || false).unwrap());
        let refused = plans.charge(5, || false).unwrap_err().to_string();
        assert!(refused.contains("--plans"), "{refused}");
        let second = plans.charge(5, || kept.take().is_some()).unwrap();
        assert!(plans.charge(6, || false).is_err());
        drop(second);
        assert!(plans.charge(10, || false).is_ok());
    }
}
