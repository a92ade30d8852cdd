//! Operations that take several calls: starting a machine until it runs,
//! stopping it, changing its configuration.

use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    backoff::backoff,
    client::Client,
    error::Error,
    lease::Lease,
    model::{Config, Guest, Machine, MachineId, RETIRED, Size},
    state::{Prospect, State},
};

/// A machine that does not run after so many starts will not run.
const MAX_STARTS: u32 = 2;
/// The pause between attempts stops growing after so many.
const MAX_BACKOFF: u32 = 3;

/// How often a machine was started for one purpose.
#[derive(Debug, Default)]
pub struct Starts(u32);

impl Starts {
    /// Whether there is no point in another start.
    pub fn are_exhausted(&self) -> bool {
        self.0 >= MAX_STARTS
    }

    /// The error for a machine that was started and is in `state` again.
    pub fn died(&self, machine: &MachineId, state: State) -> Error {
        Error::Died {
            machine: machine.clone(),
            starts: self.0,
            state,
        }
    }
}

/// What to do next on the way to `started`.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Nothing: the machine runs.
    Done,
    /// Start the machine.
    Start,
    /// Wait for this state, which the machine is changing to.
    Wait(State),
    /// Give up: the machine will never run.
    Never,
}

fn towards_started(state: &State) -> Step {
    match (state.prospect(), state) {
        (Prospect::Runs, _) => Step::Done,
        (Prospect::Resumable | Prospect::Startable, _) => Step::Start,
        // Starting a machine that is stopping is an error (PM08).
        (Prospect::Changes, State::Suspending) => Step::Wait(State::Suspended),
        (Prospect::Changes, _) => Step::Wait(State::Stopped),
        (Prospect::Starts | Prospect::Unclear, _) => Step::Wait(State::Started),
        (Prospect::Gone, _) => Step::Never,
    }
}

/// Starts a machine, unless it runs, and waits until it runs. Other starts and
/// changes in progress are waited for.
///
/// # Errors
///
/// [`Error::Died`] when the machine does not stay up, [`Error::NoCapacity`] when
/// the platform has no room for it; see [`Error`].
pub async fn start(
    client: &Client,
    id: &MachineId,
    nonce: Option<&str>,
    deadline: Instant,
) -> Result<Machine, Error> {
    start_counted(client, id, nonce, &mut Starts::default(), deadline).await
}

