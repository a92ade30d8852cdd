//! `NBD_OPT_LIST_META_CONTEXT` and `NBD_OPT_SET_META_CONTEXT`. There is one
//! context, `base:allocation` (proto.md, "Metadata querying").

use super::{
    option_stream::OptionRequest,
    parse::{self, MetaRequest},
    state::{Handshake, Step},
};
use crate::{
    server::{negotiated::BASE_ALLOCATION_ID, stream::Stream},
    wire,
};

impl<S: Stream> Handshake<'_, S> {
    /// `NBD_OPT_LIST_META_CONTEXT`: without a query it lists all contexts, `base:`
    /// those of its namespace. The id "is reserved and SHOULD be set to zero".
    pub(super) async fn list_meta_context(&mut self, request: &OptionRequest) -> Step {
        let Some(meta) = self.meta_request(request).await else {
            return Step::Next;
        };
        let known = [wire::META_BASE, wire::META_BASE_ALLOCATION];
        if meta.queries.is_empty() || meta.queries.iter().any(|query| known.contains(query)) {
            self.reply_base_allocation(request.option, 0);
        }
        self.options.reply(request.option, wire::NBD_REP_ACK, &[]);
        Step::Next
    }

    /// `NBD_OPT_SET_META_CONTEXT` "replaces all previously-set metadata
    /// contexts (including when this command fails)"; `base:` selects nothing.
    pub(super) async fn set_meta_context(&mut self, request: &OptionRequest) -> Step {
        self.meta_context = None;
        let Some(meta) = self.meta_request(request).await else {
            return Step::Next;
        };
        if meta.queries.contains(&wire::META_BASE_ALLOCATION) {
            self.meta_context = Some(meta.name.to_owned());
            self.reply_base_allocation(request.option, BASE_ALLOCATION_ID);
        }
        self.options.reply(request.option, wire::NBD_REP_ACK, &[]);
        Step::Next
    }

    /// The data of the option, if it is valid and the export can be opened; else
    /// replies with the error.
    async fn meta_request<'r>(&mut self, request: &'r OptionRequest) -> Option<MetaRequest<'r>> {
        let meta = if self.structured_replies {
            parse::meta_request(&request.data)
        } else {
            Err("metadata contexts need structured replies".to_owned())
        };
        let meta = match meta {
            Ok(meta) => meta,
            Err(text) => {
                self.options
                    .reply_error(request.option, wire::NBD_REP_ERR_INVALID, &text);
                return None;
            }
        };
        match self.open(meta.name).await {
            Ok(_) => Some(meta),
            Err(error) => {
                self.reply_open_error(request.option, &error);
                None
            }
        }
    }

    fn reply_base_allocation(&mut self, option: u32, id: u32) {
        let parts = [&id.to_be_bytes(), wire::META_BASE_ALLOCATION.as_bytes()];
        self.options
            .reply(option, wire::NBD_REP_META_CONTEXT, &parts);
    }
}
