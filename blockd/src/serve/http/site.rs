//! The pages of the site: who may ask, and what answers.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{ACCEPT, ALLOW, HOST, HeaderValue},
};

use super::{
    exports, metrics, page,
    readiness::Readiness,
    response::{Answer, of_type, text},
    watched::Watched,
};

const PATHS: &str = "there are /, /exports, /healthz, /metrics and /readyz\n";

const FOREIGN: &str = "ask for localhost, or an address of the loopback interface: a page of \
                       another name could be somebody else's, who reads along\n";

/// All that is shown.
#[derive(Debug)]
pub(super) struct Site {
    watched: Watched,
    ready: Arc<Readiness>,
    /// Whether only this host can connect.
    local: bool,
    requests: AtomicU64,
}

impl Site {
    pub(super) fn new(watched: Watched, ready: Arc<Readiness>, local: bool) -> Self {
        Self {
            watched,
            ready,
            local,
            requests: AtomicU64::new(0),
        }
    }

    /// Answers a request.
    pub(super) async fn answer(&self, request: &Request<Incoming>) -> Answer {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            answer.headers_mut().insert(ALLOW, allowed);
            return answer;
        }
        if self.local && !is_of_this_host(request.headers().get(HOST)) {
            return text(StatusCode::FORBIDDEN, FOREIGN);
        }
        match request.uri().path() {
            "/" => self.page().await,
            "/exports" => self.exports(),
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.readyz().await,
            "/metrics" => self.metrics(request).await,
            _ => text(StatusCode::NOT_FOUND, PATHS),
        }
    }

    async fn readyz(&self) -> Answer {
        let reasons = self.ready.reasons().await;
        if reasons.is_empty() {
            return text(StatusCode::OK, "ready\n");
        }
        text(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
    }

    fn exports(&self) -> Answer {
        let (count, open) = self.watched.server.exports(exports::SHOWN);
        of_type("application/json", exports::json(count, &open))
    }

    async fn page(&self) -> Answer {
        let requests = self.requests.load(Ordering::Relaxed);
        let reading = self.watched.reading(requests, None);
        let (_, open) = self.watched.server.exports(exports::SHOWN);
        let reasons = self.ready.reasons().await;
        page::page(&page::live(&reading, &reasons, &open))
    }

    async fn metrics(&self, request: &Request<Incoming>) -> Answer {
        let accepted = request.headers().get(ACCEPT);
        let accepted = accepted.and_then(|accepted| accepted.to_str().ok());
        let format = metrics::Format::accepted(accepted);
        let requests = self.requests.load(Ordering::Relaxed);
        let snapshots = self.watched.snapshots().await;
        let text = metrics::text(&self.watched.reading(requests, snapshots), format);
        of_type(format.media_type(), text)
    }
}

/// Whether a browser that asks shows a page of this host, and not one whose name a
/// stranger has pointed here (DNS rebinding). Programs may leave the name out.
fn is_of_this_host(host: Option<&HeaderValue>) -> bool {
    let Some(host) = host else { return true };
    let Ok(host) = host.to_str() else {
        return false;
    };
    let port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, digits)) if port(digits) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_here_is_not_this_host() {
        let is_own = |host| is_of_this_host(Some(&HeaderValue::from_static(host)));
        for own in [
            "localhost",
            "LOCALHOST:9809",
            "127.0.0.1:80",
            "[::1]:9809",
            "[::1]",
        ] {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "evil.example:9809",
            "localhost.evil.example",
            "10.0.0.1",
            "",
            "::1:x",
        ] {
            assert!(!is_own(other), "{other}");
        }
        assert!(is_of_this_host(None));
    }
}
