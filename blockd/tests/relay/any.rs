//! A server in this process whose only disk goes by any name.

use std::{future::pending, sync::Arc, time::Duration};

use blockd_nbd::{
    Export, Exports, Limits, OpenError,
    server::{Listener, Server},
};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{task::JoinHandle, time::sleep};

use crate::harness::Bench;

/// Serves the disk under this name of a server; to open it takes a while.
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
        exports: Arc::new(Any { disk, opening }),
    };
    tokio::spawn(server.run(pending()))
}

struct Any {
    disk: Arc<dyn Export>,
    opening: Duration,
}

impl Exports for Any {
    fn list(&self) -> BoxFuture<'_, Vec<(String, String)>> {
        async { Vec::new() }.boxed()
    }

    fn open<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Arc<dyn Export>, OpenError>> {
        async {
            sleep(self.opening).await;
            Ok(Arc::clone(&self.disk))
        }
        .boxed()
    }
}
