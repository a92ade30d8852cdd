//! A disk that is a `Vec`: what tests, benches and fuzzing serve.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{BlockSize, Export, ExportInfo, Exports, Extent, OpenError, ReadError};

/// Runs of zeroes are looked for in blocks of this size.
const BLOCK: usize = 4096;

/// A disk in memory.
#[derive(Debug)]
pub struct MemoryExport {
    info: ExportInfo,
    bytes: Vec<u8>,
    /// For each block, whether it is all zeroes.
    zeroes: Vec<bool>,
}

impl MemoryExport {
    /// A disk of these bytes.
    pub fn new(name: &str, bytes: Vec<u8>) -> Self {
        let zeroes = bytes
            .chunks(BLOCK)
            .map(|block| block.iter().all(|byte| *byte == 0))
            .collect();
        let info = ExportInfo {
            name: name.into(),
            description: format!("{} bytes in memory", bytes.len()),
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            block_size: BlockSize::default(),
        };
        Self {
            info,
            bytes,
            zeroes,
        }
    }

    fn range(&self, offset: u64, length: usize) -> Result<&[u8], ReadError> {
        usize::try_from(offset)
            .ok()
            .and_then(|start| self.bytes.get(start..start.checked_add(length)?))
            .ok_or_else(|| ReadError(format!("{length} bytes at {offset} are not on the disk")))
    }
}

impl Export for MemoryExport {
    fn info(&self) -> &ExportInfo {
        &self.info
    }

    fn read_ready(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>> {
        Some(
            self.range(offset, buffer.len())
                .map(|bytes| buffer.copy_from_slice(bytes)),
        )
    }

    fn read(
        self: Arc<Self>,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        async move { self.range(offset, length).map(<[u8]>::to_vec) }.boxed()
    }

    fn extents(&self, offset: u64, each: &mut dyn FnMut(Extent) -> bool) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut skip = offset % BLOCK;
        let mut left = self.bytes.len().saturating_sub(offset);
        for zero in self.zeroes.iter().skip(offset / BLOCK) {
            let length = BLOCK.saturating_sub(skip).min(left);
            skip = 0;
            left = left.saturating_sub(length);
            let length = u64::try_from(length).unwrap_or(u64::MAX);
            if length == 0
                || !each(Extent {
                    length,
                    hole: *zero,
                    zero: *zero,
                })
            {
                return;
            }
        }
    }

    fn prefetch(self: Arc<Self>, _: u64, _: u64) -> BoxFuture<'static, Result<(), ReadError>> {
        async { Ok(()) }.boxed()
    }
}

/// Disks in memory, by name; the first also answers to the empty name.
#[derive(Debug)]
pub struct MemoryExports(Vec<Arc<MemoryExport>>);

impl MemoryExports {
    /// These disks.
    pub fn new(exports: impl IntoIterator<Item = MemoryExport>) -> Arc<Self> {
        Arc::new(Self(exports.into_iter().map(Arc::new).collect()))
    }
}

impl Exports for MemoryExports {
    fn list(&self) -> BoxFuture<'_, Vec<(String, String)>> {
        let infos = self.0.iter().map(|export| &export.info);
        let list = infos
            .map(|info| (info.name.clone(), info.description.clone()))
            .collect();
        async move { list }.boxed()
    }

    fn open<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn Export>, OpenError>> {
        let found = self
            .0
            .iter()
            .find(|export| name.is_empty() || export.info.name == name);
        let found = found.cloned().map(|export| {
            let export: Arc<dyn Export> = export;
            export
        });
        async move { found.ok_or_else(|| OpenError::Unknown(format!("no export is named {name:?}"))) }
            .boxed()
    }
}
