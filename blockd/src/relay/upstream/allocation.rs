//! Where the disk holds data, as an upstream says that answers.

use std::{ops::Range, time::Duration};

use tokio::time::{sleep, timeout};
use tracing::debug;

use super::{Pool, told};
use blockd_nbd::{
    ReadError,
    client::{self, Result},
};

/// How long it takes until a server that did not answer is asked again.
const AGAIN: Duration = Duration::from_millis(200);

impl Pool {
    /// The ranges that hold more than zeroes, in order; `None` when the
    /// upstream does not say. Fails like a read when none answers in time.
    pub(in crate::relay) async fn allocation(&self) -> Result<Option<Vec<Range<u64>>>, ReadError> {
        let mut reason = "no server is connected".to_owned();
        let asked = async {
            loop {
                let Some((index, _)) = self.choose(&[]) else {
                    sleep(AGAIN).await;
                    continue;
                };
                match self.allocation_of(index).await {
                    Ok(found) => return found,
                    Err(said) => reason = said,
                }
                debug!("a server does not say which parts hold data: {reason}");
                sleep(AGAIN).await;
            }
        };
        let asked = timeout(self.timeout(), asked).await;
        asked.map_err(|_| ReadError(format!("it is not known which parts hold data: {reason}")))
    }

    async fn allocation_of(&self, index: usize) -> Result<Option<Vec<Range<u64>>>, String> {
        let uri = self.uri(index);
        let asked = client::allocation(&uri.address, &uri.export).await;
        let (offer, found) = asked.map_err(|error| told(&error))?;
        self.disk().refuses(&offer)?;
        Ok(found)
    }
}
