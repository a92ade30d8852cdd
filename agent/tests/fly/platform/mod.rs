//! A double of Fly's platform, written from its documents: the Machines API, the
//! proxy, each machine's own socket, the issuer of identity tokens and the names in
//! its DNS. Machines are real `agent serve` processes, each with an address of its
//! own.
//!
//! Where the documents contradict each other, there is a switch. Every test passes
//! with all settings.

mod api;
mod control;
mod identity;
mod lifecycle;
mod names;
mod proxy;
mod replay;
mod socket;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::{Deref, DerefMut},
    process::Child,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU8, Ordering},
    },
    time::Instant,
};

use axum::Router;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

pub(crate) use self::identity::AUDIENCE;

pub(crate) const APP: &str = "agents";
pub(crate) const GATE: &str = "agents-gate";
pub(crate) const COORD: &str = "coord";
/// The port that machines listen on, each on an address of its own.
pub(crate) const PORT: u16 = 8080;

/// How the documents are read where they contradict each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Switches {
    /// Whether a request with `fly-force-instance-id` starts a stopped machine whose
    /// service has autostart; otherwise it fails.
    pub(crate) forced_wakes: bool,
    /// What becomes of requests that are forced on a cordoned machine or replayed to it.
    pub(crate) cordoned: Cordoned,
    /// Whether a replay starts such a machine.
    pub(crate) replay_wakes: bool,
    /// The size from which on a body is not replayed, in bytes.
    pub(crate) body_limit: usize,
    /// The separator of the fields of `fly-replay-src`.
    pub(crate) separator: char,
    /// Whether a service has autostart that does not mention it.
    pub(crate) autostart_default: bool,
    /// What a wait does when the machine can no longer reach the state.
    pub(crate) hopeless_wait: HopelessWait,
    /// How a destroyed machine is shown.
    pub(crate) destroyed: Destroyed,
}

/// What a wait does when the machine can no longer reach the state: the documents
/// do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HopelessWait {
    GoesOn,
    Ends,
}

/// How a destroyed machine is shown: the documents do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destroyed {
    /// Without its configuration, or not at all if somebody had it destroyed.
    Forgotten,
    /// As it was.
    Remembered,
}

/// Which requests a cordoned machine gets: the documents do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cordoned {
    GetsNothing,
    GetsItsOwn,
}

pub(crate) const STRICT: Switches = Switches {
    forced_wakes: false,
    cordoned: Cordoned::GetsNothing,
    replay_wakes: false,
    body_limit: 1_000_000,
    separator: ';',
    autostart_default: false,
    hopeless_wait: HopelessWait::GoesOn,
    destroyed: Destroyed::Forgotten,
};

pub(crate) const LENIENT: Switches = Switches {
    forced_wakes: true,
    cordoned: Cordoned::GetsItsOwn,
    replay_wakes: true,
    body_limit: 10_000_000,
    separator: ',',
    autostart_default: true,
    hopeless_wait: HopelessWait::Ends,
    destroyed: Destroyed::Remembered,
};

/// A fault of a machine's next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The machine stops before it is started.
    Dies,
    /// The machine is started, and its process ends at once.
    Crashes,
    /// The machine is started, and its agent never listens.
    Silent,
    /// The launch fails, and the platform destroys the machine.
    LaunchFails,
    /// The start is refused: the status, and the platform's message.
    Capacity(u16, &'static str),
}

/// A machine, as the platform knows it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) app: String,
    pub(crate) name: String,
    pub(crate) state: &'static str,
    pub(crate) version: u32,
    pub(crate) ip: IpAddr,
    pub(crate) config: Value,
    pub(crate) cordoned: bool,
    pub(crate) lease: Option<(String, Instant)>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) process: Option<Child>,
    pub(crate) open_requests: u32,
    /// Who had it destroyed, if it is: `user` or `flyd`.
    pub(crate) destroyed_by: Option<&'static str>,
}

/// The state of the platform.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) machines: BTreeMap<String, Record>,
    /// The calls of the API in order: the action, the machine, the status.
    pub(crate) calls: Vec<(String, String, u16)>,
    /// When each action was called, for the rate limits.
    rates: BTreeMap<String, Vec<Instant>>,
    /// The action whose calls are held.
    pub(crate) held: Option<&'static str>,
    /// How many calls are held now.
    waiting: u32,
    /// How many of the next calls are answered 429.
    pub(crate) storm: u32,
    /// The faults of the machine that is created next.
    pub(crate) next_faults: Vec<Fault>,
    /// The fault of every machine that is created.
    pub(crate) each_fault: Option<Fault>,
    /// The addresses of the coordinators.
    pub(crate) coordinators: Vec<SocketAddr>,
    turn: usize,
    created: u8,
}

/// What all parts of the platform share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) world: Mutex<World>,
    pub(crate) switches: Switches,
    changed: Notify,
    net: [u8; 2],
    home: TempDir,
    issuer: identity::Issuer,
    http: reqwest::Client,
}

/// Access to the state that may change it: whoever waits for a change looks again
/// when it is dropped.
pub(crate) struct Changing<'a> {
    world: MutexGuard<'a, World>,
    changed: &'a Notify,
}

