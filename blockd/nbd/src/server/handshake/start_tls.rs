//! `NBD_OPT_STARTTLS`.

use super::dialogue::OptionRequest;
use super::{Handshake, Outcome, Security, Step};
use crate::server::connection::{ConnectionError, Stream};
use crate::wire;

impl<S: Stream> Handshake<'_, S> {
    /// What was negotiated before does not hold any more: here it is nothing.
    pub(super) fn start_tls(&mut self, request: &OptionRequest) -> Result<Step, ConnectionError> {
        let invalid = match self.security {
            Security::Clear => return Ok(self.unsupported(request.option)),
            Security::Secured { .. } => "TLS has begun already",
            Security::Required if !request.data.is_empty() => "NBD_OPT_STARTTLS takes no data",
            Security::Required => return self.go_on_in_tls(),
        };
        self.dialogue
            .reply_error(request.option, wire::NBD_REP_ERR_INVALID, invalid);
        Ok(Step::Next)
    }

    /// Whoever can write into the connection could have appended what then
    /// seems to have come in TLS.
    fn go_on_in_tls(&mut self) -> Result<Step, ConnectionError> {
        if self.dialogue.is_ahead() {
            let text = "it did not wait for the reply to NBD_OPT_STARTTLS";
            return Err(ConnectionError::Protocol(text.into()));
        }
        self.dialogue
            .reply(wire::NBD_OPT_STARTTLS, wire::NBD_REP_ACK, &[]);
        let no_zeroes = self.no_zeroes;
        Ok(Step::Done(Outcome::Tls { no_zeroes }))
    }
}
