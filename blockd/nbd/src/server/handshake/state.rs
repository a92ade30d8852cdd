//! What the functions for the single options share.

use std::{sync::Arc, time::Instant};

use super::option_stream::OptionStream;
use crate::{
    export::{Export, OpenError},
    server::{admission::Admission, context::Context, negotiated::Negotiated, stream::Stream},
    wire,
};

/// The reason of `NBD_REP_ERR_TLS_REQD`.
pub(super) const TLS_REQUIRED: &str = "this server requires TLS";

/// Exports that a connection keeps open, so that `NBD_OPT_GO` opens what
/// `NBD_OPT_INFO` described.
const MAX_OPENED: usize = 8;

/// Whether the connection uses TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Security {
    /// It does not, and need not ("NOTLS mode").
    Clear,
    /// It must be upgraded before anything else ("FORCEDTLS mode").
    Required,
    /// It does; the client flags are those from before the upgrade.
    Tls {
        /// As [`Handshake::no_zeroes`].
        no_zeroes: bool,
    },
}

/// How the handshake ended.
pub(in crate::server) enum Outcome {
    /// The transmission phase follows.
    Transmission(Negotiated),
    /// TLS follows, and then the handshake with [`Security::Tls`].
    StartTls { no_zeroes: bool },
    /// The client has ended the session, or closed the connection between options.
    End,
}

/// What follows an option.
pub(super) enum Step {
    /// The next option.
    Next,
    /// The end of the handshake.
    Done(Outcome),
}

/// What was negotiated so far.
pub(super) struct Handshake<'a, S> {
    pub(super) options: OptionStream<'a, S>,
    pub(super) context: &'a Context,
    pub(super) admission: &'a Admission,
    pub(super) security: Security,
    /// Whether the zeroes after `NBD_OPT_EXPORT_NAME` are omitted.
    pub(super) no_zeroes: bool,
    pub(super) structured_replies: bool,
    /// The name of the export for which `base:allocation` was selected last.
    pub(super) meta_context: Option<String>,
    /// Exports by the name they were opened by, the latest last.
    pub(super) opened: Vec<(String, Arc<dyn Export>)>,
    /// How many more options the client may send.
    pub(super) options_left: u32,
    pub(super) has_listed: bool,
}

impl<S: Stream> Handshake<'_, S> {
    /// Replies that an option is not supported.
    pub(super) fn reply_unsupported(&mut self, option: u32) {
        let text = format!("option {option} is not supported");
        self.options
            .reply_error(option, wire::NBD_REP_ERR_UNSUP, &text);
    }

    /// The export of that name: opened once, and the same whenever this client
    /// names it again.
    pub(super) async fn open(&mut self, name: &str) -> Result<Arc<dyn Export>, OpenError> {
        if let Some((_, export)) = self.opened.iter().find(|(known, _)| known == name) {
            return Ok(Arc::clone(export));
        }
        let begun = Instant::now();
        let opening = self.context.exports.open(name, &self.admission.identity);
        let place = self.admission.handshake.as_ref();
        // Whoever waits for the server is not silent.
        place.inspect(|place| place.set_busy(true));
        let opened = self.options.while_connected(opening).await;
        place.inspect(|place| place.set_busy(false));
        let gone = || {
            Err(OpenError::Failed(
                "the client has closed the connection".into(),
            ))
        };
        let opened = opened.unwrap_or_else(gone);
        self.context.counters.open(&opened, begun.elapsed());
        let export = opened?;
        let block_size = export.info().block_size;
        if !block_size.is_valid() {
            let text = format!("the export has invalid block sizes: {block_size:?}");
            return Err(OpenError::Failed(text));
        }
        if self.opened.len() >= MAX_OPENED {
            self.opened.remove(0);
        }
        self.opened.push((name.into(), Arc::clone(&export)));
        Ok(export)
    }

    /// Replies why an export cannot be opened.
    pub(super) fn reply_open_error(&mut self, option: u32, error: &OpenError) {
        let code = match error {
            OpenError::Unknown(_) => wire::NBD_REP_ERR_UNKNOWN,
            OpenError::Invalid(_) => wire::NBD_REP_ERR_INVALID,
            OpenError::Policy(_) => wire::NBD_REP_ERR_POLICY,
            OpenError::Failed(_) => wire::NBD_REP_ERR_PLATFORM,
        };
        self.options.reply_error(option, code, &error.to_string());
    }
}
