//! The pages for people, and the files that they load.
//!
//! All their addresses are relative, and have the query of the page: a coordinator may
//! serve them below a prefix, or find the machine in the query. A coordinator serves
//! them itself: a page of an agent's would be one of the same origin as those of all
//! other agents.

mod assets;

use axum::{
    http::{HeaderValue, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::random;

pub(crate) use self::assets::{are_there, asset};

const TERMINAL: &str = include_str!("../../web/terminal.html");
const PLAIN: &str = include_str!("../../web/plain.html");
const REPLAY: &str = include_str!("../../web/replay.html");
pub(crate) const HOME: &str = include_str!("../../web/home.html");

/// A page that shows the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// With a keyboard.
    Terminal,
    /// Without.
    View,
}

/// What a page that shows the terminal begins with.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// The title that codex has set.
    pub(crate) title: String,
    /// A word for its state.
    pub(crate) state: String,
    /// The text on its screen.
    pub(crate) screen: String,
}

/// The page that shows the terminal; its text alone where this program was built
/// without the pages. The cookie lets what it loads pass.
pub(crate) fn terminal_page(page: Page, uri: &Uri, shown: &Shown, cookie: &str) -> Response {
    let (mode, base) = match page {
        Page::Terminal => ("terminal", "./"),
        Page::View => ("view", "../"),
    };
    let title = match shown.title.as_str() {
        "" => "agent".to_owned(),
        title => format!("{title} – agent"),
    };
    let template = if are_there() { TERMINAL } else { PLAIN };
    let values = [
        ("mode", text(mode)),
        ("base", text(base)),
        ("query", text(&query(uri))),
        ("title", text(&title)),
        ("state", text(&shown.state)),
        ("screen", text(&shown.screen)),
    ];
    respond(template, &values, cookie)
}

/// The page that plays a run; it needs the files of the pages.
pub(crate) fn replay_page(run: u64, uri: &Uri, cookie: &str) -> Response {
    let values = [
        ("base", text("../../../")),
        ("query", text(&query(uri))),
        ("run", text(&run.to_string())),
    ];
    if are_there() {
        return respond(REPLAY, &values, cookie);
    }
    let message = "this agent was built without its pages, for want of npm: agent export URL RUN \
                   writes a file that other players show\n";
    (StatusCode::NOT_IMPLEMENTED, message).into_response()
}

/// The query of the page with its `?`; empty without one.
pub(crate) fn query(uri: &Uri) -> String {
    uri.query()
        .map_or_else(String::new, |query| format!("?{query}"))
}

/// Answers with a template whose `{{names}}` are replaced by values, which are HTML.
pub(crate) fn respond(template: &str, values: &[(&str, String)], cookie: &str) -> Response {
    let nonce = BASE64_URL_SAFE_NO_PAD.encode(random::<[u8; 16]>());
    let page = fill(&template.replace("{{nonce}}", &nonce), values);
    let mut response = Html(page).into_response();
    let headers = response.headers_mut();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let ascii = |value: String| HeaderValue::try_from(value).expect("it is visible ASCII");
    headers.insert(header::CONTENT_SECURITY_POLICY, ascii(policy));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(header::SET_COOKIE, ascii(cookie.to_owned()));
    response
}

/// Fills a template in one pass, so that no value is taken for a part of it.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut parts = template.split("{{");
    let mut page = parts
        .next()
        .expect("split yields one part at least")
        .to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").expect("a name ends");
        let value = values.iter().find(|(known, _)| *known == name);
        page += &value.expect("each name has a value").1;
        page += rest;
    }
    page
}

/// Text as HTML, also within a quoted attribute.
pub(crate) fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{fill, text};

    #[test]
    fn a_value_is_text_wherever_it_stands() {
        let values = [("a", text("</pre><script>\"'&")), ("b", text("{{a}}"))];
        assert_eq!(
            fill("<p id=\"{{a}}\">{{b}}", &values),
            "<p id=\"&lt;/pre&gt;&lt;script&gt;&quot;&#39;&amp;\">{{a}}"
        );
    }
}
