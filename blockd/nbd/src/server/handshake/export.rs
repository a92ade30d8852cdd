//! `NBD_OPT_EXPORT_NAME`, `NBD_OPT_INFO` and `NBD_OPT_GO`.

use std::sync::Arc;

use super::{
    option_stream::OptionRequest,
    parse::{self, InfoRequest},
    state::{Handshake, Outcome, Security, Step, TLS_REQUIRED},
};
use crate::{
    export::Export,
    server::{
        error::ConnectionError,
        negotiated::{MAX_PAYLOAD, Negotiated},
        stream::Stream,
    },
    string::truncate,
    wire::{self, ExportNameReply, InfoBlockSize, InfoExport},
};

impl<S: Stream> Handshake<'_, S> {
    /// `NBD_OPT_EXPORT_NAME`: the only error reply is to end the connection.
    pub(super) async fn export_name(
        &mut self,
        request: &OptionRequest,
    ) -> Result<Step, ConnectionError> {
        if self.options.is_shutting_down() {
            return Ok(Step::Done(Outcome::End));
        }
        if self.security == Security::Required {
            return Err(ConnectionError::NoExport(TLS_REQUIRED.into()));
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
            .map_err(|error| ConnectionError::NoExport(error.to_string()))?;
        self.options.outgoing.put(&ExportNameReply {
            size: export.info().size.into(),
            flags: self.transmission_flags(&*export).into(),
        });
        if !self.no_zeroes {
            self.options.outgoing.put(&[0_u8; wire::EXPORT_NAME_ZEROES]);
        }
        self.options.flush().await?;
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

    /// Replies with the requested information and returns the export, or replies
    /// with an error.
    async fn describe<'r>(
        &mut self,
        request: &'r OptionRequest,
    ) -> Option<(&'r str, Arc<dyn Export>)> {
        let info = match parse::info_request(&request.data) {
            Ok(info) => info,
            Err(text) => {
                self.options
                    .reply_error(request.option, wire::NBD_REP_ERR_INVALID, &text);
                return None;
            }
        };
        match self.open(info.name).await {
            Ok(_) if self.options.is_shutting_down() => {
                let text = "the server is shutting down";
                self.options
                    .reply_error(request.option, wire::NBD_REP_ERR_SHUTDOWN, text);
                None
            }
            Ok(export) => {
                self.reply_information(request.option, &info, &*export);
                self.options.reply(request.option, wire::NBD_REP_ACK, &[]);
                Some((info.name, export))
            }
            Err(error) => {
                self.reply_open_error(request.option, &error);
                None
            }
        }
    }

    /// `NBD_INFO_EXPORT` always, everything else on request.
    fn reply_information(&mut self, option: u32, request: &InfoRequest<'_>, export: &dyn Export) {
        let info = export.info();
        let flags = self.transmission_flags(export);
        let options = &mut self.options;
        let export = InfoExport {
            information: wire::NBD_INFO_EXPORT.into(),
            size: info.size.into(),
            flags: flags.into(),
        };
        options.reply_message(option, wire::NBD_REP_INFO, &export);
        let texts = [
            (wire::NBD_INFO_NAME, &info.name),
            (wire::NBD_INFO_DESCRIPTION, &info.description),
        ];
        for (information, text) in texts {
            if request.contains(information) {
                let parts = [&information.to_be_bytes(), truncate(text).as_bytes()];
                options.reply(option, wire::NBD_REP_INFO, &parts);
            }
        }
        if request.contains(wire::NBD_INFO_BLOCK_SIZE) {
            let block_size = InfoBlockSize {
                information: wire::NBD_INFO_BLOCK_SIZE.into(),
                minimum: info.block_size.minimum.into(),
                preferred: info.block_size.preferred.into(),
                maximum: info.block_size.maximum.min(MAX_PAYLOAD).into(),
            };
            options.reply_message(option, wire::NBD_REP_INFO, &block_size);
        }
    }

    /// "Transmission flags". All connections see the same bytes, and what one has
    /// flushed, as [`Export`] demands: `NBD_FLAG_CAN_MULTI_CONN`.
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

    /// A metadata context counts only for the name it was selected for.
    fn begin(&self, name: &str, export: Arc<dyn Export>) -> Step {
        Step::Done(Outcome::Transmission(Negotiated {
            export,
            structured_replies: self.structured_replies,
            base_allocation: self.meta_context.as_deref() == Some(name),
        }))
    }
}
