//! `/live/runs/RUN/view`: a run, played with the pauses that it had.

use axum::{
    extract::{Path, State},
    http::Uri,
    response::Response,
};

use super::{app::App, live::find};
use crate::pages::replay_page;

/// The page that plays a run, which may be the current one.
pub(super) async fn view_page(
    State(app): State<App>,
    Path(run): Path<String>,
    uri: Uri,
) -> Response {
    match find(&app, &run) {
        Ok((run, _)) => replay_page(run.milliseconds(), &uri, &app.access.cookie()),
        Err(refused) => *refused,
    }
}
