//! The access file, which is read anew on request.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::{Context, Result};

use super::rules::AccessRules;

/// An access file, and what it said when it was last read.
#[derive(Debug)]
pub struct AccessFile {
    path: PathBuf,
    rules: RwLock<Arc<AccessRules>>,
}

impl AccessFile {
    /// Reads an access file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is wrong.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            rules: RwLock::new(Arc::new(read(path)?)),
        })
    }

    /// Reads it anew, for names that are opened from now on.
    ///
    /// # Errors
    ///
    /// As for [`AccessFile::open`]; what it said before stays in force.
    pub fn reload(&self) -> Result<()> {
        let newer = Arc::new(read(&self.path)?);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = newer;
        Ok(())
    }

    /// What it says.
    pub fn rules(&self) -> Arc<AccessRules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read(path: &Path) -> Result<AccessRules> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the access file {}", path.display()))?;
    AccessRules::parse(&text, path)
}
