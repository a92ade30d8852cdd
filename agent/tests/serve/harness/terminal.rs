//! A client of `/terminal`.

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::{DEADLINE, Server, TOKEN};

pub(crate) type Terminal = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Server {
    pub(crate) async fn terminal(&self, query: &str) -> Terminal {
        let url = format!("{}/terminal{query}", self.url.replace("http", "ws"));
        let mut request = url.into_client_request().unwrap();
        let bearer = format!("Bearer {TOKEN}").parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        connect_async(request).await.unwrap().0
    }
}

pub(crate) async fn type_keys(terminal: &mut Terminal, keys: &[u8]) {
    let keys = Message::binary(keys.to_vec());
    terminal.send(keys).await.unwrap();
}

/// Reads from a terminal until a message contains this text.
pub(crate) async fn read_until(terminal: &mut Terminal, text: &str) {
    let found = async {
        while let Some(message) = terminal.next().await {
            if String::from_utf8_lossy(&message.unwrap().into_data()).contains(text) {
                return;
            }
        }
        panic!("the terminal ends without {text}");
    };
    assert!(timeout(DEADLINE, found).await.is_ok(), "{text}");
}
