//! Sends requests to the Machines API: within its rate limits, and retried
//! until a deadline.

use std::{cmp, time::Duration};

use reqwest::{Response, StatusCode, header, redirect::Policy};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::{
    backoff::backoff,
    error::Error,
    rates::{ACTION, GET, Rates},
    refusal,
    request::Request,
};

/// Names the lease that a request is made under.
const NONCE: &str = "fly-machine-lease-nonce";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one attempt may take; longer than the API lets a request wait.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(75);

/// An app's Machines API, and the credentials for it.
#[derive(Clone)]
pub struct Endpoint {
    /// The API's base URL, like <http://_api.internal:4280>.
    pub url: String,
    /// The app whose machines are meant.
    pub app: String,
    /// An API token; a machine's own socket needs none.
    pub token: Option<String>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the token.
        write!(f, "{} of {}", self.app, self.url)
    }
}

impl Endpoint {
    fn machines(&self, path: &str) -> String {
        let Self { url, app, .. } = self;
        format!("{}/v1/apps/{app}/machines{path}", url.trim_end_matches('/'))
    }

    /// The `Authorization` header. A macaroon (`fm1`, `fm2_`) has a scheme of
    /// its own; a token that begins with a scheme is sent as it is.
    fn authorization(&self) -> Option<String> {
        let token = self.token.as_deref()?;
        let is_macaroon = token.starts_with("fm1") || token.starts_with("fm2_");
        Some(match token.split_once(' ') {
            Some(_) => token.to_owned(),
            None if is_macaroon => format!("FlyV1 {token}"),
            None => format!("Bearer {token}"),
        })
    }
}

/// A connection to the API of one app.
#[derive(Debug)]
pub(super) struct Transport {
    http: reqwest::Client,
    endpoint: Endpoint,
    rates: Rates,
}

/// The outcome of one attempt.
enum Attempt {
    Success(Response),
    /// 408: what a wait is for has not happened yet.
    NotYet,
    /// A failure that may pass; what happened, and the API's `Retry-After`.
    Retry(String, Option<Duration>),
}

impl Transport {
    pub(super) fn new(endpoint: Endpoint) -> Result<Self, Error> {
        // A redirect would take the token to another host.
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| Error::Invalid(causes(&error)))?;
        Ok(Self {
            http,
            endpoint,
            rates: Rates::default(),
        })
    }

    /// The app whose machines are meant.
    pub(super) fn app(&self) -> &str {
        &self.endpoint.app
    }

    /// Sends a request until it succeeds, and decodes the response.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        request: Request<'_>,
        deadline: Instant,
    ) -> Result<T, Error> {
        let operation = request.operation.clone();
        let response = self.response(request, deadline).await?;
        let last = match timeout_at(deadline, response.bytes()).await {
            Ok(Ok(bytes)) => match serde_json::from_slice(&bytes) {
                Ok(value) => return Ok(value),
                Err(error) => format!("the response cannot be decoded: {error}"),
            },
            Ok(Err(error)) => format!("the response was cut off: {}", causes(&error)),
            Err(_) => "the response did not end".to_owned(),
        };
        Err(Error::TimedOut { operation, last })
    }

    /// Sends a request until it succeeds; the response has nothing to say.
    pub(super) async fn send(&self, request: Request<'_>, deadline: Instant) -> Result<(), Error> {
        self.response(request, deadline).await.map(drop)
    }

    /// Sends a request for a wait once: whether the wait is over.
    pub(super) async fn poll(
        &self,
        request: Request<'_>,
        deadline: Instant,
    ) -> Result<bool, Error> {
        match self.attempt(&request, deadline).await? {
            Attempt::Success(_) => Ok(true),
            Attempt::NotYet => Ok(false),
            Attempt::Retry(..) => {
                backoff(0, None, deadline).await;
                Ok(false)
            }
        }
    }

    async fn response(&self, request: Request<'_>, deadline: Instant) -> Result<Response, Error> {
        let mut last = "the deadline had passed before it was sent".to_owned();
        for attempt in 0.. {
            if Instant::now() >= deadline {
                break;
            }
            let retry_after = match self.attempt(&request, deadline).await? {
                Attempt::Success(response) => return Ok(response),
                Attempt::NotYet => {
                    "the API answered 408".clone_into(&mut last);
                    None
                }
                Attempt::Retry(reason, retry_after) => {
                    debug!(operation = request.operation, reason, attempt, "retrying");
                    last = reason;
                    retry_after
                }
            };
            backoff(attempt, retry_after, deadline).await;
        }
        let operation = request.operation;
        Err(Error::TimedOut { operation, last })
    }

    async fn attempt(&self, request: &Request<'_>, deadline: Instant) -> Result<Attempt, Error> {
        let rate = if request.action == "get" { GET } else { ACTION };
        let key = format!("{} {}", request.action, request.path);
        let until = cmp::min(deadline, Instant::now() + ATTEMPT_TIMEOUT);
        let response = timeout_at(until, async {
            self.rates.wait(&key, rate).await;
            self.build(request).send().await
        });
        let response = match response.await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Ok(Attempt::Retry(causes(&error), None)),
            Err(_) => return Ok(Attempt::Retry("the API does not answer".into(), None)),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(Attempt::Success(response));
        }
        if status == StatusCode::REQUEST_TIMEOUT {
            return Ok(Attempt::NotYet);
        }
        let retry_after = retry_after(&response);
        let message = refusal::message(response, until).await;
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let last = format!("the API answered {status}: {message}");
            return Ok(Attempt::Retry(last, retry_after));
        }
        Err(refusal::error(request, status, message))
    }

    fn build(&self, request: &Request<'_>) -> reqwest::RequestBuilder {
        let url = self.endpoint.machines(&request.path);
        let mut builder = self.http.request(request.method.clone(), url);
        builder = builder.query(&request.query);
        if let Some(authorization) = self.endpoint.authorization() {
            builder = builder.header(header::AUTHORIZATION, authorization);
        }
        if let Some(nonce) = request.nonce {
            builder = builder.header(NONCE, nonce);
        }
        match &request.body {
            Some(body) => builder.json(body),
            None => builder,
        }
    }
}

/// The pause that a response asks for in seconds. The header may hold a date
/// (RFC 9110, 10.2.3), which the API does not send: our own pause serves then.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?;
    let seconds = value.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An error with its causes: reqwest's own text leaves them out.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
