//! The pages for people: `/`, `/terminal` and `/live/view`.
//!
//! All their addresses are relative, and have the query of the page: a coordinator may
//! serve them below a prefix, or find the machine in the query.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{
    extract::State,
    http::{HeaderValue, Uri, header},
    response::{Html, IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::random;

use super::{app::App, assets};
use crate::serve::session::{State as RunState, Status};

const TERMINAL: &str = include_str!("../../../web/terminal.html");
const PLAIN: &str = include_str!("../../../web/plain.html");
const HOME: &str = include_str!("../../../web/home.html");

/// A page that shows the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// With a keyboard.
    Terminal,
    /// Without.
    View,
}

/// The page that shows the terminal; its text alone where this program was built
/// without the pages.
pub(super) fn terminal_page(app: &App, page: Page, uri: &Uri) -> Response {
    let (mode, base) = match page {
        Page::Terminal => ("terminal", "./"),
        Page::View => ("view", "../"),
    };
    let run = app.session.run();
    let title = run.map_or_else(String::new, |run| run.screen().title().to_owned());
    let title = match title.as_str() {
        "" => "agent".to_owned(),
        title => format!("{title} – agent"),
    };
    let template = if assets::are_there() { TERMINAL } else { PLAIN };
    let state = state_word(app.session.status().state);
    let values = [
        ("mode", text(mode)),
        ("base", text(base)),
        ("query", text(&query(uri))),
        ("title", text(&title)),
        ("state", text(&state)),
        ("screen", text(&app.session.screen_text())),
    ];
    respond(app, template, &values)
}

/// `/`: what runs, and where everything is.
pub(super) async fn home(State(app): State<App>, uri: Uri) -> Response {
    let Status {
        state, detail, run, ..
    } = app.session.status();
    let query = query(&uri);
    let script = if assets::are_there() {
        let query = text(&query);
        format!("<script type=\"module\" src=\"./assets/home.js{query}\"></script>")
    } else {
        String::new()
    };
    let values = [
        ("base", text("./")),
        ("query", text(&query)),
        ("title", text("agent")),
        ("version", text(env!("CARGO_PKG_VERSION"))),
        ("state", text(&state_word(state))),
        ("detail", text(&detail)),
        ("run", text(&run)),
        (
            "shown_run",
            text(if run.is_empty() { "none" } else { &run }),
        ),
        ("lasted", text(&lasted(&run, SystemTime::now()))),
        ("script", script),
        ("runs", runs(&app, &run, &query)),
    ];
    respond(&app, HOME, &values)
}

/// How long ago a run began; its name says when.
fn lasted(run: &str, now: SystemTime) -> String {
    let began = run
        .parse()
        .map(|began| UNIX_EPOCH + Duration::from_millis(began));
    // Where the clock was set back, and before the first run, nothing is to be said.
    let Some(lasted) = began.ok().and_then(|began| now.duration_since(began).ok()) else {
        return String::new();
    };
    let minutes = lasted.as_secs() / 60;
    let parts = [(minutes / 1440, "d"), (minutes / 60 % 24, "h")];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let long: Vec<_> = parts
        .map(|(count, unit)| format!("{count} {unit} "))
        .collect();
    let long = long.concat();
    format!("{long}{} min", minutes % 60)
}

/// The runs that are retained, the newest first, as a list in HTML.
fn runs(app: &App, current: &str, query: &str) -> String {
    let listed = match app.session.runs().list() {
        Ok(listed) => listed,
        Err(error) => {
            return format!(
                "<li>{}</li>",
                text(&format!("cannot read the logs: {error}"))
            );
        }
    };
    if listed.is_empty() {
        return "<li>none yet</li>".to_owned();
    }
    let entries = listed.iter().rev().map(|id| {
        let id = id.to_string();
        let which = if id == current { " (the last)" } else { "" };
        format!(
            "<li><a href=\"./live/runs/{id}{}\">{id}</a>{which}</li>",
            text(query)
        )
    });
    entries.collect()
}

fn state_word(state: RunState) -> String {
    let word = serde_json::to_value(state).expect("a state is a word");
    word.as_str().expect("a state is a word").to_owned()
}

/// The query of the page with its `?`; empty without one.
fn query(uri: &Uri) -> String {
    uri.query()
        .map_or_else(String::new, |query| format!("?{query}"))
}

/// Answers with a template whose `{{names}}` are replaced by values, which are HTML.
fn respond(app: &App, template: &str, values: &[(&str, String)]) -> Response {
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
    headers.insert(header::SET_COOKIE, ascii(app.access.cookie()));
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
fn text(text: &str) -> String {
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
    use super::{Duration, UNIX_EPOCH, fill, lasted, text};

    #[test]
    fn a_value_is_text_wherever_it_stands() {
        let values = [("a", text("</pre><script>\"'&")), ("b", text("{{a}}"))];
        assert_eq!(
            fill("<p id=\"{{a}}\">{{b}}", &values),
            "<p id=\"&lt;/pre&gt;&lt;script&gt;&quot;&#39;&amp;\">{{a}}"
        );
    }

    #[test]
    fn the_name_of_a_run_says_how_long_it_lasts() {
        let now = UNIX_EPOCH + Duration::from_secs(200_000);
        assert_eq!(lasted("0", now), "2 d 7 h 33 min");
        assert_eq!(lasted("199000000", now), "16 min");
        for nothing in ["", "no number", "200001000"] {
            assert_eq!(lasted(nothing, now), "");
        }
    }
}
