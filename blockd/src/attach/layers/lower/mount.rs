//! Making a lower layer, or joining the one that is there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::attach::{
    commands::{export_name, options::Options},
    layers::{
        device::{self, Via, loop_device, nbd, nbd_client},
        liveness,
        lower::{
            ext4, fsck, release,
            users::{self, User, users},
        },
        mounts::Mounts,
        process::Identity,
        relay,
        step_times::Clock,
    },
    state::{
        attachment_dir::Place,
        lock::Lock,
        lower_dir::Lower,
        lower_record::{Device, Record},
        mount_scope::Life,
    },
};
use blockd_nbd::client::Offer;

/// Right behind the metadata lie the index and the small files of `.git`.
const INDEX: u64 = 1 << 20;

/// Whose lower layer is wanted, by whom.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) options: &'a Options,
    pub(crate) offer: &'a Offer,
    pub(crate) place: &'a Place,
    /// It is to be written to: where changed blocks go.
    pub(crate) blocks: Option<PathBuf>,
}

/// A lower layer that is mounted.
#[derive(Debug)]
pub(crate) struct Raised {
    /// The block device.
    pub(crate) device: PathBuf,
    pub(crate) via: Via,
    /// Why this way.
    pub(crate) because: String,
    /// How many others use it.
    pub(crate) shared: usize,
}

/// Counts the place in, and makes what is missing of its lower layer.
///
/// Where it waits, a signal may end it; `leave` takes down what was made.
pub(crate) async fn raise(lower: &Lower, wanted: &Wanted<'_>, clock: &mut Clock) -> Result<Raised> {
    let export = &wanted.offer.info.name;
    lower.check_length()?;
    let lock = Lock::wait(&lower.lock_file(), release::PATIENCE, export).await?;
    clock.step("lock the lower layer");
    if let Some(record) = Record::of(lower, export)? {
        let others = || users(lower, export, Some(wanted.place));
        if stands(lower, &record)? {
            if wanted.options.via.is_none_or(|via| via == record.via()) {
                return join(lower, wanted, &record, clock);
            }
            refuse_another_way(&record, &others()?)?;
            if !release::take_down(lower, Some(&record), false)? {
                bail!("the device of {export} is still in use: leave --via out to share it");
            }
        } else {
            refuse_if_hurt(&record, &others()?)?;
            tracing::info!("taking down what is left of {export}");
            if !release::take_down(lower, Some(&record), true)? {
                bail!("what is left of {export} cannot be taken down: see dmesg");
            }
        }
        // The directory went with it, and another may have come.
        drop(lock);
        return Box::pin(raise(lower, wanted, clock)).await;
    }
    users::enter(lower, wanted.place)?;
    let raising = Raising {
        lower,
        lock,
        wanted,
        clock,
    };
    raising.build().await
}

/// Whether a lower layer still has its relay and its device.
fn stands(lower: &Lower, record: &Record) -> Result<bool> {
    let here = Life::now()?;
    let relay = Identity::alive(&lower.pid_file()).is_some();
    let device = match &record.device {
        Device::Fuse { path: None }
        | Device::Nbd {
            connected: false, ..
        } => false,
        Device::Fuse { path: Some(path) } => loop_device::bound_to(&lower.disk()).contains(path),
        Device::Nbd { path, .. } => nbd::is_connected(path) && nbd::has_size(path, record.size),
    };
    Ok(record.life.is_of_boot(&here) && relay && device)
}

