//! The pages for people: `/`, `/terminal` and `/live/view`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{extract::State, http::Uri, response::Response};

use super::app::App;
use crate::{
    pages::{self, HOME, Page, Shown, query, respond, text},
    serve::session::{State as RunState, Status},
};

/// The page that shows the terminal as it is now.
pub(super) fn terminal_page(app: &App, page: Page, uri: &Uri) -> Response {
    let run = app.session.run();
    let shown = Shown {
        title: run.map_or_else(String::new, |run| run.screen().title().to_owned()),
        state: state_word(app.session.status().state),
        screen: app.session.screen_text(),
    };
    pages::terminal_page(page, uri, &shown, &app.access.cookie())
}

/// `/`: what runs, and where everything is.
pub(super) async fn home(State(app): State<App>, uri: Uri) -> Response {
    let Status {
        state, detail, run, ..
    } = app.session.status();
    let query = query(&uri);
    let script = if pages::are_there() {
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
    respond(HOME, &values, &app.access.cookie())
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
    let query = text(query);
    let entries = listed.iter().rev().map(|id| {
        let id = id.to_string();
        let which = if id == current { " (the last)" } else { "" };
        format!(
            "<li><a href=\"./live/runs/{id}/view{query}\">{id}</a>{which}, \
             <a href=\"./live/runs/{id}{query}\">as a file</a></li>"
        )
    });
    entries.collect()
}

fn state_word(state: RunState) -> String {
    let word = serde_json::to_value(state).expect("a state is a word");
    word.as_str().expect("a state is a word").to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Duration, UNIX_EPOCH, lasted};

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
