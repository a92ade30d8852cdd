//! What planning an image may take: memory for its plan, and bytes to convert.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use blockd_nbd::budget::Peer;
use imagegen::{
    Error, Kind, Result,
    git::Cache,
    image::{Allowance, Image},
};

use super::{
    ledger::{Charge, InUse, Ledger},
    shares::Full,
    waiting::Waited,
};

/// What all images of a server may take.
#[derive(Debug)]
pub(super) struct Plans {
    pub(super) memory: Arc<Ledger>,
    pub(super) converted: Arc<Ledger>,
    /// Bytes of the files that are converted in one image.
    image_converted: u64,
    /// How often an image was refused for that.
    image_refused: AtomicU64,
}

/// How many bytes of something images may take.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// In all.
    pub all: u64,
    /// Those of one peer.
    pub peer: u64,
}

impl Bound {
    /// No bound.
    pub const NONE: Self = Self {
        all: u64::MAX,
        peer: u64::MAX,
    };
}

/// A peer has an image open, until this is dropped.
#[derive(Debug)]
pub(super) struct ImageInUse {
    _memory: InUse,
    _converted: InUse,
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

    /// `by` opens the image.
    ///
    /// # Errors
    ///
    /// It has its share of one of them.
    pub(super) fn open(&self, by: Peer) -> Result<ImageInUse> {
        let (memory, converted) = (self.memory.bytes(), self.converted.bytes());
        let open = self.memory.open(by);
        let memory = open.map_err(|full| no_memory(memory, full))?;
        let open = self.converted.open(by);
        Ok(ImageInUse {
            _memory: memory,
            _converted: open.map_err(|full| not_converted(converted, full))?,
        })
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
    pub(super) fn new(memory: Bound, converted: Bound, image_converted: u64) -> Self {
        let ledger = |bound: Bound| Ledger::new(bound.all, bound.peer);
        Self {
            memory: ledger(memory),
            converted: ledger(converted),
            image_converted,
            image_refused: AtomicU64::new(0),
        }
    }

    /// How many images may convert no more, and how often that was refused.
    pub(super) fn of_one_image(&self) -> (u64, u64) {
        (
            self.image_converted,
            self.image_refused.load(Ordering::Relaxed),
        )
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
        set.map_err(|full| {
            let full = match full {
                Full::All { in_use, limit } => Full::All {
                    in_use: in_use.saturating_add(listings()),
                    limit,
                },
                peer @ Full::Peer { .. } => peer,
            };
            no_memory(bytes, full)
        })
    }

    fn converted(&self, bytes: u64) -> Result<()> {
        let limit = self.plans.image_converted;
        if bytes > limit {
            self.plans.image_refused.fetch_add(1, Ordering::Relaxed);
            return Err(refused(format!(
                "it is the largest of the files that .gitattributes has converted when they are \
                 checked out, {bytes} bytes together, and an image may have {limit}: start the \
                 server with a greater --converted"
            )));
        }
        let set = self.charges.converted.set(bytes, || 0, self.forget);
        set.map_err(|full| not_converted(bytes, full))
    }
}

/// The plan of an image takes so many bytes, which are not to be had.
fn no_memory(bytes: u64, full: Full) -> Error {
    let takes = format!("the plan of this image takes {bytes} bytes of memory or more");
    refused(match full {
        Full::All { in_use, limit } => format!(
            "{takes}, and plans in use or being made take {in_use} of {limit}: close others, try \
             again, or start the server with a greater --plans"
        ),
        Full::Peer { held, limit } => format!(
            "{takes}, and the plans of images that this client has open, or that are being made \
             for it, take {held} of the {limit} of one client: close others, or start the server \
             with a greater --peer-plans"
        ),
    })
}

/// The same for what it converts.
fn not_converted(bytes: u64, full: Full) -> Error {
    let has =
        format!("the files that .gitattributes has converted in this image have {bytes} bytes");
    refused(match full {
        Full::All { in_use, limit } => format!(
            "{has}, and those of images in use {in_use} of {limit}: close others, or start the \
             server with a greater --all-converted"
        ),
        Full::Peer { held, limit } => format!(
            "{has}, and those of images that this client has open {held} of the {limit} of one \
             client: close others, or start the server with a greater --peer-converted"
        ),
    })
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
