//! `agent coordinator` and `agent machines` against a double of Fly's platform, with
//! real agents on its machines.

#[cfg(test)]
mod candidate;
#[cfg(test)]
mod command;
#[cfg(test)]
mod double;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod interop;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod manage;
#[cfg(test)]
mod mcp;
#[cfg(test)]
mod pin;
#[cfg(test)]
mod platform;
#[cfg(test)]
mod promote;
#[cfg(test)]
mod reuse;
#[cfg(test)]
mod roll;
#[cfg(test)]
mod wake;

#[cfg(test)]
const AGENT: &str = env!("CARGO_BIN_EXE_agent");
#[cfg(test)]
const FAKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake/codex");
