//! The text that `blockd status` prints.

use std::fmt;

use blockd_nbd::printable;

use super::{
    progress::Progress,
    relay::RelayStatus,
    report::{AttachState, AttachmentStatus, ChangesStatus, StatusReport},
};
use crate::{
    attach::state::upper_kind::UpperKind,
    relay::{self, CacheStatus, UpstreamStatus},
    units::{show_microseconds, show_size},
};

impl fmt::Display for StatusReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attachments = self.attachments.iter().map(ToString::to_string);
        let unreadable = self.unreadable.iter();
        let unreadable = unreadable.map(|reason| printable(reason).into_owned());
        let mut shown: Vec<String> = attachments.chain(unreadable).collect();
        if shown.is_empty() {
            shown.push("nothing is attached".to_owned());
        }
        write!(f, "{}", shown.join("\n"))
    }
}

impl fmt::Display for AttachmentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mountpoint = self.mountpoint.display();
        let state = match self.state {
            AttachState::Attached => "attached".to_owned(),
            AttachState::Broken => format!("half attached: run `blockd detach {mountpoint}`"),
            AttachState::Lingering => "detached, with processes still inside".to_owned(),
            AttachState::Detached => "detached, with changes kept".to_owned(),
        };
        writeln!(f, "{mountpoint}: {state}")?;
        write!(f, "  export   {}", printable(&self.export))?;
        if let (Some(device), Some(via)) = (&self.device, self.via) {
            let device = device.display();
            write!(f, "\n  device   {device} through {}", via.description())?;
            match self.shared_with {
                0 => {}
                1 => write!(f, ", shared with one other attachment")?,
                many => write!(f, ", shared with {many} other attachments")?,
            }
        }
        if let Some(relay) = &self.relay {
            write!(f, "{relay}")?;
        }
        if let Some(changes) = &self.changes {
            write!(f, "\n  changes  {changes}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ChangesStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = match self.upper {
            UpperKind::State => "",
            UpperKind::Volatile if self.incomplete => {
                "; made with --volatile before the machine went down: may be incomplete"
            }
            UpperKind::Volatile => "; volatile: not synced until it is detached",
            UpperKind::Tmpfs { .. } => " of memory",
            UpperKind::Block => return write!(f, "{} of changed blocks", show_size(self.bytes)),
        };
        let (entries, bytes) = (self.entries, show_size(self.bytes));
        let least = if self.more { "at least " } else { "" };
        write!(f, "{least}{entries} files and directories, {bytes}{within}")
    }
}

impl fmt::Display for RelayStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alive(figures) => write!(f, "{figures}"),
            Self::Unreadable { reason } => write!(f, "\n  relay    {}", printable(reason)),
            Self::Silent { pid } => {
                write!(f, "\n  relay    process {pid} runs but does not answer")
            }
            Self::Dead => write!(
                f,
                "\n  relay    dead: reads fail; detach, and attach again (changes are kept)"
            ),
        }
    }
}

impl fmt::Display for relay::Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for server in &self.upstreams {
            write!(f, "\n  server   {server}")?;
        }
        let Self {
            reads,
            errors,
            in_flight,
            latency_us,
            ..
        } = self;
        let bytes = show_size(self.bytes);
        write!(
            f,
            "\n  reads    {reads} of {bytes}, {errors} failed, {in_flight} waiting"
        )?;
        write!(
            f,
            "\n  latency  {} median, {} 95th percentile, {} longest",
            show_microseconds(latency_us.p50),
            show_microseconds(latency_us.p95),
            show_microseconds(latency_us.max)
        )?;
        if self.ahead.bytes > 0 {
            let (bytes, used) = (show_size(self.ahead.bytes), show_size(self.ahead.used));
            write!(f, "\n  ahead    {bytes} read ahead, {used} of them used")?;
        }
        if let Some(cache) = &self.cache {
            let CacheStatus { hits, misses, .. } = cache;
            write!(f, "\n  cache    {}", Progress(cache))?;
            write!(
                f,
                "\n           {hits} reads from the cache, {misses} from a server"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for UpstreamStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uri, state, .. } = self;
        write!(f, "{} {state}", printable(uri))?;
        match &self.reason {
            Some(reason) => write!(f, " ({})", printable(reason)),
            None => write!(f, " over {} connections", self.connections),
        }
    }
}
