//! The steps of an attach, each written down before it makes something.

use std::{
    fs, mem,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use tokio::task::yield_now;

use super::{
    Diff, Options, Report, Via,
    clock::Clock,
    device::{self, fuse, kernel, loop_device::LoopDevice, nbd_client},
    diff, lower,
    mounts::Mounts,
    name, overlay,
    place::Place,
    preflight, read_ahead,
    state::{Attachment, Device, State},
};
use crate::{
    nbd::client::{self, Offer},
    uri::NbdUri,
};

/// One attach at work. Where it waits, or yields, a signal may end it: then
/// `state` says what may have been made.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) options: &'a Options,
    pub(super) place: Place,
    pub(super) state: State,
    pub(super) clock: Clock,
}

impl Job<'_> {
    pub(super) async fn run(&mut self) -> Result<Report> {
        let offer = self.ask().await?;
        let choice = device::choose(self.options.via).await?;
        let device = match choice.via {
            Via::Fuse => self.fuse(&offer).await?,
            Via::Nbd => self.nbd(&offer).await?,
        };
        yield_now().await;
        let (diff, warnings) = self.show(&offer.info.name)?;
        yield_now().await;
        self.read_ahead(&device, &offer);
        let (elapsed, steps) = mem::replace(&mut self.clock, Clock::start()).stop();
        Ok(Report {
            mountpoint: self.place.mountpoint().to_owned(),
            export: offer.info.name,
            size: offer.info.size,
            device,
            via: choice.via,
            because: choice.why.to_owned(),
            diff,
            warnings,
            elapsed,
            steps,
        })
    }

    /// The canonical name: from here on nothing else is asked for.
    async fn ask(&mut self) -> Result<Offer> {
        let Options {
            uri,
            uid,
            gid,
            read_only,
            ..
        } = self.options;
        let wanted = name::with_owner(&uri.export, *uid, *gid);
        let offer = client::info(&uri.address, &wanted).await?;
        preflight::size(&offer)?;
        if !read_only {
            preflight::claim_diff(&self.place, &mut self.state, uri, &offer.info.name)?;
        }
        self.clock.step("ask the server");
        Ok(offer)
    }

    /// Writes down what is about to be made.
    fn begin(&mut self, export: &str, device: Device) -> Result<()> {
        let export = export.to_owned();
        self.state.attachment = Some(Attachment {
            export,
            device,
            lingering: false,
        });
        self.state.save(&self.place)?;
        self.clock.step("write the state");
        Ok(())
    }

    /// FUSE, loop, and the ext4 on it; the loop device lives as long as either
    /// we hold it or it is mounted.
    async fn fuse(&mut self, offer: &Offer) -> Result<PathBuf> {
        let options = self.options;
        let export = offer.info.name.clone();
        self.begin(&export, Device::Fuse)?;
        let uri = NbdUri {
            export,
            ..options.uri.clone()
        };
        fuse::start(&options.program, &self.place, &uri, options.connections).await?;
        self.clock.step("start the FUSE disk");
        let device = LoopDevice::bind(&device::file_of(&self.place))?;
        self.clock.step("bind the loop device");
        self.mount_lower(device.path(), offer)?;
        Ok(device.path().to_owned())
    }

    /// The kernel's nbd, and the ext4 on it.
    async fn nbd(&mut self, offer: &Offer) -> Result<PathBuf> {
        let Options {
            uri, connections, ..
        } = self.options;
        let wanted = nbd_client::Wanted {
            address: &uri.address,
            export: &offer.info.name,
            connections: if offer.multi_conn {
                *connections
            } else {
                NonZeroUsize::MIN
            },
            size: offer.info.size,
        };
        for path in kernel::free_devices() {
            let device = |connected| Device::Nbd {
                path: path.clone(),
                size: wanted.size,
                connected,
            };
            self.begin(wanted.export, device(false))?;
            if wanted.connect(&path, &self.place.log_file()).await? {
                self.clock.step("connect the kernel");
                self.begin(wanted.export, device(true))?;
                self.mount_lower(&path, offer)?;
                return Ok(path);
            }
        }
        // None of them is ours to disconnect.
        self.state.attachment = None;
        self.state.save(&self.place)?;
        bail!("every /dev/nbdN is in use: load nbd with a larger nbds_max, or give --via fuse")
    }

    fn mount_lower(&mut self, device: &Path, offer: &Offer) -> Result<()> {
        lower::mount_ext4(device, &self.place.lower())
            .with_context(|| format!("cannot use {}", offer.info.name))?;
        self.clock.step("mount the ext4");
        Ok(())
    }

    /// Shows the lower layer at the mountpoint, with or without a diff.
    fn show(&mut self, export: &str) -> Result<(Diff, Vec<String>)> {
        let (place, options) = (&self.place, self.options);
        let root = fs::metadata(place.lower())
            .with_context(|| format!("cannot read the root directory of {export}"))?;
        if options.read_only {
            lower::bind(&place.lower(), place.mountpoint())?;
            self.clock.step("bind it to the mountpoint");
            return Ok((Diff::None, Vec::new()));
        }
        let kept = diff::prepare(
            place,
            &root,
            name::owner(&options.uri.export, options.uid, options.gid),
        )?;
        let mut warnings = overlay::mount_over_lower(place)?;
        if warnings.is_empty() {
            warnings = Mounts::read()?
                .at(place.mountpoint())
                .map_or_else(Vec::new, overlay::silently_off);
        }
        self.clock.step("mount the overlay");
        Ok((if kept { Diff::Kept } else { Diff::New }, warnings))
    }

    fn read_ahead(&mut self, device: &Path, offer: &Offer) {
        let prefix = name::prefix(&offer.info.description).unwrap_or(0);
        read_ahead::start(&self.options.program, device, prefix.min(offer.info.size));
        self.clock.step("ask to read ahead");
    }
}