/// Who uses it, in words.
fn places(users: &[User]) -> String {
    let shown = users.iter().filter(|user| user.alive);
    let shown = shown.map(|user| match &user.mountpoint {
        Some(mountpoint) => mountpoint.display().to_string(),
        None => user.key.clone(),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn refuse_another_way(record: &Record, users: &[User]) -> Result<()> {
    if users.iter().any(|user| user.alive) {
        bail!(
            "{} goes through {} for {}: leave --via out to share that, or detach those first",
            record.export,
            record.via().words(),
            places(users)
        );
    }
    Ok(())
}

/// A dead relay is replaced, unless somebody would go on with a dead disk.
fn refuse_if_hurt(record: &Record, users: &[User]) -> Result<()> {
    let hurt: Vec<_> = users.iter().filter(|user| user.seen).cloned().collect();
    if !hurt.is_empty() {
        bail!(
            "the relay of {} has died under {}: detach there, and attach again; changes are kept",
            record.export,
            places(&hurt)
        );
    }
    Ok(())
}

/// Shares what is there.
fn join(lower: &Lower, wanted: &Wanted<'_>, record: &Record, clock: &mut Clock) -> Result<Raised> {
    if !liveness::beats(lower) {
        bail!(
            "the relay of {} does not answer: detach {}, and attach again; changes are kept",
            record.export,
            places(&users(lower, &record.export, Some(wanted.place))?)
        );
    }
    users::enter(lower, wanted.place)?;
    let via = record.via();
    let device = record.path().cloned().unwrap_or_default();
    clock.step("join the lower layer");
    if Mounts::read()?.at(&lower.mount()).is_none() {
        mount_ext4(lower, &device, record)?;
        clock.step("mount the ext4");
    }
    let shared = users::count(lower, wanted.place);
    let because = match shared {
        0 => "it was there already".to_owned(),
        1 => "shared with one other attachment".to_owned(),
        many => format!("shared with {many} other attachments"),
    };
    Ok(Raised {
        device,
        via,
        because,
        shared,
    })
}

fn mount_ext4(lower: &Lower, device: &Path, record: &Record) -> Result<()> {
    let mounted = || {
        if record.writable {
            fsck::check(device)?;
        }
        ext4::mount_ext4(device, &lower.mount(), record.writable)
    };
    mounted().with_context(|| format!("cannot use {}", record.export))
}

/// A new lower layer at work; what may exist is in its record before it does.
#[derive(Debug)]
struct Raising<'a> {
    lower: &'a Lower,
    lock: Lock,
    wanted: &'a Wanted<'a>,
    clock: &'a mut Clock,
}

impl Raising<'_> {
    async fn build(mut self) -> Result<Raised> {
        let choice = device::choose(self.wanted.options.via).await?;
        let device = match choice.via {
            Via::Fuse => self.fuse().await?,
            Via::Nbd => self.nbd().await?,
        };
        Ok(Raised {
            device,
            via: choice.via,
            because: choice.why.to_owned(),
            shared: 0,
        })
    }

    fn write_down(&mut self, device: Device) -> Result<()> {
        self.record(device)?.save(self.lower)
    }

    fn record(&self, device: Device) -> Result<Record> {
        let info = &self.wanted.offer.info;
        Ok(Record {
            export: info.name.clone(),
            size: info.size,
            device,
            writable: self.wanted.blocks.is_some(),
            life: Life::now()?,
        })
    }

    async fn relay(&mut self, fuse: bool) -> Result<()> {
        let Wanted { options, offer, .. } = self.wanted;
        let export = &offer.info.name;
        let wanted = relay::Start {
            options,
            export,
            fuse,
            front: export_name::prefix(&offer.info.description).map_or(0, |bytes| bytes + INDEX),
            blocks: self.wanted.blocks.as_deref(),
        };
        relay::start(self.lower, &self.lock, &wanted).await?;
        self.clock.step("start the relay");
        Ok(())
    }

    /// FUSE, loop, and the ext4 on it; the loop device lives as long as either
    /// we hold it or it is mounted.
    async fn fuse(&mut self) -> Result<PathBuf> {
        self.write_down(Device::Fuse { path: None })?;
        self.relay(true).await?;
        let device =
            loop_device::LoopDevice::bind(&self.lower.disk(), self.wanted.blocks.is_some())?;
        let path = device.path().to_owned();
        self.write_down(Device::Fuse {
            path: Some(path.clone()),
        })?;
        self.clock.step("bind the loop device");
        self.mount(&path)?;
        Ok(path)
    }

    /// The kernel's nbd, and the ext4 on it.
    async fn nbd(&mut self) -> Result<PathBuf> {
        // No device is ours yet.
        self.write_down(Device::Fuse { path: None })?;
        self.relay(false).await?;
        let Wanted { options, offer, .. } = self.wanted;
        let wanted = nbd_client::Wanted {
            socket: &self.lower.socket(),
            export: &offer.info.name,
            size: offer.info.size,
            timeout: options.timeout,
            writable: self.wanted.blocks.is_some(),
        };
        for path in nbd::free_devices() {
            let device = |connected| Device::Nbd {
                path: path.clone(),
                connected,
            };
            self.write_down(device(false))?;
            if wanted.connect(&path, &self.lower.client_log_file()).await? {
                self.write_down(device(true))?;
                self.clock.step("connect the kernel");
                self.mount(&path)?;
                return Ok(path);
            }
        }
        // None of them is ours to disconnect.
        self.write_down(Device::Fuse { path: None })?;
        bail!("every /dev/nbdN is in use: load nbd with a larger nbds_max, or give --via fuse")
    }

    fn mount(&mut self, device: &Path) -> Result<()> {
        let record = self.record(Device::Fuse { path: None })?;
        mount_ext4(self.lower, device, &record)?;
        self.clock.step("mount the ext4");
        Ok(())
    }
}
