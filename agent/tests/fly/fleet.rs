//! A platform with coordinators, and who calls them.

use std::{
    future::Future,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::{
    AGENT,
    platform::{APP, LENIENT, Platform, STRICT},
};

pub(crate) const TOKEN: &str = "0123456789abcdef-token";
/// What takes longer hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A platform and its coordinators, which end with it.
pub(crate) struct Fleet {
    pub(crate) platform: Platform,
    pub(crate) coordinators: Vec<Child>,
    http: Client,
}

/// Runs a test under all settings of the platform's switches.
pub(crate) async fn under_both<F: Future<Output = ()>>(test: impl Fn(Fleet) -> F) {
    for switches in [STRICT, LENIENT] {
        let fleet = Fleet {
            platform: Platform::start(switches).await,
            coordinators: Vec::new(),
            http: Client::builder().no_proxy().build().unwrap(),
        };
        let done = tokio::time::timeout(DEADLINE, test(fleet)).await;
        assert!(done.is_ok(), "it hangs with {switches:?}");
    }
}

impl Fleet {
    /// One more coordinator.
    pub(crate) fn coordinator(&mut self, more: &[&str]) -> String {
        let mut command = Command::new(AGENT);
        command.args(["coordinator", "--listen", "127.0.0.1:0", "--app", APP]);
        command.args([
            "--api-url",
            &self.platform.api,
            "--allow-host",
            "coord.flycast",
        ]);
        command.args(["--token-file", &self.platform.file("token")]);
        command.args(["--grant-key-file", &self.platform.file("key")]);
        command.args(["--issuer", &self.platform.issuer()]);
        for (name, value) in [("--sweep", "0"), ("--patience", "60")] {
            if !more.contains(&name) {
                command.args([name, value]);
            }
        }
        command.args(more).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let (_, address) = line.trim().split_once("http://").unwrap();
        let address: SocketAddr = address.parse().unwrap();
        self.platform.shared.world().coordinators.push(address);
        self.coordinators.push(process);
        format!("http://{address}")
    }

    /// A request to an app by its flycast name, through the proxy.
    pub(crate) fn ask(&self, method: &str, app: &str, path: &str) -> RequestBuilder {
        self.bare(method, app, path).bearer_auth(TOKEN)
    }

    /// The same, of somebody who knows no token.
    pub(crate) fn bare(&self, method: &str, app: &str, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.platform.proxy);
        let request = self.http.request(method.parse().unwrap(), url);
        request.header("host", format!("{app}.flycast"))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.ask("GET", "coord", path).send().await.unwrap()
    }

    /// Its status, and what it says.
    pub(crate) async fn manage(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.ask(method, "coord", path);
        let request = if body.is_null() {
            request
        } else {
            request.json(&body)
        };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let read = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (status, read)
    }

    /// A stopped machine with an agent's configuration.
    pub(crate) fn stopped(&self, name: &str) -> String {
        self.platform.machine(APP, name, config())
    }

    pub(crate) fn template(&self) -> String {
        let id = self.platform.machine(APP, "ag-template", config());
        let mut world = self.platform.shared.world();
        let machine = world.machines.get_mut(&id).unwrap();
        machine.state = "created";
        machine.config["metadata"]["role"] = "template".into();
        id
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for process in &mut self.coordinators {
            // Some were killed already.
            let _killed = process.kill();
            let _reaped = process.wait();
        }
    }
}

/// What an agent's machine is made of, under the API's own names.
pub(crate) fn config() -> Value {
    json!({
        "image": "registry.fly.io/agents@sha256:aaaa",
        "guest": { "cpu_kind": "performance", "cpus": 2, "memory_mb": 8192 },
        "env": {},
        "metadata": { "role": "agent" },
        "restart": { "policy": "on-failure" },
        "services": [{ "protocol": "tcp", "internal_port": 8080, "autostart": false,
            "autostop": "off", "concurrency": { "type": "requests", "soft_limit": 50 } }],
        "rootfs": { "persist": "restart" },
    })
}

/// Looks until it is so; the test's deadline is for both.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
