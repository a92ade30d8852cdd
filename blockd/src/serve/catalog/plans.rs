//! What planning an image may take: memory for its plan, and bytes to convert.

use std::{fmt, sync::Arc};

use blockd_nbd::budget::Peer;
use imagegen::{
    Error, Kind, Result,
    git::Cache,
    image::{Allowance, Image},
};

use super::{
    ledger::{Charge, Ledger, Taken},
    waiting::Waited,
};

/// What all images of a server may take.
#[derive(Debug)]
pub(super) struct Plans {
    pub(super) memory: Arc<Ledger>,
    pub(super) converted: Arc<Ledger>,
    /// Bytes of the files that are converted in one image.
    image_converted: u64,
}

/// What one image takes, from when it is planned until nobody uses it.
#[derive(Debug)]
pub(super) struct Charges {
    memory: Arc<Charge>,
    converted: Arc<Charge>,
}

impl Charges {
    /// The image is planned: from now on it gives way to nobody.
    pub(super) fn made(&self) {
        self.memory.made();
        self.converted.made();
    }
}

/// An image that is being planned.
pub(super) struct Planning<'a> {
    plans: &'a Plans,
    charges: &'a Charges,
    /// Has the listings, which count while the cache has them no more.
    cache: &'a Cache,
    /// Drops an image that nobody uses; `false` if there is none.
    forget: &'a (dyn Fn() -> bool + Sync),
    /// By whom it is planned for.
    waited: &'a Waited,
}

impl Plans {
    pub(super) fn new(memory: u64, converted: u64, image_converted: u64) -> Self {
        Self {
            memory: Ledger::new(memory),
            converted: Ledger::new(converted),
            image_converted,
        }
    }

    /// Charges of nothing yet, for what `by` asks for.
    pub(super) fn open(&self, by: Peer) -> Charges {
        Charges {
            memory: self.memory.open(by),
            converted: self.converted.open(by),
        }
    }

    /// What an image may take that is planned now, and is charged to `charges`.
    pub(super) fn planning<'a>(
        &'a self,
        charges: &'a Charges,
        cache: &'a Cache,
        (forget, waited): (&'a (dyn Fn() -> bool + Sync), &'a Waited),
    ) -> Planning<'a> {
        Planning {
            plans: self,
            charges,
            cache,
            forget,
            waited,
        }
    }
}

impl Allowance for Planning<'_> {
    fn memory(&self, bytes: u64) -> Result<()> {
        self.waited.go_on()?;
        let listings = || self.cache.pinned_listings();
        let set = self.charges.memory.set(bytes, listings, self.forget);
        set.map_err(|Taken { limit, in_use, .. }| {
            let in_use = in_use.saturating_add(listings());
            refused(format!(
                "the plan of this image takes {bytes} bytes of memory or more, and plans in use \
                 or being made take {in_use} of {limit}: close others, try again, or start the \
                 server with a greater --plans"
            ))
        })
    }

    fn converted(&self, bytes: u64) -> Result<()> {
        let limit = self.plans.image_converted;
        if bytes > limit {
            return Err(refused(format!(
                "it is the largest of the files that .gitattributes has converted when they are \
                 checked out, {bytes} bytes together, and an image may have {limit}: start the \
                 server with a greater --converted"
            )));
        }
        let set = self.charges.converted.set(bytes, || 0, self.forget);
        set.map_err(|Taken { limit, in_use, .. }| {
            refused(format!(
                "the files that .gitattributes has converted in this image have {bytes} bytes, \
                 and those of images in use {in_use} of {limit}: close others, or start the server \
                 with a greater --all-converted"
            ))
        })
    }
}

fn refused(text: String) -> Error {
    Error::new(Kind::Unsupported, text)
}

impl fmt::Debug for Planning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Planning").field(self.charges).finish()
    }
}

/// An image, and what it takes.
pub(super) struct Planned {
    pub(super) image: Image,
    pub(super) charges: Arc<Charges>,
}
