//! `NBD_OPT_LIST_META_CONTEXT` and `NBD_OPT_SET_META_CONTEXT`. There is one
//! context, `base:allocation` (proto.md, "Metadata querying").

use super::dialogue::OptionRequest;
use super::parse::{self, MetaRequest};
use super::{Handshake, Step};
use crate::server::connection::Stream;
use crate::wire;

/// The id of `base:allocation` in transmission.
pub(in crate::server) const BASE_ALLOCATION_ID: u32 = 1;

impl<S: Stream> Handshake<'_, S> {
    /// `NBD_OPT_LIST_META_CONTEXT`: without a query, everything; `base:` asks
    /// for all of its namespace. The id "is reserved and SHOULD be set to zero".
    pub(super) async fn list_meta_context(&mut self, request: &OptionRequest) -> Step {
        let Some(wanted) = self.meta_request(request).await else {
            return Step::Next;
        };
        let known = [wire::META_BASE, wire::META_BASE_ALLOCATION];
        if wanted.queries.is_empty() || wanted.queries.iter().any(|query| known.contains(query)) {
            self.reply_base_allocation(request.option, 0);
        }
        self.dialogue.reply(request.option, wire::NBD_REP_ACK, &[]);
        Step::Next
    }

    /// `NBD_OPT_SET_META_CONTEXT` "replaces all previously-set metadata
    /// contexts (including when this command fails)"; `base:` selects nothing.
    pub(super) async fn set_meta_context(&mut self, request: &OptionRequest) -> Step {
        self.meta_context = None;
        let Some(wanted) = self.meta_request(request).await else {
            return Step::Next;
        };
        if wanted.queries.contains(&wire::META_BASE_ALLOCATION) {
            self.meta_context = Some(wanted.name.to_owned());
            self.reply_base_allocation(request.option, BASE_ALLOCATION_ID);
        }
        self.dialogue.reply(request.option, wire::NBD_REP_ACK, &[]);
        Step::Next
    }

    /// What is asked, of an export that exists; else `None`, and the error is
    /// said.
    async fn meta_request<'r>(&mut self, request: &'r OptionRequest) -> Option<MetaRequest<'r>> {
        let wanted = if self.structured_replies {
            parse::meta_request(&request.data)
        } else {
            Err("metadata contexts need structured replies".to_owned())
        };
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(text) => {
                self.dialogue
                    .reply_error(request.option, wire::NBD_REP_ERR_INVALID, &text);
                return None;
            }
        };
        match self.open(wanted.name).await {
            Ok(_) => Some(wanted),
            Err(error) => {
                self.reply_open_error(request.option, &error);
                None
            }
        }
    }

    fn reply_base_allocation(&mut self, option: u32, id: u32) {
        let parts = [&id.to_be_bytes(), wire::META_BASE_ALLOCATION.as_bytes()];
        self.dialogue
            .reply(option, wire::NBD_REP_META_CONTEXT, &parts);
    }
}
