//! Maps export names to images: each is opened once, and shared by all clients.

mod access_control;
mod disk;
mod figures;
mod forget;
mod hidden;
mod name;
mod open_cache;
mod opened;
mod options;
mod pinned;
mod plans;
mod repos;
mod revision;
mod revision_pins;
mod shown_paths;

use std::{fmt, fs, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use imagegen::{
    Error, Kind,
    git::{self, Cache, ObjectId, Repository, SnapshotStore},
    image::{FileTime, Image, LAYOUT_VERSION, Options, Origin},
};
use tracing::{info, warn};

use self::{
    access_control::AccessControl,
    disk::{Disk, Pool},
    name::ExportName,
    open_cache::OpenCache,
    opened::Opened,
    pinned::{Pinned, Revisions},
    plans::{Planned, Plans},
    repos::Repos,
    revision_pins::PinGuard,
    shown_paths::ShownPaths,
};
use crate::access::Permissions;
use blockd_nbd::{
    Export, Exports, Identity, OpenError, ReadError,
    budget::{Peer, Spender},
    token::Token,
};

pub use self::{
    disk::{ImageInfo, Load},
    figures::CatalogFigures,
    forget::{Forgotten, forget},
    options::CatalogOptions,
    repos::Access,
    revision::RevisionLimits,
};

/// Images, and repositories, that stay open though nobody uses them.
const CACHED: NonZeroUsize = NonZeroUsize::new(64).expect("it is not zero");

/// All exports of a server.
pub struct Catalog(Arc<Shared>);

struct Shared {
    repos: Repos,
    access: AccessControl,
    shown: Arc<ShownPaths>,
    snapshots: SnapshotStore,
    cache: Arc<Cache>,
    /// Of reads, so that they need not wait for images that are being opened.
    pool: Pool,
    opening: Pool,
    revisions: Revisions,
    repositories: OpenCache<PathBuf, Repository>,
    /// By canonical name without owner, group and time, which cost no second
    /// plan.
    images: OpenCache<String, Planned>,
    plans: Arc<Plans>,
    disks: OpenCache<String, Disk>,
}

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
            attribute_bytes,
            plan_bytes,
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
        let (cache, ignored) = Cache::with_measures(*cache, &spool, &state.join("converted-sizes"));
        cache.set_attribute_limit(*attribute_bytes);
        if let Some(error) = ignored {
            warn!(%error, "lengths of converted files are measured anew");
        }
        let revisions = Revisions::new(*revisions, &cache);
        let repos = Repos::new(repos, access).with_context(served)?;
        let canonical = fs::canonicalize(state)?;
        let states = [state, &canonical].map(|path| (&**path, "the state directory".into()));
        let shown = ShownPaths::new(repos.named().chain(states));
        Ok(Self(Arc::new(Shared {
            repos,
            access: AccessControl::open(access_file.as_deref())?,
            shown: Arc::new(shown),
            snapshots: SnapshotStore::open(state)?,
            cache,
            pool: Pool::default(),
            opening: Pool::default(),
            revisions,
            repositories: OpenCache::new(CACHED),
            images: OpenCache::new(CACHED),
            plans: Plans::new(*plan_bytes),
            disks: OpenCache::new(CACHED),
        })))
    }

    /// Opens an export. Blocks.
    ///
    /// # Errors
    ///
    /// As the protocol has them for a client.
    pub fn open_now(&self, name: &str) -> Result<Arc<dyn Export>, OpenError> {
        let own = Spender::new(Peer::Own);
        self.0.open(name, own, None, &Permissions::All)
    }

    /// Plans an image and describes it. Blocks.
    ///
    /// # Errors
    ///
    /// As the protocol has them for a client.
    pub fn image_info(&self, name: &str) -> Result<ImageInfo, OpenError> {
        let mut name = ExportName::parse(name).map_err(OpenError::Invalid)?;
        let (disk, _pin) = self.0.open_disk(&mut name, &Permissions::All)?;
        Ok(disk.image_info())
    }

    /// Reads the access file anew, if there is one, for what is opened from now on.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is wrong; what it said before stays in force.
    pub fn reload_access(&self) -> anyhow::Result<()> {
        self.0.access.reload()
    }

    /// Removes snapshots that nobody has opened for `age`, except those that are
    /// open.
    pub async fn expire(&self, age: Duration) {
        let (shared, own) = (Arc::clone(&self.0), Spender::new(Peer::Own));
        let expire = move || shared.snapshots.expire(age, &|_| false);
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
        CatalogFigures::of(&shared.plans, &shared.cache, &shared.pool, &shared.opening)
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
            let spender = by.spender;
            let (name, token) = split.map_err(|error| OpenError::Invalid(error.to_string()))?;
            let open = move || {
                let permissions = shared.access.permissions(&by, token.as_ref())?;
                let opened = shared.open(&name, spender, Some(&shared.shown), &permissions);
                opened.map_err(|error| opened::shown_error(&shared.shown, &name, error))
            };
            let opened = self.0.opening.run(spender, open).await;
            opened.map_err(|ReadError(reason)| OpenError::Failed(reason))?
        }
        .boxed()
    }
}

