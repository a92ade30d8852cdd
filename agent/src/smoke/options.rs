//! What `agent smoke` tests, and how.

use std::time::Duration;

use super::{candidate::Candidate, passes::Passes, promote::Promotion, verdict::Tier};

/// The options of `agent smoke`.
#[derive(Debug)]
pub struct Options {
    /// The machine under test.
    pub candidate: Candidate,
    /// The last tier to run.
    pub up_to: Tier,
    /// How long a tier may take; `None` for the tier's own limit.
    pub tier_timeout: Option<Duration>,
    /// How many messages an agent gets.
    pub turns: u32,
    /// The digest of the candidate's image, 64 hexadecimal digits.
    pub image: Option<String>,
    /// Where passed images are recorded.
    pub passes: Option<Passes>,
    /// Where to ask for the promotion of an image that passed.
    pub promote: Option<Promotion>,
}
