//! Which disk is attached: what the servers offer, what is attached on this host
//! already, and what changes were kept for.

use std::time::Duration;

use anyhow::Result;

use super::{
    file_time::{self, FileTime},
    options::AttachOptions,
    preflight,
    servers::{self, Answer},
};
use crate::attach::{
    commands::export_name::{self, ExportName},
    layers::{reach, upper},
    state::{
        attachment_dir::AttachmentDir,
        attachment_record::{Attachment, AttachmentRecord, Shows},
        lock::{LOWER_TIMEOUT, Lock},
        lower_dir::LowerDir,
        mount_scope::MountScope,
        upper_kind::UpperKind,
    },
};
use blockd_nbd::client::Offer;

/// The free space of a disk that is written to, unless the export name has
/// another. Nothing of it is stored before it is used.
const FREE_SPACE: &str = "8G";

/// The search for the disk. `record` says what may have been made, also when the
/// search is cancelled where it waits.
pub(super) struct Search<'a> {
    pub(super) options: &'a AttachOptions,
    pub(super) dir: &'a AttachmentDir,
    pub(super) record: &'a mut AttachmentRecord,
}

/// The disk that is attached.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) offer: Offer,
    /// Where changes are kept; `None` if the attachment is read-only.
    pub(super) kind: Option<UpperKind>,
    pub(super) lower: LowerDir,
    /// The attach is not over before this, in time since 1970.
    pub(super) not_before: Option<Duration>,
    pub(super) warnings: Vec<String>,
}

/// The disk that a server offers.
struct Offered {
    offer: Offer,
    export: ExportName,
    /// Whether attach has chosen the time of its files, and may choose another.
    is_time_free: bool,
    warnings: Vec<String>,
}

/// The disk that kept changes go with.
struct Kept {
    export: ExportName,
    /// Whether they were made to another one of the same work tree.
    is_moved: bool,
}

