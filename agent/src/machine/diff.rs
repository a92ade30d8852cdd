//! The diff on its way to the next machine. What `blockd` keeps in its state
//! directory is a diff that outlives a reboot: packed whole, it outlives the
//! machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::{fs, process::Command};
use tracing::info;

use super::{Options, attach::Mode};
use crate::machine::store::Store;

/// A diff, and where it goes.
#[derive(Debug)]
pub(super) struct Diff<'a> {
    repo: Option<&'a str>,
    mode: Mode,
    handed: Option<(&'a Store, String)>,
    attached: PathBuf,
    record: PathBuf,
    packed: PathBuf,
}

/// What the diff was made over, written beside it.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    repo: String,
    export: String,
}

impl<'a> Diff<'a> {
    pub(super) fn new(options: &'a Options, state: &Path) -> Self {
        let name = options.name.as_ref().filter(|_| options.mode == Mode::Rw);
        let handed = options.store.as_ref().zip(name);
        Self {
            repo: options.repo.as_deref(),
            mode: options.mode,
            handed: handed.map(|(store, name)| (store, format!("diffs/{name}.tar.gz"))),
            attached: directory(state),
            record: directory(state).join("made-over.json"),
            packed: state.join("diff.tar.gz"),
        }
    }

    /// Brings what an earlier machine has handed over, unless this one has its
    /// own; the export that it was made over.
    pub(super) async fn bring(&self) -> Result<Option<String>> {
        fs::create_dir_all(&self.attached).await?;
        if !fs::try_exists(&self.record).await?
            && let Some((store, name)) = &self.handed
            && store.get(name, &self.packed).await?
        {
            tar("--extract", &self.packed, &self.attached).await?;
            fs::remove_file(&self.packed).await?;
            info!("{name} was brought from the store");
        }
        let Ok(record) = fs::read(&self.record).await else {
            return Ok(None);
        };
        let record: Record = serde_json::from_slice(&record)
            .with_context(|| format!("{} is damaged", self.record.display()))?;
        // Another repository now: blockd says what becomes of changes to the first.
        Ok((Some(record.repo.as_str()) == self.repo).then_some(record.export))
    }

    /// Writes down what changes are made over from now on.
    pub(super) async fn remember(&self, repo: &str, export: &str) -> Result<()> {
        if self.mode == Mode::Ro {
            return Ok(());
        }
        let (repo, export) = (repo.to_owned(), export.to_owned());
        let record = serde_json::to_vec(&Record { repo, export })?;
        Ok(fs::write(&self.record, record).await?)
    }

    /// Hands it over; without changes there is nothing to keep.
    pub(super) async fn hand_over(&self, changed: bool) -> Result<()> {
        if self.mode == Mode::Ro {
            return Ok(());
        }
        if !changed {
            // The next time a moving name may have moved on.
            fs::remove_file(&self.record).await?;
        }
        let Some((store, name)) = &self.handed else {
            return Ok(());
        };
        if !changed {
            return store.delete(name).await;
        }
        tar("--create", &self.packed, &self.attached).await?;
        store.put(name, &self.packed).await?;
        fs::remove_file(&self.packed).await?;
        info!("{name} is in the store");
        Ok(())
    }
}

/// Where blockd keeps what is attached.
pub(super) fn directory(state: &Path) -> PathBuf {
    state.join("attach")
}

/// With the attributes by which overlayfs knows what was removed and renamed.
async fn tar(what: &str, file: &Path, folder: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args([what, "--gzip", "--one-file-system", "--numeric-owner"]);
    tar.args(["--xattrs", "--xattrs-include=*", "--file"]);
    tar.arg(file).arg("--directory").arg(folder);
    if what == "--create" {
        tar.arg(".");
    }
    let output = tar.output().await.context("cannot run tar")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "tar: {}",
        told.lines().next().unwrap_or_default()
    );
    Ok(())
}
