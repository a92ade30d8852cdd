//! The proxy: `<app>.flycast` by Host, forced and preferred machines, autostart, and
//! replays.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;

use super::{
    COORD, Cordoned, PORT, Platform, Shared, lifecycle,
    replay::{JSON, Replay},
};

const FORCE: &str = "fly-force-instance-id";
const PREFER: &str = "fly-prefer-instance-id";
const FAILED: &str = "fly-replay-failed";
/// How often one request may be replayed (PA02).
const REPLAYS: u32 = 10;
/// How long a machine may take that the proxy starts itself.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// The pause between two attempts to connect to a machine.
const CONNECT_INTERVAL: Duration = Duration::from_millis(50);

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(route).with_state(shared)
}

impl Platform {
    /// An address that stands for `<app>.flycast`, whatever the Host is.
    pub(crate) async fn flycast(&self, app: &'static str) -> String {
        let shared = Arc::clone(&self.shared);
        let router = Router::new().fallback(async move |mut request: Request| {
            let name = HeaderValue::from_str(&format!("{app}.flycast")).unwrap();
            request.headers_mut().insert("host", name);
            route(State(shared), request).await
        });
        super::serve(router).await.0
    }
}

/// The body of a request that can be sent again, or only once.
enum Buffered {
    Whole(Bytes),
    Stream(Body),
}

