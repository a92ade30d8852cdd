//! The handshake phase (proto.md, "Fixed newstyle negotiation").
//!
//! An option is received whole, data included, before anything looks at it:
//! whatever it says, the next one begins where it should.

mod dialogue;
mod export;
mod list;
mod meta;
mod parse;
mod start_tls;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tracing::debug;

use self::dialogue::{Dialogue, OptionRequest};
pub(super) use self::meta::BASE_ALLOCATION_ID;
use super::connection::{ConnectionError, Stream};
use super::context::{Context, Shutdown};
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use crate::wire::{self, ClientHello, Hello};
use crate::{Export, Exports, OpenError};

/// What a client is told that does not begin with TLS.
const IN_THE_CLEAR: &str = "this server takes TLS only";

/// Exports that a connection remembers, so that `NBD_OPT_GO` means what
/// `NBD_OPT_INFO` told.
const REMEMBERED: usize = 8;

/// What client and server agreed upon.
pub(super) struct Agreed {
    pub(super) export: Arc<dyn Export>,
    pub(super) structured_replies: bool,
    /// Whether `base:allocation` was selected.
    pub(super) base_allocation: bool,
}

/// Whether the connection is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// In the clear, and it may stay so.
    Clear,
    /// Until it is secret nothing else is served ("FORCEDTLS mode").
    Required,
    /// By TLS; what was said at the beginning holds.
    Secured {
        /// As [`Handshake::no_zeroes`].
        no_zeroes: bool,
    },
}

/// How the handshake ended.
pub(super) enum Outcome {
    Transmission(Agreed),
    /// It goes on in TLS.
    Tls {
        no_zeroes: bool,
    },
    /// The client went away, as it may.
    End,
}

/// What an option leads to.
enum Step {
    Next,
    Done(Outcome),
}

/// What was negotiated so far.
struct Handshake<'a, S> {
    dialogue: Dialogue<'a, S>,
    exports: &'a dyn Exports,
    security: Security,
    no_zeroes: bool,
    structured_replies: bool,
    /// The export name for which `base:allocation` was selected last.
    meta_context: Option<String>,
    /// Latest last.
    opened: Vec<(String, Arc<dyn Export>)>,
    options_left: u32,
    has_listed: bool,
}

/// Talks with a new client until it is ready for transmission, or gone.
pub(super) async fn shake_hands<S: Stream>(
    stream: &mut S,
    incoming: &mut Incoming,
    outgoing: &mut Outgoing,
    (context, shutdown): (&Context, &mut Shutdown),
    security: Security,
) -> Result<Outcome, ConnectionError> {
    let limits = &context.limits;
    let mut handshake = Handshake {
        dialogue: Dialogue::new(
            stream,
            incoming,
            outgoing,
            (limits.handshake_time, shutdown),
        ),
        exports: &*context.exports,
        security,
        no_zeroes: false,
        structured_replies: false,
        meta_context: None,
        opened: Vec::new(),
        options_left: limits.options,
        has_listed: false,
    };
    match security {
        Security::Secured { no_zeroes } => handshake.no_zeroes = no_zeroes,
        _ if handshake.greet().await? => {}
        _ => return Ok(Outcome::End),
    }
    loop {
        let Some(option) = handshake.dialogue.receive_option().await? else {
            return Ok(Outcome::End);
        };
        handshake.count_option()?;
        if let Step::Done(outcome) = handshake.answer(&option).await? {
            return Ok(outcome);
        }
    }
}

