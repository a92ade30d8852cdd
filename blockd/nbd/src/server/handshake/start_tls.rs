//! `NBD_OPT_STARTTLS`.

use super::{
    option_stream::OptionRequest,
    state::{Handshake, Outcome, Security, Step},
};
use crate::{
    server::{error::ConnectionError, stream::Stream},
    wire,
};

impl<S: Stream> Handshake<'_, S> {
    /// Nothing was negotiated before, as nothing else is served before TLS.
    pub(super) fn start_tls(&mut self, request: &OptionRequest) -> Result<Step, ConnectionError> {
        let invalid = match self.security {
            Security::Clear => {
                self.reply_unsupported(request.option);
                return Ok(Step::Next);
            }
            Security::Tls { .. } => "the connection uses TLS already",
            Security::Required if !request.data.is_empty() => "NBD_OPT_STARTTLS takes no data",
            Security::Required => return self.upgrade(),
        };
        self.options
            .reply_error(request.option, wire::NBD_REP_ERR_INVALID, invalid);
        Ok(Step::Next)
    }

    /// What was received before the upgrade must not count as received in TLS: a
    /// man in the middle could have added it.
    fn upgrade(&mut self) -> Result<Step, ConnectionError> {
        if self.options.has_buffered() {
            let text = "data before the reply to NBD_OPT_STARTTLS";
            return Err(ConnectionError::Protocol(text.into()));
        }
        self.options
            .reply(wire::NBD_OPT_STARTTLS, wire::NBD_REP_ACK, &[]);
        let no_zeroes = self.no_zeroes;
        Ok(Step::Done(Outcome::StartTls { no_zeroes }))
    }
}
