//! The two MCP tools and three MCP resources of a session.

use std::{error::Error, io, sync::Arc};

use rmcp::{
    ErrorData, Json, RoleServer, ServerHandler,
    handler::server::{router::tool::ToolRouter, wrapper::Parameters},
    model::{
        Implementation, ListResourcesResult, PaginatedRequestParams, ProgressNotificationParam,
        ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Resource,
        ResourceContents, ServerCapabilities, ServerConfig,
    },
    schemars::{self, JsonSchema},
    service::RequestContext,
    tool, tool_handler, tool_router,
};
use serde::Deserialize;
use tokio::time::{Duration, Instant, interval};
use tracing::debug;

use crate::serve::session::{Sent, Session, Status};

const STATUS: &str = "agent://status";
const SCREEN: &str = "agent://screen";
const LOG: &str = "agent://log";

/// How many bytes at the end of the log the resource holds; /live has all.
const LOG_END: u64 = 64 << 10;

const INSTRUCTIONS: &str = "Runs codex in a terminal. Call start once, then message as often as you \
    like: each text is typed and submitted at once, also while codex works. The resources show what it does.";

/// The arguments of `start`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Start {
    /// Whether to take the last conversation up again. Only for a new run.
    #[serde(default)]
    resume: bool,
}

/// The arguments of `message`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Message {
    /// What to type, at most 1,048,576 characters. Enter is pressed after it.
    text: String,
}

/// The tools of one MCP session. All MCP sessions share one program.
#[derive(Debug, Clone)]
pub struct Tools {
    session: Arc<Session>,
    #[expect(dead_code, reason = "the macro reads it")]
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Tools {
    /// Tools that drive this session.
    pub fn new(session: Arc<Session>) -> Self {
        Self {
            session,
            tool_router: Self::tool_router(),
        }
    }

    /// Starts codex unless it runs already, and returns when it is ready.
    #[tool(annotations(
        title = "Start codex",
        destructive_hint = false,
        idempotent_hint = true
    ))]
    async fn start(
        &self,
        Parameters(Start { resume }): Parameters<Start>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<Status>, String> {
        let began = Instant::now();
        let mut ticks = interval(Duration::from_secs(1));
        let starting = self.session.start(resume);
        tokio::pin!(starting);
        loop {
            tokio::select! {
                started = &mut starting => {
                    return started.map(Json).map_err(|error| error.to_string());
                }
                _ = ticks.tick() => progress(&context, began.elapsed()).await,
            }
        }
    }

    /// Types a text into codex and presses Enter, at once, exactly once, in order.
    /// Says whether it was submitted; when it was not, shows the screen, and takes the text back.
    #[tool(annotations(
        title = "Send codex a message",
        destructive_hint = true,
        idempotent_hint = false
    ))]
    async fn message(
        &self,
        Parameters(Message { text }): Parameters<Message>,
    ) -> Result<Json<Sent>, String> {
        // A caller who disconnects must not cut a message in half, nor the order.
        let session = Arc::clone(&self.session);
        let sending = tokio::spawn(async move { session.message(&text).await });
        let sent = sending.await.map_err(|error| error.to_string())?;
        sent.map(Json).map_err(|error| error.to_string())
    }

    fn log_end(&self) -> io::Result<String> {
        match self.session.run() {
            Some(run) => run.log().end_text(LOG_END),
            None => Ok(String::new()),
        }
    }
}

/// Notifies the client of how long it has been waiting, if it asks for that.
async fn progress(context: &RequestContext<RoleServer>, elapsed: Duration) {
    let Some(token) = context.meta.get_progress_token() else {
        return;
    };
    let progress = ProgressNotificationParam::new(token, elapsed.as_secs_f64());
    let progress = progress.with_message("waiting until codex is ready");
    if let Err(error) = context.peer.notify_progress(progress).await {
        debug!(%error, "cannot notify an MCP client of progress");
    }
}

#[tool_handler]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("agent", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(vec![
            Resource::new(STATUS, "status")
                .with_description("What codex is doing, and how it ended")
                .with_mime_type("application/json"),
            Resource::new(SCREEN, "screen")
                .with_description("What the terminal shows now, as text")
                .with_mime_type("text/plain"),
            Resource::new(LOG, "log")
                .with_description(
                    "The end of the output, escape sequences and all; /live has every byte",
                )
                .with_mime_type("text/plain"),
        ]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let internal = |error: &dyn Error| ErrorData::internal_error(error.to_string(), None);
        let (text, kind) = match request.uri.as_str() {
            STATUS => {
                let status = serde_json::to_string(&self.session.status());
                let status = status.map_err(|error| internal(&error))?;
                (status, "application/json")
            }
            SCREEN => (self.session.screen_text(), "text/plain"),
            LOG => {
                let end = self.log_end().map_err(|error| internal(&error))?;
                (end, "text/plain")
            }
            other => {
                let message = format!("there is no resource {other}");
                return Err(ErrorData::resource_not_found(message, None));
            }
        };
        let contents = ResourceContents::text(text, request.uri).with_mime_type(kind);
        Ok(ReadResourceResult::new(vec![contents]).into())
    }
}
