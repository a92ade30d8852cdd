//! Starting and stopping machines: the transitional states, and the processes.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use super::{Fault, PORT, Platform, Record, Shared};
use crate::{AGENT, FAKE};

/// How long a machine is in a transitional state at least, so that it can be seen there.
const TRANSITION: Duration = Duration::from_millis(40);

/// The pause between two attempts to connect to an agent.
const CONNECT_INTERVAL: Duration = Duration::from_millis(20);

/// Begins a start, unless the state does not allow it.
pub(super) fn begin_start(machine: &mut Record) -> Result<(), (u16, String)> {
    if !matches!(machine.state, "stopped" | "suspended" | "created") {
        let message = format!(
            "failed_precondition: unable to start machine from current state: '{}'",
            machine.state
        );
        return Err((412, message));
    }
    if let Some(Fault::Capacity(status, message)) = machine.faults.first() {
        let refused = Err((*status, (*message).to_owned()));
        machine.faults.remove(0);
        return refused;
    }
    machine.state = "starting";
    Ok(())
}

/// Starts a machine that is `starting`.
pub(super) fn start(shared: &Arc<Shared>, id: &str) {
    let (shared, id) = (Arc::clone(shared), id.to_owned());
    tokio::spawn(async move {
        sleep(TRANSITION).await;
        let mut world = shared.world();
        let Some(machine) = world.machines.get_mut(&id) else {
            return;
        };
        if machine.state != "starting" {
            return;
        }
        let fault = (!machine.faults.is_empty()).then(|| machine.faults.remove(0));
        match fault {
            Some(Fault::Dies) => machine.state = "stopped",
            Some(Fault::LaunchFails) => {
                machine.state = "launch_failed";
                lose_soon(&shared, &id);
            }
            Some(Fault::Silent) => machine.state = "started",
            Some(Fault::Crashes) => {
                machine.process = Some(Command::new("false").spawn().unwrap());
                machine.state = "started";
            }
            _ => {
                machine.process = Some(boot(&shared, machine));
                machine.state = "started";
            }
        }
    });
}

/// Ends the process of a machine that is `stopping` or `suspending`, and then sets
/// its state.
pub(super) fn stop(shared: &Arc<Shared>, id: &str, then: &'static str) {
    let (shared, id) = (Arc::clone(shared), id.to_owned());
    tokio::spawn(async move {
        sleep(TRANSITION).await;
        let ended = {
            let mut world = shared.world();
            world
                .machines
                .get_mut(&id)
                .and_then(|machine| machine.process.take())
        };
        if let Some(process) = ended {
            drop(tokio::task::spawn_blocking(move || terminate(process)).await);
        }
        let mut world = shared.world();
        if let Some(machine) = world.machines.get_mut(&id) {
            machine.state = then;
        }
    });
}

/// Ends its process now.
pub(super) fn end(machine: &mut Record) {
    if let Some(process) = machine.process.take() {
        terminate(process);
    }
}

fn terminate(mut process: Child) {
    let pid = process.id().to_string();
    // Fails if the process has ended by itself.
    let kill = Command::new("kill").arg(pid).stderr(Stdio::null()).status();
    kill.expect("kill is installed");
    process.wait().expect("it is our child");
}

/// Destroys a machine that is `launch_failed`.
fn lose_soon(shared: &Arc<Shared>, id: &str) {
    let (shared, id) = (Arc::clone(shared), id.to_owned());
    tokio::spawn(async move {
        sleep(TRANSITION).await;
        shared.lose(&id, "destroyed");
    });
}

impl Shared {
    /// The platform loses a machine, whose process ends.
    pub(super) fn lose(&self, id: &str, state: &'static str) {
        let mut world = self.world();
        let machine = world.machines.get_mut(id).unwrap();
        end(machine);
        machine.state = state;
        machine.destroyed_by = (state == "destroyed").then_some("flyd");
    }
}

impl Platform {
    /// Starts a machine without a call of the API.
    pub(crate) fn boot(&self, id: &str) {
        let mut world = self.shared.world();
        let machine = world.machines.get_mut(id).unwrap();
        let is_silent = machine.state == "started" && machine.process.is_none();
        if is_silent || machine.state == "stopped" {
            machine.process = Some(boot(&self.shared, machine));
            machine.state = "started";
        }
    }

    /// Waits until its agent listens.
    pub(crate) async fn listens(&self, id: &str) {
        let address = SocketAddr::new(self.inspect(id, |machine| machine.ip), PORT);
        while TcpStream::connect(address).await.is_err() {
            sleep(CONNECT_INTERVAL).await;
        }
    }
}

/// What the machine's init does: runs the agent, with the machine's environment.
fn boot(shared: &Shared, machine: &Record) -> Child {
    let home = shared.home.path().join(&machine.id);
    for name in ["work", "codex"] {
        fs::create_dir_all(home.join(name)).unwrap();
    }
    let mut command = Command::new(AGENT);
    command.args(["serve", "--listen", &format!("{}:{PORT}", machine.ip)]);
    command.args([
        "--command",
        FAKE,
        "--allow-host",
        "agents.flycast,coord.flycast",
    ]);
    command.arg("--workspace").arg(home.join("work"));
    command.arg("--log-dir").arg(home.join("logs"));
    command
        .arg("--token-file")
        .arg(shared.home.path().join("token"));
    command
        .arg("--grant-key-file")
        .arg(shared.home.path().join("public-key"));
    command.env("CODEX_HOME", home.join("codex"));
    command.env("FLY_MACHINE_ID", &machine.id);
    command.env("FLY_APP_NAME", &machine.app);
    command.env("AGENT_LOG", "warn");
    if let Some(env) = machine.config["env"].as_object() {
        let pairs = env
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_str()?)));
        command.envs(pairs);
    }
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// Stops machines whose processes have ended by themselves.
pub(super) async fn watch(shared: Arc<Shared>) {
    let mut child_ended = signal(SignalKind::child()).unwrap();
    loop {
        child_ended.recv().await;
        let mut world = shared.world();
        for machine in world.machines.values_mut() {
            let Some(process) = &mut machine.process else {
                continue;
            };
            if machine.state == "started" && process.try_wait().unwrap().is_some() {
                machine.process = None;
                machine.state = "stopped";
            }
        }
    }
}