impl Search<'_> {
    /// Asks for the export, and for its canonical name: from here on no other name
    /// is used. Records what is about to be made.
    ///
    /// # Errors
    ///
    /// When no server has the export, one that is to take over has another, or
    /// changes are kept that do not go with it.
    pub(super) async fn run(&mut self) -> Result<Found> {
        let now = file_time::now()?;
        let offered = self.ask(now).await?;
        let kept = self.find_kept(&offered).await?;
        let Offered {
            offer,
            export,
            mut warnings,
            ..
        } = offered;
        let state = self.dir.state();
        let lock = state.join("choice.lock");
        let lock = Lock::acquire_async(&lock, LOWER_TIMEOUT, "the state directory").await?;
        let mut not_before = None;
        let chosen = match kept {
            Some(Kept {
                export: kept,
                is_moved,
            }) => {
                if is_moved {
                    warnings.push(self.move_changes(&kept)?);
                }
                kept
            }
            None if offered.is_time_free => {
                let choice = file_time::choose(state, self.dir.mountpoint(), &export, now)?;
                not_before = choice.not_before;
                choice.export
            }
            None => export.clone(),
        };
        let (kind, lower) = self.write_record(&chosen.to_string())?;
        drop(lock);
        let offer = if chosen == export {
            offer
        } else {
            self.ask_exactly(&chosen).await?
        };
        preflight::check_size(&offer)?;
        warnings.extend(servers::check_all(&self.options.relay, &offer).await?);
        Ok(Found {
            offer,
            kind,
            lower,
            not_before,
            warnings,
        })
    }

    /// Asks for the name that was given, with the owner and the time of files.
    async fn ask(&self, now: Duration) -> Result<Offered> {
        let AttachOptions { uid, gid, .. } = self.options;
        let mut name = export_name::with_owner(&self.options.relay.uri.export, *uid, *gid);
        let kept = self.record.changes.as_ref().map(|changes| changes.upper);
        if self.options.upper.or(kept) == Some(UpperKind::Block) {
            name = export_name::with_free_space(&name, FREE_SPACE);
        }
        let plain = ExportName::parse(&name);
        // A name that has the time, or is canonical, is left as it is.
        if plain.is_canonical() || plain.get("mtime").is_some() {
            let offer = match self.ask_exactly(&plain).await {
                // Changes that were made over a disk that no server has any more.
                Err(error) if self.is_kept(&plain) => {
                    let of_commit = self.ask_exactly(&plain.of_commit()).await;
                    of_commit.map_err(|_| error)?
                }
                asked => asked?,
            };
            return Ok(Offered {
                export: ExportName::parse(&offer.info.name),
                offer,
                is_time_free: false,
                warnings: Vec::new(),
            });
        }
        let timed = plain.with("mtime", &FileTime::before(now).text());
        let monitored = self.monitored(&timed);
        let names = monitored.iter().chain([&timed]).map(ToString::to_string);
        let names: Vec<_> = names.chain([name.clone()]).collect();
        let Answer { offer, refused } = match self.ask_relay(&name).await {
            Some(offer) => Answer {
                offer,
                refused: Vec::new(),
            },
            None => servers::ask(&self.options.relay, &names).await?,
        };
        let without = [
            "`git status` looks at every file",
            "files have the time of their commit, not of the attach",
        ];
        let without = without.iter().skip(2 - (names.len() - 1));
        let warnings = refused.into_iter().zip(without);
        let warnings = warnings.filter_map(|(refusal, what)| Some(format!("{what}: {}", refusal?)));
        let export = ExportName::parse(&offer.info.name);
        Ok(Offered {
            is_time_free: export.get("mtime").is_some(),
            export,
            offer,
            warnings: warnings.collect(),
        })
    }

    /// The name of the disk whose index has git ask what has changed, if its owner can
    /// be answered: changes are files, and in reach.
    fn monitored(&self, name: &ExportName) -> Option<ExportName> {
        let AttachOptions {
            program, uid, gid, ..
        } = self.options;
        let kept = self.record.changes.as_ref().map(|changes| changes.upper);
        let is_block = self.options.upper.or(kept) == Some(UpperKind::Block);
        if !self.options.fsmonitor || is_block || name.get("fsmonitor").is_some() {
            return None;
        }
        let owner = export_name::owner(&name.to_string(), *uid, *gid).ok()?;
        let can_ask = reach::admit(&[self.dir.state(), &self.dir.path()], owner)
            .inspect_err(|error| tracing::debug!("git status is not helped: {error}"))
            .is_ok_and(|()| {
                reach::is_open(&self.dir.path(), owner) && reach::is_open(program, owner)
            });
        can_ask.then(|| name.with("fsmonitor", "on"))
    }

    /// Asks for exactly this name: the relay on this host that serves it, else the
    /// servers.
    async fn ask_exactly(&self, name: &ExportName) -> Result<Offer> {
        let name = name.to_string();
        match self.ask_relay(&name).await {
            Some(offer) => Ok(offer),
            None => Ok(servers::ask(&self.options.relay, &[name]).await?.offer),
        }
    }

    async fn ask_relay(&self, name: &str) -> Option<Offer> {
        let lower = LowerDir::shared(self.dir.state(), name);
        servers::ask_relay(&lower, name).await
    }

    /// Whether changes were made to the disk of this canonical name.
    fn is_kept(&self, name: &ExportName) -> bool {
        let kept = self.record.changes.as_ref();
        name.is_canonical() && kept.is_some_and(|kept| kept.export == name.to_string())
    }

    /// The disk that kept changes go with, if the one that is offered shows the
    /// same work tree: the one that they were made to, as long as a server has it.
    async fn find_kept(&self, offered: &Offered) -> Result<Option<Kept>> {
        let changes = if self.options.read_only {
            None
        } else {
            preflight::kept_changes(self.dir, self.record)?
        };
        let Some(changes) = changes else {
            return Ok(None);
        };
        let kept = ExportName::parse(&changes.export);
        if !kept.is_same_work_tree(&offered.export) {
            return Ok(None);
        }
        let is_offered = kept.is_same_but_for_time(&offered.export);
        if is_offered || self.ask_exactly(&kept).await.is_ok() {
            return Ok(Some(Kept {
                export: kept,
                is_moved: false,
            }));
        }
        if changes.upper == UpperKind::Block {
            return Ok(None);
        }
        let mut export = offered.export.without(&["fsmonitor", "worktree"]);
        // What was written into their index and configuration goes with theirs.
        for key in ["fsmonitor", "worktree"] {
            if let Some(value) = kept.get(key) {
                export = export.with(key, value);
            }
        }
        if let Some(time) = kept.get("mtime") {
            export = export.with("mtime", time);
        }
        // Layout 2 has no such option: HEAD was on the branch that was committed to.
        if let (None, Some(branch)) = (
            kept.get("head"),
            upper::only_branch(self.dir, changes.upper)?,
        ) {
            export = export.with("head", &branch);
        }
        Ok(Some(Kept {
            export,
            is_moved: true,
        }))
    }

    /// Records that kept changes go on over another disk of the same work tree;
    /// returns what to tell the user.
    fn move_changes(&mut self, export: &ExportName) -> Result<String> {
        let changes = self.record.changes.as_mut();
        let changes = changes.expect("only changes that were kept are moved");
        upper::forget_copies_of_objects(self.dir, changes.upper)?;
        let before = std::mem::replace(&mut changes.export, export.to_string());
        Ok(format!(
            "the changes were made over {before}, which no server has any more; they go on over \
             the same commit"
        ))
    }

    /// Records what is about to be made; where changes are kept, and the lower
    /// layer.
    fn write_record(&mut self, export: &str) -> Result<(Option<UpperKind>, LowerDir)> {
        let AttachOptions {
            relay,
            read_only,
            upper,
            ..
        } = self.options;
        let kind = if *read_only {
            None
        } else {
            let (record, uri) = (&mut *self.record, &relay.uri);
            let kind = preflight::claim_changes(self.dir, record, uri, (export, *upper))?;
            Some(kind)
        };
        let attachment = Attachment {
            export: export.to_owned(),
            shows: match kind {
                None => Shows::Lower,
                Some(UpperKind::Block) => Shows::Block,
                Some(UpperKind::State | UpperKind::Volatile | UpperKind::Tmpfs { .. }) => {
                    Shows::Overlay
                }
            },
            scope: MountScope::current()?,
            lingering: None,
        };
        let lower = attachment.lower(self.dir);
        self.record.attachment = Some(attachment);
        self.record.save(self.dir)?;
        Ok((kind, lower))
    }
}