impl Deref for Changing<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        // Those that wait take the lock when this function has returned.
        self.changed.notify_waiters();
    }
}

impl Shared {
    /// The state, to change it.
    pub(crate) fn world(&self) -> Changing<'_> {
        Changing {
            world: self.world.lock().unwrap(),
            changed: &self.changed,
        }
    }

    /// The state as it is.
    pub(crate) fn read(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Waits until the state is such that this holds.
    pub(crate) async fn until(&self, mut holds: impl FnMut() -> bool) {
        loop {
            let changed = self.changed.notified();
            if holds() {
                return;
            }
            changed.await;
        }
    }

    /// The same until a deadline; whether it held before that.
    async fn until_deadline(&self, deadline: Instant, holds: impl Fn(&World) -> bool) -> bool {
        let until = self.until(|| holds(&self.read()));
        tokio::time::timeout_at(deadline.into(), until)
            .await
            .is_ok()
    }
}

/// The platform; all of it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Platform {
    pub(crate) shared: Arc<Shared>,
    pub(crate) api: String,
    pub(crate) proxy: String,
    servers: Vec<JoinHandle<()>>,
}

impl Platform {
    pub(crate) async fn start(switches: Switches) -> Self {
        static PLATFORMS: AtomicU8 = AtomicU8::new(1);
        let process = u8::try_from(std::process::id() % 251).unwrap();
        let nth = PLATFORMS.fetch_add(1, Ordering::SeqCst);
        let issuer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            world: Mutex::default(),
            switches,
            changed: Notify::new(),
            net: [process + 1, nth],
            home: tempdir().unwrap(),
            issuer: identity::Issuer::new(issuer.local_addr().unwrap()),
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .build()
                .unwrap(),
        });
        let (api, api_server) = serve(api::router(Arc::clone(&shared))).await;
        let (proxy, proxy_server) = serve(proxy::router(Arc::clone(&shared))).await;
        let issuer_router = shared.issuer.router();
        let issuer_server = tokio::spawn(async move {
            axum::serve(issuer, issuer_router).await.unwrap();
        });
        let watcher = tokio::spawn(lifecycle::watch(Arc::clone(&shared)));
        let files = [
            ("token", "0123456789abcdef-token"),
            ("key", include_str!("../../keys/grant.pem")),
            ("public-key", include_str!("../../keys/grant-public.pem")),
        ];
        for (name, text) in files {
            std::fs::write(shared.home.path().join(name), text).unwrap();
        }
        Self {
            shared,
            api,
            proxy,
            servers: vec![api_server, proxy_server, issuer_server, watcher],
        }
    }

    pub(crate) fn issuer(&self) -> String {
        self.shared.issuer.url()
    }

    /// A file of the fleet: `token` and `public-key`, which all machines have, or the
    /// coordinator's `key`.
    pub(crate) fn file(&self, name: &str) -> String {
        self.shared
            .home
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
        let mut world = self.shared.world();
        for machine in world.machines.values_mut() {
            lifecycle::end(machine);
        }
    }
}

impl Shared {
    fn make(&self, world: &mut World, app: &str, name: &str, config: Value) -> String {
        world.created += 1;
        let id = format!(
            "{:x}",
            0x9080_e000_0000_u64 + u64::from(world.created) * 0x91
        );
        let ip = Ipv4Addr::new(127, self.net[0], self.net[1], world.created);
        let record = Record {
            id: id.clone(),
            app: app.to_owned(),
            name: name.to_owned(),
            state: "stopped",
            version: 1,
            ip: ip.into(),
            config,
            cordoned: false,
            lease: None,
            faults: match world.each_fault {
                Some(fault) => vec![fault],
                None => std::mem::take(&mut world.next_faults),
            },
            process: None,
            open_requests: 0,
            destroyed_by: None,
        };
        world.machines.insert(id.clone(), record);
        id
    }
}

impl Record {
    /// As the API shows it.
    pub(crate) fn shown(&self, switches: &Switches) -> Value {
        let image = self.config["image"].as_str().unwrap_or_default();
        let digest = image.split_once('@').map_or("", |(_, digest)| digest);
        json!({
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "region": "iad",
            "instance_id": self.instance(),
            "private_ip": self.ip,
            "config": if self.state == "destroyed" && switches.destroyed == Destroyed::Forgotten {
                Value::Null
            } else {
                self.config.clone()
            },
            "events": self.destroyed_by.map(|source| {
                [json!({ "type": "destroy", "status": "destroying", "source": source })]
            }),
            "image_ref": { "registry": "registry.fly.io", "repository": "agents", "digest": digest },
            "created_at": "2026-11-20T00:00:00Z",
            "host_status": "ok",
        })
    }

    pub(crate) fn instance(&self) -> String {
        format!("01{}v{}", self.id, self.version)
    }

    /// Whether its service has autostart.
    fn autostart(&self, switches: &Switches) -> bool {
        let service = &self.config["services"][0]["autostart"];
        service.as_bool().unwrap_or(switches.autostart_default)
    }
}

async fn serve(router: Router) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (format!("http://{address}"), server)
}
