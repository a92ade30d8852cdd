//! A real Chromium, by the `WebDriver` protocol of its driver.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Instant,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::time::{Duration, sleep};

use crate::harness::DEADLINE;

/// The key of an element in the `WebDriver` protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Runs the driver in a PID namespace of its own. When this test ends, in whatever
/// way, so does the input of the shell, which is the first process there; the
/// kernel then kills all others.
const WITH_DRIVER: [&str; 8] = [
    "--map-root-user",
    "--pid",
    "--fork",
    "--kill-child=KILL",
    "--mount-proc",
    "sh",
    "-c",
    "chromedriver --port=0 & read -r _",
];

/// A browser with one window.
pub(super) struct Browser {
    driver: Child,
    session: String,
    profile: TempDir,
}

impl Browser {
    pub(super) async fn new(width: u32, height: u32) -> Self {
        let mut driver = Command::new("unshare");
        let driver = driver.args(WITH_DRIVER).stdin(Stdio::piped());
        let mut driver = driver.stdout(Stdio::piped()).spawn().unwrap();
        let output = driver.stdout.take().unwrap();
        let mut lines = BufReader::new(output).lines();
        let port = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, port) = line.split_once("successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        let port = port.expect("chromedriver does not start: run tests/setup.sh");
        let profile = tempdir().unwrap();
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}"),
            profile,
        };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", browser.profile.path().display()),
            &format!("--window-size={width},{height}"),
        ];
        let options = json!({ "alwaysMatch": { "goog:chromeOptions": { "args": arguments } } });
        let session = browser
            .post("/session", json!({ "capabilities": options }))
            .await;
        browser.session += "/session/";
        browser.session += session["sessionId"].as_str().unwrap();
        browser
    }

    pub(super) async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// The value of an expression in the page.
    pub(super) async fn ask(&self, script: &str) -> Value {
        let script = json!({ "script": format!("return {script}"), "args": [] });
        self.post("/execute/sync", script).await
    }

    /// Waits until an expression in the page is true.
    pub(super) async fn until(&self, script: &str) {
        let began = Instant::now();
        while self.ask(script).await != true {
            if began.elapsed() > DEADLINE {
                let page = self.ask("document.body.innerText").await;
                panic!("not so: {script}; the page shows {page}");
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Presses keys in the element with the focus.
    pub(super) async fn press(&self, keys: &str) {
        let focus = json!({ "using": "css selector", "value": ":focus" });
        let element = self.post("/element", focus).await;
        let element = element[ELEMENT].as_str().unwrap();
        let path = format!("/element/{element}/value");
        self.post(&path, json!({ "text": keys })).await;
    }

    /// A command of Chromium's own protocol.
    pub(super) async fn command(&self, name: &str, parameters: Value) {
        let body = json!({ "cmd": name, "params": parameters });
        self.post("/goog/cdp/execute", body).await;
    }

    /// Saves a screenshot of the page below `target/`.
    pub(super) async fn picture(&self, name: &str) -> PathBuf {
        let picture = self.call(Method::GET, "/screenshot", None).await;
        let picture = BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap();
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, picture).unwrap();
        path
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}{path}", self.session);
        let mut request = Client::new().request(method, url);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let is_well = answer.status().is_success();
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert!(is_well, "{path}: {answer}");
        answer["value"].clone()
    }
}

impl Browser {
    /// Closes the input of the shell, as when the test is killed.
    pub(super) fn abandon(&mut self) {
        drop(self.driver.stdin.take());
    }

    /// How many processes have its profile on their command line.
    pub(super) fn processes(&self) -> usize {
        let profile = self.profile.path().to_str().unwrap().to_owned();
        let entries = fs::read_dir("/proc").unwrap();
        let lines = entries.filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
        let own = lines.filter(|line| String::from_utf8_lossy(line).contains(&profile));
        own.count()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.abandon();
        let _reaped = self.driver.wait();
    }
}
