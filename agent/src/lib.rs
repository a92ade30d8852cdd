//! Runs codex in a terminal of its own, driven over MCP, and shows what it
//! does.
//!
//! ```text
//! MCP call ─► http ─► mcp ─► session ─► pty ─► codex
//! /live    ◄─ http ◄─ output_log ◄─ session ◄─ pty ◄─ codex
//! ```
//!
//! On Fly, `coordinator` wakes the machine that a request is for, by way of
//! `fly`, and has the request replayed there.

pub mod cli;
pub mod client;
pub mod coordinator;
pub mod fly;
pub mod http_access;
mod http_server;
pub mod machine;
pub mod mode;
mod pages;
pub mod run_times;
pub mod serve;
mod signals;
pub mod smoke;
pub mod terminal_output;
pub mod token;
