//! Profiles: which files a session reads first, told to the server, which
//! tells who attaches next.
//!
//! ```text
//! record:  watch the mountpoint ─► paths ─► where they lie on the disk ─► read there,
//!                                           from REPO:profile=record
//! warm:    REPO:profile=warm ─► paths ─► have the kernel read them
//! ```
//! The server keeps paths, so that a profile holds for other commits.

mod first_block;
mod warm;
mod watch;

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::{select, task::spawn_blocking, time::sleep};

pub(super) use self::warm::start;
pub use self::warm::{WarmOptions, warm};
use self::watch::Watch;
use crate::{
    attach::{
        commands::{
            export_name, mountpoint,
            status::{self, StatusOptions, relay::RelayStatus, report::AttachState},
        },
        state::{attachment_dir::AttachmentDir, attachment_record::AttachmentRecord, directory},
    },
    signals::{EndSignals, HangUp},
};
use blockd_nbd::{client::Client, uri::NbdUri};

/// Reads that are under way at once.
const IN_FLIGHT: usize = 64;

/// What is recorded.
#[derive(Clone, Debug)]
pub struct RecordOptions {
    /// Where it is attached.
    pub mountpoint: PathBuf,
    /// Where attachments are kept.
    pub state: PathBuf,
    /// For how long.
    pub time: Duration,
}

/// What was recorded.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    /// The canonical name.
    pub export: String,
    /// Files of the commit that were opened.
    pub files: usize,
    /// Who keeps it.
    pub server: String,
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            export,
            files,
            server,
        } = self;
        let repository = export.split(['@', ':']).next().unwrap_or_default();
        write!(
            f,
            "{server} keeps {files} files, and reads them ahead for who attaches {repository:?}"
        )
    }
}

/// Watches which files of an attachment are opened, until the time is over or
/// Ctrl-C, and tells the server.
///
/// # Errors
///
/// A sentence: nothing is attached there, the kernel does not let us watch, no
/// server answers.
pub async fn record(options: &RecordOptions) -> Result<Recorded> {
    let attached = find(options)?;
    let paths = watch(options).await?;
    let tree = attached.tree.clone();
    let places = spawn_blocking(move || on_disk(&tree, &paths)).await?;
    if places.is_empty() {
        bail!("no file of the commit was opened: record while somebody works there");
    }
    attached.tell(&places).await
}

/// The files that are opened in the time.
async fn watch(options: &RecordOptions) -> Result<BTreeSet<PathBuf>> {
    let watch = Watch::begin(&mountpoint::resolve(&options.mountpoint)?)?;
    let seconds = options.time.as_secs();
    tracing::info!("recording for {seconds} s; Ctrl-C ends it sooner, and keeps what there is");
    let over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&over);
    let mut watching = spawn_blocking(move || watch.opened(&told));
    let mut signals = EndSignals::catch(HangUp::Ends)?;
    select! {
        _ = signals.received() => {}
        () = sleep(options.time) => {}
        opened = &mut watching => return opened?,
    }
    over.store(true, Ordering::Relaxed);
    watching.await?
}

/// What is attached, where its files lie, and who serves it.
struct Attached {
    export: String,
    tree: PathBuf,
    servers: Vec<NbdUri>,
}

fn find(options: &RecordOptions) -> Result<Attached> {
    let shown = options.mountpoint.display();
    let asked = StatusOptions {
        mountpoint: Some(options.mountpoint.clone()),
        state: options.state.clone(),
    };
    let found = status::status(&asked)?.attachments;
    let attached = found
        .into_iter()
        .find(|it| it.state == AttachState::Attached);
    let Some(attached) = attached else {
        bail!("nothing is attached at {shown}: attach it first");
    };
    let Some(RelayStatus::Alive(relay)) = attached.relay else {
        bail!("the relay of {shown} does not answer: detach it and attach it anew");
    };
    let uris = relay.upstreams.iter().map(|upstream| upstream.uri.parse());
    let state = directory::find(&options.state)?.context("the state directory is gone")?;
    let place = AttachmentDir::new(&state, &attached.mountpoint);
    let written = AttachmentRecord::load(&place)?.attachment;
    let lower = written.context("it was detached meanwhile")?.lower(&place);
    Ok(Attached {
        tree: lower.mountpoint(),
        export: attached.export,
        servers: uris.collect::<Result<_, _>>()?,
    })
}

/// Where the files begin on the disk: those that the commit has, and that are
/// not empty.
fn on_disk(tree: &Path, paths: &BTreeSet<PathBuf>) -> Vec<u64> {
    let found = |path: &PathBuf| first_block::of(&tree.join(path)).ok().flatten();
    paths.iter().filter_map(found).collect()
}

impl Attached {
    /// The first server that listens keeps it.
    async fn tell(&self, places: &[u64]) -> Result<Recorded> {
        let mut reasons = Vec::new();
        for server in &self.servers {
            match self.tell_one(server, places).await {
                Ok(()) => {
                    return Ok(Recorded {
                        export: self.export.clone(),
                        files: places.len(),
                        server: server.address.to_string(),
                    });
                }
                Err(error) => reasons.push(format!("{error:#}")),
            }
        }
        bail!("no server keeps the profile: {}", reasons.join("; "))
    }

    async fn tell_one(&self, server: &NbdUri, places: &[u64]) -> Result<()> {
        let name = export_name::with_option(&self.export, "profile=record");
        let client = &Client::open(&server.address, &name).await?;
        let reads = places.iter().map(|offset| client.read(*offset, 1));
        let mut answers = stream::iter(reads).buffer_unordered(IN_FLIGHT);
        while answers.try_next().await?.is_some() {}
        Ok(())
    }
}
