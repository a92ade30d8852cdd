//! `agent machines`: one operation on an app's machines, from a shell.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::time::Instant;

use super::{
    client::{Client, Create, Filter},
    error::Error,
    lifecycle::{change, destroy, resize, start, stop, suspend},
    model::{Config, Guest, Machine, MachineId, Size},
};
use crate::mode::Mode;

/// What `agent machines` does.
#[derive(Debug)]
pub struct Options {
    /// The app's machines.
    pub client: Client,
    /// The operation.
    pub action: Action,
    /// How long the operation may take.
    pub timeout: Duration,
    /// Print JSON instead of a table.
    pub json: bool,
}

/// An operation on an app's machines.
#[derive(Debug)]
pub enum Action {
    /// List all machines.
    List,
    /// Start a machine, and wait until it runs.
    Start(MachineId),
    /// Stop a machine, and wait until it is stopped.
    Stop(MachineId),
    /// Suspend a machine, and wait until it is suspended.
    Suspend(MachineId),
    /// Change a machine's size.
    Resize(MachineId, Size),
    /// Stop a machine, set its mode if one is given, and start it.
    Restart(MachineId, Option<Mode>),
    /// Create a machine, unless there is one of this name.
    Create {
        /// The machine's name.
        name: String,
        /// Its configuration.
        config: Box<Config>,
        /// Its region; `None` leaves the choice to the platform.
        region: Option<String>,
        /// Whether to start it.
        start: bool,
    },
    /// Destroy a machine.
    Destroy(MachineId),
}

/// Runs the operation, and prints the machines that it was about.
///
/// # Errors
///
/// Those of the operation, or of standard output.
pub async fn run(options: Options) -> Result<()> {
    let client = &options.client;
    let deadline = Instant::now() + options.timeout;
    let machine = match options.action {
        Action::List => {
            let mut machines = client.list(&Filter::default(), deadline).await?;
            machines.sort_by(|a, b| a.name.cmp(&b.name));
            return print(&machines, options.json);
        }
        Action::Start(id) => start(client, &id, None, deadline).await?,
        Action::Stop(id) => stop(client, &id, None, deadline).await?,
        Action::Suspend(id) => suspend(client, &id, deadline).await?,
        Action::Resize(id, size) => resize(client, &id, &size, deadline).await?,
        Action::Restart(id, mode) => restart(client, &id, mode, deadline).await?,
        Action::Create {
            name,
            config,
            region,
            start,
        } => {
            let create = Create {
                name,
                region,
                config: *config,
                skip_launch: !start,
                skip_service_registration: false,
            };
            create_or_find(client, &create, deadline).await?
        }
        Action::Destroy(id) => destroy(client, &id, deadline).await?,
    };
    print(&[machine], options.json)
}

async fn restart(
    client: &Client,
    id: &MachineId,
    mode: Option<Mode>,
    deadline: Instant,
) -> Result<Machine, Error> {
    match mode {
        Some(mode) => change(client, id, |config| config.set_mode(mode), deadline).await?,
        None => stop(client, id, None, deadline).await?,
    };
    start(client, id, None, deadline).await
}

async fn create_or_find(client: &Client, create: &Create, deadline: Instant) -> Result<Machine> {
    let machine = match client.create(create, deadline).await {
        Err(Error::NameTaken(name)) => {
            let machines = client.list(&Filter::default(), deadline).await?;
            let named = machines.into_iter().find(|machine| machine.name == name);
            named.with_context(|| format!("machine {name} existed and is gone: try again"))?
        }
        created => created?,
    };
    if create.skip_launch {
        return Ok(machine);
    }
    Ok(start(client, &machine.id, None, deadline).await?)
}

fn print(machines: &[Machine], json: bool) -> Result<()> {
    let mut out = io::stdout();
    if json {
        let text = serde_json::to_string_pretty(machines)?;
        return Ok(writeln!(out, "{text}")?);
    }
    for machine in machines {
        writeln!(
            out,
            "{:<16} {:<10} {:<6} {:<24} {}",
            machine.id.as_str(),
            machine.state.to_string(),
            machine.region.as_deref().unwrap_or("-"),
            machine.name,
            details(machine)
        )?;
    }
    Ok(())
}

/// A machine's size, and what it works on.
fn details(machine: &Machine) -> String {
    let size = machine.config.guest.as_ref().map(|guest| {
        let Guest {
            cpu_kind,
            cpus,
            memory_mb,
            ..
        } = guest;
        format!("{cpu_kind}-{cpus}x/{memory_mb}MB")
    });
    let metadata = ["mode", "repository", "commit", "task"].map(|key| machine.metadata(key));
    let metadata = metadata.into_iter().flatten().map(str::to_owned);
    let others = ["replaces", "replaced-by"].into_iter();
    let others = others.filter_map(|key| Some(format!("{key}={}", machine.metadata(key)?)));
    size.into_iter()
        .chain(metadata)
        .chain(others)
        .collect::<Vec<_>>()
        .join(" ")
}
