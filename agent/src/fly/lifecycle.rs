//! What takes several calls: to start a machine and see it run, to stop it,
//! to change it.

use tokio::time::Instant;
use tracing::info;

use super::{
    client::Client,
    error::Error,
    http::pause,
    lease::Lease,
    model::{Config, Guest, Machine, MachineId, Size, State},
};

/// A machine that was started so often and does not run will not run.
const STARTS: u32 = 2;

/// How often a machine was started for one purpose.
#[derive(Debug, Default)]
pub struct Starts(u32);

impl Starts {
    /// Whether one more may help.
    pub fn are_enough(&self) -> bool {
        self.0 >= STARTS
    }

    /// A machine that did not stay up.
    pub fn died(&self, machine: &MachineId, state: State) -> Error {
        Error::Died {
            machine: machine.clone(),
            times: self.0,
            state,
        }
    }
}

/// What a state asks for, on the way to `started`.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It runs.
    Done,
    /// It can be started.
    Launch,
    /// It is on its way to this state.
    Wait(State),
    /// It will never run.
    Never,
}

fn towards_started(state: State) -> Step {
    match state {
        State::Started => Step::Done,
        State::Stopped | State::Suspended | State::Created => Step::Launch,
        // Starting one that is stopping is an error (PM08).
        State::Stopping => Step::Wait(State::Stopped),
        State::Suspending => Step::Wait(State::Suspended),
        State::Creating
        | State::Starting
        | State::Restarting
        | State::Updating
        | State::Replacing
        | State::Unknown => Step::Wait(State::Started),
        State::Failed
        | State::LaunchFailed
        | State::Destroying
        | State::Destroyed
        | State::Replaced
        | State::Migrated => Step::Never,
    }
}

/// Starts a machine, unless it runs, and waits until it does. Whoever else
/// starts or changes it at the time is waited for.
///
/// # Errors
///
/// [`Error::Died`] when it does not stay up, [`Error::NoCapacity`] when there
/// is no room; see [`Error`].
pub async fn start(
    client: &Client,
    id: &MachineId,
    nonce: Option<&str>,
    deadline: Instant,
) -> Result<Machine, Error> {
    start_counted(client, id, (nonce, &mut Starts::default()), deadline).await
}