/// [`start`] for a purpose that the machine may have been started for before.
///
/// # Errors
///
/// See [`start`].
pub async fn start_counted(
    client: &Client,
    id: &MachineId,
    nonce: Option<&str>,
    starts: &mut Starts,
    deadline: Instant,
) -> Result<Machine, Error> {
    let mut last = "its state is unknown".to_owned();
    for attempt in 0.. {
        let machine = client.get(id, deadline).await?;
        match towards_started(&machine.state) {
            Step::Done => return Ok(machine),
            Step::Never => return Err(unstartable(machine)),
            Step::Wait(state) => {
                client.wait(&machine, state, deadline).await?;
                last = format!("it is {}", machine.state);
            }
            Step::Start if starts.are_exhausted() => return Err(starts.died(id, machine.state)),
            Step::Start => match client.request_start(id, nonce, deadline).await {
                Ok(()) => {
                    starts.0 += 1;
                    info!(machine = %id, "started");
                    client.wait(&machine, State::Started, deadline).await?;
                    last = format!("it was {} and is started", machine.state);
                }
                Err(error) if error.is_transient() => {
                    last = error.to_string();
                    backoff(attempt.min(MAX_BACKOFF), None, deadline).await;
                }
                Err(error) => return Err(error),
            },
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    let operation = format!("the start of machine {id}");
    Err(Error::TimedOut { operation, last })
}

fn unstartable(machine: Machine) -> Error {
    if machine.state.is_lost() {
        return Error::Unstartable {
            machine: machine.id,
            state: machine.state,
        };
    }
    Error::NotFound(format!("machine {}", machine.id))
}

/// Destroys a machine because somebody asked for it: nothing takes its place.
///
/// # Errors
///
/// See [`Error`].
pub async fn destroy(client: &Client, id: &MachineId, deadline: Instant) -> Result<Machine, Error> {
    let machine = client.get(id, deadline).await?;
    let marked = client.set_metadata(id, (RETIRED, "yes"), None, deadline);
    if let Err(error) = marked.await {
        // Somebody else's lease does not save it, nor does its state.
        warn!(machine = %id, %error, "cannot mark a machine that is to be destroyed");
    }
    client.destroy(id, deadline).await?;
    let state = State::Destroyed;
    Ok(Machine { state, ..machine })
}

/// Stops a machine, and waits until it is stopped.
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
    let mut last = "its state is unknown".to_owned();
    for attempt in 0.. {
        let machine = client.get(id, deadline).await?;
        let requested = match machine.state {
            State::Stopped | State::Created => return Ok(machine),
            State::Stopping => Ok(()),
            _ if machine.state.is_gone() => return Err(unstartable(machine)),
            _ => client.request_stop(id, nonce, deadline).await,
        };
        last = format!("it is {}", machine.state);
        match requested {
            Ok(()) => {
                client.wait(&machine, State::Stopped, deadline).await?;
            }
            Err(error) if error.is_transient() => {
                last = error.to_string();
                backoff(attempt.min(MAX_BACKOFF), None, deadline).await;
            }
            Err(error) => return Err(error),
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    let operation = format!("the stop of machine {id}");
    Err(Error::TimedOut { operation, last })
}

/// Suspends a machine that runs, and waits until it is suspended, or stopped
/// where the platform cannot save its memory.
///
/// # Errors
///
/// See [`Error`].
pub async fn suspend(client: &Client, id: &MachineId, deadline: Instant) -> Result<Machine, Error> {
    let mut is_requested = false;
    loop {
        let machine = client.get(id, deadline).await?;
        match machine.state {
            State::Suspended | State::Stopped | State::Created => return Ok(machine),
            State::Started if !is_requested => {
                client.request_suspend(id, deadline).await?;
                is_requested = true;
            }
            _ => {}
        }
        client.wait(&machine, State::Suspended, deadline).await?;
        if Instant::now() >= deadline {
            let operation = format!("the suspension of machine {id}");
            let last = format!("it is {}", machine.state);
            return Err(Error::TimedOut { operation, last });
        }
    }
}

/// Changes the size of a machine: see [`change`].
///
/// # Errors
///
/// [`Error::Invalid`] when the platform has no such size; see [`Error`].
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
    guest.check().map_err(Error::Invalid)?;
    let edit = |config: &mut Config| config.guest = Some(guest.clone());
    change(client, id, edit, deadline).await
}

/// Changes a machine's configuration under its lease: stops the machine, updates
/// it, and starts it again if it ran. What `edit` leaves alone stays.
///
/// # Errors
///
/// See [`Error`]. A machine that was stopped and could not be changed stays
/// stopped.
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
        // An update would restart a running machine at any point of its work.
        let stopped = stop(client, id, Some(nonce), deadline).await?;
        let changed = update(client, &stopped, &config, nonce, deadline).await?;
        match before.state {
            State::Stopped | State::Created => Ok(changed),
            _ => start(client, id, Some(nonce), deadline).await,
        }
    };
    client.leased(id, deadline, work).await
}

/// Changes the configuration of a machine under its lease, if the machine is
/// stopped, and leaves it stopped.
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

/// [`change_stopped`] for a caller that holds the lease.
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
    match (&before.state, edited(&before, edit)) {
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
        Err(Error::Conflict { operation, message }) => {
            let now = client.get(&read.id, deadline).await?;
            // The first attempt may have succeeded, and its response been lost.
            if now.config != *config {
                return Err(Error::Conflict { operation, message });
            }
            now
        }
        changed => changed?,
    };
    info!(machine = %read.id, version = changed.instance_id, "updated");
    Ok(changed)
}
