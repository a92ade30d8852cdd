//! A request to the Machines API, before it is sent.

use reqwest::Method;
use serde_json::Value;

/// A request, with what errors and rate limits need to know of it.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// What is done, for error messages: `the start of machine 1857`.
    pub(super) operation: String,
    /// What a 404 says does not exist: `machine 1857`, `app agents`.
    pub(super) subject: String,
    /// The API's action, which its rate limits are counted by.
    pub(super) action: &'static str,
    pub(super) method: Method,
    /// Relative to the app's `/machines`.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Option<Value>,
    /// The lease that the request is made under.
    pub(super) nonce: Option<&'a str>,
}

impl<'a> Request<'a> {
    pub(super) fn new(
        method: Method,
        action: &'static str,
        path: String,
        operation: String,
        subject: String,
    ) -> Self {
        Self {
            operation,
            subject,
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

    pub(super) fn nonce(mut self, nonce: Option<&'a str>) -> Self {
        self.nonce = nonce;
        self
    }

    pub(super) fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }
}
