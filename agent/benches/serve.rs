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

/// A terminal program that echoes what is typed, byte for byte.
const ECHO: &str = "sh -c 'stty raw -echo; echo ready; exec cat'";
const MESSAGES: usize = 300;
const IDLE: Duration = Duration::from_secs(10);

/// How many bytes of memory the server may use.
const MAX_MEMORY: u64 = 32 << 20;
/// What part of a core it may use while it is idle.
const MAX_IDLE_LOAD: f64 = 0.001;

fn main() -> Result<()> {
    let server = Server::start()?;
    print(&format!("agent serve --command {ECHO:?}"))?;
    Runtime::new()?.block_on(measure(&server))
}

async fn measure(server: &Server) -> Result<()> {
    let transport = StreamableHttpClientTransport::from_uri(server.printed("mcp"));
    let client = ().serve(transport).await?;
    call(&client, "start", Map::new()).await?;
    let mut taken = round_trips(server, &client).await?;
    taken.sort();
    print(&format!(
        "message, from the MCP client to the terminal and back at /live: median {:.2?}, 99 of 100 in {:.2?}",
        taken[MESSAGES / 2],
        taken[MESSAGES * 99 / 100]
    ))?;
    client.cancel().await?;
    sleep(Duration::from_secs(1)).await;
    let before = server.busy()?;
    ensure!(!before.is_zero(), "the kernel does not say how busy it is");
    sleep(IDLE).await;
    let busy = server.busy()?.checked_sub(before);
    let busy = busy.context("a thread has ended while the load was measured")?;
    let idle = busy.as_secs_f64() / IDLE.as_secs_f64();
    print(&format!(
        "idle, with a program that waits: {:.4} % of a core (at most {:.1})",
        idle * 100.0,
        MAX_IDLE_LOAD * 100.0
    ))?;
    let memory = server.resident()?;
    print(&format!(
        "resident memory of agent alone: {:.1} MB (at most {})",
        f64::from(u32::try_from(memory >> 10)?) / 1024.0,
        MAX_MEMORY >> 20
    ))?;
    ensure!(memory <= MAX_MEMORY, "agent uses too much memory");
    ensure!(
        idle <= MAX_IDLE_LOAD,
        "agent uses too much of a core while it is idle"
    );
    Ok(())
}

/// How long each message takes until `/live` has it.
async fn round_trips(
    server: &Server,
    client: &RunningService<RoleClient, ()>,
) -> Result<Vec<Duration>> {
    let following = reqwest::get(server.printed("live") + "&follow=1").await?;
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
    /// With the token that the server has made.
    query: String,
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
        let (address, page) = address.context("the first line of its output has no address")?;
        let page = page.split_once(',').map(|(page, _)| page);
        let query = page.and_then(|page| page.strip_prefix("mcp"));
        Ok(Self {
            process,
            url: format!("http://{address}"),
            query: query.context("there is no token")?.to_owned(),
            _home: home,
        })
    }

    /// The URL of a page, as the server has printed it.
    fn printed(&self, page: &str) -> String {
        format!("{}/{page}{}", self.url, self.query)
    }

    fn proc(&self) -> String {
        format!("/proc/{}", self.process.id())
    }

    /// The processor time of all its threads.
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
        // It ends its program before itself.
        let killed = Command::new("kill").arg(pid).status();
        if killed.is_ok_and(|status| status.success()) {
            drop(self.process.wait());
        }
    }
}

fn print(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}
