//! The changes of a work tree on their way to the next machine. What blockd has
//! in its state directory survives a reboot; packed into the store, it survives
//! the machine.

mod archive;

use std::{
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::fs;
use tracing::info;

use super::{options::Options, store::Store, volume::attach_directory};
use crate::mode::Mode;

/// The changes of a machine, and their place in the store.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    repo: Option<&'a str>,
    mode: Mode,
    /// The store, and the name of the archive there.
    stored: Option<(&'a Store, String)>,
    /// The state directory of blockd.
    attach: PathBuf,
    record: PathBuf,
    archive: PathBuf,
    /// An archive from the store. While it is there, not all of it may be unpacked:
    /// a machine that was stopped meanwhile begins again.
    fetched: PathBuf,
}

/// The base of the changes, written beside them.
#[derive(Debug, Serialize, Deserialize)]
struct Base {
    /// The export as it was configured.
    repo: String,
    /// Its canonical name.
    export: String,
}

impl<'a> Changes<'a> {
    pub(super) fn new(options: &'a Options, state: &Path) -> Self {
        let is_writable = options.mode == Mode::ReadWrite;
        let name = options.name.as_ref().filter(|_| is_writable);
        let stored = options.store.as_ref().zip(name);
        let attach = attach_directory(state);
        Self {
            repo: options.repo.as_deref(),
            mode: options.mode,
            stored: stored.map(|(store, name)| (store, format!("diffs/{name}.tar.gz"))),
            record: attach.join("made-over.json"),
            attach,
            archive: state.join("diff.tar.gz"),
            fetched: state.join("fetched.tar.gz"),
        }
    }

    /// Fetches the changes of an earlier machine, unless this one has changes of
    /// its own. Returns the canonical name of the export that they are based on.
    pub(super) async fn fetch(&self) -> Result<Option<String>> {
        fs::create_dir_all(&self.attach).await?;
        let has_own = fs::try_exists(&self.record).await?;
        let is_partial = fs::try_exists(&self.fetched).await?;
        if (!has_own || is_partial)
            && let Some((store, name)) = &self.stored
            && store.get(name, &self.fetched).await?
        {
            archive::unpack(&self.fetched, &self.attach).await?;
            fs::remove_file(&self.fetched).await?;
            info!("fetched {name} from the store");
        }
        let shown = self.record.display();
        let record = match fs::read(&self.record).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("cannot read {shown}"))?,
        };
        let base: Base = serde_json::from_slice(&record).with_context(|| {
            format!("{shown} is damaged: remove it to attach the newest commit")
        })?;
        // With another repository, blockd decides about the changes.
        Ok((Some(base.repo.as_str()) == self.repo).then_some(base.export))
    }

    /// Records the export that changes are based on from now on.
    pub(super) async fn set_base(&self, repo: &str, export: &str) -> Result<()> {
        if self.mode == Mode::ReadOnly {
            return Ok(());
        }
        let (repo, export) = (repo.to_owned(), export.to_owned());
        let record = serde_json::to_vec(&Base { repo, export })?;
        Ok(fs::write(&self.record, record).await?)
    }

    /// Uploads the changes to the store; if there are none, removes earlier ones.
    pub(super) async fn upload(&self, has_changes: bool) -> Result<()> {
        if self.mode == Mode::ReadOnly {
            return Ok(());
        }
        if !has_changes {
            // Without changes the next attach may follow a branch to a newer commit.
            fs::remove_file(&self.record).await?;
        }
        let Some((store, name)) = &self.stored else {
            return Ok(());
        };
        if !has_changes {
            return store.delete(name).await;
        }
        archive::pack(&self.attach, &self.archive).await?;
        store.put(name, &self.archive).await?;
        fs::remove_file(&self.archive).await?;
        info!("uploaded {name} to the store");
        Ok(())
    }
}
