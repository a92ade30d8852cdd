//! Where the disk holds data, from an upstream that can say so.

use std::{ops::Range, time::Duration};

use tokio::time::{sleep, timeout};
use tracing::debug;

use super::{pool::Pool, server::message};
use blockd_nbd::{
    ReadError,
    client::{self, Result},
};

/// How long to wait before the next upstream is asked.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

impl Pool {
    /// The ranges that hold more than zeroes, in order; `None` when the
    /// upstream does not support the query.
    ///
    /// # Errors
    ///
    /// No upstream answers within the timeout of a read.
    pub(in crate::relay) async fn allocation(&self) -> Result<Option<Vec<Range<u64>>>, ReadError> {
        let mut reason = "no server is connected".to_owned();
        let asked = async {
            loop {
                if let Some((index, _)) = self.choose(&[]) {
                    match self.allocation_of(index).await {
                        Ok(found) => return found,
                        Err(failed) => reason = failed,
                    }
                    debug!("a server does not say which parts hold data: {reason}");
                }
                sleep(RETRY_INTERVAL).await;
            }
        };
        let asked = timeout(self.timeout(), asked).await;
        asked.map_err(|_| ReadError(format!("it is not known which parts hold data: {reason}")))
    }

    async fn allocation_of(&self, index: usize) -> Result<Option<Vec<Range<u64>>>, String> {
        let uri = self.uri(index);
        let asked = client::allocation(&uri.address, self.asked(&uri.export)).await;
        let (offer, found) = asked.map_err(|error| message(&error))?;
        self.disk().check(&offer)?;
        Ok(found)
    }
}
