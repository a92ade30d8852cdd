//! The handshake phase (proto.md, "Fixed newstyle negotiation"): one file for each
//! kind of option.
//!
//! An option is received whole, data included, before it is looked at, so that
//! the next one is found whatever it says.

mod export;
mod list;
mod meta;
mod option_stream;
mod parse;
mod start_tls;
mod state;

#[cfg(test)]
mod tests;

use tokio::time::Instant;
use tracing::debug;

pub(super) use self::{
    option_stream::later,
    state::{Outcome, Security},
};
use self::{
    option_stream::{OptionRequest, OptionStream},
    state::{Handshake, Step, TLS_REQUIRED},
};
use super::{
    admission::Admission, context::Context, error::ConnectionError, receive_buffer::ReceiveBuffer,
    send_buffer::SendBuffer, shutdown::Shutdown, stream::Stream,
};
use crate::wire::{self, ClientHello, Hello};

/// Negotiates with a new client until it is ready for transmission, or gone.
pub(super) async fn negotiate<S: Stream>(
    stream: &mut S,
    incoming: &mut ReceiveBuffer,
    outgoing: &mut SendBuffer,
    (context, admission): (&Context, &Admission),
    (shutdown, deadline, security): (&mut Shutdown, Instant, Security),
) -> Result<Outcome, ConnectionError> {
    let limits = &context.limits;
    let mut handshake = Handshake {
        options: OptionStream::new(
            stream,
            incoming,
            outgoing,
            (limits.handshake_time, deadline, shutdown),
        ),
        context,
        admission,
        security,
        no_zeroes: false,
        structured_replies: false,
        meta_context: None,
        opened: Vec::new(),
        options_left: limits.options,
        has_listed: false,
    };
    match security {
        Security::Tls { no_zeroes } => handshake.no_zeroes = no_zeroes,
        _ if handshake.greet().await? => {}
        _ => return Ok(Outcome::End),
    }
    loop {
        let Some(option) = handshake.options.receive_option().await? else {
            return Ok(Outcome::End);
        };
        handshake.count_option()?;
        if let Step::Done(outcome) = handshake.answer(&option).await? {
            return Ok(outcome);
        }
    }
}

impl<S: Stream> Handshake<'_, S> {
    /// Sends the greeting and checks the client flags ("Client flags"); `false` if
    /// the client has closed the connection.
    async fn greet(&mut self) -> Result<bool, ConnectionError> {
        self.options.outgoing.put(&Hello {
            nbdmagic: wire::NBDMAGIC.into(),
            ihaveopt: wire::IHAVEOPT.into(),
            flags: (wire::NBD_FLAG_FIXED_NEWSTYLE | wire::NBD_FLAG_NO_ZEROES).into(),
        });
        self.options.flush().await?;
        let Some(hello) = self.options.receive::<ClientHello>().await? else {
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
            wire::NBD_OPT_ABORT => return Ok(self.abort().await),
            wire::NBD_OPT_EXPORT_NAME => return self.export_name(request).await,
            _ => {}
        }
        if let Some((error, text)) = self.refusal(request) {
            self.options.reply_error(request.option, error, &text);
            self.options.flush().await?;
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
            // `NBD_OPT_EXTENDED_HEADERS` among them.
            option => {
                self.reply_unsupported(option);
                Step::Next
            }
        };
        self.options.flush().await?;
        Ok(step)
    }

    /// Why an option is refused whatever it is.
    fn refusal(&mut self, request: &OptionRequest) -> Option<(u32, String)> {
        if self.options.is_shutting_down() {
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
            return Some((wire::NBD_REP_ERR_TLS_REQD, TLS_REQUIRED.into()));
        }
        None
    }

    /// `NBD_OPT_ABORT`: "a server SHOULD ignore any data sent by the client".
    async fn abort(&mut self) -> Step {
        self.options
            .reply(wire::NBD_OPT_ABORT, wire::NBD_REP_ACK, &[]);
        // The server handles gracefully "closing the connection without waiting for
        // a reply".
        self.options.flush().await.ok();
        Step::Done(Outcome::End)
    }

    /// `NBD_OPT_STRUCTURED_REPLY`.
    fn structured_reply(&mut self, request: &OptionRequest) -> Step {
        if request.data.is_empty() {
            self.structured_replies = true;
            self.options.reply(request.option, wire::NBD_REP_ACK, &[]);
        } else {
            let text = "NBD_OPT_STRUCTURED_REPLY takes no data";
            self.options
                .reply_error(request.option, wire::NBD_REP_ERR_INVALID, text);
        }
        Step::Next
    }
}
