//! `NBD_CMD_WRITE`, `NBD_CMD_WRITE_ZEROES`, `NBD_CMD_TRIM` and `NBD_CMD_FLUSH`.

use std::sync::Arc;

use super::{
    deferred::MIN_CHARGE,
    incoming_write::{AcceptedWrite, IncomingWrite},
    reply::Reply,
    request::{self, Change, Refusal},
    state::Transmission,
};
use crate::{
    export::Writes,
    server::{error::ConnectionError, negotiated::MAX_PAYLOAD, stream::Stream},
    wire::Request,
};

impl<S: Stream> Transmission<'_, S> {
    /// `NBD_CMD_WRITE`, before its data is received.
    pub(super) async fn begin_write(&mut self, request: Request) -> Result<(), ConnectionError> {
        let length = request.length.get();
        if length > MAX_PAYLOAD {
            return Err(ConnectionError::Protocol(format!(
                "a write of {length} bytes"
            )));
        }
        let valid = if self.shutting_down {
            Err(Refusal::shutting_down())
        } else {
            request::write(&request, self.terms())
        };
        let accepted = match valid {
            Ok((writes, range)) => {
                let charge = length.max(MIN_CHARGE);
                let permit = self.reserve(charge).await?;
                Ok(AcceptedWrite::new(writes, range, (charge, permit)))
            }
            Err(refusal) => Err(refusal),
        };
        self.incoming_write = Some(IncomingWrite::new(request, accepted));
        Ok(())
    }

    /// Takes buffered data of the incoming write, and starts it or refuses it when
    /// all has come. Returns whether none is incoming any more.
    pub(super) fn take_write(&mut self) -> bool {
        let Some(mut write) = self.incoming_write.take() else {
            return true;
        };
        if !write.take(&mut self.incoming) {
            self.incoming_write = Some(write);
            return false;
        }
        match write.accepted {
            Ok(accepted) => self.write(self.reply_to(&write.request), accepted),
            Err(refusal) => self.refuse(&write.request, &refusal),
        }
        true
    }

    fn write(&mut self, reply: Reply, accepted: AcceptedWrite) {
        let AcceptedWrite {
            writes,
            change,
            data,
            reserved,
        } = accepted;
        let work = writes.write(change.offset, data, change.durable);
        self.defer_write(reply, reserved, work);
    }

    /// `NBD_CMD_WRITE_ZEROES`, and `NBD_CMD_TRIM`, which makes a range read as
    /// zeroes here.
    pub(super) async fn zero(
        &mut self,
        reply: Reply,
        writes: Arc<dyn Writes>,
        change: Change,
    ) -> Result<(), ConnectionError> {
        let permit = self.reserve(MIN_CHARGE).await?;
        let work = writes.zero(change.offset, change.length.into(), change.durable);
        self.defer_write(reply, (MIN_CHARGE, permit), work);
        Ok(())
    }

    /// `NBD_CMD_FLUSH`; without writes there is nothing to do.
    pub(super) async fn flush_disk(
        &mut self,
        reply: Reply,
        writes: Option<Arc<dyn Writes>>,
    ) -> Result<(), ConnectionError> {
        let Some(writes) = writes else {
            self.done(reply);
            return Ok(());
        };
        let permit = self.reserve(MIN_CHARGE).await?;
        self.defer_write(reply, (MIN_CHARGE, permit), writes.flush());
        Ok(())
    }
}
