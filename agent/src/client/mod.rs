//! The same from a shell: a client of a server that runs elsewhere.

mod terminal;
mod window;

use std::{
    collections::HashMap,
    io::{self, Read, Write},
};

use anyhow::{Context, Result, anyhow, bail};
use futures_util::StreamExt;
use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use rmcp::{
    ServiceExt,
    model::CallToolRequestParams,
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Map, Value, json};

pub use self::terminal::terminal;

/// Fly's proxy sends the request to this machine, or nowhere.
const PINNED: HeaderName = HeaderName::from_static("fly-force-instance-id");
/// A coordinator wakes this machine, and has the request sent there.
const WOKEN: HeaderName = HeaderName::from_static("agent-machine");

/// The one machine that is meant.
#[derive(Debug, Clone)]
pub enum Machine {
    /// As it is.
    Pinned(String),
    /// Started first, by the coordinator that the server is.
    Woken(String),
}

impl Machine {
    fn header(&self) -> Result<(HeaderName, HeaderValue)> {
        Ok(match self {
            Self::Pinned(id) => (PINNED, id.parse()?),
            Self::Woken(id) => (WOKEN, id.parse()?),
        })
    }
}

/// Where a server is, and how to be let in.
#[derive(Debug, Clone)]
pub struct Server {
    /// Without a slash at the end.
    pub url: String,
    /// Its token.
    pub token: Option<String>,
    /// The one machine that is meant.
    pub machine: Option<Machine>,
}

impl Server {
    fn machine(&self) -> Result<Option<(HeaderName, HeaderValue)>> {
        self.machine.as_ref().map(Machine::header).transpose()
    }

    /// Says what a failure may mean when one machine alone is meant.
    fn pinned<T>(&self, outcome: Result<T>) -> Result<T> {
        let Some(Machine::Pinned(machine)) = &self.machine else {
            return outcome;
        };
        outcome.with_context(|| {
            format!(
                "machine {machine} does not answer, and --machine never wakes one: start it with agent machines start {machine}, or ask the coordinator with --wake"
            )
        })
    }

    /// A request to a path of the server, with its token.
    pub(crate) fn request(&self, method: Method, path: &str) -> Result<RequestBuilder> {
        let mut headers = HeaderMap::new();
        headers.extend(self.machine()?);
        let request = Client::new()
            .request(method, format!("{}{path}", self.url))
            .headers(headers);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    async fn send(&self, path: &str) -> Result<Response> {
        let answer = self.request(Method::GET, path)?.send().await;
        let answer = self.pinned(answer.map_err(Into::into))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let told = answer.text().await.unwrap_or_default();
        // It goes to a person's terminal.
        let told: String = told.chars().filter(|c| !c.is_control()).take(500).collect();
        let refused = Err(anyhow!("{}{path} answers {status}: {told}", self.url));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => refused,
            _ => self.pinned(refused),
        }
    }

    /// Calls a tool as any MCP client would.
    pub(crate) async fn call(
        &self,
        tool: &'static str,
        arguments: Map<String, Value>,
    ) -> Result<Value> {
        let mut config = StreamableHttpClientTransportConfig::with_uri(format!("{}/mcp", self.url));
        if let Some(token) = &self.token {
            config = config.auth_header(token);
        }
        let headers: HashMap<_, _> = self.machine()?.into_iter().collect();
        let transport = StreamableHttpClientTransport::from_config(config.custom_headers(headers));
        let client = ().serve(transport).await;
        let client = client.with_context(|| format!("cannot reach {}", self.url));
        let client = self.pinned(client)?;
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        let answer = client.call_tool(call).await?;
        let _ended = client.cancel().await;
        if answer.is_error == Some(true) {
            let texts = answer.content.iter().filter_map(|block| block.as_text());
            let texts: Vec<_> = texts.map(|text| text.text.as_str()).collect();
            bail!("{}", texts.join("\n"));
        }
        answer
            .structured_content
            .context("the tool has answered nothing")
    }
}

/// Starts codex.
///
/// # Errors
///
/// When it is not ready, with what its screen shows.
pub async fn start(server: &Server, resume: bool) -> Result<()> {
    let arguments = Map::from_iter([("resume".to_owned(), resume.into())]);
    print(&server.call("start", arguments).await?)
}

/// Sends a message; `-` is standard input.
///
/// # Errors
///
/// When it was not submitted, with what the screen shows.
pub async fn message(server: &Server, text: &str) -> Result<()> {
    let mut given = text.to_owned();
    if text == "-" {
        given.clear();
        io::stdin().read_to_string(&mut given)?;
    }
    let arguments = Map::from_iter([("text".to_owned(), given.into())]);
    let sent = server.call("message", arguments).await?;
    print(&sent)?;
    if sent["submitted"] != json!(true) {
        bail!("it was not submitted");
    }
    Ok(())
}

/// Says what codex is doing.
///
/// # Errors
///
/// When the server does not answer.
pub async fn status(server: &Server) -> Result<()> {
    let answer = server.send("/status").await?;
    print(&serde_json::from_slice(&answer.bytes().await?)?)
}

/// Prints the output, byte for byte.
///
/// # Errors
///
/// When the server does not answer, or the output is cut.
pub async fn live(server: &Server, offset: Option<u64>, follow: bool) -> Result<()> {
    let offset = offset
        .map(|offset| format!("offset={offset}&"))
        .unwrap_or_default();
    let follow = if follow { "follow=1" } else { "" };
    let answer = server.send(&format!("/live?{offset}{follow}")).await?;
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let mut out = io::stdout();
        let printed = out.write_all(&piece?).and_then(|()| out.flush());
        match printed {
            // Whoever reads has seen enough, like head.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            printed => printed?,
        }
    }
    Ok(())
}

fn print(value: &Value) -> Result<()> {
    Ok(writeln!(
        io::stdout(),
        "{}",
        serde_json::to_string_pretty(value)?
    )?)
}