/// The same, for a purpose that it may have been started for before.
///
/// # Errors
///
/// See [`start`].
pub async fn start_counted(
    client: &Client,
    id: &MachineId,
    (nonce, starts): (Option<&str>, &mut Starts),
    deadline: Instant,
) -> Result<Machine, Error> {
    let mut last = "nothing was heard".to_owned();
    for times in 1.. {
        let machine = client.get(id, deadline).await?;
        match towards_started(machine.state) {
            Step::Done => return Ok(machine),
            Step::Never => return Err(dead(machine)),
            Step::Wait(state) => {
                client.wait(&machine, state, deadline).await?;
                last = format!("it is {}", machine.state);
            }
            Step::Launch if starts.are_enough() => return Err(starts.died(id, machine.state)),
            Step::Launch => match client.launch(id, nonce, deadline).await {
                Ok(()) => {
                    starts.0 += 1;
                    info!(machine = %id, "started");
                    client.wait(&machine, State::Started, deadline).await?;
                    last = format!("it was {} and is started", machine.state);
                }
                Err(error) if error.is_passing() => {
                    last = error.to_string();
                    pause(times.min(4), None, deadline).await;
                }
                Err(error) => return Err(error),
            },
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    let doing = format!("the start of machine {id}");
    Err(Error::Late { doing, last })
}

fn dead(machine: Machine) -> Error {
    match machine.state {
        State::Failed | State::LaunchFailed => Error::Dead {
            machine: machine.id,
            state: machine.state,
        },
        _ => Error::NotFound(format!("machine {}", machine.id)),
    }
}

/// Stops a machine and waits until it is stopped.
///
/// # Errors
///
/// See [`Error`].
pub async fn stop(
    client: &Client,
    id: &MachineId,
    nonce: Option<&str>,
    deadline: Instant,
) -> Result<Machine, Error> {
    let mut last = "nothing was heard".to_owned();
    for times in 1.. {
        let machine = client.get(id, deadline).await?;
        let told = match machine.state {
            State::Stopped | State::Created => return Ok(machine),
            State::Stopping => Ok(()),
            State::Failed | State::LaunchFailed | State::Destroyed | State::Destroying => {
                return Err(dead(machine));
            }
            _ => client.halt(id, nonce, deadline).await,
        };
        last = format!("it is {}", machine.state);
        match told {
            Ok(()) => drop(client.wait(&machine, State::Stopped, deadline).await?),
            Err(error) if error.is_passing() => {
                last = error.to_string();
                pause(times.min(4), None, deadline).await;
            }
            Err(error) => return Err(error),
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    let doing = format!("the stop of machine {id}");
    Err(Error::Late { doing, last })
}

/// Suspends a machine that runs and waits until it is suspended, or stopped
/// where the platform cannot keep its memory.
///
/// # Errors
///
/// See [`Error`].
pub async fn suspend(client: &Client, id: &MachineId, deadline: Instant) -> Result<Machine, Error> {
    let mut asked = false;
    loop {
        let machine = client.get(id, deadline).await?;
        match machine.state {
            State::Suspended | State::Stopped | State::Created => return Ok(machine),
            State::Started if !asked => {
                client.suspend(id, deadline).await?;
                asked = true;
            }
            _ => {}
        }
        client.wait(&machine, State::Suspended, deadline).await?;
        if Instant::now() >= deadline {
            let doing = format!("the suspension of machine {id}");
            let last = format!("it is {}", machine.state);
            return Err(Error::Late { doing, last });
        }
    }
}

/// Gives a machine another size: see [`change`].
///
/// # Errors
///
/// See [`Error`]; there is no such size.
pub async fn resize(
    client: &Client,
    id: &MachineId,
    size: &Size,
    deadline: Instant,
) -> Result<Machine, Error> {
    let before = client.get(id, deadline).await?;
    let guest = before
        .config
        .guest
        .ok_or_else(|| Error::Invalid(format!("machine {id} has no size to change")))?;
    let guest = Guest {
        cpu_kind: size.cpu_kind.clone().unwrap_or(guest.cpu_kind),
        cpus: size.cpus.unwrap_or(guest.cpus),
        memory_mb: size.memory_mb.unwrap_or(guest.memory_mb),
        rest: guest.rest,
    };
    guest.check()?;
    let edit = |config: &mut Config| config.guest = Some(guest.clone());
    change(client, id, edit, deadline).await
}

/// Changes a machine's configuration under a lease, while it is stopped, and
/// starts it again if it ran. What `edit` leaves alone stays.
///
/// # Errors
///
/// See [`Error`]. A machine that was stopped for it and could not be changed
/// is stopped.
pub async fn change(
    client: &Client,
    id: &MachineId,
    edit: impl Fn(&mut Config),
    deadline: Instant,
) -> Result<Machine, Error> {
    let work = |lease: Lease| async move {
        let nonce = lease.nonce();
        let before = client.get(id, deadline).await?;
        let Some(config) = edited(&before, edit) else {
            return Ok(before);
        };
        // Never a running one: an update restarts it where it stands.
        let stopped = stop(client, id, Some(nonce), deadline).await?;
        let changed = update(client, &stopped, &config, nonce, deadline).await?;
        match before.state {
            State::Stopped | State::Created => Ok(changed),
            _ => start(client, id, Some(nonce), deadline).await,
        }
    };
    client.leased(id, deadline, work).await
}

/// Changes a machine's configuration if it is stopped still, and leaves it so.
///
/// # Errors
///
/// See [`Error`].
pub async fn change_stopped(
    client: &Client,
    id: &MachineId,
    edit: impl Fn(&mut Config),
    deadline: Instant,
) -> Result<Machine, Error> {
    let work =
        |lease: Lease| async move { change_held(client, id, edit, lease.nonce(), deadline).await };
    client.leased(id, deadline, work).await
}

/// The same, by whoever has its lease already.
///
/// # Errors
///
/// See [`Error`].
pub async fn change_held(
    client: &Client,
    id: &MachineId,
    edit: impl Fn(&mut Config),
    nonce: &str,
    deadline: Instant,
) -> Result<Machine, Error> {
    let before = client.get(id, deadline).await?;
    match (before.state, edited(&before, edit)) {
        (State::Stopped | State::Created, Some(config)) => {
            update(client, &before, &config, nonce, deadline).await
        }
        _ => Ok(before),
    }
}

fn edited(machine: &Machine, edit: impl Fn(&mut Config)) -> Option<Config> {
    let mut config = machine.config.clone();
    edit(&mut config);
    (config != machine.config).then_some(config)
}

async fn update(
    client: &Client,
    read: &Machine,
    config: &Config,
    nonce: &str,
    deadline: Instant,
) -> Result<Machine, Error> {
    let changed = match client.update(read, config, nonce, deadline).await {
        Err(Error::Conflict { doing, told }) => {
            let now = client.get(&read.id, deadline).await?;
            // Perhaps it was us, and the answer to a first try was lost.
            if now.config != *config {
                return Err(Error::Conflict { doing, told });
            }
            now
        }
        changed => changed?,
    };
    info!(machine = %read.id, version = changed.instance_id, "changed");
    Ok(changed)
}
