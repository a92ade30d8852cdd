//! One call of the API: within the rates, tried again until its deadline, and
//! its refusal read.

use std::{cmp, time::Duration};

use rand::RngExt;
use reqwest::{Method, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

use super::{
    client::Client,
    error::Error,
    rates::{ACTION, GET},
};

/// Says under which lease something is done.
const NONCE: &str = "fly-machine-lease-nonce";
/// How long one try may take. A wait asks for less than that.
const ONE_TRY: Duration = Duration::from_secs(75);
/// The first pause before another try, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));
/// How much of a refusal is read.
const LONGEST_TOLD: usize = 500;

/// A call, before it is made.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// For the error: what is done, to whom.
    pub(super) doing: String,
    /// With what the rates are counted.
    pub(super) action: &'static str,
    pub(super) method: Method,
    /// Below the app's own path.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Option<Value>,
    pub(super) nonce: Option<&'a str>,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, action: &'static str, path: String, doing: String) -> Self {
        Self {
            doing,
            action,
            method,
            path,
            query: Vec::new(),
            body: None,
            nonce: None,
        }
    }

    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(super) fn under(mut self, nonce: Option<&'a str>) -> Self {
        self.nonce = nonce;
        self
    }

    pub(super) fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }
}

/// What came of a try.
enum Tried {
    Answered(Response),
    /// 408: for a wait, that it is not so yet.
    NotYet,
    /// It may go better in a while.
    Again(String, Option<Duration>),
}

impl Client {
    /// Makes a call until it is answered, and reads the answer.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        deadline: Instant,
    ) -> Result<T, Error> {
        let doing = call.doing.clone();
        let answer = self.answer(call, deadline).await?;
        let read = timeout_at(deadline, answer.bytes()).await;
        let told = match read {
            Ok(Ok(bytes)) => match serde_json::from_slice(&bytes) {
                Ok(value) => return Ok(value),
                Err(error) => format!("its answer cannot be read: {error}"),
            },
            Ok(Err(error)) => format!("its answer is cut: {}", causes(&error)),
            Err(_) => "its answer does not end".to_owned(),
        };
        Err(Error::Late { doing, last: told })
    }

    /// Makes a call until it is done; what it says is of no matter.
    pub(super) async fn done(&self, call: Call<'_>, deadline: Instant) -> Result<(), Error> {
        self.answer(call, deadline).await.map(drop)
    }

    /// Makes a wait's call: whether it is so now.
    pub(super) async fn is_so(&self, call: Call<'_>, deadline: Instant) -> Result<bool, Error> {
        match self.once(&call, deadline).await? {
            Tried::Answered(_) => Ok(true),
            Tried::NotYet => Ok(false),
            Tried::Again(..) => {
                pause(1, None, deadline).await;
                Ok(false)
            }
        }
    }

    async fn answer(&self, call: Call<'_>, deadline: Instant) -> Result<Response, Error> {
        let mut last = "nothing was heard".to_owned();
        for times in 1.. {
            if Instant::now() >= deadline {
                break;
            }
            let wish = match self.once(&call, deadline).await? {
                Tried::Answered(answer) => return Ok(answer),
                Tried::NotYet => None,
                Tried::Again(told, wish) => {
                    debug!(doing = call.doing, told, times, "trying again");
                    last = told;
                    wish
                }
            };
            pause(times, wish, deadline).await;
        }
        let doing = call.doing;
        Err(Error::Late { doing, last })
    }

    async fn once(&self, call: &Call<'_>, deadline: Instant) -> Result<Tried, Error> {
        let rate = if call.action == "get" { GET } else { ACTION };
        let key = format!("{} {}", call.action, call.path);
        let until = cmp::min(deadline, Instant::now() + ONE_TRY);
        let answer = timeout_at(until, async {
            self.rates().wait(&key, rate).await;
            self.request(call).send().await
        });
        let answer = match answer.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Ok(Tried::Again(causes(&error), None)),
            Err(_) => return Ok(Tried::Again("the API does not answer".into(), None)),
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(Tried::Answered(answer));
        }
        if status == StatusCode::REQUEST_TIMEOUT {
            return Ok(Tried::NotYet);
        }
        let wish = answer.headers().get(header::RETRY_AFTER);
        let wish = wish.and_then(|value| value.to_str().ok()?.parse().ok());
        let told = timeout_at(until, told(answer)).await.unwrap_or_default();
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let last = format!("the API answered {status}: {told}");
            return Ok(Tried::Again(last, wish.map(Duration::from_secs)));
        }
        Err(refusal(call, status, told))
    }

    fn request(&self, call: &Call<'_>) -> reqwest::RequestBuilder {
        let request = self
            .http()
            .request(call.method.clone(), self.url(&call.path));
        let mut request = request.query(&call.query);
        if let Some(token) = self.authorization() {
            request = request.header(header::AUTHORIZATION, token);
        }
        if let Some(nonce) = call.nonce {
            request = request.header(NONCE, nonce);
        }
        match &call.body {
            Some(body) => request.json(body),
            None => request,
        }
    }
}

/// Sleeps for longer each time, never twice the same, and not beyond the deadline.
pub(super) async fn pause(times: u32, wish: Option<Duration>, deadline: Instant) {
    let doubled = PAUSES.0.saturating_mul(1 << times.saturating_sub(1).min(8));
    let longest = wish.unwrap_or(doubled).min(PAUSES.1);
    let jittered = longest.mul_f64(rand::rng().random_range(0.5..1.0));
    sleep_until(cmp::min(deadline, Instant::now() + jittered)).await;
}

/// What a refusal says, on one line.
async fn told(answer: Response) -> String {
    let bytes = answer.bytes().await.unwrap_or_default();
    let read = serde_json::from_slice::<Value>(&bytes);
    let text = match read
        .as_ref()
        .map(|value| (&value["error"], &value["message"]))
    {
        Ok((Value::String(error), _)) => error.clone(),
        Ok((_, Value::String(message))) => message.clone(),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    };
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(LONGEST_TOLD).collect()
}

/// The platform says several things with one status: its words tell them apart.
fn refusal(call: &Call<'_>, status: StatusCode, told: String) -> Error {
    let doing = call.doing.clone();
    let lower = told.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match status.as_u16() {
        404 => Error::NotFound(
            call.doing
                .rsplit(" of ")
                .next()
                .unwrap_or_default()
                .to_owned(),
        ),
        _ if says(&["unique machine name"]) => Error::NameTaken(doing),
        409 | 412 if says(&["insufficient", "could not reserve", "no capacity"]) => {
            Error::NoCapacity { doing, told }
        }
        409 if says(&["lease"]) => Error::Leased(doing),
        409 | 412 => Error::Conflict { doing, told },
        status => Error::Refused {
            doing,
            status,
            told,
        },
    }
}

/// An error with its causes: reqwest's own sentence hides them.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        told = format!("{told}: {inner}");
        cause = inner.source();
    }
    told
}
