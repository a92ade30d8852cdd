//! A server, and how it is called.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow, bail};
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
use serde_json::{Map, Value};

/// The header that makes Fly's proxy send a request to one machine only.
const PINNED: HeaderName = HeaderName::from_static("fly-force-instance-id");
/// The header that makes a coordinator start a machine, and have the request sent
/// there.
const WOKEN: HeaderName = HeaderName::from_static("agent-machine");

/// How many characters of an error message are shown.
const MAX_MESSAGE: usize = 500;

/// The machine to call, by its id.
#[derive(Debug, Clone)]
pub enum Machine {
    /// It is not started if it is stopped.
    Pinned(String),
    /// The server is a coordinator, which starts it first.
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

/// A server, and the credentials for it.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its URL, without a slash at the end.
    pub url: String,
    /// Its token.
    pub token: Option<String>,
    /// The machine to call, if the server has several.
    pub machine: Option<Machine>,
}

impl Server {
    /// The header that names the machine.
    pub(super) fn machine(&self) -> Result<Option<(HeaderName, HeaderValue)>> {
        self.machine.as_ref().map(Machine::header).transpose()
    }

    /// Adds to a failure what it may mean when one machine is called.
    pub(super) fn pinned<T>(&self, outcome: Result<T>) -> Result<T> {
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
    ///
    /// # Errors
    ///
    /// When the machine's id is not valid in a header.
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

    /// Sends a GET request with this path and query.
    ///
    /// # Errors
    ///
    /// When the server does not answer, or not with success.
    pub(super) async fn get(&self, path: &str) -> Result<Response> {
        let answer = self.request(Method::GET, path)?.send().await;
        let answer = self.pinned(answer.map_err(Into::into))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let message = match answer.text().await {
            Ok(text) => text,
            Err(error) => format!("its body cannot be read: {error}"),
        };
        let message: String = message.trim_end().chars().take(MAX_MESSAGE).collect();
        let refused = Err(anyhow!("{}{path} answers {status}: {message}", self.url));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => refused,
            _ => self.pinned(refused),
        }
    }

    /// Calls an MCP tool.
    ///
    /// # Errors
    ///
    /// When the server does not answer, or the tool answers with an error.
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
        client
            .cancel()
            .await
            .context("cannot end the MCP session")?;
        if answer.is_error == Some(true) {
            let texts = answer.content.iter().filter_map(|block| block.as_text());
            let texts: Vec<_> = texts.map(|text| text.text.as_str()).collect();
            bail!("{}", texts.join("\n"));
        }
        answer
            .structured_content
            .with_context(|| format!("the tool {tool} has answered nothing"))
    }
}
