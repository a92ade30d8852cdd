//! A platform with coordinators, and clients of them.

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
    platform::{APP, LENIENT, PORT, Platform, STRICT},
};

pub(crate) const TOKEN: &str = "0123456789abcdef-token";
/// A test that takes longer hangs, even on a busy machine.
const TEST_TIMEOUT: Duration = Duration::from_secs(300);
/// The pause between two requests to an agent that is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A platform and its coordinators, which end when it is dropped.
pub(crate) struct Fleet {
    pub(crate) platform: Platform,
    pub(crate) coordinators: Vec<Child>,
    http: Client,
}

/// Runs a test with all settings of the platform's switches.
pub(crate) async fn under_both<F: Future<Output = ()>>(test: impl Fn(Fleet) -> F) {
    for switches in [STRICT, LENIENT] {
        let fleet = Fleet {
            platform: Platform::start(switches).await,
            coordinators: Vec::new(),
            http: Client::builder().no_proxy().build().unwrap(),
        };
        let done = tokio::time::timeout(TEST_TIMEOUT, test(fleet)).await;
        assert!(done.is_ok(), "it hangs with {switches:?}");
    }
}

impl Fleet {
    /// Starts one more coordinator; its URL.
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
    pub(crate) fn request(&self, method: &str, app: &str, path: &str) -> RequestBuilder {
        self.request_without_token(method, app, path)
            .bearer_auth(TOKEN)
    }

    /// The same without a token.
    pub(crate) fn request_without_token(
        &self,
        method: &str,
        app: &str,
        path: &str,
    ) -> RequestBuilder {
        let url = format!("{}{path}", self.platform.proxy);
        let request = self.http.request(method.parse().unwrap(), url);
        request.header("host", format!("{app}.flycast"))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request("GET", "coord", path).send().await.unwrap()
    }

    /// The status of a machine's agent, through a coordinator.
    pub(crate) async fn status_of(&self, id: &str) -> Response {
        self.get(&format!("/status?machine={id}")).await
    }

    /// The same for a machine that cannot answer: the HTTP status, the message, and
    /// the `Retry-After`.
    pub(crate) async fn refusal_of(&self, id: &str) -> (u16, String, Option<String>) {
        let answer = self.status_of(id).await;
        let status = answer.status().as_u16();
        let retry = answer.headers().get("retry-after");
        let retry = retry.map(|value| value.to_str().unwrap().to_owned());
        let message: Value = answer.json().await.unwrap();
        (status, message["error"].as_str().unwrap().to_owned(), retry)
    }

    /// A request to manage machines: the HTTP status, and the body.
    pub(crate) async fn manage(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.request(method, "coord", path);
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

    /// A machine's own address, past the proxy.
    pub(crate) fn own_url(&self, id: &str) -> String {
        let ip = self.platform.inspect(id, |machine| machine.ip);
        format!("http://{}", SocketAddr::new(ip, PORT))
    }

    /// Starts codex on a machine that runs, and sends it a message, past the proxy.
    pub(crate) async fn message(&self, id: &str, text: &str) {
        self.platform.listens(id).await;
        let url = self.own_url(id);
        for arguments in [&["start"][..], &["message", text]] {
            let mut command = Command::new(AGENT);
            command.arg(arguments[0]).arg(&url).args(&arguments[1..]);
            command.env("AGENT_TOKEN_FILE", self.platform.file("token"));
            let output = tokio::task::spawn_blocking(move || command.output().unwrap());
            let output = output.await.unwrap();
            let message = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{arguments:?}: {message}");
        }
    }

    /// Interrupts codex there.
    pub(crate) async fn interrupt(&self, id: &str) {
        let request = self.http.post(self.own_url(id) + "/interrupt");
        let answer = request.bearer_auth(TOKEN).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// Waits until codex there is in this state.
    pub(crate) async fn wait_for_state(&self, id: &str, state: &str) {
        loop {
            let request = self.http.get(self.own_url(id) + "/status");
            let answer = request.bearer_auth(TOKEN).send().await.unwrap();
            let message: Value = answer.json().await.unwrap();
            if message["state"] == state {
                return;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until the platform's state is such that this holds.
    pub(crate) async fn until(&self, holds: impl FnMut() -> bool) {
        self.platform.shared.until(holds).await;
    }

    /// Kills all coordinators.
    pub(crate) fn kill_coordinators(&mut self) {
        for process in &mut self.coordinators {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        self.coordinators.clear();
        self.platform.shared.world().coordinators.clear();
    }

    /// A stopped machine with an agent's configuration.
    pub(crate) fn stopped(&self, name: &str) -> String {
        self.platform.machine(APP, name, config())
    }

    /// Creates the template.
    pub(crate) fn template(&self) -> String {
        let id = self.platform.machine(APP, "ag-template", config());
        self.platform.change(&id, |machine| {
            machine.state = "created";
            machine.config["metadata"]["role"] = "template".into();
        });
        id
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for process in &mut self.coordinators {
            process.kill().expect("it is our child");
            process.wait().expect("it is our child");
        }
    }
}

/// The configuration of an agent's machine.
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
