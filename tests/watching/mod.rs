//! What `serve --http` shows, judged by the library of the Prometheus project, and by
//! what a client has done.

mod client;
mod exports;
mod logs;
mod metrics;
mod readiness;
mod strangers;

use self::client::{Response, get};
