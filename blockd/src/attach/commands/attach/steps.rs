//! The steps of an attach. What one makes is in the record before it is made.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    task::{spawn_blocking, yield_now},
    time::sleep,
};

use super::{
    file_time,
    options::AttachOptions,
    report::{AttachReport, ChangesState},
    search::{Found, Search},
};
use crate::{
    attach::{
        commands::{
            export_name,
            prefetch::{self, PrefetchOptions},
        },
        layers::{
            git_hook::{self, Hook},
            lower::{ext4, mount::mount, spec::LowerSpec},
            overlay,
            step_times::StepTimes,
            target::Target,
            upper::{self, OverlayDirs},
            utab,
        },
        state::{
            attachment_dir::AttachmentDir, attachment_record::AttachmentRecord,
            lower_dir::LowerDir, upper_kind::UpperKind,
        },
    },
    relay::{self, CacheStatus},
};
use blockd_nbd::client::Offer;

/// The longest wait for a second to be over, should the clock be set back.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How many bytes behind the metadata are read ahead: git's index and the small
/// files of `.git`.
const INDEX_SIZE: u64 = 1 << 20;
/// The option `worktree=` of a canonical name that has none.
const WORKTREE: &str = "/workspace";
/// The length of an object id of SHA-256 in bytes.
const SHA256_LENGTH: usize = 32;

/// An attach in progress. Where it waits or yields, a signal may cancel it: `record`
/// then says what may have been made.
#[derive(Debug)]
pub(super) struct Steps<'a> {
    pub(super) options: &'a AttachOptions,
    pub(super) dir: AttachmentDir,
    pub(super) target: Target,
    pub(super) record: AttachmentRecord,
    pub(super) times: StepTimes,
}

