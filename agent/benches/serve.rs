//! What `agent serve` costs: how long a message takes from an MCP client into
//! the terminal and back out at `/live`, and what it uses when nothing happens.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use rmcp::{
    RoleClient, ServiceExt, model::CallToolRequestParams, service::RunningService,
    transport::StreamableHttpClientTransport,
};
use serde_json::{Map, Value};
use tempfile::{TempDir, tempdir};
use tokio::{runtime::Runtime, time::sleep};

/// Puts out what is typed, byte for byte.
const ECHO: &str = "sh -c 'stty raw -echo; echo ready; exec cat'";
const MESSAGES: usize = 300;
const IDLE: Duration = Duration::from_secs(10);

/// What it may use: memory, and a thousandth of a core.
const MOST_MEMORY: u64 = 32 << 20;
const MOST_IDLE: f64 = 0.001;

fn main() -> Result<()> {
    let server = Server::start()?;
    say(&format!("agent serve --command {ECHO:?}"))?;
    Runtime::new()?.block_on(measure(&server))
}

async fn measure(server: &Server) -> Result<()> {
    let transport = StreamableHttpClientTransport::from_uri(format!("{}/mcp", server.url));
    let client = ().serve(transport).await?;
    call(&client, "start", Map::new()).await?;
    let mut taken = round_trips(server, &client).await?;
    taken.sort();
    say(&format!(
        "message, from the MCP client to the terminal and back at /live: median {:.2?}, 99 of 100 in {:.2?}",
        taken[MESSAGES / 2],
        taken[MESSAGES * 99 / 100]
    ))?;
    let _ended = client.cancel().await;
    sleep(Duration::from_secs(1)).await;
    let before = server.busy()?;
    ensure!(!before.is_zero(), "the kernel does not say how busy it is");
    sleep(IDLE).await;
    let idle = server.busy()?.saturating_sub(before).as_secs_f64() / IDLE.as_secs_f64();
    say(&format!(
        "idle, with a program that waits: {:.4} % of a core (at most {:.1})",
        idle * 100.0,
        MOST_IDLE * 100.0
    ))?;
    let memory = server.resident()?;
    say(&format!(
        "resident memory of agent alone: {:.1} MB (at most {})",
        f64::from(u32::try_from(memory >> 10)?) / 1024.0,
        MOST_MEMORY >> 20
    ))?;
    ensure!(memory <= MOST_MEMORY, "that is too much memory");
    ensure!(idle <= MOST_IDLE, "that is too busy for one that is idle");
    Ok(())
}

/// How long each message takes until `/live` has it.
async fn round_trips(
    server: &Server,
    client: &RunningService<RoleClient, ()>,
) -> Result<Vec<Duration>> {
    let following = reqwest::get(format!("{}/live?follow=1", server.url)).await?;
    let mut pieces = following.bytes_stream();
    let (mut taken, mut seen) = (Vec::new(), String::new());
    for index in 0..MESSAGES {
        let text = format!("message {index}.");
        let arguments = Map::from_iter([("text".to_owned(), Value::from(text.clone()))]);
        let began = Instant::now();
        let arrives = async {
            while !seen.contains(&text) {
                let piece = pieces.next().await.context("/live has ended")??;
                seen += &String::from_utf8_lossy(&piece);
            }
            anyhow::Ok(began.elapsed())
        };
        let (answer, time) = tokio::join!(call(client, "message", arguments), arrives);
        answer?;
        taken.push(time?);
        seen.clear();
    }
    Ok(taken)
}

async fn call(
    client: &RunningService<RoleClient, ()>,
    tool: &'static str,
    arguments: Map<String, Value>,
) -> Result<()> {
    let call = CallToolRequestParams::new(tool).with_arguments(arguments);
    let answer = client.call_tool(call).await?;
    ensure!(answer.is_error != Some(true), "{tool}: {answer:?}");
    Ok(())
}

struct Server {
    process: Child,
    url: String,
    _home: TempDir,
}

impl Server {
    fn start() -> Result<Self> {
        let home = tempdir()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--command", ECHO]);
        command.arg("--workspace").arg(home.path());
        command.arg("--log-dir").arg(home.path().join("logs"));
        let mut process = command
            .env("AGENT_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().context("no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line
            .split_once("http://")
            .and_then(|(_, rest)| rest.split_once('/'));
        let (address, _) = address.context("it does not say where it is")?;
        Ok(Self {
            process,
            url: format!("http://{address}"),
            _home: home,
        })
    }

    fn proc(&self) -> String {
        format!("/proc/{}", self.process.id())
    }

    /// How long it has been on a processor.
    fn busy(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(self.proc() + "/task")? {
            let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
            let running = schedstat.split_whitespace().next();
            nanoseconds += running.context("schedstat is empty")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(Path::new(&self.proc()).join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        Ok(kilobytes.context("no VmRSS")?.parse::<u64>()? << 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.process.id().to_string();
        // It ends its program, and then itself.
        let _told = Command::new("kill").arg(pid).status();
        let _reaped = self.process.wait();
    }
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}
