//! Export names to images: opened once, shared by all who ask.

mod disk;
mod moving;
mod name;
mod once;
mod repos;

use std::{fmt, fs, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use imagegen::git::ObjectId;
use imagegen::{
    Error, Kind,
    git::{Cache, Repository, SnapshotStore},
    image::{Image, LAYOUT_VERSION, Origin},
};
use tracing::{info, warn};

use self::{
    disk::{Disk, Pool},
    moving::{Held, Moving},
    name::ExportName,
    once::Once,
    repos::Repos,
};
use blockd_nbd::{Export, ExportInfo, Exports, Extent, OpenError, ReadError};

pub use self::disk::Facts;

/// Images and repositories kept open though nobody uses them.
const KEPT_OPEN: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// Where repositories are, where our own state goes, and how much memory may
/// be used for what can be made again.
#[derive(Clone, Debug)]
pub struct CatalogOptions {
    /// A repository, or a directory of repositories.
    pub repos: PathBuf,
    /// Our own directory: snapshots and spooled blobs.
    pub state: PathBuf,
    /// Bytes of memory for blobs and listings.
    pub cache: usize,
}

/// All exports of a server.
pub struct Catalog(Arc<Shared>);

struct Shared {
    repos: Repos,
    snapshots: SnapshotStore,
    cache: Arc<Cache>,
    /// For reads, so that they need not wait for what is being opened.
    pool: Pool,
    opening: Pool,
    moving: Moving<ObjectId>,
    repositories: Once<PathBuf, Repository>,
    disks: Once<String, Disk>,
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
    /// A sentence that names the directory.
    pub fn new(options: &CatalogOptions) -> anyhow::Result<Self> {
        use anyhow::Context as _;
        let CatalogOptions {
            repos,
            state,
            cache,
        } = options;
        let served = || format!("cannot serve {}", repos.display());
        let spool = state.join("spool");
        fs::create_dir_all(&spool).with_context(|| {
            format!(
                "cannot use {}: name another directory with --state",
                state.display()
            )
        })?;
        Ok(Self(Arc::new(Shared {
            repos: Repos::new(repos).with_context(served)?,
            snapshots: SnapshotStore::open(state)?,
            cache: Cache::new(*cache, &spool),
            pool: Pool::default(),
            opening: Pool::default(),
            moving: Moving::default(),
            repositories: Once::keeping(KEPT_OPEN),
            disks: Once::keeping(KEPT_OPEN),
        })))
    }

    /// Opens an export and waits for it.
    ///
    /// # Errors
    ///
    /// As the protocol tells them to a client.
    pub fn open_now(&self, name: &str) -> Result<Arc<dyn Export>, OpenError> {
        self.0.open(name)
    }

    /// Plans an image and says what it is.
    ///
    /// # Errors
    ///
    /// As the protocol tells them to a client.
    pub fn facts(&self, name: &str) -> Result<Facts, OpenError> {
        let mut name = ExportName::parse(name).map_err(OpenError::Invalid)?;
        let (disk, _held) = self.0.open_disk(&mut name)?;
        Ok(disk.facts())
    }

    /// Forgets snapshots that nobody has opened for `age`, except those that
    /// are open.
    pub async fn expire(&self, age: Duration) {
        let shared = Arc::clone(&self.0);
        let expire = move || shared.snapshots.expire(age, &|_| false);
        match self.0.opening.run(expire).await {
            Ok(Ok(0)) => {}
            Ok(Ok(count)) => info!(count, "snapshots nobody has used are gone"),
            Ok(Err(error)) => warn!(%error, "cannot tidy the snapshots"),
            Err(error) => warn!(%error, "cannot tidy the snapshots"),
        }
    }

    /// Bytes of blobs that were inflated since the start.
    pub fn inflated(&self) -> u64 {
        self.0.cache.inflated()
    }

    /// The names of all repositories.
    pub fn repositories(&self) -> Vec<String> {
        self.0.repos.list()
    }
}

impl Exports for Catalog {
    fn list(&self) -> BoxFuture<'_, Vec<(String, String)>> {
        let shared = Arc::clone(&self.0);
        async move {
            let list = move || {
                let describe = |name: String| (name, "HEAD; any revision as NAME@REV".to_owned());
                shared.repos.list().into_iter().map(describe).collect()
            };
            self.0.opening.run(list).await.unwrap_or_default()
        }
        .boxed()
    }

    fn open<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn Export>, OpenError>> {
        let shared = Arc::clone(&self.0);
        let name = name.to_owned();
        async move {
            let opened = self.0.opening.run(move || shared.open(&name)).await;
            opened.map_err(|ReadError(told)| OpenError::Failed(told))?
        }
        .boxed()
    }
}

