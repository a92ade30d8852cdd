//! Maps export names to images: each is opened once, and shared by all clients.

mod access_control;
mod disk;
mod figures;
mod forget;
mod hidden;
mod ledger;
mod name;
mod open_cache;
mod opened;
mod opening;
mod options;
mod pinned;
mod plans;
mod priority;
mod reachable;
mod repos;
mod revision;
mod revision_pins;
mod shares;
mod shown_paths;
mod waiting;

use std::{fmt, fs, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use imagegen::git::{self, Cache, SnapshotStore};
use tracing::{info, warn};

use self::{
    access_control::AccessControl,
    disk::{Pool, Pools},
    open_cache::OpenCache,
    opened::Opened,
    opening::{CACHED, Shared},
    plans::Plans,
    repos::Repos,
    revision::RevisionRefusals,
    revision_pins::RevisionPins,
    shown_paths::ShownPaths,
};
use crate::access::Permissions;
use blockd_nbd::{
    Export, Exports, Identity, OpenError,
    budget::{Peer, Spender},
    token::Token,
};

pub use self::{
    disk::{ImageInfo, Load},
    figures::CatalogFigures,
    forget::{Forgotten, forget},
    ledger::Taken,
    options::{CatalogOptions, ReachableLimits},
    plans::Bound,
    repos::Access,
    revision::RevisionLimits,
};

/// All exports of a server.
pub struct Catalog(Arc<Shared>);

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Catalog").field(&self.0.repos).finish()
    }
}

impl Catalog {
    /// Opens the served directory and the state directory.
    ///
    /// # Errors
    ///
    /// One of them cannot be used; the error names it.
    pub fn new(options: &CatalogOptions) -> anyhow::Result<Self> {
        use anyhow::Context as _;
        let CatalogOptions {
            repos,
            access,
            access_file,
            state,
            cache,
            revisions,
            reachable,
            attribute_bytes,
            plans,
            converted_bytes,
            all_converted,
            spool_bytes,
            snapshot_bytes,
        } = options;
        let served = || format!("cannot serve {}", repos.display());
        let spool = state.join("spool");
        let made = git::state_directory(state).and_then(|()| git::state_directory(&spool));
        made.with_context(|| {
            format!(
                "cannot use {}: name another directory with --state",
                state.display()
            )
        })?;
        let (cache, ignored) =
            Cache::with_measures(*cache, &spool, *spool_bytes, &state.join("converted-sizes"));
        cache.set_attribute_limit(*attribute_bytes);
        if let Some(error) = ignored {
            warn!(%error, "lengths of converted files are measured anew");
        }
        let snapshots = SnapshotStore::open(state)?;
        snapshots.set_limit(*snapshot_bytes);
        let repos = Repos::new(repos, access).with_context(served)?;
        let canonical = fs::canonicalize(state)?;
        let states = [state, &canonical].map(|path| (&**path, "the state directory".into()));
        let shown = ShownPaths::new(repos.named().chain(states));
        Ok(Self(Arc::new(Shared {
            repos,
            access: AccessControl::open(access_file.as_deref())?,
            shown: Arc::new(shown),
            snapshots,
            cache,
            pools: Pools {
                reads: Pool::of_reads(),
                prefetches: Pool::of_prefetches(),
            },
            opening: Pool::of_opens(),
            resolving: Pool::of_opens(),
            revisions: *revisions,
            reachable: *reachable,
            revisions_refused: RevisionRefusals::default(),
            pins: RevisionPins::default(),
            repositories: OpenCache::new(CACHED),
            images: OpenCache::new(CACHED),
            plans: Plans::new(*plans, *all_converted, *converted_bytes),
            disks: OpenCache::new(CACHED),
        })))
    }

    /// Opens an export. Blocks.
    ///
    /// # Errors
    ///
    /// As the protocol has them for a client.
    pub fn open_now(&self, name: &str) -> Result<Arc<dyn Export>, OpenError> {
        let open = self.0.open_own(name)?;
        Ok(Arc::new(Opened::new(open, Spender::new(Peer::Own), None)))
    }

    /// Plans an image and describes it. Blocks.
    ///
    /// # Errors
    ///
    /// As the protocol has them for a client.
    pub fn image_info(&self, name: &str) -> Result<ImageInfo, OpenError> {
        let open = self.0.open_own(name)?;
        Ok(open.disk.image_info())
    }

    /// Reads the access file anew, if there is one, for what is opened from now on.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is wrong; what it said before stays in force.
    pub fn reload_access(&self) -> anyhow::Result<()> {
        self.0.access.reload()
    }

    /// Removes snapshots that nobody has opened for `age`, and of the others the
    /// oldest until they are within their limit, except those that are open.
    pub async fn expire(&self, age: Duration) {
        let (shared, own) = (Arc::clone(&self.0), Spender::new(Peer::Own));
        let expire = move || {
            let expired = shared.snapshots.expire(age, &|_| false)?;
            let bounded = shared.snapshots.bound(shared.snapshots.limit())?;
            imagegen::Result::Ok(expired + bounded)
        };
        match self.0.opening.run(own, expire).await {
            Ok(Ok(0)) => {}
            Ok(Ok(count)) => info!(count, "removed snapshots that nobody has opened"),
            Ok(Err(error)) => warn!(%error, "cannot remove snapshots"),
            Err(error) => warn!(%error, "cannot remove snapshots"),
        }
    }

    /// How the budgets stand.
    pub fn figures(&self) -> CatalogFigures {
        let shared = &*self.0;
        let Pools { reads, prefetches } = &shared.pools;
        let pools = [reads, prefetches, &shared.opening, &shared.resolving];
        CatalogFigures::of(
            &shared.plans,
            &shared.revisions_refused,
            &shared.cache,
            pools,
        )
    }

    /// How many snapshots are kept. Blocks.
    pub fn snapshots(&self) -> anyhow::Result<usize> {
        Ok(self.0.snapshots.kept()?)
    }

    /// The names of all repositories.
    pub fn repositories(&self) -> Vec<String> {
        self.0.repos.list(&Permissions::All)
    }
}

impl Exports for Catalog {
    fn list(&self, by: &Identity) -> BoxFuture<'_, Vec<(String, String)>> {
        let (shared, by) = (Arc::clone(&self.0), by.clone());
        async move {
            let spender = by.spender;
            let list = move || {
                let names = shared.access.list(&shared.repos, &by).into_iter();
                let describe = |name| (name, "HEAD; any revision as NAME@REV".to_owned());
                names.map(describe).collect()
            };
            match self.0.opening.run(spender, list).await {
                Ok(list) => list,
                // The protocol's listing has no error; an empty one is valid.
                Err(error) => {
                    warn!(%error, "cannot list the repositories");
                    Vec::new()
                }
            }
        }
        .boxed()
    }

    fn open<'a>(
        &'a self,
        name: &'a str,
        by: &Identity,
    ) -> BoxFuture<'a, Result<Arc<dyn Export>, OpenError>> {
        let (shared, by) = (Arc::clone(&self.0), by.clone());
        // No more is seen of the token but what it permits.
        let split = Token::split(name).map(|(name, token)| (name.into_owned(), token));
        async move {
            let (name, token) = split.map_err(|error| OpenError::Invalid(error.to_string()))?;
            let opened = Arc::clone(&shared).open(&name, token, &by).await;
            opened.map_err(|error| opened::shown_error(&shared.shown, &name, error))
        }
        .boxed()
    }
}
