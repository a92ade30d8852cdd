//! `blockd image`: an export as a sparse file.

use std::{
    fs::File,
    io::{self, IsTerminal},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use tempfile::NamedTempFile;
use tokio::task::JoinSet;

use blockd_nbd::{Export, Extent};

/// Bytes read at once.
const STEP: u32 = 4 << 20;
/// Reads under way at once.
const READS: usize = 4;

/// Writes the whole export to `path`, with holes where nothing is stored.
///
/// The file appears when it is whole.
///
/// # Errors
///
/// A sentence that names the file, or what could not be read.
pub(crate) async fn write(export: Arc<dyn Export>, path: &Path) -> Result<()> {
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let cannot = || format!("cannot write {}", path.display());
    let file = NamedTempFile::new_in(dir).with_context(cannot)?;
    file.as_file()
        .set_len(export.info().size)
        .with_context(cannot)?;
    let runs = stored(&*export);
    let progress = progress(runs.iter().map(|run| run.length).sum());
    copy(
        &export,
        runs,
        &Arc::new(file.reopen().with_context(cannot)?),
        &progress,
    )
    .await?;
    progress.finish_and_clear();
    file.persist(path).with_context(cannot)?;
    Ok(())
}

struct Run {
    offset: u64,
    length: u64,
}

/// The runs that are not holes.
fn stored(export: &dyn Export) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut offset = 0;
    export.extents(0, &mut |Extent { length, hole, .. }| {
        if !hole {
            runs.push(Run { offset, length });
        }
        offset += length;
        true
    });
    runs
}

async fn copy(
    export: &Arc<dyn Export>,
    runs: Vec<Run>,
    file: &Arc<File>,
    progress: &ProgressBar,
) -> Result<()> {
    let mut reads = JoinSet::new();
    for Run {
        mut offset,
        mut length,
    } in runs
    {
        while length > 0 {
            let step = u32::try_from(length).map_or(STEP, |length| length.min(STEP));
            if reads.len() >= READS {
                finish(reads.join_next().await, progress)?;
            }
            let read = Arc::clone(export).read(offset, step);
            let file = Arc::clone(file);
            reads.spawn(async move {
                let bytes = read.await.map_err(|error| anyhow!("{error}"))?;
                write_stored(&file, offset, &bytes)?;
                anyhow::Ok(u64::from(step))
            });
            offset += u64::from(step);
            length -= u64::from(step);
        }
    }
    while let Some(read) = reads.join_next().await {
        finish(Some(read), progress)?;
    }
    Ok(())
}

type Joined = Result<Result<u64>, tokio::task::JoinError>;

fn finish(read: Option<Joined>, progress: &ProgressBar) -> Result<()> {
    if let Some(read) = read {
        progress.inc(read??);
    }
    Ok(())
}

/// Writes the blocks that hold more than zeroes.
fn write_stored(file: &File, mut offset: u64, bytes: &[u8]) -> Result<()> {
    for block in bytes.chunks(64 << 10) {
        if block.iter().any(|&byte| byte != 0) {
            file.write_all_at(block, offset)
                .context("cannot write the image")?;
        }
        offset += u64::try_from(block.len())?;
    }
    Ok(())
}

/// A bar on standard error, if that is a terminal.
pub(crate) fn progress(bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style)
}