impl Shared {
    /// Opens an export for a connection, which hides paths of the server with
    /// `shown`.
    fn open(
        &self,
        name: &str,
        by: Spender,
        shown: Option<&Arc<ShownPaths>>,
        permissions: &Permissions,
    ) -> Result<Arc<dyn Export>, OpenError> {
        let mut name = ExportName::parse(name).map_err(OpenError::Invalid)?;
        let (disk, pin) = self.open_disk(&mut name, permissions)?;
        let shown = shown.cloned();
        Ok(Arc::new(Opened::new(disk, by, shown, pin)))
    }

    /// Opens the disk of a name. An empty repository is replaced by the name of
    /// the only one.
    fn open_disk(
        &self,
        name: &mut ExportName,
        permissions: &Permissions,
    ) -> Result<(Arc<Disk>, Option<PinGuard<Pinned>>), OpenError> {
        if let Some(layout) = name.layout.filter(|&layout| layout != LAYOUT_VERSION) {
            return Err(OpenError::Unknown(format!(
                "this server makes images of layout {LAYOUT_VERSION}, and none of layout {layout}"
            )));
        }
        let found = self.repos.find(&name.repo, permissions);
        let (repo, path) = found.map_err(OpenError::Unknown)?;
        name.repo = repo;
        access_control::restrict(name, permissions)?;
        let within = format!("repository {:?}", name.repo);
        let of_repo = |error: Error| opened::error(&error.within(&within));
        let repository = self
            .repositories
            .get(path.clone(), || {
                Repository::open_within(&path, self.repos.wall())
            })
            .map_err(of_repo)?;
        if !self.repos.show_hidden() {
            hidden::check(name, &repository).map_err(of_repo)?;
        }
        let (pinned, pin) = self.revisions.resolve(name, &repository).map_err(of_repo)?;
        let Pinned {
            commit,
            head,
            latest,
        } = pinned;
        if name.options.head.is_none() {
            name.options.head = head;
        }
        let origin = self.origin(name, &repository, commit).map_err(of_repo)?;
        let disk = self.disk(name, origin, commit, latest).map_err(of_repo)?;
        Ok((disk, pin))
    }

    fn origin(
        &self,
        name: &ExportName,
        repository: &Repository,
        commit: ObjectId,
    ) -> imagegen::Result<Origin> {
        if !name.options.has_history() {
            return repository.objects(&self.cache).map(Origin::Objects);
        }
        let snapshot = match name.snapshot {
            None => self.snapshots.take(repository, commit, &self.cache)?,
            Some(id) => self
                .snapshots
                .find(repository, id, &self.cache)?
                .ok_or_else(|| {
                    let reason = format!(
                        "this server has no snapshot {id}: attach the branch or the commit anew"
                    );
                    Error::new(Kind::NotFound, reason)
                })?,
        };
        Ok(Origin::Snapshot(snapshot))
    }

    fn disk(
        &self,
        name: &ExportName,
        origin: Origin,
        commit: ObjectId,
        latest: Option<FileTime>,
    ) -> imagegen::Result<Arc<Disk>> {
        let snapshot = origin.snapshot().map(|snapshot| snapshot.id());
        let mut canonical = name.canonical(&commit.to_string(), snapshot);
        let Options {
            uid, gid, mtime, ..
        } = canonical.options;
        let unstamped = Options {
            uid: 0,
            gid: 0,
            mtime: None,
            ..canonical.options.clone()
        };
        let key = ExportName {
            options: unstamped.clone(),
            ..canonical.clone()
        };
        let planned = self.images.get(key.to_string(), || {
            let snapshot = origin.snapshot();
            let warning = snapshot.and_then(|open| Some(open.warning()?.to_owned()));
            let image = Image::open(origin, commit, &unstamped)?;
            for notice in warning.iter().chain(image.notices()) {
                warn!(export = %key, "{notice}");
            }
            let forget = || self.disks.forget_unused() || self.images.forget_unused();
            let charge = Arc::new(self.plans.charge(image.heap_bytes(), forget)?);
            imagegen::Result::Ok(Planned { image, charge })
        })?;
        let image = &planned.image;
        let too_late = || latest.filter(|latest| image.mtime() > *latest);
        canonical.options.mtime = mtime.or_else(too_late);
        let mtime = canonical.options.mtime;
        let canonical = canonical.to_string();
        self.disks.get(canonical.clone(), || {
            let image = image.restamped(uid, gid, mtime);
            info!(export = %canonical, bytes = image.size(), plan = image.heap_bytes(), "opened");
            Ok(Disk::new(
                canonical,
                image,
                Arc::clone(&planned.charge),
                self.pool.clone(),
            ))
        })
    }
}
