//! The changes of a work tree on their way to the next machine. What blockd has
//! in its state directory survives a reboot; packed into the store, it survives
//! the machine.

mod archive;

use std::{
    fs::Permissions,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::fs;
use tracing::{info, warn};

use super::{options::Options, store::Store, volume::attach_directory};
use crate::mode::Mode;

/// The changes of a machine, and their place in the store.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    repo: Option<&'a str>,
    mode: Mode,
    /// The name of the changes, with or without a store.
    name: Option<&'a str>,
    /// The store, and the name of the archive there.
    stored: Option<(&'a Store, String)>,
    /// The state directory of blockd.
    attach: PathBuf,
    record: PathBuf,
    /// Where changes of another name are set aside, each in a directory.
    aside: PathBuf,
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
    /// The name of the changes; the last release recorded none.
    #[serde(default)]
    name: Option<String>,
    /// Whether the store has them as they are.
    #[serde(default)]
    stored: bool,
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
            name: options.name.as_deref(),
            stored: stored.map(|(store, name)| (store, format!("diffs/{name}.tar.gz"))),
            record: attach.join("made-over.json"),
            attach,
            aside: state.join("set-aside"),
            archive: state.join("diff.tar.gz"),
            fetched: state.join("fetched.tar.gz"),
        }
    }

    /// Fetches the changes of an earlier machine, unless this one has changes of
    /// its own. Returns the canonical name of the export that they are based on.
    pub(super) async fn fetch(&self) -> Result<Option<String>> {
        if fs::try_exists(&self.fetched).await? {
            // Not all of it may be unpacked: begun again.
            remove_directory(&self.attach).await?;
            fs::remove_file(&self.fetched).await?;
        }
        self.leave_others().await?;
        make_closed(&self.attach).await?;
        if !fs::try_exists(&self.record).await?
            && let Some((store, name)) = &self.stored
            && store.get(name, &self.fetched).await?
        {
            archive::unpack(&self.fetched, &self.attach).await?;
            fs::remove_file(&self.fetched).await?;
            info!("fetched {name} from the store");
        }
        let base = self.base().await?;
        // With another repository, blockd decides about the changes.
        let base = base.filter(|base| Some(base.repo.as_str()) == self.repo);
        Ok(base.map(|base| base.export))
    }

    /// The record beside the changes that this machine has.
    async fn base(&self) -> Result<Option<Base>> {
        let shown = self.record.display();
        let record = match fs::read(&self.record).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("cannot read {shown}"))?,
        };
        let base = serde_json::from_slice(&record).with_context(|| {
            format!("{shown} is damaged: remove it to attach the newest commit")
        })?;
        Ok(Some(base))
    }

    /// Leaves changes of another name behind, which the last task made here.
    async fn leave_others(&self) -> Result<()> {
        let Some(Base { name, stored, .. }) = self.base().await? else {
            return Ok(());
        };
        let (Some(theirs), Some(ours)) = (name, self.name) else {
            return Ok(());
        };
        if theirs == ours {
            return Ok(());
        }
        if stored {
            info!("the changes of {theirs} are in the store, and are removed here");
            return remove_directory(&self.attach).await;
        }
        make_closed(&self.aside).await?;
        let aside = free_name(&self.aside, &theirs).await?;
        warn!(
            "the changes of {theirs} were never stored: they are set aside in {}",
            aside.display()
        );
        Ok(fs::rename(&self.attach, aside).await?)
    }

    /// Records the export that changes are based on from now on.
    pub(super) async fn set_base(&self, repo: &str, export: &str) -> Result<()> {
        if self.mode == Mode::ReadOnly {
            return Ok(());
        }
        self.set_record(&Base {
            repo: repo.to_owned(),
            export: export.to_owned(),
            name: self.name.map(str::to_owned),
            stored: false,
        })
        .await
    }

    async fn set_record(&self, base: &Base) -> Result<()> {
        let new = self.record.with_extension("json.new");
        fs::write(&new, serde_json::to_vec(base)?).await?;
        Ok(fs::rename(new, &self.record).await?)
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
        if let Some(base) = self.base().await? {
            let stored = true;
            self.set_record(&Base { stored, ..base }).await?;
        }
        Ok(())
    }
}

/// Makes a directory, unless it is there, which only its owner may look into: no task
/// sees the changes of another one.
async fn make_closed(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).await?;
    let closed = fs::set_permissions(directory, Permissions::from_mode(0o700)).await;
    closed.with_context(|| format!("cannot close {}", directory.display()))
}

/// Removes a directory, if there is one.
pub(super) async fn remove_directory(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// A path in the directory that nothing has yet: `NAME`, `NAME.1` and so on.
async fn free_name(directory: &Path, name: &str) -> Result<PathBuf> {
    let mut path = directory.join(name);
    let mut number = 0;
    while fs::try_exists(&path).await? {
        number += 1;
        path = directory.join(format!("{name}.{number}"));
    }
    Ok(path)
}
