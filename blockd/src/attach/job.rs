//! The steps of an attach, each written down before it makes something.

use std::{fs, mem, path::Path};

use anyhow::{Context, Result, anyhow, bail};
use tokio::task::{spawn_blocking, yield_now};

use super::{
    Diff, Options, Report, Upper,
    clock::Clock,
    diff::{self, Layers},
    life::Life,
    lower::{self, Lower, Raised, Wanted},
    mounts::Mounts,
    name, overlay,
    place::Place,
    preflight, read_ahead,
    state::{Attachment, Shows, State},
};
use crate::relay::{self, CacheStatus};
use blockd_nbd::{
    client::{self, Offer},
    uri::Address,
};

/// Room on a disk that is written to, unless its name says another: nothing of
/// it is stored before it is used.
const ROOM: &str = "8G";

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
        let upper = self.begin(&offer.info.name)?;
        let Some(attachment) = &self.state.attachment else {
            bail!("unreachable: it was just written down");
        };
        let lower = attachment.lower(&self.place);
        let block = upper == Some(Upper::Block);
        let wanted = Wanted {
            options: self.options,
            offer: &offer,
            place: &self.place,
            blocks: block.then(|| self.place.blocks()),
        };
        let kept = block && diff::has_changes(&self.place, Upper::Block);
        let raised = lower::raise(&lower, &wanted, &mut self.clock).await?;
        yield_now().await;
        let (mut diff, warnings) = self.show(&lower.mount(), upper)?;
        if block {
            diff = if kept { Diff::Kept } else { Diff::New };
        }
        yield_now().await;
        if raised.shared == 0 {
            self.read_ahead(&raised, &offer);
        }
        let cache = if self.options.hydrate {
            Some(self.hydrate(&lower).await?)
        } else {
            None
        };
        let (elapsed, steps) = mem::replace(&mut self.clock, Clock::start()).stop();
        Ok(Report {
            mountpoint: self.place.mountpoint().to_owned(),
            export: offer.info.name,
            size: offer.info.size,
            device: raised.device,
            via: raised.via,
            because: raised.because,
            shared_with: raised.shared,
            diff,
            upper,
            cache,
            warnings,
            elapsed,
            steps,
        })
    }

    /// The canonical name: from here on nothing else is asked for.
    async fn ask(&mut self) -> Result<Offer> {
        let Options { uri, uid, gid, .. } = self.options;
        let mut wanted = name::with_owner(&uri.export, *uid, *gid);
        let kept = self.state.diff.as_ref().map(|kept| kept.upper);
        if self.options.upper.or(kept) == Some(Upper::Block) {
            wanted = name::with_room(&wanted, ROOM);
        }
        let offer = match self.ask_relay(&wanted).await {
            Some(offer) => offer,
            None => self.ask_servers(&wanted).await?,
        };
        preflight::size(&offer)?;
        self.clock.step("ask for the export");
        Ok(offer)
    }

    /// A canonical name that is here already needs no server.
    async fn ask_relay(&self, name: &str) -> Option<Offer> {
        let socket = Lower::new(self.place.state(), name).socket();
        if !socket.exists() {
            return None;
        }
        let offer = client::info(&Address::Unix(socket), name).await.ok()?;
        (offer.info.name == name).then_some(offer)
    }

    /// The first server that has the export says which it is.
    async fn ask_servers(&self, name: &str) -> Result<Offer> {
        let servers = self.options.servers();
        let asked = servers.map(|server| client::info(&server.address, name));
        client::first_of(asked).await.map_err(|reasons| {
            let told = reasons
                .into_iter()
                .map(|error| format!("{:#}", anyhow::Error::from(error)));
            let told: Vec<_> = told.collect();
            anyhow!("{}", told.join("; "))
        })
    }

    /// Writes down what is about to be made; where changes go.
    fn begin(&mut self, export: &str) -> Result<Option<Upper>> {
        let Options {
            uri,
            read_only,
            upper,
            ..
        } = self.options;
        let upper = if *read_only {
            None
        } else {
            let wanted = (export, *upper);
            Some(preflight::claim_diff(
                &self.place,
                &mut self.state,
                uri,
                wanted,
            )?)
        };
        self.state.attachment = Some(Attachment {
            export: export.to_owned(),
            shows: match upper {
                None => Shows::Lower,
                Some(Upper::Block) => Shows::Block,
                Some(_) => Shows::Overlay,
            },
            life: Life::now()?,
            lingering: None,
        });
        self.state.save(&self.place)?;
        self.clock.step("write the state");
        Ok(upper)
    }

    /// Shows the lower layer at the mountpoint, with or without a diff.
    fn show(&mut self, lower: &Path, upper: Option<Upper>) -> Result<(Diff, Vec<String>)> {
        let (place, options) = (&self.place, self.options);
        let root = fs::metadata(lower).context("cannot read the root directory of the export")?;
        let Some(upper) = upper.filter(|upper| *upper != Upper::Block) else {
            lower::bind(lower, place.mountpoint())?;
            self.clock.step("bind it to the mountpoint");
            return Ok((Diff::None, Vec::new()));
        };
        let owner = name::owner(&options.uri.export, options.uid, options.gid);
        let kept = diff::prepare(place, upper, &root, owner)?;
        self.clock.step("prepare the diff");
        let layers = Layers::new(place, upper);
        let mut warnings = overlay::mount_over(lower, &layers, place.mountpoint())?;
        self.clock.step("mount the overlay");
        let mounts = Mounts::read()?;
        let Some(mount) = mounts.at(place.mountpoint()) else {
            bail!("the overlay is gone again: is another program unmounting it?");
        };
        if warnings.is_empty() {
            warnings = overlay::silently_off(mount);
        }
        Ok((if kept { Diff::Kept } else { Diff::New }, warnings))
    }

    /// Begins in the background; what cannot be is told now.
    async fn hydrate(&mut self, lower: &Lower) -> Result<CacheStatus> {
        let (socket, most) = (lower.control_socket(), self.options.cache_size);
        let asked = spawn_blocking(move || relay::hydrate(&socket, most)).await?;
        self.clock.step("ask to hydrate");
        asked.context("it cannot be hydrated")
    }

    fn read_ahead(&mut self, raised: &Raised, offer: &Offer) {
        let prefix = name::prefix(&offer.info.description).unwrap_or(0);
        let bytes = prefix.min(offer.info.size);
        read_ahead::start(&self.options.program, &raised.device, bytes);
        self.clock.step("ask to read ahead");
    }
}
