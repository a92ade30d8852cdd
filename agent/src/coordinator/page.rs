//! `/` without a machine: a page that lists the machines, each with a link to the
//! pages of its agent. It needs no script and loads nothing.

use std::fmt::Write;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

use super::metadata::{AGENT, REPLACED_BY, ROLE, TASK, value};
use crate::fly::Machine;

/// Nothing is loaded, run, framed or submitted.
const POLICY: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The page for these machines, agents only, by their names.
pub(super) fn machines(mut machines: Vec<Machine>) -> Response {
    machines.retain(|machine| machine.metadata(ROLE) == Some(AGENT));
    machines.sort_by(|a, b| a.name.cmp(&b.name));
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, html(&machines)).into_response()
}

fn html(machines: &[Machine]) -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Agents</title>\
         <h1>Agents</h1>",
    );
    if machines.is_empty() {
        page.push_str("<p>There is no machine yet: the first request for a repository makes one.");
        return page;
    }
    page.push_str("<table><tr><th>Machine<th>State<th>Repository<th>Task");
    for machine in machines {
        let repository = value(machine, "repository").unwrap_or("-");
        let task = value(machine, TASK).unwrap_or("-");
        let state = match value(machine, REPLACED_BY) {
            Some(by) => format!("{}, replaced by {by}", machine.state),
            None => machine.state.to_string(),
        };
        write!(
            page,
            "\n<tr><td><a href=\"?machine={id}\">{id}</a> {name}<td>{state}<td>{repository}<td>{task}",
            id = machine.id,
            name = escaped(&machine.name),
            state = escaped(&state),
            repository = escaped(repository),
            task = escaped(task),
        )
        .expect("a string takes all text");
    }
    page.push_str("\n</table>");
    page
}

/// A text of somebody else's, for an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::html;

    #[test]
    fn text_of_others_is_not_markup() {
        let machine = json!({ "id": "m1", "name": "<b>", "state": "launch_failed", "config": {
            "metadata": { "role": "agent", "repository": "a&b", "task": "<script>", "replaced-by": "<i>" } } });
        let page = html(&[serde_json::from_value(machine).unwrap()]);
        for expected in [
            "?machine=m1",
            "launch_failed, replaced by &lt;i&gt;",
            "a&amp;b",
            "&lt;script&gt;",
            "&lt;b&gt;",
        ] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        assert!(!page.contains("<script"), "{page}");
    }
}