type Failed = (StatusCode, &'static str);

async fn route(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let host = parts
        .headers
        .get("host")
        .and_then(|host| host.to_str().ok());
    let app = host
        .and_then(|host| host.split('.').next())
        .unwrap_or_default()
        .to_owned();
    let length = parts.headers.get("content-length");
    let length = length.map(|length| length.to_str().unwrap().parse::<usize>().unwrap());
    let is_chunked = parts.headers.contains_key("transfer-encoding");
    let body = match length {
        Some(length) if length < shared.switches.body_limit => {
            Buffered::Whole(to_bytes(body, length).await.unwrap())
        }
        None if !is_chunked => Buffered::Whole(Bytes::new()),
        _ => Buffered::Stream(body),
    };
    match shared.routed(&app, parts, body).await {
        Ok(response) => response,
        Err((status, message)) => (status, format!("{message}\n")).into_response(),
    }
}

impl Shared {
    async fn routed(
        self: &Arc<Self>,
        app: &str,
        mut parts: Parts,
        body: Buffered,
    ) -> Result<Response, Failed> {
        let mut target = self.target(app, &parts.headers).await?;
        let bytes = match body {
            Buffered::Whole(bytes) => bytes,
            Buffered::Stream(body) => {
                let response = self.send(target, &parts, HeaderMap::new(), body).await?;
                return match replay_in(response).await {
                    (Some(_), _) => Err(failed("PA01: the body is too large to be replayed")),
                    (None, response) => Ok(response),
                };
            }
        };
        let mut more = HeaderMap::new();
        let original = parts.headers.clone();
        for _ in 0..=REPLAYS {
            let body = Body::from(bytes.clone());
            let response = self.send(target, &parts, more.clone(), body).await?;
            let replay = match replay_in(response).await {
                (None, response) => return Ok(response),
                (Some(_), _) if more.contains_key(FAILED) => {
                    return Err(failed("a replay that has failed may not be replayed"));
                }
                (Some(replay), _) => replay,
            };
            more.clear();
            parts.headers.clone_from(&original);
            match self.replayed(&replay).await {
                Ok(address) => {
                    target = address;
                    for name in &replay.transform.delete_headers {
                        parts.headers.remove(name.as_str());
                    }
                    more.insert("fly-replay-src", replay.source(self.switches.separator));
                }
                Err(reason) if replay.fallback.as_deref() == Some("force_self") => {
                    more.insert(FAILED, replay.failed(reason));
                }
                Err(_) => return Err(failed("PR03: the replay has failed")),
            }
        }
        Err(failed("PA02: the request was replayed too often"))
    }

    /// The address that a request is sent to first.
    async fn target(
        self: &Arc<Self>,
        app: &str,
        headers: &HeaderMap,
    ) -> Result<SocketAddr, Failed> {
        let text = |name| {
            headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        if app == COORD {
            let mut world = self.world();
            world.turn += 1;
            let turn = world.turn;
            let many = world.coordinators.len();
            let coordinator = (many > 0).then(|| world.coordinators[turn % many]);
            return coordinator.ok_or((StatusCode::BAD_GATEWAY, "PR03: no candidate"));
        }
        if let Some(id) = text(FORCE) {
            return self.forced(app, id).await;
        }
        let (preferred, any, stopped) = {
            let world = self.read();
            let own = || {
                world
                    .machines
                    .values()
                    .filter(|machine| machine.app == app && !machine.cordoned)
            };
            let running = || own().filter(|machine| machine.state == "started");
            let preferred = text(PREFER).and_then(|id| running().find(|machine| machine.id == id));
            let wakes = |machine: &&super::Record| machine.autostart(&self.switches);
            let stopped = own().filter(|machine| matches!(machine.state, "stopped" | "suspended"));
            (
                preferred.map(|machine| machine.ip),
                running()
                    .min_by_key(|machine| machine.open_requests)
                    .map(|machine| machine.ip),
                stopped
                    .filter(wakes)
                    .map(|machine| machine.id.clone())
                    .next(),
            )
        };
        match (preferred.or(any), stopped) {
            (Some(ip), _) => Ok(at(ip)),
            (None, Some(id)) => self.woken(&id, START_TIMEOUT).await.ok_or(UNREACHED),
            (None, None) => Err((StatusCode::BAD_GATEWAY, "PR03: no candidate")),
        }
    }

    /// The address of a machine that a request is forced on.
    async fn forced(self: &Arc<Self>, app: &str, id: &str) -> Result<SocketAddr, Failed> {
        let (state, ip, wakes) = {
            let world = self.world();
            let machine = world.machines.get(id).filter(|machine| machine.app == app);
            let machine = machine.ok_or((StatusCode::NOT_FOUND, "no such machine"))?;
            if machine.cordoned && self.switches.cordoned == Cordoned::GetsNothing {
                return Err(UNREACHED);
            }
            (machine.state, machine.ip, machine.autostart(&self.switches))
        };
        if state == "started" {
            return Ok(at(ip));
        }
        if self.switches.forced_wakes && wakes {
            return self.woken(id, START_TIMEOUT).await.ok_or(UNREACHED);
        }
        Err(UNREACHED)
    }

    async fn replayed(self: &Arc<Self>, replay: &Replay) -> Result<SocketAddr, &'static str> {
        let id = replay.instance.as_deref().unwrap();
        let (state, ip, wakes) = {
            let world = self.world();
            let app = replay.app.as_deref().unwrap();
            let machine = world.machines.get(id).filter(|machine| machine.app == app);
            let machine = machine.ok_or("no_candidate")?;
            if machine.cordoned && self.switches.cordoned == Cordoned::GetsNothing {
                return Err("no_candidate");
            }
            (machine.state, machine.ip, machine.autostart(&self.switches))
        };
        let address = match state {
            "started" => at(ip),
            _ if self.switches.replay_wakes && wakes => {
                self.woken(id, replay.timeout()).await.ok_or("timeout")?
            }
            _ => return Err("no_candidate"),
        };
        let is_reached = reached(address, replay.timeout()).await;
        is_reached.then_some(address).ok_or("retries_exhausted")
    }

    /// Starts a machine as the proxy does, which reports no errors.
    async fn woken(self: &Arc<Self>, id: &str, timeout: Duration) -> Option<SocketAddr> {
        let deadline = Instant::now() + timeout;
        let (begun, ip) = {
            let mut world = self.world();
            let machine = world.machines.get_mut(id)?;
            (lifecycle::begin_start(machine).is_ok(), machine.ip)
        };
        if begun {
            self.world()
                .calls
                .push(("proxy start".into(), id.to_owned(), 200));
            lifecycle::start(self, id);
        }
        let runs = |world: &super::World| {
            world
                .machines
                .get(id)
                .is_some_and(|machine| machine.state == "started")
        };
        let is_up = self.until_deadline(deadline, runs).await;
        let left = deadline.saturating_duration_since(Instant::now());
        (is_up && reached(at(ip), left).await).then(|| at(ip))
    }

    async fn send(
        &self,
        to: SocketAddr,
        parts: &Parts,
        more: HeaderMap,
        body: Body,
    ) -> Result<Response, Failed> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        // Headers that only the proxy may set are removed from the caller's.
        let ours = ["fly-replay-src", FAILED];
        let mut headers = parts.headers.clone();
        for name in ours.iter().chain(&["transfer-encoding", "connection"]) {
            headers.remove(*name);
        }
        headers.extend(
            more.into_iter()
                .filter_map(|(name, value)| Some((name?, value))),
        );
        headers.insert(
            HeaderName::from_static("fly-request-id"),
            HeaderValue::from_static("01"),
        );
        let is_empty = headers
            .get("content-length")
            .is_none_or(|length| length == "0")
            && !parts.headers.contains_key("transfer-encoding");
        let mut request = self
            .http
            .request(parts.method.clone(), format!("http://{to}{path}"));
        if !is_empty {
            request = request.body(reqwest::Body::wrap_stream(body.into_data_stream()));
        }
        let answer = request.headers(headers).send().await;
        let answer = answer.map_err(|_| (StatusCode::BAD_GATEWAY, "PC05: could not connect"))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response.headers_mut().remove("transfer-encoding");
        Ok(response)
    }
}

const UNREACHED: Failed = (
    StatusCode::SERVICE_UNAVAILABLE,
    "PR04: could not find a good candidate",
);

fn failed(message: &'static str) -> Failed {
    (StatusCode::BAD_GATEWAY, message)
}

/// The replay that a response asks for, if it does; the response is whole again.
async fn replay_in(response: Response) -> (Option<Replay>, Response) {
    let (head, body) = response.into_parts();
    let is_json = head
        .headers
        .get("content-type")
        .is_some_and(|kind| kind == JSON);
    if !is_json && !head.headers.contains_key("fly-replay") {
        return (None, Response::from_parts(head, body));
    }
    let bytes = to_bytes(body, 1 << 16).await.unwrap();
    let replay = Replay::of(&head.headers, &bytes);
    (replay, Response::from_parts(head, Body::from(bytes)))
}

fn at(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, PORT)
}

/// Whether something listens there in time.
async fn reached(address: SocketAddr, timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    loop {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(CONNECT_INTERVAL).await;
    }
}