impl<S: Stream> Handshake<'_, S> {
    /// Says hello and checks what comes back ("Client flags").
    async fn greet(&mut self) -> Result<bool, ConnectionError> {
        self.dialogue.outgoing.put(&Hello {
            nbdmagic: wire::NBDMAGIC.into(),
            ihaveopt: wire::IHAVEOPT.into(),
            flags: (wire::NBD_FLAG_FIXED_NEWSTYLE | wire::NBD_FLAG_NO_ZEROES).into(),
        });
        self.dialogue.flush().await?;
        let Some(hello) = self.dialogue.receive::<ClientHello>().await? else {
            return Ok(false);
        };
        let flags = hello.flags.get();
        let unknown = flags & !(wire::NBD_FLAG_C_FIXED_NEWSTYLE | wire::NBD_FLAG_C_NO_ZEROES);
        if unknown != 0 {
            return Err(ConnectionError::Protocol(format!(
                "unknown client flags {unknown:#x}"
            )));
        }
        self.no_zeroes = flags & wire::NBD_FLAG_C_NO_ZEROES != 0;
        Ok(true)
    }

    fn count_option(&mut self) -> Result<(), ConnectionError> {
        self.options_left = self
            .options_left
            .checked_sub(1)
            .ok_or_else(|| ConnectionError::Protocol("too many options".into()))?;
        Ok(())
    }

    /// One function for each option ("Option types").
    async fn answer(&mut self, request: &OptionRequest) -> Result<Step, ConnectionError> {
        debug!(option = request.option, length = request.length, "option");
        match request.option {
            wire::NBD_OPT_ABORT => return self.abort().await,
            wire::NBD_OPT_EXPORT_NAME => return self.export_name(request).await,
            _ => {}
        }
        if let Some((error, text)) = self.refusal(request) {
            self.dialogue.reply_error(request.option, error, &text);
            self.dialogue.flush().await?;
            return Ok(Step::Next);
        }
        let step = match request.option {
            wire::NBD_OPT_LIST => self.list(request).await?,
            wire::NBD_OPT_INFO => self.info(request).await,
            wire::NBD_OPT_GO => self.go(request).await,
            wire::NBD_OPT_STARTTLS => self.start_tls(request)?,
            wire::NBD_OPT_STRUCTURED_REPLY => self.structured_reply(request),
            wire::NBD_OPT_LIST_META_CONTEXT => self.list_meta_context(request).await,
            wire::NBD_OPT_SET_META_CONTEXT => self.set_meta_context(request).await,
            option => self.unsupported(option),
        };
        self.dialogue.flush().await?;
        Ok(step)
    }

    /// What is refused before anybody looks what it is.
    fn refusal(&mut self, request: &OptionRequest) -> Option<(u32, String)> {
        if self.dialogue.is_shutting_down() {
            return Some((
                wire::NBD_REP_ERR_SHUTDOWN,
                "the server is shutting down".into(),
            ));
        }
        if request.is_too_big() {
            if request.option == wire::NBD_OPT_SET_META_CONTEXT {
                self.meta_context = None;
            }
            let text = format!("{} bytes of option data are too many", request.length);
            return Some((wire::NBD_REP_ERR_TOO_BIG, text));
        }
        if self.security == Security::Required && request.option != wire::NBD_OPT_STARTTLS {
            return Some((wire::NBD_REP_ERR_TLS_REQD, IN_THE_CLEAR.into()));
        }
        None
    }

    /// `NBD_OPT_ABORT`: "a server SHOULD ignore any data sent by the client".
    async fn abort(&mut self) -> Result<Step, ConnectionError> {
        self.dialogue
            .reply(wire::NBD_OPT_ABORT, wire::NBD_REP_ACK, &[]);
        // The client need not wait for the reply.
        self.dialogue.flush().await.ok();
        Ok(Step::Done(Outcome::End))
    }

    /// `NBD_OPT_STRUCTURED_REPLY`.
    fn structured_reply(&mut self, request: &OptionRequest) -> Step {
        if request.data.is_empty() {
            self.structured_replies = true;
            self.dialogue.reply(request.option, wire::NBD_REP_ACK, &[]);
        } else {
            let text = "NBD_OPT_STRUCTURED_REPLY takes no data";
            self.dialogue
                .reply_error(request.option, wire::NBD_REP_ERR_INVALID, text);
        }
        Step::Next
    }

    /// Any option that is not served, `NBD_OPT_EXTENDED_HEADERS` among them.
    fn unsupported(&mut self, option: u32) -> Step {
        let text = format!("option {option} is not supported");
        self.dialogue
            .reply_error(option, wire::NBD_REP_ERR_UNSUP, &text);
        Step::Next
    }

    /// The export of that name: opened once, and the same whenever this
    /// client names it again.
    async fn open(&mut self, name: &str) -> Result<Arc<dyn Export>, OpenError> {
        if let Some((_, export)) = self.opened.iter().find(|(known, _)| known == name) {
            return Ok(Arc::clone(export));
        }
        let export = self.dialogue.off_the_clock(self.exports.open(name)).await?;
        if self.opened.len() >= REMEMBERED {
            self.opened.remove(0);
        }
        self.opened.push((name.into(), Arc::clone(&export)));
        Ok(export)
    }

    /// Says why an export cannot be opened.
    fn reply_open_error(&mut self, option: u32, error: &OpenError) {
        let code = match error {
            OpenError::Unknown(_) => wire::NBD_REP_ERR_UNKNOWN,
            OpenError::Invalid(_) => wire::NBD_REP_ERR_INVALID,
            OpenError::Policy(_) => wire::NBD_REP_ERR_POLICY,
            OpenError::Failed(_) => wire::NBD_REP_ERR_PLATFORM,
        };
        self.dialogue.reply_error(option, code, &error.to_string());
    }
}
