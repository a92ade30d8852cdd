//! The error responses of the Machines API.

use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{error::Error, request::Request};

/// Characters of a message that are retained.
const MAX_MESSAGE: usize = 500;

/// The message of an error response, on one line.
pub(super) async fn message(response: Response, deadline: Instant) -> String {
    let bytes = match timeout_at(deadline, response.bytes()).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return format!("(its message was cut off: {error})"),
        Err(_) => return "(its message did not arrive in time)".to_owned(),
    };
    let text = match serde_json::from_slice::<Value>(&bytes) {
        Ok(value) => match (&value["error"], &value["message"]) {
            (Value::String(text), _) | (_, Value::String(text)) => text.clone(),
            _ => value.to_string(),
        },
        Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(MAX_MESSAGE).collect()
}

/// The error that a response stands for. The API uses one status for several
/// conditions, which only the message tells apart.
pub(super) fn error(request: &Request<'_>, status: StatusCode, message: String) -> Error {
    let operation = request.operation.clone();
    let lower = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match status.as_u16() {
        404 => Error::NotFound(request.subject.clone()),
        _ if says(&["unique machine name"]) => Error::NameTaken(operation),
        409 | 412 if says(&["insufficient", "could not reserve", "no capacity"]) => {
            Error::NoCapacity { operation, message }
        }
        409 if says(&["lease"]) => Error::Leased(operation),
        409 | 412 => Error::Conflict { operation, message },
        status => Error::Refused {
            operation,
            status,
            message,
        },
    }
}
