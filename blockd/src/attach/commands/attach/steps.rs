//! The steps of an attach. What one makes is in the record before it is made.

use std::{fs, path::Path};

use anyhow::{Context, Result, anyhow};
use tokio::task::{spawn_blocking, yield_now};

use super::{
    options::AttachOptions,
    preflight,
    report::{AttachReport, ChangesState},
};
use crate::{
    attach::{
        commands::{
            export_name,
            prefetch::{self, PrefetchOptions},
        },
        layers::{
            lower::{ext4, mount::mount, spec::LowerSpec},
            overlay,
            step_times::StepTimes,
            upper::{self, OverlayDirs},
        },
        state::{
            attachment_dir::AttachmentDir,
            attachment_record::{Attachment, AttachmentRecord, Shows},
            lower_dir::LowerDir,
            mount_scope::MountScope,
            upper_kind::UpperKind,
        },
    },
    relay::{self, CacheStatus},
};
use blockd_nbd::{
    client::{self, Offer},
    uri::Address,
};

/// The free space of a disk that is written to, unless the export name has
/// another. Nothing of it is stored before it is used.
const FREE_SPACE: &str = "8G";
/// How many bytes behind the metadata are read ahead: git's index and the small
/// files of `.git`.
const INDEX_SIZE: u64 = 1 << 20;

/// An attach in progress. Where it waits or yields, a signal may cancel it: `record`
/// then says what may have been made.
#[derive(Debug)]
pub(super) struct Steps<'a> {
    pub(super) options: &'a AttachOptions,
    pub(super) dir: AttachmentDir,
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
        let offer = self.find_export().await?;
        let (kind, lower) = self.write_record(&offer.info.name)?;
        let changes = self.changes(kind)?;
        let spec = lower_spec(self.options, &self.dir, &offer, kind);
        let mounted = mount(&lower, &spec, &mut self.times).await?;
        yield_now().await;
        let mountpoint = self.dir.mountpoint().to_owned();
        let warnings = if let Some(dirs) = self.upper(kind, changes, &lower)? {
            let warnings = overlay::mount(&lower.mountpoint(), &dirs, &mountpoint)?;
            self.times.step("mount the overlay");
            warnings
        } else {
            ext4::bind(&lower, &mountpoint)?;
            self.times.step("bind it to the mountpoint");
            Vec::new()
        };
        yield_now().await;
        if mounted.shared_with == 0 {
            self.prefetch(&mounted.device, &offer);
        }
        let cache = self.hydrate(&lower).await?;
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

    /// Asks for the export, and for its canonical name: from here on no other name
    /// is used.
    async fn find_export(&mut self) -> Result<Offer> {
        let AttachOptions { uid, gid, .. } = self.options;
        let mut name = export_name::with_owner(&self.options.relay.uri.export, *uid, *gid);
        let kept = self.record.changes.as_ref().map(|changes| changes.upper);
        if self.options.upper.or(kept) == Some(UpperKind::Block) {
            name = export_name::with_free_space(&name, FREE_SPACE);
        }
        let offer = match self.ask_relay(&name).await {
            Some(offer) => offer,
            None => self.ask_servers(&name).await?,
        };
        preflight::check_size(&offer)?;
        self.times.step("ask for the export");
        Ok(offer)
    }

    /// A canonical name that a relay on this host serves needs no server.
    async fn ask_relay(&self, name: &str) -> Option<Offer> {
        let socket = LowerDir::shared(self.dir.state(), name).socket();
        if !socket.exists() {
            return None;
        }
        match client::info(&Address::Unix(socket), name).await {
            Ok(offer) => (offer.info.name == name).then_some(offer),
            Err(error) => {
                tracing::debug!("the servers are asked, since the relay fails: {error}");
                None
            }
        }
    }

    /// Takes the answer of the first server that has the export.
    async fn ask_servers(&self, name: &str) -> Result<Offer> {
        let servers = self.options.relay.servers();
        let offers = servers.map(|server| client::info(&server.address, name));
        client::first_of(offers).await.map_err(|errors| {
            let reasons = errors.into_iter();
            let reasons = reasons.map(|error| format!("{:#}", anyhow::Error::from(error)));
            anyhow!("{}", reasons.collect::<Vec<_>>().join("; "))
        })
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
            let (record, uri) = (&mut self.record, &relay.uri);
            let kind = preflight::claim_changes(&self.dir, record, uri, (export, *upper))?;
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
        let lower = attachment.lower(&self.dir);
        self.record.attachment = Some(attachment);
        self.record.save(&self.dir)?;
        self.times.step("write the record");
        Ok((kind, lower))
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
    kind: Option<UpperKind>,
) -> LowerSpec<'a> {
    LowerSpec {
        export: &offer.info.name,
        size: offer.info.size,
        attachment: dir,
        via: options.via,
        relay: &options.relay,
        front: metadata_size(offer).map_or(0, |bytes| bytes + INDEX_SIZE),
        blocks: (kind == Some(UpperKind::Block)).then(|| dir.blocks()),
    }
}

/// The bytes of metadata at the front of the disk, if the server says so.
fn metadata_size(offer: &Offer) -> Option<u64> {
    let prefix = export_name::prefix(&offer.info.description)?;
    Some(prefix.min(offer.info.size))
}
