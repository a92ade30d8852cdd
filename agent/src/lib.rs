//! Runs codex in a terminal of its own, driven over MCP, and shows what it
//! does.
//!
//! ```text
//! MCP call ─► http ─► mcp ─► session ─► pty ─► codex
//! /live    ◄─ http ◄─ output_log ◄─ session ◄─ pty ◄─ codex
//! ```

pub mod args;
pub mod client;
pub mod codex;
pub mod http;
pub mod keys;
pub mod mcp;
pub mod osc;
pub mod output_log;
pub mod pty;
pub mod screen;
pub mod serve;
pub mod session;
pub mod text;
