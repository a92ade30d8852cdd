//! What a connection sees of a disk and of errors: no paths of the server.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use imagegen::{Error, Kind};
use tracing::warn;

use super::{
    disk::Disk, pinned::Pinned, plans::ImageInUse, revision_pins::PinGuard, shown_paths::ShownPaths,
};
use blockd_nbd::{Export, ExportInfo, Extent, OpenError, ReadError, budget::Spender};

/// The error for a client that has asked for `name`. What it does not see of it
/// is in the log.
pub(super) fn shown_error(paths: &ShownPaths, name: &str, error: OpenError) -> OpenError {
    let hide = |text: String| {
        let shown = paths.hide(&text);
        if shown != text {
            warn!(export = name, error = text, "not opened");
        }
        shown
    };
    match error {
        OpenError::Unknown(text) => OpenError::Unknown(hide(text)),
        OpenError::Invalid(text) => OpenError::Invalid(hide(text)),
        OpenError::Policy(text) => OpenError::Policy(hide(text)),
        OpenError::Failed(text) => OpenError::Failed(hide(text)),
    }
}

/// As the protocol has it.
pub(super) fn error(error: &Error) -> OpenError {
    let text = error.to_string();
    match error.kind() {
        Kind::NotFound => OpenError::Unknown(text),
        Kind::Invalid => OpenError::Invalid(text),
        Kind::Refused => OpenError::Policy(text),
        Kind::Io | Kind::Corrupt | Kind::Unsupported => OpenError::Failed(text),
    }
}

/// A disk, and what holds its name still.
pub(super) struct OpenDisk {
    pub(super) disk: Arc<Disk>,
    pub(super) pin: Option<PinGuard<Pinned>>,
    /// It counts in its peer's share.
    pub(super) in_use: ImageInUse,
}

/// A disk as one connection has opened it: while it lives, the revision of its
/// name stays pinned.
pub(super) struct Opened {
    disk: Arc<Disk>,
    /// Who pays for what is read.
    by: Spender,
    /// Hides paths of the server; `None` for the operator.
    shown: Option<Arc<ShownPaths>>,
    _pin: Option<PinGuard<Pinned>>,
    _in_use: ImageInUse,
}

impl Opened {
    pub(super) fn new(open: OpenDisk, by: Spender, shown: Option<Arc<ShownPaths>>) -> Self {
        let OpenDisk { disk, pin, in_use } = open;
        Self {
            disk,
            by,
            shown,
            _pin: pin,
            _in_use: in_use,
        }
    }

    fn hide(&self, ReadError(text): ReadError) -> ReadError {
        ReadError(match &self.shown {
            Some(shown) => shown.hide(&text),
            None => text,
        })
    }
}

impl Export for Opened {
    fn info(&self) -> &ExportInfo {
        self.disk.info()
    }

    fn try_read_cached(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>> {
        let read = self.disk.try_read_cached(offset, buffer)?;
        Some(read.map_err(|error| self.hide(error)))
    }

    fn read(
        self: Arc<Self>,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        async move {
            let read = Arc::clone(&self.disk).read(self.by, offset, length).await;
            read.map_err(|error| self.hide(error))
        }
        .boxed()
    }

    fn extents(&self, offset: u64, each: &mut dyn FnMut(Extent) -> bool) {
        self.disk.extents(offset, each);
    }

    fn prefetch(
        self: Arc<Self>,
        offset: u64,
        length: u64,
    ) -> BoxFuture<'static, Result<(), ReadError>> {
        async move {
            let read = Arc::clone(&self.disk)
                .prefetch(self.by, offset, length)
                .await;
            read.map_err(|error| self.hide(error))
        }
        .boxed()
    }
}
