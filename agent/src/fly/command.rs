//! `agent machines`: the lifecycle from a shell.

use std::{
    fs,
    io::{self, Write},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::time::Instant;

use super::{
    client::{Client, Create, Filter},
    error::Error,
    lifecycle::{self, change, start, stop, suspend},
    model::{Guest, Machine, MachineId, Mode, State},
};
use crate::cli::fly::{Command, Create as CreateArgs, Machines, Restart};

/// Does what the command line says.
///
/// # Errors
///
/// A sentence about what could not be done.
pub async fn run(args: &Machines) -> Result<()> {
    let client = args.api.client()?;
    let deadline = Instant::now() + Duration::from_secs(args.deadline);
    let machine = match &args.command {
        Command::List => {
            let mut machines = client.list(&Filter::default(), deadline).await?;
            machines.sort_by(|a, b| a.name.cmp(&b.name));
            return print(&machines, args.json);
        }
        Command::Start(which) => start(&client, &which.id, None, deadline).await?,
        Command::Stop(which) => stop(&client, &which.id, None, deadline).await?,
        Command::Suspend(which) => suspend(&client, &which.id, deadline).await?,
        Command::Resize(resize) => {
            lifecycle::resize(&client, &resize.id, &resize.size, deadline).await?
        }
        Command::Restart(restart) => restarted(&client, restart, deadline).await?,
        Command::Create(create) => created(&client, create, deadline).await?,
        Command::Destroy(which) => destroyed(&client, &which.id, deadline).await?,
    };
    print(&[machine], args.json)
}

async fn restarted(client: &Client, args: &Restart, deadline: Instant) -> Result<Machine> {
    let Some(mode) = args.mode else {
        stop(client, &args.id, None, deadline).await?;
        return Ok(start(client, &args.id, None, deadline).await?);
    };
    restart_as(client, &args.id, mode, deadline)
        .await
        .map_err(Into::into)
}

/// Restarts it with another mode.
pub(super) async fn restart_as(
    client: &Client,
    id: &MachineId,
    mode: Mode,
    deadline: Instant,
) -> Result<Machine, Error> {
    change(client, id, |config| mode.set(config), deadline).await?;
    start(client, id, None, deadline).await
}

async fn created(client: &Client, args: &CreateArgs, deadline: Instant) -> Result<Machine> {
    let file = args.config.display();
    let text = fs::read(&args.config).with_context(|| format!("cannot read {file}"))?;
    let config = serde_json::from_slice(&text).with_context(|| format!("{file}"))?;
    let create = Create {
        name: args.name.clone(),
        region: args.region.clone(),
        config,
        skip_launch: args.stopped,
        skip_service_registration: false,
    };
    let machine = match client.create(&create, deadline).await {
        Err(Error::NameTaken(name)) => {
            let machines = client.list(&Filter::default(), deadline).await?;
            let known = machines.into_iter().find(|machine| machine.name == name);
            known.with_context(|| format!("machine {name} was there and is gone: try again"))?
        }
        made => made?,
    };
    if args.stopped {
        return Ok(machine);
    }
    Ok(start(client, &machine.id, None, deadline).await?)
}

async fn destroyed(client: &Client, id: &MachineId, deadline: Instant) -> Result<Machine> {
    let machine = client.get(id, deadline).await?;
    client.destroy(id, deadline).await?;
    let state = State::Destroyed;
    Ok(Machine { state, ..machine })
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
            machine.region,
            machine.name,
            about(machine)
        )?;
    }
    Ok(())
}

fn about(machine: &Machine) -> String {
    let size = machine.config.guest.as_ref().map(|guest| {
        let Guest {
            cpu_kind,
            cpus,
            memory_mb,
            ..
        } = guest;
        format!("{cpu_kind}-{cpus}x/{memory_mb}MB")
    });
    let known = ["mode", "repository", "commit", "task"].map(|key| machine.metadata(key));
    let known = known.into_iter().flatten().map(str::to_owned);
    size.into_iter().chain(known).collect::<Vec<_>>().join(" ")
}
