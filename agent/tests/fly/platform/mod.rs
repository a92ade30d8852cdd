//! A double of the platform, written from its documents: the Machines API,
//! the proxy, each machine's own socket, the issuer of identity tokens and the
//! names in its DNS. Machines are real `agent serve` processes, each with an
//! address of its own.
//!
//! Where the documents contradict each other, there is a switch. Every test
//! holds under all settings.

mod api;
mod identity;
mod life;
mod names;
mod proxy;
mod replay;
mod socket;
mod told;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Child,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use axum::Router;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

pub(crate) use self::identity::AUDIENCE;

pub(crate) const APP: &str = "agents";
pub(crate) const GATE: &str = "agents-gate";
pub(crate) const COORD: &str = "coord";
/// Machines listen here, each on its own address.
pub(crate) const PORT: u16 = 8080;

/// How the documents are read where they say two things.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Switches {
    /// A forced request starts a stopped machine whose service has autostart;
    /// else it fails.
    pub(crate) forced_wakes: bool,
    /// What a cordoned machine gets of what is forced on it or replayed to it.
    pub(crate) cordoned: Cordoned,
    /// So does a replay.
    pub(crate) replay_wakes: bool,
    /// How large a body may be that is replayed: 1 MB, or 10 MB.
    pub(crate) body_limit: usize,
    /// The fields of `fly-replay-src` are separated by that.
    pub(crate) separator: char,
    /// What a service does that says nothing of autostart.
    pub(crate) autostart_default: bool,
    /// What a wait does when a machine can no longer get there.
    pub(crate) hopeless_wait: HopelessWait,
}

/// The documents do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HopelessWait {
    GoesOn,
    Ends,
}

/// The documents do not say.
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
};

pub(crate) const LENIENT: Switches = Switches {
    forced_wakes: true,
    cordoned: Cordoned::GetsItsOwn,
    replay_wakes: true,
    body_limit: 10_000_000,
    separator: ',',
    autostart_default: true,
    hopeless_wait: HopelessWait::Ends,
};

/// What goes wrong with a machine's next starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It ends before it is started.
    Dies,
    /// It is started, and its process ends at once.
    Crashes,
    /// It is started, and its agent never listens.
    Silent,
    /// There is no room: the platform's words and their status.
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
}

/// All that is there.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) machines: BTreeMap<String, Record>,
    /// What was asked of the API in its order: the action, the machine, the answer.
    pub(crate) calls: Vec<(String, String, u16)>,
    /// When each action was asked for, for the rate limits.
    rates: BTreeMap<String, Vec<Instant>>,
    /// Calls for this action wait for as long as it stands here.
    pub(crate) held: Option<&'static str>,
    waiting: u32,
    /// So many calls are answered 429 first.
    pub(crate) storm: u32,
    /// Faults that the next machine is made with.
    pub(crate) next_faults: Vec<Fault>,
    /// Where the coordinators are.
    pub(crate) coordinators: Vec<SocketAddr>,
    turn: usize,
    made: u8,
}

/// What all parts know.
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

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
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
        let watcher = tokio::spawn(life::watch(Arc::clone(&shared)));
        let machine_files = ["token", "key"];
        for name in machine_files {
            std::fs::write(
                shared.home.path().join(name),
                format!("0123456789abcdef-{name}"),
            )
            .unwrap();
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

    /// A file that all machines have: `token` or `key`.
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
            life::end(machine);
        }
    }
}

impl Shared {
    fn make(&self, world: &mut World, app: &str, name: &str, config: Value) -> String {
        world.made += 1;
        let id = format!("{:x}", 0x9080_e000_0000_u64 + u64::from(world.made) * 0x91);
        let ip = Ipv4Addr::new(127, self.net[0], self.net[1], world.made);
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
            faults: std::mem::take(&mut world.next_faults),
            process: None,
            open_requests: 0,
        };
        world.machines.insert(id.clone(), record);
        id
    }

    /// Waits until something is so.
    async fn until(&self, deadline: Instant, is_so: impl Fn(&World) -> bool) -> bool {
        loop {
            let changed = self.changed.notified();
            if is_so(&self.world()) {
                return true;
            }
            let tick = Duration::from_millis(50);
            drop(tokio::time::timeout(tick, changed).await);
            if Instant::now() >= deadline {
                return false;
            }
        }
    }
}

impl Record {
    /// As the API shows it.
    pub(crate) fn shown(&self) -> Value {
        let image = self.config["image"].as_str().unwrap_or_default();
        let digest = image.split_once('@').map_or("", |(_, digest)| digest);
        json!({
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "region": "iad",
            "instance_id": self.instance(),
            "private_ip": self.ip,
            "config": self.config,
            "image_ref": { "registry": "registry.fly.io", "repository": "agents", "digest": digest },
            "created_at": "2026-11-20T00:00:00Z",
            "host_status": "ok",
        })
    }

    pub(crate) fn instance(&self) -> String {
        format!("01{}v{}", self.id, self.version)
    }

    /// What its service says, under the API's names.
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
