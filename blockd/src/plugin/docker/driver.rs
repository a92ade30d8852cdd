//! All volumes: requests for one wait for each other, those for others do not.

use std::{
    collections::HashMap,
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, Weak},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::spawn_blocking,
    time::timeout,
};

use super::{name::VolumeName, record, volume::Volume};
use crate::attach::AttachOptions;

/// dockerd waits for two minutes, and then says nothing of the reason.
const DEADLINE: Duration = Duration::from_secs(90);

/// All volumes.
#[derive(Debug)]
pub(super) struct Driver {
    volumes: Arc<PathBuf>,
    defaults: Arc<AttachOptions>,
    locks: std::sync::Mutex<HashMap<VolumeName, Weak<Mutex<()>>>>,
}

impl Driver {
    /// The volumes in a directory, which is made.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub(super) fn new(volumes: &Path, defaults: &AttachOptions) -> Result<Self> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(volumes);
        made.with_context(|| {
            let shown = volumes.display();
            format!("cannot make {shown}: choose another directory with --volumes")
        })?;
        Ok(Self {
            volumes: Arc::new(volumes.to_owned()),
            defaults: Arc::new(defaults.clone()),
            locks: std::sync::Mutex::default(),
        })
    }

    /// Does something to a volume, while nobody else does. What takes too long goes on
    /// after it was given up here, and others wait for it.
    ///
    /// # Errors
    ///
    /// When the name is none, `work` fails, or it takes too long.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Volume) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let name: VolumeName = name.parse()?;
        let shown = name.clone();
        let (volumes, defaults) = (Arc::clone(&self.volumes), Arc::clone(&self.defaults));
        let done = async {
            let held = self.lock(&name).await;
            spawn_blocking(move || {
                let done = work(&Volume::new(&volumes, name, defaults));
                drop(held);
                done
            })
            .await?
        };
        timeout(DEADLINE, done).await.unwrap_or_else(|_| {
            Err(anyhow!(
                "the volume {shown} is not done with within {DEADLINE:?}: what goes on is in the \
                 log of `blockd plugin docker`; try again"
            ))
        })
    }

    /// The names of all volumes.
    ///
    /// # Errors
    ///
    /// When they cannot be listed.
    pub(super) async fn names(&self) -> Result<Vec<VolumeName>> {
        let volumes = Arc::clone(&self.volumes);
        spawn_blocking(move || record::names(&volumes)).await?
    }

    /// Takes down what a plugin that was killed has left of volumes that nobody has
    /// mounted.
    pub(super) async fn settle(self: Arc<Self>) {
        let names = match self.names().await {
            Ok(names) => names,
            Err(error) => return tracing::warn!("{error:#}"),
        };
        for name in names {
            if let Err(error) = self.with(name.as_str(), Volume::settle).await {
                tracing::warn!("the volume {name}: {error:#}");
            }
        }
    }

    async fn lock(&self, name: &VolumeName) -> OwnedMutexGuard<()> {
        let lock = {
            // Nobody panics while it is held.
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            let lock = locks.get(name).and_then(Weak::upgrade).unwrap_or_default();
            locks.insert(name.clone(), Arc::downgrade(&lock));
            lock
        };
        lock.lock_owned().await
    }
}
