//! Errors as HTTP responses: one message, as JSON.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::promote::PromotionError;
use crate::fly::Error;

/// When a caller should try again what may succeed then.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = status(&self);
        let mut response = message(status, &self.to_string());
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        ) {
            let seconds = HeaderValue::from(RETRY_AFTER.as_secs());
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl IntoResponse for PromotionError {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(reason) => message(StatusCode::FORBIDDEN, &reason),
            Self::Failed(error) => error.into_response(),
        }
    }
}

fn message(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}

fn status(error: &Error) -> StatusCode {
    match error {
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::NameTaken(_) | Error::Conflict { .. } | Error::Busy(_) => StatusCode::CONFLICT,
        Error::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        Error::Gone { .. } => StatusCode::GONE,
        Error::Refused { .. }
        | Error::Died { .. }
        | Error::Unstartable { .. }
        | Error::NotReplaced { .. } => StatusCode::BAD_GATEWAY,
        Error::TimedOut { .. } | Error::NotReady { .. } => StatusCode::GATEWAY_TIMEOUT,
        Error::Leased(_) | Error::LeaseLost(_) | Error::NoCapacity { .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
