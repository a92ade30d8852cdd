//! `NBD_OPT_LIST`.

use tracing::warn;

use super::{
    option_stream::OptionRequest,
    state::{Handshake, Step},
};
use crate::{
    server::{error::ConnectionError, send_buffer::BURST, stream::Stream},
    string::{parse_string, truncate},
    wire,
};

impl<S: Stream> Handshake<'_, S> {
    /// `NBD_OPT_LIST`: "the server SHOULD reject a request that includes data".
    pub(super) async fn list(&mut self, request: &OptionRequest) -> Result<Step, ConnectionError> {
        if !request.data.is_empty() {
            let text = "NBD_OPT_LIST takes no data";
            self.options
                .reply_error(request.option, wire::NBD_REP_ERR_INVALID, text);
            return Ok(Step::Next);
        }
        let listing = self.context.exports.list(&self.admission.identity);
        let exports = self.options.off_the_clock(listing).await;
        for (name, description) in &exports {
            self.reply_server(request.option, name, description);
            if self.options.outgoing.len() > BURST {
                self.options.flush().await?;
            }
        }
        self.options.reply(request.option, wire::NBD_REP_ACK, &[]);
        self.allow_options_for(exports.len());
        Ok(Step::Next)
    }

    /// `NBD_REP_SERVER`.
    fn reply_server(&mut self, option: u32, name: &str, description: &str) {
        if let Err(error) = parse_string(name.as_bytes()) {
            warn!("an export is not listed: its name {error}");
            return;
        }
        let length = u32::try_from(name.len()).expect("it is a string of the protocol");
        let parts = [
            &length.to_be_bytes(),
            name.as_bytes(),
            truncate(description).as_bytes(),
        ];
        self.options.reply(option, wire::NBD_REP_SERVER, &parts);
    }

    /// A client that lists the exports asks for each of them next.
    fn allow_options_for(&mut self, exports: usize) {
        if self.has_listed {
            return;
        }
        self.has_listed = true;
        // A limit: more than the maximum is no limit either.
        let exports = u32::try_from(exports).unwrap_or(u32::MAX);
        self.options_left = self.options_left.saturating_add(exports.saturating_mul(4));
    }
}
