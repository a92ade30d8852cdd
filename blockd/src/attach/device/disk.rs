//! The FUSE file system with one file, `disk`: the export's bytes.
//!
//! Reads are answered from tokio tasks, in any order; what was read the kernel
//! keeps, for an export never changes.

use std::{
    ffi::OsStr,
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEntry, ReplyOpen, Request,
};
use tokio::runtime::Handle;

use crate::nbd::client::{self, Client};

/// The name of the file.
pub(in crate::attach) const NAME: &str = "disk";
const DISK: INodeNo = INodeNo(2);

/// Nothing here ever changes.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long one read may take before the kernel hears EIO: a hung server must
/// not hang every process that looks at the disk.
const PATIENCE: Duration = Duration::from_secs(60);
/// Reads that the kernel may have in flight on its own account (readahead).
const BACKGROUND: u16 = 128;

/// One export as a file.
#[derive(Debug)]
pub(super) struct Disk {
    client: Arc<Client>,
    runtime: Handle,
}

impl Disk {
    pub(super) fn new(client: Arc<Client>, runtime: Handle) -> Self {
        Self { client, runtime }
    }

    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size, nlink) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0o555, 0, 2),
            DISK => (FileType::RegularFile, 0o444, self.client.info().size, 1),
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

    fn open(&self, _: &Request, _: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.acc_mode() == OpenAccMode::O_RDONLY {
            let keep = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH;
            reply.opened(FileHandle(0), keep);
        } else {
            reply.error(Errno::EROFS);
        }
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
        let client = Arc::clone(&self.client);
        drop(self.runtime.spawn(async move {
            match read(&client, offset, size).await {
                Ok(bytes) => reply.data(&bytes),
                Err(error) => {
                    tracing::error!(offset, size, "a read of the disk fails: {error}");
                    reply.error(Errno::EIO);
                }
            }
        }));
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

/// The kernel asks for whole pages; the last one may reach beyond the end.
async fn read(client: &Client, offset: u64, size: u32) -> client::Result<Vec<u8>> {
    let left = client.info().size.saturating_sub(offset);
    let size = u32::try_from(left).map_or(size, |left| left.min(size));
    let mut bytes = Vec::new();
    let answered = async {
        let mut at = offset;
        let mut left = size;
        while left > 0 {
            let length = left.min(client.maximum_read());
            let piece = client.read(at, length).await?;
            at += u64::from(length);
            left -= length;
            if bytes.is_empty() {
                bytes = piece;
            } else {
                bytes.extend_from_slice(&piece);
            }
        }
        Ok(bytes)
    };
    let late = |_| Err(client::Error::TimedOut("a read".to_owned()));
    tokio::time::timeout(PATIENCE, answered)
        .await
        .unwrap_or_else(late)
}
