//! The requests of the kernel for the file system, and their replies.

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

use super::page_cache::PageCacheTrimmer;
use crate::relay::buffer::{length_of, part_length};
use blockd_nbd::{Export, ReadError, WriteError, Writes, Written};

/// The name of the file.
pub(crate) const NAME: &str = "disk";
const DISK: INodeNo = INodeNo(2);
/// How long the kernel may cache names and attributes, which never change.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Reads of the kernel's readahead that may be in flight.
const MAX_BACKGROUND: u16 = 128;

/// `FALLOC_FL_PUNCH_HOLE` and `FALLOC_FL_ZERO_RANGE` of fallocate(2).
const CLEARS: u32 = 0x02 | 0x10;

/// An export as a file system with one file.
pub(super) struct Disk {
    pub(super) export: Arc<dyn Export>,
    /// Accepts writes, if the export can be written.
    pub(super) writes: Option<Arc<dyn Writes>>,
    /// Runs the requests.
    pub(super) runtime: Handle,
    pub(super) trimmer: Arc<PageCacheTrimmer>,
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.trimmer.end();
    }
}

impl Disk {
    /// Changes the disk in the background, and then replies.
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
                tracing::warn!("a write to the disk has failed: {error}");
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
        for set in [
            KernelConfig::set_max_background,
            KernelConfig::set_congestion_threshold,
        ] {
            set(config, MAX_BACKGROUND).expect("only 0 is refused");
        }
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

    /// ENOSYS: from here on the kernel opens the file without a request, and
    /// caches its pages (`FUSE_NO_OPEN_SUPPORT`). A mount of a disk that cannot
    /// be written is read-only.
    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    /// ENOSYS: closing needs no request either.
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
        let (export, trimmer) = (Arc::clone(&self.export), Arc::clone(&self.trimmer));
        drop(self.runtime.spawn(async move {
            match read(export, offset, size).await {
                Ok(bytes) => {
                    reply.data(&bytes);
                    trimmer.record(offset..offset + length_of(&bytes));
                }
                Err(error) => {
                    tracing::warn!(offset, size, "a read of the disk has failed: {error}");
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
        let left = self.export.info().size.checked_sub(offset);
        let length = length_of(data);
        if left.is_none_or(|left| length > left) {
            return reply.error(Errno::ENOSPC);
        }
        let data = data.to_vec();
        let trimmer = Arc::clone(&self.trimmer);
        self.change(
            move |writes| writes.write(offset, data, false),
            move |done| {
                match done {
                    Ok(()) => reply.written(part_length(length)),
                    Err(error) => reply.error(error),
                }
                trimmer.record(offset..offset + length);
            },
        );
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.change(Writes::flush, |done| answer(done, reply));
    }

    /// A loop device turns discards and write-zeroes into this.
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
        let left = self.export.info().size.checked_sub(offset);
        let clears = mode.cast_unsigned() & CLEARS != 0;
        if !clears || left.is_none_or(|left| length > left) {
            return reply.error(Errno::EOPNOTSUPP);
        }
        self.change(
            move |writes| writes.zero(offset, length, false),
            |done| answer(done, reply),
        );
    }

    /// Times and modes are ignored; the size cannot be changed.
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

/// The kernel reads whole pages; the last one may reach beyond the end.
async fn read(export: Arc<dyn Export>, offset: u64, size: u32) -> Result<Vec<u8>, ReadError> {
    let left = export.info().size.checked_sub(offset);
    match left.map(|left| left.min(size.into())) {
        None | Some(0) => Ok(Vec::new()),
        Some(length) => export.read(offset, part_length(length)).await,
    }
}
