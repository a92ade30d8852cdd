//! `NBD_OPT_EXPORT_NAME`, `NBD_OPT_INFO` and `NBD_OPT_GO`.

use std::sync::Arc;

use super::dialogue::OptionRequest;
use super::parse::{self, InfoRequest};
use super::{Agreed, Handshake, IN_THE_CLEAR, Outcome, Security, Step};
use crate::Export;
use crate::server::connection::{ConnectionError, Stream};
use crate::wire::{self, ExportNameReply, InfoBlockSize, InfoExport};

impl<S: Stream> Handshake<'_, S> {
    /// `NBD_OPT_EXPORT_NAME`: the server has no way to say no but to end the
    /// connection.
    pub(super) async fn export_name(
        &mut self,
        request: &OptionRequest,
    ) -> Result<Step, ConnectionError> {
        if self.dialogue.is_shutting_down() {
            return Ok(Step::Done(Outcome::End));
        }
        if self.security == Security::Required {
            return Err(ConnectionError::NoExport(IN_THE_CLEAR.into()));
        }
        if request.is_too_big() {
            let text = format!("the export name has {} bytes", request.length);
            return Err(ConnectionError::NoExport(text));
        }
        let name =
            parse::string(&request.data, "export name").map_err(ConnectionError::NoExport)?;
        let export = self
            .open(name)
            .await
            .map_err(|error| ConnectionError::NoExport(format!("{name:?}: {error}")))?;
        self.dialogue.outgoing.put(&ExportNameReply {
            size: export.info().size.into(),
            flags: self.transmission_flags(&*export).into(),
        });
        if !self.no_zeroes {
            self.dialogue
                .outgoing
                .put(&[0_u8; wire::EXPORT_NAME_ZEROES]);
        }
        self.dialogue.flush().await?;
        Ok(self.begin(name, export))
    }

    /// `NBD_OPT_INFO`.
    pub(super) async fn info(&mut self, request: &OptionRequest) -> Step {
        self.describe(request).await;
        Step::Next
    }

    /// `NBD_OPT_GO`: `NBD_OPT_INFO`, and then transmission.
    pub(super) async fn go(&mut self, request: &OptionRequest) -> Step {
        match self.describe(request).await {
            Some((name, export)) => self.begin(name, export),
            None => Step::Next,
        }
    }

    /// Tells what the client wants to know; `None` when there is no such
    /// export, or the client asked badly.
    async fn describe<'r>(
        &mut self,
        request: &'r OptionRequest,
    ) -> Option<(&'r str, Arc<dyn Export>)> {
        let wanted = match parse::info_request(&request.data) {
            Ok(wanted) => wanted,
            Err(text) => {
                self.dialogue
                    .reply_error(request.option, wire::NBD_REP_ERR_INVALID, &text);
                return None;
            }
        };
        match self.open(wanted.name).await {
            Ok(_) if self.dialogue.is_shutting_down() => {
                let text = "the server is shutting down";
                self.dialogue
                    .reply_error(request.option, wire::NBD_REP_ERR_SHUTDOWN, text);
                None
            }
            Ok(export) => {
                self.reply_information(request.option, &wanted, &*export);
                self.dialogue.reply(request.option, wire::NBD_REP_ACK, &[]);
                Some((wanted.name, export))
            }
            Err(error) => {
                self.reply_open_error(request.option, &error);
                None
            }
        }
    }

    /// `NBD_INFO_EXPORT` always, all else when it is asked for.
    fn reply_information(&mut self, option: u32, wanted: &InfoRequest<'_>, export: &dyn Export) {
        let info = export.info();
        let flags = self.transmission_flags(export);
        let dialogue = &mut self.dialogue;
        let all = InfoExport {
            information: wire::NBD_INFO_EXPORT.into(),
            size: info.size.into(),
            flags: flags.into(),
        };
        dialogue.reply_message(option, wire::NBD_REP_INFO, &all);
        let texts = [
            (wire::NBD_INFO_NAME, &info.name),
            (wire::NBD_INFO_DESCRIPTION, &info.description),
        ];
        for (information, text) in texts {
            if wanted.wants(information) {
                let parts = [&information.to_be_bytes(), wire::cut(text).as_bytes()];
                dialogue.reply(option, wire::NBD_REP_INFO, &parts);
            }
        }
        if wanted.wants(wire::NBD_INFO_BLOCK_SIZE) {
            let block_size = InfoBlockSize {
                information: wire::NBD_INFO_BLOCK_SIZE.into(),
                minimum: info.block_size.minimum.into(),
                preferred: info.block_size.preferred.into(),
                maximum: info.block_size.maximum.into(),
            };
            dialogue.reply_message(option, wire::NBD_REP_INFO, &block_size);
        }
    }

    /// Any number of connections see the same bytes, so
    /// `NBD_FLAG_CAN_MULTI_CONN` is true ("Transmission flags").
    fn transmission_flags(&self, export: &dyn Export) -> u16 {
        let writing = if export.writes().is_some() {
            wire::NBD_FLAG_SEND_FLUSH
                | wire::NBD_FLAG_SEND_FUA
                | wire::NBD_FLAG_SEND_TRIM
                | wire::NBD_FLAG_SEND_WRITE_ZEROES
        } else {
            wire::NBD_FLAG_READ_ONLY
        };
        let flags = wire::NBD_FLAG_HAS_FLAGS
            | writing
            | wire::NBD_FLAG_CAN_MULTI_CONN
            | wire::NBD_FLAG_SEND_CACHE;
        if self.structured_replies {
            flags | wire::NBD_FLAG_SEND_DF
        } else {
            flags
        }
    }

    /// Metadata contexts count only for the name they were selected for.
    fn begin(&self, name: &str, export: Arc<dyn Export>) -> Step {
        Step::Done(Outcome::Transmission(Agreed {
            export,
            structured_replies: self.structured_replies,
            base_allocation: self.meta_context.as_deref() == Some(name),
        }))
    }
}
