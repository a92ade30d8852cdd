//! What the kernel asks of the file, and our answers.

use std::{
    ffi::OsStr,
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use tokio::runtime::Handle;

use super::{NAME, kept::Kept};
use blockd_nbd::{Export, ReadError, WriteError, Writes, Written};

const DISK: INodeNo = INodeNo(2);
/// Nothing here ever changes.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Reads that the kernel may have in flight on its own account (readahead).
const BACKGROUND: u16 = 128;

/// `FALLOC_FL_PUNCH_HOLE` and `FALLOC_FL_ZERO_RANGE` of fallocate(2).
const CLEARS: u32 = 0x02 | 0x10;

/// One export as a file.
pub(super) struct Disk {
    pub(super) export: Arc<dyn Export>,
    /// Takes writes, if the export can be written.
    pub(super) writes: Option<Arc<dyn Writes>>,
    pub(super) runtime: Handle,
    pub(super) kept: Arc<Kept>,
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.kept.end();
    }
}

impl Disk {
    /// Does what changes the disk, and then says how it went.
    fn change(
        &self,
        work: impl FnOnce(Arc<dyn Writes>) -> Written,
        reply: impl FnOnce(Result<(), Errno>) + Send + 'static,
    ) {
        let Some(writes) = self.writes.clone() else {
            return reply(Err(Errno::EROFS));
        };
        let work = work(writes);
        drop(self.runtime.spawn(async move {
            reply(work.await.map_err(|error| {
                tracing::warn!("a write to the disk fails: {error}");
                match error {
                    WriteError::NoSpace(_) => Errno::ENOSPC,
                    WriteError::Failed(_) => Errno::EIO,
                }
            }));
        }));
    }

    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size, nlink) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0o555, 0, 2),
            DISK => {
                let perm = if self.writes.is_some() { 0o644 } else { 0o444 };
                (FileType::RegularFile, perm, self.export.info().size, 1)
            }
            _ => return None,
        };
        let epoch = SystemTime::UNIX_EPOCH;
        Some(FileAttr {
            ino: inode,
            size,
            blocks: size.div_ceil(512),
            atime: epoch,
            mtime: epoch,
            ctime: epoch,
            crtime: epoch,
            kind,
            perm,
            nlink,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Filesystem for Disk {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Both only ask for less than the kernel offers.
        let _previous = config.set_max_background(BACKGROUND);
        let _previous = config.set_congestion_threshold(BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self
            .attributes(DISK)
            .filter(|_| parent == INodeNo::ROOT && name == NAME)
        {
            Some(attributes) => reply.entry(&FOREVER, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&FOREVER, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    /// The kernel opens by itself from here on, and keeps what was read; where
    /// nothing can be written the mount is read-only.
    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    /// And it closes by itself.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let (export, kept) = (Arc::clone(&self.export), Arc::clone(&self.kept));
        drop(self.runtime.spawn(async move {
            match read(export, offset, size).await {
                Ok(bytes) => {
                    reply.data(&bytes);
                    kept.note(offset, bytes.len());
                }
                Err(error) => {
                    tracing::warn!(offset, size, "a read of the disk fails: {error}");
                    reply.error(Errno::EIO);
                }
            }
        }));
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        if offset.saturating_add(length.into()) > self.export.info().size {
            return reply.error(Errno::ENOSPC);
        }
        let data = data.to_vec();
        let (kept, bytes) = (Arc::clone(&self.kept), data.len());
        self.change(
            move |writes| writes.write(offset, data, false),
            move |done| {
                match done {
                    Ok(()) => reply.written(length),
                    Err(error) => reply.error(error),
                }
                kept.note(offset, bytes);
            },
        );
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.change(Writes::flush, |done| answer(done, reply));
    }

    /// What a loop device makes of discards and of zeroes.
    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let left = self.export.info().size.saturating_sub(offset);
        let clears = mode.cast_unsigned() & CLEARS != 0;
        if !clears || length > left {
            return reply.error(Errno::EOPNOTSUPP);
        }
        self.change(
            move |writes| writes.zero(offset, length, false),
            |done| answer(done, reply),
        );
    }

    /// Times and modes are not kept; the size is what it is.
    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        match self.attributes(inode) {
            Some(attributes) if size.is_none_or(|size| size == attributes.size) => {
                reply.attr(&FOREVER, &attributes);
            }
            _ => reply.error(Errno::EPERM),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let directory = FileType::Directory;
        let entries = [
            (INodeNo::ROOT, directory, "."),
            (INodeNo::ROOT, directory, ".."),
            (DISK, FileType::RegularFile, NAME),
        ];
        for ((inode, kind, name), next) in entries.into_iter().zip(1..) {
            if next > offset && reply.add(inode, next, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}

fn answer(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

/// The kernel asks for whole pages; the last one may reach beyond the end.
async fn read(export: Arc<dyn Export>, offset: u64, size: u32) -> Result<Vec<u8>, ReadError> {
    let left = export.info().size.saturating_sub(offset);
    let size = u32::try_from(left).map_or(size, |left| left.min(size));
    if size == 0 {
        return Ok(Vec::new());
    }
    export.read(offset, size).await
}
