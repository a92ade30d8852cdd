//! A repository on this host, without a server: `blockd image`, `blockd info` and
//! `blockd forget`.

mod forget;
mod image_file;

use std::{
    io::{self, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use blockd_nbd::printable;

pub use self::forget::{ForgetOptions, forget};
use crate::{
    open_files,
    serve::catalog::{
        Access, Bound, Catalog, CatalogOptions, ImageInfo, ReachableLimits, RevisionLimits,
    },
    signals::{EndSignals, HangUp},
};

/// An export of a repository on this host.
#[derive(Clone, Debug)]
pub struct LocalExport {
    /// The path of the repository, and what an export's name has behind it:
    /// `PATH[@REV][:key=value]…`. An empty path is the current directory.
    pub name: String,
    /// The state directory: snapshots, spooled blobs, and the lengths of
    /// converted files.
    pub state: PathBuf,
    /// Bytes of memory for cached blobs and trees.
    pub cache: usize,
}

/// The options of [`image()`].
#[derive(Clone, Debug)]
pub struct ImageOptions {
    /// What to write.
    pub export: LocalExport,
    /// The file, which is replaced if it exists.
    pub file: PathBuf,
}

/// The options of [`info`].
#[derive(Clone, Debug)]
pub struct InfoOptions {
    /// What to describe.
    pub export: LocalExport,
    /// Print JSON.
    pub json: bool,
}

/// Writes the disk of one commit to a sparse file.
///
/// # Errors
///
/// There is no such export, a part of it cannot be read, the file cannot be
/// written, or a signal ends it; then the file is what it was.
pub async fn image(options: &ImageOptions) -> Result<()> {
    let (catalog, name) = options.export.open()?;
    let export = catalog
        .open_now(&name)
        .map_err(|error| anyhow!("{error}"))?;
    let mut signals = EndSignals::catch(HangUp::Default)?;
    tokio::select! {
        written = image_file::write(export, &options.file) => written,
        signal = signals.received() => {
            Err(anyhow!("ended by {signal}; nothing was written to {}", options.file.display()))
        }
    }
}

/// Plans the disk of one commit, and prints what it is.
///
/// # Errors
///
/// There is no such export, or standard output cannot be written.
pub fn info(options: &InfoOptions) -> Result<()> {
    let start = Instant::now();
    let (catalog, name) = options.export.open()?;
    let image = catalog
        .image_info(&name)
        .map_err(|error| anyhow!("{error}"))?;
    let took = start.elapsed();
    let mut out = io::stdout().lock();
    if options.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&image)?)?;
        return Ok(());
    }
    let ImageInfo {
        name,
        size,
        prefix,
        files,
        directories,
        ..
    } = &image;
    writeln!(out, "{}", printable(name))?;
    writeln!(
        out,
        "  {size} bytes of disk, of which the first {prefix} hold all metadata"
    )?;
    writeln!(
        out,
        "  {files} files and links in {directories} directories"
    )?;
    writeln!(
        out,
        "  planned in {} ms, in {} bytes of memory",
        took.as_millis(),
        image.memory()
    )?;
    Ok(())
}

impl LocalExport {
    /// A catalog of the repository alone, and the export's name in it.
    fn open(&self) -> Result<(Catalog, String)> {
        let end = self.name.find(['@', ':']).unwrap_or(self.name.len());
        let (repo, name) = self.name.split_at(end);
        let options = CatalogOptions {
            access_file: None,
            repos: if repo.is_empty() { "." } else { repo }.into(),
            // It is the caller's own file that it comes to.
            access: Access {
                allow: None,
                show_hidden: true,
            },
            state: self.state.clone(),
            cache: self.cache,
            // Whoever asks pays for it himself.
            revisions: RevisionLimits {
                commits: u64::MAX,
                search: true,
                time: Duration::MAX,
            },
            reachable: ReachableLimits::NONE,
            attribute_bytes: u64::MAX,
            plans: Bound::NONE,
            converted_bytes: u64::MAX,
            all_converted: Bound::NONE,
            spool_bytes: CatalogOptions::SPOOL_BYTES,
            snapshot_bytes: u64::MAX,
        };
        open_files::raise_limit();
        Ok((Catalog::new(&options)?, name.to_owned()))
    }
}
