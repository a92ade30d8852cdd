//! A write whose data is being received.

use std::{io, sync::Arc};

use tokio::io::AsyncReadExt;

use super::request::{Change, Refusal};
use crate::{
    export::Writes,
    server::{in_flight::Permit, receive_buffer::ReceiveBuffer, stream::Stream},
    width::{to_u64, to_usize},
    wire::Request,
};

/// A write of which data is still to come. The data of a write that is refused is
/// received too, since the next request begins behind it.
pub(super) struct IncomingWrite {
    pub(super) request: Request,
    /// How many bytes are still to come.
    left: u64,
    pub(super) accepted: Result<AcceptedWrite, Refusal>,
}

/// A write that will be done.
pub(super) struct AcceptedWrite {
    pub(super) writes: Arc<dyn Writes>,
    pub(super) change: Change,
    /// What has come so far.
    pub(super) data: Vec<u8>,
    /// What it counts as, in bytes, and the memory of the server for that.
    pub(super) reserved: (u32, Permit),
}

impl AcceptedWrite {
    pub(super) fn new(writes: Arc<dyn Writes>, change: Change, reserved: (u32, Permit)) -> Self {
        Self {
            writes,
            change,
            data: Vec::with_capacity(to_usize(change.length)),
            reserved,
        }
    }
}

impl IncomingWrite {
    /// A write of which no data has come.
    pub(super) fn new(request: Request, accepted: Result<AcceptedWrite, Refusal>) -> Self {
        Self {
            request,
            left: request.length.get().into(),
            accepted,
        }
    }

    /// Takes what is buffered; returns whether the write is complete.
    pub(super) fn take(&mut self, incoming: &mut ReceiveBuffer) -> bool {
        let taken = match &mut self.accepted {
            Ok(AcceptedWrite { data, .. }) => {
                let before = data.len();
                let limit = usize::try_from(self.left).expect("a write is shorter than 4 GiB");
                incoming.take_into(data, limit);
                to_u64(data.len().abs_diff(before))
            }
            Err(_) => incoming.discard(self.left),
        };
        self.count(taken);
        self.left == 0
    }

    fn count(&mut self, received: u64) {
        let left = self.left.checked_sub(received);
        self.left = left.expect("no more is received than is to come");
    }
}

/// Receives once: the data of an accepted write straight into its place, and
/// everything else into `incoming`. Returns the number of bytes, 0 at the end of
/// the stream. Cancel-safe.
pub(super) async fn receive<S: Stream>(
    write: &mut Option<IncomingWrite>,
    incoming: &mut ReceiveBuffer,
    stream: &mut S,
) -> io::Result<usize> {
    let Some(write) = write else {
        return incoming.fill(stream).await;
    };
    let Ok(accepted) = &mut write.accepted else {
        return incoming.fill(stream).await;
    };
    let received = stream.take(write.left).read_buf(&mut accepted.data).await?;
    write.count(to_u64(received));
    Ok(received)
}
