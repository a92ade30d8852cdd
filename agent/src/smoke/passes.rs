//! Images that have passed: the next machine with the same bytes need not
//! solve the puzzles again.

use std::path::PathBuf;

use anyhow::Result;
use tempfile::NamedTempFile;
use tokio::fs;

use super::Tier;
use crate::machine::store::Store;

/// Where passes are remembered.
#[derive(Debug)]
pub struct Passes(Store);

impl Passes {
    /// In this store.
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// Whether an image has passed all of these.
    pub(super) async fn has(&self, image: &str, tiers: &[Tier]) -> Result<bool> {
        let found: PathBuf = NamedTempFile::new()?.into_temp_path().keep()?;
        let brought = self.0.get(&name(image, tiers), &found).await;
        // It was ours alone; what is left of it harms nobody.
        let _removed = fs::remove_file(&found).await;
        brought
    }

    /// Remembers that it has.
    pub(super) async fn remember(&self, image: &str, tiers: &[Tier], verdict: &str) -> Result<()> {
        let file = NamedTempFile::new()?;
        fs::write(file.path(), verdict).await?;
        for count in 1..=tiers.len() {
            self.0
                .put(&name(image, &tiers[..count]), file.path())
                .await?;
        }
        Ok(())
    }
}

/// The last tier stands for those before it.
fn name(image: &str, tiers: &[Tier]) -> String {
    let last = tiers.last().map_or_else(String::new, ToString::to_string);
    format!("smoke/{image}.{last}.json")
}
