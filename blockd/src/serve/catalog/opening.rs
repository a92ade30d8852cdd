//! Opening an export: the repository, the revision, the plan, each with a turn of
//! its own.

use std::{cell::Cell, num::NonZeroUsize, path::PathBuf, sync::Arc};

use imagegen::{
    Error, Kind,
    git::{Cache, ObjectId, Repository, Resolved, SnapshotStore},
    image::{FileTime, History, Image, LAYOUT_VERSION, Options, Origin},
};
use tracing::{info, warn};

use super::{
    access_control::{self, AccessControl},
    disk::{Disk, Pool, Pools},
    hidden,
    name::ExportName,
    open_cache::OpenCache,
    opened::{self, OpenDisk, Opened},
    options::ReachableLimits,
    pinned::{Pinned, latest_time},
    plans::{Planned, Plans},
    priority,
    repos::Repos,
    revision::{self, RevisionLimits, RevisionRefusals},
    revision_pins::{PinGuard, RevisionPins},
    shown_paths::ShownPaths,
    waiting::{Waited, Waiting},
};
use crate::access::Permissions;
use blockd_nbd::{Export, Identity, OpenError, ReadError, budget::Peer, token::Token};

/// Images, and repositories, that stay open though nobody uses them.
pub(super) const CACHED: NonZeroUsize = NonZeroUsize::new(64).expect("it is not zero");

/// What all opens share.
pub(super) struct Shared {
    pub(super) repos: Repos,
    pub(super) access: AccessControl,
    pub(super) shown: Arc<ShownPaths>,
    pub(super) snapshots: SnapshotStore,
    pub(super) cache: Arc<Cache>,
    pub(super) pools: Pools,
    pub(super) opening: Pool,
    /// Of the revisions that are looked up, so that opens need not wait for those.
    pub(super) resolving: Pool,
    pub(super) revisions: RevisionLimits,
    pub(super) reachable: ReachableLimits,
    pub(super) revisions_refused: RevisionRefusals,
    pub(super) pins: RevisionPins<Pinned>,
    pub(super) repositories: OpenCache<PathBuf, Repository>,
    /// By canonical name without owner, group and time, which cost no second
    /// plan.
    pub(super) images: OpenCache<String, Planned>,
    pub(super) plans: Plans,
    pub(super) disks: OpenCache<String, Disk>,
}

/// A name, and the repository that it names.
struct Found {
    name: ExportName,
    repository: Arc<Repository>,
}

/// What a name stands for, and what holds it still.
type Resolution = (Pinned, Option<PinGuard<Pinned>>);

impl Found {
    fn error(&self, error: Error) -> OpenError {
        opened::error(&error.within(format!("repository {:?}", self.name.repo)))
    }
}

impl Shared {
    /// Opens the disk of a name for this process itself. Blocks.
    pub(super) fn open_own(&self, name: &str) -> Result<OpenDisk, OpenError> {
        let waiting = Waiting::new(Peer::Own);
        let found = self.find(name, &Permissions::All)?;
        let resolved = self.resolve(&found, &waiting.waited())?;
        self.disk(found, resolved, &waiting.waited())
    }

    /// Opens an export for a connection, which sees no paths of the server, and
    /// nothing that it may not open. When that ends, so does the work.
    pub(super) async fn open(
        self: Arc<Self>,
        name: &str,
        token: Option<Token>,
        identity: &Identity,
    ) -> Result<Arc<dyn Export>, OpenError> {
        let (identity, by) = (identity.clone(), identity.spender);
        let waiting = Waiting::new(by.peer);
        let broken = |ReadError(reason)| OpenError::Failed(reason);
        let (shared, named) = (Arc::clone(&self), name.to_owned());
        let find = move || {
            let permissions = shared.access.permissions(&identity, token.as_ref())?;
            shared.find(&named, &permissions)
        };
        let found = self.opening.run(by, find).await.map_err(broken)??;
        // Of a commit id there is nothing to look for.
        let pool = match found.name.layout {
            None => &self.resolving,
            Some(_) => &self.opening,
        };
        let (shared, waited) = (Arc::clone(&self), waiting.waited());
        let resolve = move || {
            shared
                .resolve(&found, &waited)
                .map(|resolved| (found, resolved))
        };
        let (found, resolved) = pool.run(by, resolve).await.map_err(broken)??;
        let (shared, waited) = (Arc::clone(&self), waiting.waited());
        let plan = move || shared.disk(found, resolved, &waited);
        let open = self.opening.run(by, plan).await.map_err(broken)??;
        let shown = Some(Arc::clone(&self.shown));
        Ok(Arc::new(Opened::new(open, by, shown)))
    }

