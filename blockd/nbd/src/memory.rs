//! Exports whose bytes lie in memory, read-only: for tests, benches and examples.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    Identity,
    export::{BlockSize, Export, ExportInfo, Exports, Extent, OpenError, ReadError},
    width::{to_u64, to_usize},
};

/// A block of this many bytes that is all zeroes is a hole.
const BLOCK: u32 = 4096;

/// A disk in memory.
#[derive(Clone, Debug)]
pub struct MemoryExport {
    info: ExportInfo,
    bytes: Vec<u8>,
    /// For each block, whether it is all zeroes.
    zeroes: Vec<bool>,
}

impl MemoryExport {
    /// A disk with these bytes. Its blocks of 4 KiB that hold only zeroes are
    /// holes.
    pub fn new(name: &str, bytes: Vec<u8>) -> Self {
        let zeroes = bytes
            .chunks(to_usize(BLOCK))
            .map(|block| block.iter().all(|byte| *byte == 0))
            .collect();
        let info = ExportInfo {
            name: name.into(),
            description: format!("{} bytes in memory", bytes.len()),
            size: to_u64(bytes.len()),
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

    fn try_read_cached(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>> {
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
        async move { self.range(offset, to_usize(length)).map(<[u8]>::to_vec) }.boxed()
    }

    fn extents(&self, offset: u64, visit: &mut dyn FnMut(Extent) -> bool) {
        let mut at = offset;
        while at < self.info.size {
            let next = at.checked_add(1);
            let end = next
                .and_then(|next| next.checked_next_multiple_of(BLOCK.into()))
                .map_or(self.info.size, |end| end.min(self.info.size));
            let block = at.checked_div(BLOCK.into());
            let zero = block
                .and_then(|block| usize::try_from(block).ok())
                .and_then(|block| self.zeroes.get(block))
                .expect("there is a flag for each block of the disk");
            let extent = Extent {
                length: end.abs_diff(at),
                hole: *zero,
                zero: *zero,
            };
            if !visit(extent) {
                return;
            }
            at = end;
        }
    }

    fn prefetch(self: Arc<Self>, _: u64, _: u64) -> BoxFuture<'static, Result<(), ReadError>> {
        async { Ok(()) }.boxed()
    }
}

/// Disks in memory, by name; the first one is the default export.
#[derive(Debug)]
pub struct MemoryExports(Vec<Arc<MemoryExport>>);

impl MemoryExports {
    /// These disks, in this order.
    pub fn new(exports: impl IntoIterator<Item = MemoryExport>) -> Arc<Self> {
        Arc::new(Self(exports.into_iter().map(Arc::new).collect()))
    }
}

impl Exports for MemoryExports {
    fn list(&self, _: &Identity) -> BoxFuture<'_, Vec<(String, String)>> {
        let infos = self.0.iter().map(|export| &export.info);
        let list = infos
            .map(|info| (info.name.clone(), info.description.clone()))
            .collect();
        async move { list }.boxed()
    }

    fn open<'a>(
        &'a self,
        name: &'a str,
        _: &Identity,
    ) -> BoxFuture<'a, Result<Arc<dyn Export>, OpenError>> {
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