impl Steps<'_> {
    /// From the name of the export to its mount at the mountpoint.
    ///
    /// # Errors
    ///
    /// When a step fails; what was made until then is left in place.
    pub(super) async fn run(&mut self) -> Result<AttachReport> {
        let mut search = Search {
            options: self.options,
            dir: &self.dir,
            record: &mut self.record,
        };
        let Found {
            offer,
            kind,
            lower,
            not_before,
            mut warnings,
        } = search.run().await?;
        self.times.step("choose the export");
        let changes = self.changes(kind)?;
        let spec = lower_spec(self.options, &self.dir, &offer, (kind, changes));
        let mounted = mount(&lower, &spec, &mut self.times).await?;
        yield_now().await;
        let mountpoint = self.dir.mountpoint().to_owned();
        if let Some(dirs) = self.upper(kind, changes, &lower)? {
            warnings.extend(self.tell_git(&dirs, &lower, &offer.info.name));
            warnings.extend(overlay::mount(&lower.mountpoint(), &dirs, &self.target)?);
            self.times.step("mount the overlay");
        } else {
            ext4::bind(&lower, &self.target)?;
            self.times.step("bind it to the mountpoint");
        }
        warnings.extend(self.tell_umount());
        yield_now().await;
        if mounted.shared_with == 0 {
            self.prefetch(&mounted.device, &offer);
        }
        let cache = self.hydrate(&lower).await?;
        self.wait(not_before).await?;
        Ok(AttachReport {
            mountpoint,
            export: offer.info.name,
            size: offer.info.size,
            device: mounted.device,
            via: mounted.via,
            reason: mounted.reason,
            shared_with: mounted.shared_with,
            changes,
            upper: kind,
            cache,
            warnings,
            elapsed: self.times.elapsed(),
            steps: self.times.steps().to_vec(),
        })
    }

    /// Has umount(8) detach it; a warning where that cannot be.
    fn tell_umount(&self) -> Option<String> {
        let uri = &self.options.relay.uri;
        let error = utab::record(self.dir.mountpoint(), uri, self.dir.state()).err()?;
        let shown = self.dir.mountpoint().display();
        Some(format!(
            "umount(8) does not know that it is blockd's ({error}): use `blockd detach {shown}`"
        ))
    }

    /// Waits until the second of the files' time is over, where they have the
    /// time of the attach itself.
    async fn wait(&mut self, not_before: Option<Duration>) -> Result<()> {
        if let Some(not_before) = not_before {
            let left = not_before.saturating_sub(file_time::now()?);
            sleep(left.min(LONGEST_WAIT)).await;
            self.times.step("wait for the next second");
        }
        Ok(())
    }

    fn changes(&self, kind: Option<UpperKind>) -> Result<ChangesState> {
        Ok(match kind {
            None => ChangesState::None,
            Some(kind) if upper::has_changes(&self.dir, kind)? => ChangesState::Kept,
            Some(_) => ChangesState::New,
        })
    }

    /// The directories of the overlay, made unless they hold changes; `None` when
    /// there is to be no overlay.
    fn upper(
        &mut self,
        kind: Option<UpperKind>,
        changes: ChangesState,
        lower: &LowerDir,
    ) -> Result<Option<OverlayDirs>> {
        let Some(kind) = kind else { return Ok(None) };
        let Some(dirs) = OverlayDirs::of(&self.dir, kind) else {
            return Ok(None);
        };
        if changes == ChangesState::New {
            let AttachOptions { uid, gid, .. } = self.options;
            let owner = export_name::owner(&self.options.relay.uri.export, *uid, *gid)?;
            let root = fs::metadata(lower.mountpoint())
                .context("cannot read the root directory of the export")?;
            upper::create(&self.dir, kind, &root, owner)?;
        }
        self.times.step("prepare the upper layer");
        Ok(Some(dirs))
    }

    /// Has git ask what has changed, where the disk's index is made for that. A tree in
    /// which that fails works as any other, only slower.
    fn tell_git(&mut self, dirs: &OverlayDirs, lower: &LowerDir, export: &str) -> Option<String> {
        let name = export_name::ExportName::parse(export);
        if name.get("fsmonitor") != Some("on") {
            return None;
        }
        let AttachOptions {
            uid, gid, program, ..
        } = self.options;
        let owner = export_name::owner(export, *uid, *gid);
        let hook = owner.map(|owner| Hook {
            program,
            upper: &dirs.upper,
            lower,
            owner,
            worktree: name.get("worktree").unwrap_or(WORKTREE),
            has_sha256: name.id_length() == SHA256_LENGTH,
        });
        let written = hook.and_then(|hook| git_hook::write(&self.dir, &hook));
        self.times.step("tell git");
        let failed = |error| format!("`git status` looks at every file: {error:#}");
        written.map_err(failed).err()
    }

    fn prefetch(&mut self, device: &Path, offer: &Offer) {
        let program = &self.options.program;
        if let Some(bytes) = metadata_size(offer) {
            let device = device.to_owned();
            prefetch::start(program, &PrefetchOptions { device, bytes });
        }
        self.times.step("ask to read ahead");
    }

    /// Starts the hydration, which goes on in the background, if one was asked for.
    async fn hydrate(&mut self, lower: &LowerDir) -> Result<Option<CacheStatus>> {
        if !self.options.hydrate {
            return Ok(None);
        }
        let (socket, size) = (lower.control_socket(), self.options.relay.cache_size);
        let status = spawn_blocking(move || relay::hydrate(&socket, size)).await?;
        self.times.step("ask to hydrate");
        status.context("the disk cannot be hydrated").map(Some)
    }
}

fn lower_spec<'a>(
    options: &'a AttachOptions,
    dir: &'a AttachmentDir,
    offer: &'a Offer,
    (kind, changes): (Option<UpperKind>, ChangesState),
) -> LowerSpec<'a> {
    LowerSpec {
        export: &offer.info.name,
        size: offer.info.size,
        attachment: dir,
        via: options.via,
        relay: &options.relay,
        front: metadata_size(offer).map_or(0, |bytes| bytes + INDEX_SIZE),
        blocks: (kind == Some(UpperKind::Block)).then(|| dir.blocks()),
        is_changed: changes == ChangesState::Kept,
        any_ext4: options.any_ext4,
    }
}

/// The bytes of metadata at the front of the disk, if the server says so.
fn metadata_size(offer: &Offer) -> Option<u64> {
    let prefix = export_name::prefix(&offer.info.description)?;
    Some(prefix.min(offer.info.size))
}
