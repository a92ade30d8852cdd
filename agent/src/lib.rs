//! Runs codex in a terminal of its own, driven over MCP, and shows what it
//! does.
//!
//! ```text
//! MCP call ─► http ─► mcp ─► session ─► pty ─► codex
//! /live    ◄─ http ◄─ output_log ◄─ session ◄─ pty ◄─ codex
//! ```
//!
//! On Fly, `coordinator` wakes the machine that a request is for, by way of
//! `machines`, and has the request replayed there.

pub mod args;
pub mod boot;
pub mod client;
pub mod codex;
pub mod coordinator;
pub mod grant;
pub mod http;
pub mod keys;
pub mod machines;
pub mod mcp;
pub mod osc;
pub mod output_log;
pub mod pty;
pub mod screen;
pub mod serve;
pub mod session;
pub mod smoke;
pub mod store;
pub mod text;
