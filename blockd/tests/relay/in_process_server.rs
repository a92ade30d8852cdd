//! A server in this process, whose only disk has every name.

use std::{future::pending, sync::Arc, time::Duration};

use blockd_nbd::{
    Export, Exports, Identity, Limits, OpenError,
    server::{Listener, Server},
};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{task::JoinHandle, time::sleep};

use crate::harness::Bench;

/// Serves the disk on the socket of the server of this name; to open the export
/// takes as long as `opening`.
pub(crate) async fn serve(
    bench: &Bench,
    server: &str,
    disk: Arc<dyn Export>,
    opening: Duration,
) -> JoinHandle<()> {
    let server = Server {
        listeners: vec![Listener::bind_unix(&bench.socket(server)).await.unwrap()],
        tls: None,
        limits: Limits::default(),
        exports: Arc::new(EveryName { disk, opening }),
    };
    tokio::spawn(server.run(pending()))
}

struct EveryName {
    disk: Arc<dyn Export>,
    opening: Duration,
}

impl Exports for EveryName {
    fn list(&self, _: &Identity) -> BoxFuture<'_, Vec<(String, String)>> {
        async { Vec::new() }.boxed()
    }

    fn open<'a>(
        &'a self,
        _: &'a str,
        _: &Identity,
    ) -> BoxFuture<'a, Result<Arc<dyn Export>, OpenError>> {
        async {
            sleep(self.opening).await;
            Ok(Arc::clone(&self.disk))
        }
        .boxed()
    }
}