    /// The repository of a name. An empty one is replaced by the name of the only
    /// one.
    fn find(&self, name: &str, permissions: &Permissions) -> Result<Found, OpenError> {
        let mut name = ExportName::parse(name).map_err(OpenError::Invalid)?;
        if let Some(layout) = name.layout.filter(|&layout| layout != LAYOUT_VERSION) {
            return Err(OpenError::Unknown(format!(
                "this server makes images of layout {LAYOUT_VERSION}, and none of layout {layout}"
            )));
        }
        let found = self.repos.find(&name.repo, permissions);
        let (repo, path) = found.map_err(OpenError::Unknown)?;
        name.repo = repo;
        access_control::restrict(&mut name, permissions)?;
        let within = format!("repository {:?}", name.repo);
        let of_repo = |error: Error| opened::error(&error.within(&within));
        let repository = self
            .repositories
            .get(path.clone(), || {
                Repository::open_within(&path, self.repos.wall())
            })
            .map_err(of_repo)?;
        if !self.repos.show_hidden() {
            hidden::check(&name, &repository).map_err(of_repo)?;
        }
        Ok(Found { name, repository })
    }

    fn resolve(&self, found: &Found, waited: &Waited) -> Result<Resolution, OpenError> {
        let Found { name, repository } = found;
        let resolved = self.pinned(name, repository, waited);
        resolved.map_err(|error| found.error(error))
    }

    /// The disk of a name that was resolved.
    fn disk(
        &self,
        mut found: Found,
        (pinned, pin): Resolution,
        waited: &Waited,
    ) -> Result<OpenDisk, OpenError> {
        let Pinned {
            commit,
            head,
            latest,
        } = pinned;
        if found.name.options.head.is_none() {
            found.name.options.head = head;
        }
        let Found { name, repository } = &found;
        let origin = self.origin(name, repository, commit, waited);
        let disk = origin.and_then(|origin| self.planned(name, origin, (commit, latest), waited));
        let open = disk.and_then(|disk| {
            let in_use = disk.charges.open(waited.peer)?;
            Ok(OpenDisk { disk, pin, in_use })
        });
        open.map_err(|error| found.error(error))
    }

    /// What a name stands for; a revision, which may move, is pinned to it.
    fn pinned(
        &self,
        name: &ExportName,
        repository: &Repository,
        waited: &Waited,
    ) -> imagegen::Result<Resolution> {
        if name.layout.is_none() {
            let revision = format!("{}@{}", name.repo, name.rev);
            let is_new = Cell::new(false);
            let resolve = || {
                is_new.set(true);
                revision::check(&name.rev, self.revisions, &self.revisions_refused)?;
                priority::plan();
                let too_late = || self.revisions_refused.too_late();
                let go_on = waited.within(self.revisions.time, &too_late);
                let Resolved { commit, head } = repository.resolve_while(&name.rev, &go_on)?;
                let latest = Some(latest_time());
                imagegen::Result::Ok(Pinned {
                    commit,
                    head,
                    latest,
                })
            };
            let (pinned, pin) = self.pins.pin(revision.clone(), resolve)?;
            if is_new.get() || repository.has_commit(pinned.commit, &self.cache)? {
                return Ok((pinned, Some(pin)));
            }
            // Purged meanwhile.
            self.pins.forget(&revision);
            let (pinned, pin) = self.pins.pin(revision, resolve)?;
            return Ok((pinned, Some(pin)));
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
        if !repository.has_commit(full, &self.cache)? {
            let reason = format!(
                "it has no commit {full}, or has it no longer: attach a branch or a commit that \
                 it has"
            );
            return Err(Error::new(Kind::NotFound, reason));
        }
        let canonical = Pinned {
            commit: full,
            head: None,
            latest: None,
        };
        Ok((canonical, None))
    }

    fn origin(
        &self,
        name: &ExportName,
        repository: &Repository,
        commit: ObjectId,
        waited: &Waited,
    ) -> imagegen::Result<Origin> {
        if !name.options.has_history() {
            return repository.objects(&self.cache).map(Origin::Objects);
        }
        let (snapshots, cache) = (&self.snapshots, &self.cache);
        let is_closed = name.options.history == History::Reachable;
        let snapshot = match name.snapshot {
            None if is_closed => self.reachable(repository, commit, waited)?,
            None => snapshots.take(repository, commit, cache)?,
            Some(id) => {
                let found = if is_closed {
                    snapshots.find_reachable(repository, (id, commit), cache)?
                } else {
                    snapshots.find(repository, id, cache)?
                };
                found.ok_or_else(|| {
                    let reason = format!(
                        "this server has no snapshot {id}: attach the branch or the commit anew"
                    );
                    Error::new(Kind::NotFound, reason)
                })?
            }
        };
        Ok(Origin::Snapshot(snapshot))
    }

    fn planned(
        &self,
        name: &ExportName,
        origin: Origin,
        (commit, latest): (ObjectId, Option<FileTime>),
        waited: &Waited,
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
            priority::plan();
            let snapshot = origin.snapshot();
            let warning = snapshot.and_then(|open| Some(open.warning()?.to_owned()));
            let forget = || self.disks.forget_unused() || self.images.forget_unused();
            let charges = Arc::new(self.plans.open(waited.peer));
            let planning = self
                .plans
                .planning(&charges, &self.cache, (&forget, waited));
            let image = Image::open_within(origin, commit, &unstamped, &planning)?;
            for notice in warning.iter().chain(image.notices()) {
                warn!(export = %key, "{notice}");
            }
            charges.made();
            imagegen::Result::Ok(Planned { image, charges })
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
                Arc::clone(&planned.charges),
                self.pools.clone(),
            ))
        })
    }
}
