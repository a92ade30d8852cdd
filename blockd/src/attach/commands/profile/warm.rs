//! Having the kernel read what other sessions read first.

use std::{
    ffi::OsStr,
    fs::OpenOptions,
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Component, Path, PathBuf},
    thread,
};

use anyhow::Result;
use rustix::fs::OFlags;
use tokio::runtime::Builder;

use crate::attach::commands::{export_name, helper_process, prefetch};
use blockd_nbd::{client::Client, uri::NbdUri};

/// What is to be read.
#[derive(Clone, Debug)]
pub struct WarmOptions {
    /// The export, by its canonical name.
    pub server: NbdUri,
    /// Where its ext4 is mounted.
    pub tree: PathBuf,
}

/// Longer lists of paths are read to here.
const LIST_MOST: u64 = 8 << 20;

/// Starts the process that does it, when the server has something to tell.
pub(crate) fn start(program: &Path, description: &str, server: &NbdUri, tree: &Path) {
    if !export_name::has_profile(description) {
        return;
    }
    if let Err(error) = spawn(program, server, tree) {
        tracing::debug!("nothing is read ahead by profile: {error:#}");
    }
}

fn spawn(program: &Path, server: &NbdUri, tree: &Path) -> Result<()> {
    let server = server.to_string();
    let mut child = helper_process::start(program, "warm", [server.as_ref(), tree.as_os_str()])?;
    // Where the caller lives on, somebody must take note of the end.
    thread::spawn(move || child.wait());
    Ok(())
}

/// The hidden subcommand `warm`.
pub fn warm(args: &WarmOptions) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let list = runtime.block_on(list(&args.server))?;
    let paths = list
        .split(|byte| *byte == 0)
        .filter(|path| !path.is_empty());
    for path in paths.map(|path| Path::new(OsStr::from_bytes(path))) {
        // Detached meanwhile, or a name that leads elsewhere: no harm.
        let _unread = read(&args.tree, path);
    }
    Ok(())
}

async fn list(server: &NbdUri) -> Result<Vec<u8>> {
    let name = export_name::with_option(&server.export, "profile=warm");
    let client = Client::open(&server.address, &name).await?;
    let (mut list, size) = (Vec::new(), client.info().size.min(LIST_MOST));
    let mut offset = 0;
    while offset < size {
        let left = u32::try_from(size.saturating_sub(offset)).unwrap_or(u32::MAX);
        let length = left.min(client.maximum_read());
        list.extend(client.read(offset, length).await?);
        offset = offset.saturating_add(length.into());
    }
    Ok(list)
}

/// Asks for the file, and does not wait; it stays open for no longer, since
/// who detaches unmounts the tree.
fn read(tree: &Path, path: &Path) -> Result<()> {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    anyhow::ensure!(path.components().all(plain), "a path that leads elsewhere");
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits())?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(tree.join(path))?;
    let found = file.metadata()?;
    anyhow::ensure!(found.is_file(), "no file");
    prefetch::request(&file, found.len())
}
