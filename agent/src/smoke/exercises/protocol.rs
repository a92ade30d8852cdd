//! Requests and responses between `agent smoke` and `agent exercises`. Both ends
//! are the same build: `agent smoke` runs on a machine of the image that it tests.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// `PUT /exercise`
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::smoke) struct DeployRequest {
    /// The exercise's name.
    pub(in crate::smoke) name: String,
}

/// `POST /agents`
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::smoke) struct AgentRequest {
    /// The part whose view the agent works on, counted from 0.
    pub(in crate::smoke) part: usize,
}

/// The response to `POST /agents`.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::smoke) struct Started {
    /// The port that the agent listens on.
    pub(in crate::smoke) port: u16,
}

/// `POST /copy`
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::smoke) struct CopyRequest {
    /// The parts whose repairs are copied.
    pub(in crate::smoke) from: Vec<usize>,
    /// The part whose view gets them.
    pub(in crate::smoke) to: usize,
}

/// `POST /judge`
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::smoke) struct JudgeRequest {
    /// The parts whose repairs are judged together.
    pub(in crate::smoke) parts: Vec<usize>,
}

/// `POST /outputs`
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::smoke) struct OutputsRequest {
    /// The parts whose repairs the program has.
    pub(in crate::smoke) parts: Vec<usize>,
    /// The program, relative to the view.
    pub(in crate::smoke) program: String,
    /// The argument of each run.
    pub(in crate::smoke) inputs: Vec<String>,
}

/// The response to `POST /change`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::smoke) struct Change {
    /// What is wrong with how the changes show; empty when nothing is.
    pub(in crate::smoke) faults: Vec<String>,
}

/// The response to `POST /judge`.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::smoke) struct Judgement {
    /// The tests that fail.
    pub(in crate::smoke) failing: BTreeSet<String>,
    /// The beginning of the suite's output.
    pub(in crate::smoke) output: String,
    /// The parts in whose views the tests are not those of the base.
    pub(in crate::smoke) tampered: Vec<usize>,
}

impl Judgement {
    /// Says which agent has changed the tests, if one has.
    pub(in crate::smoke) fn tampering(&self) -> Option<String> {
        let first = self.tampered.first()? + 1;
        Some(format!("agent {first} has changed the tests"))
    }
}
