//! An export as a sparse file.

use std::{fs::File, os::unix::fs::FileExt, path::Path, sync::Arc};

use anyhow::{Context, Result, anyhow};
use indicatif::ProgressBar;
use tempfile::NamedTempFile;
use tokio::task::JoinSet;

use crate::progress;
use blockd_nbd::{Export, Extent};

/// Bytes of one read, at most.
const MAX_READ: u32 = 4 << 20;
/// Reads in flight at once.
const MAX_READS: usize = 4;
/// Bytes that are checked for zeroes as a whole.
const PIECE: usize = 64 << 10;

/// Writes an export to `path`, with holes where it has no data. Until the whole
/// is written, the file is what it was.
///
/// # Errors
///
/// The file cannot be written, or the export cannot be read.
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
    let runs = data_runs(&*export);
    let progress = progress::bytes_bar(runs.iter().map(|run| run.length).sum());
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

/// A range that holds data.
struct Run {
    offset: u64,
    length: u64,
}

/// The ranges that are not holes, in order.
fn data_runs(export: &dyn Export) -> Vec<Run> {
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
            let step = u32::try_from(length).map_or(MAX_READ, |length| length.min(MAX_READ));
            if reads.len() >= MAX_READS {
                finish(reads.join_next().await, progress)?;
            }
            let read = Arc::clone(export).read(offset, step);
            let file = Arc::clone(file);
            reads.spawn(async move {
                let bytes = read.await.map_err(|error| anyhow!("{error}"))?;
                write_data(&file, offset, &bytes)?;
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

/// Takes the result of a read that has ended.
fn finish(read: Option<Joined>, progress: &ProgressBar) -> Result<()> {
    if let Some(read) = read {
        progress.inc(read??);
    }
    Ok(())
}

/// Writes the pieces that are more than zeroes.
fn write_data(file: &File, mut offset: u64, bytes: &[u8]) -> Result<()> {
    for block in bytes.chunks(PIECE) {
        if block.iter().any(|&byte| byte != 0) {
            file.write_all_at(block, offset)
                .context("cannot write the image")?;
        }
        offset += u64::try_from(block.len())?;
    }
    Ok(())
}
