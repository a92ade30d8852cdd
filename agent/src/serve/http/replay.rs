//! `/live/runs/RUN/view`: a run, played with the pauses that it had.

use axum::{
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};

use super::{app::App, assets, live::find, page::replay_page};

/// The page that plays a run, which may be the current one.
pub(super) async fn view_page(
    State(app): State<App>,
    Path(run): Path<String>,
    uri: Uri,
) -> Response {
    let id = match find(&app, &run) {
        Ok((id, _)) => id,
        Err(refused) => return *refused,
    };
    if !assets::are_there() {
        let message = "this agent was built without its pages, for want of npm: agent export URL \
                       RUN writes a file that other players show\n";
        return (StatusCode::NOT_IMPLEMENTED, message).into_response();
    }
    replay_page(&app, id, &uri)
}
