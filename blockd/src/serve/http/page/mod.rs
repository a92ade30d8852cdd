//! `/`: a page for people. It is one document, loads nothing, and shows the figures
//! of the moment; where scripts run, it asks for itself every two seconds.

mod live;
mod text;

use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use rand::random;

pub(super) use self::live::live;
use super::response::{Answer, of_type};

const PAGE: &str = include_str!("page.html");

/// The page with these figures.
pub(super) fn page(live: &str) -> Answer {
    // Of what is in the document, only its own style and script count.
    let nonce = format!("{:032x}", random::<u128>());
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let html = PAGE.replace("NONCE", &nonce).replace("LIVE", live);
    let mut answer = of_type("text/html; charset=utf-8", html);
    let policy = HeaderValue::try_from(policy).expect("hexadecimal digits are visible");
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    answer
}