impl Shared {
    fn open(&self, name: &str) -> Result<Arc<dyn Export>, OpenError> {
        let mut name = ExportName::parse(name).map_err(OpenError::Invalid)?;
        let (disk, held) = self.open_disk(&mut name)?;
        Ok(Arc::new(Opened { disk, _held: held }))
    }

    /// Opens the disk of a name, whose repository gets the name it is known by.
    fn open_disk(
        &self,
        name: &mut ExportName,
    ) -> Result<(Arc<Disk>, Option<Held<ObjectId>>), OpenError> {
        if let Some(layout) = name.layout.filter(|&layout| layout != LAYOUT_VERSION) {
            let told =
                format!("layout {layout} is not what this server makes: that is {LAYOUT_VERSION}");
            return Err(OpenError::Unknown(told));
        }
        let (repo, path) = self.repos.find(&name.repo).map_err(OpenError::Unknown)?;
        name.repo = repo;
        let name = &*name;
        let of_repo =
            |error: Error| open_error(&error.within(format!("repository {:?}", name.repo)));
        let repository = self
            .repositories
            .get(path.clone(), || Repository::open(&path))
            .map_err(of_repo)?;
        let (commit, held) = self.commit(name, &repository).map_err(of_repo)?;
        let origin = self.origin(name, &repository, commit).map_err(of_repo)?;
        let disk = self.disk(name, origin, commit).map_err(of_repo)?;
        Ok((disk, held))
    }

    /// The commit a name stands for; a moving one is held.
    fn commit(
        &self,
        name: &ExportName,
        repository: &Repository,
    ) -> imagegen::Result<(ObjectId, Option<Held<ObjectId>>)> {
        if name.layout.is_none() {
            let moving = format!("{}@{}", name.repo, name.rev);
            let (commit, held) = self.moving.hold(moving, || repository.resolve(&name.rev))?;
            return Ok((commit, Some(held)));
        }
        let full = ObjectId::from_hex(name.rev.as_bytes()).map_err(|_| {
            Error::new(
                Kind::Invalid,
                format!(
                    "{:?} is no full commit id, as a canonical name has",
                    name.rev
                ),
            )
        })?;
        Ok((full, None))
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
                    let told =
                        format!("snapshot {id} is not kept here; attach a branch or commit anew");
                    Error::new(Kind::NotFound, told)
                })?,
        };
        Ok(Origin::Snapshot(snapshot))
    }

    fn disk(
        &self,
        name: &ExportName,
        origin: Origin,
        commit: ObjectId,
    ) -> imagegen::Result<Arc<Disk>> {
        let snapshot = origin.snapshot().map(|snapshot| snapshot.id());
        let canonical = name.canonical(&commit.to_string(), snapshot).to_string();
        self.disks.get(canonical.clone(), || {
            let image = Image::open(origin, commit, &name.options)?;
            info!(export = %canonical, bytes = image.size(), plan = image.heap_bytes(), "opened");
            Ok(Disk::new(canonical, image, self.pool.clone()))
        })
    }
}

fn open_error(error: &Error) -> OpenError {
    let told = error.to_string();
    match error.kind() {
        Kind::NotFound => OpenError::Unknown(told),
        Kind::Invalid => OpenError::Invalid(told),
        Kind::Io | Kind::Corrupt | Kind::Unsupported => OpenError::Failed(told),
    }
}

/// A disk as one connection sees it: while it lives, its moving name stands
/// still.
struct Opened {
    disk: Arc<Disk>,
    _held: Option<Held<ObjectId>>,
}

impl Export for Opened {
    fn info(&self) -> &ExportInfo {
        self.disk.info()
    }

    fn read_ready(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>> {
        self.disk.read_ready(offset, buffer)
    }

    fn read(
        self: Arc<Self>,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        Arc::clone(&self.disk).read(offset, length)
    }

    fn extents(&self, offset: u64, each: &mut dyn FnMut(Extent) -> bool) {
        self.disk.extents(offset, each);
    }

    fn prefetch(
        self: Arc<Self>,
        offset: u64,
        length: u64,
    ) -> BoxFuture<'static, Result<(), ReadError>> {
        Arc::clone(&self.disk).prefetch(offset, length)
    }
}
