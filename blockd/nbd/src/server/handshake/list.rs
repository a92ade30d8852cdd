//! `NBD_OPT_LIST`.

use super::dialogue::OptionRequest;
use super::{Handshake, Step};
use crate::server::connection::{ConnectionError, Stream};
use crate::server::outgoing::BURST;
use crate::wire;

impl<S: Stream> Handshake<'_, S> {
    /// `NBD_OPT_LIST`: "the server SHOULD reject a request that includes data".
    pub(super) async fn list(&mut self, request: &OptionRequest) -> Result<Step, ConnectionError> {
        if !request.data.is_empty() {
            let text = "NBD_OPT_LIST takes no data";
            self.dialogue
                .reply_error(request.option, wire::NBD_REP_ERR_INVALID, text);
            return Ok(Step::Next);
        }
        let exports = self.dialogue.off_the_clock(self.exports.list()).await;
        for (name, description) in &exports {
            self.reply_server(request.option, name, description);
            if self.dialogue.outgoing.len() > BURST {
                self.dialogue.flush().await?;
            }
        }
        self.dialogue.reply(request.option, wire::NBD_REP_ACK, &[]);
        self.allow_options_for(exports.len());
        Ok(Step::Next)
    }

    /// `NBD_REP_SERVER`. A name that the protocol cannot carry is left out.
    fn reply_server(&mut self, option: u32, name: &str, description: &str) {
        let Some(length) = u32::try_from(name.len())
            .ok()
            .filter(|_| wire::cut(name) == name)
        else {
            return;
        };
        let parts = [
            &length.to_be_bytes(),
            name.as_bytes(),
            wire::cut(description).as_bytes(),
        ];
        self.dialogue.reply(option, wire::NBD_REP_SERVER, &parts);
    }

    /// A client that lists asks for each of the exports next.
    fn allow_options_for(&mut self, exports: usize) {
        let exports = u32::try_from(exports).unwrap_or(u32::MAX);
        if !self.has_listed {
            self.has_listed = true;
            self.options_left = self.options_left.saturating_add(exports.saturating_mul(4));
        }
    }
}
