//! Pages that watch while much flows: what each shows in the end, and what they
//! cost.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Duration, sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;
use vt100::Parser;

use super::harness::{LINE, Server, Terminal, resident};

/// How long a viewer may take until it shows the end of the flood.
const LIMIT: Duration = Duration::from_secs(900);

/// A page that draws what it gets.
struct Viewer {
    socket: Terminal,
    screen: Parser,
    drawn: usize,
    /// How many bytes of output it got in all.
    got: usize,
}

impl Viewer {
    async fn new(server: &Server) -> Self {
        Self {
            socket: server.terminal("?format=output-1&watch=1").await,
            screen: Parser::default(),
            drawn: 0,
            got: 0,
        }
    }

    /// Draws until the screen shows a text.
    async fn shows(&mut self, text: &str) {
        while !self.screen.screen().contents().contains(text) {
            match self.socket.next().await.unwrap().unwrap() {
                Message::Text(message) => self.announced(&message),
                Message::Binary(bytes) => self.draw(&bytes).await,
                _ => {}
            }
        }
    }

    /// A snapshot is drawn on an empty terminal.
    fn announced(&mut self, message: &str) {
        let message: Value = serde_json::from_str(message).unwrap();
        let size = |name: &str| message["snapshot"][name].to_string().parse().ok();
        if let (Some(rows), Some(columns)) = (size("rows"), size("columns")) {
            self.screen = Parser::new(rows, columns, 0);
        }
    }

    async fn draw(&mut self, bytes: &[u8]) {
        self.screen.process(bytes);
        self.drawn += bytes.len();
        self.got += bytes.len();
        let drawn = json!({ "shown": self.drawn }).to_string();
        self.socket.send(Message::text(drawn)).await.unwrap();
    }

    /// What it shows, with its colours.
    fn contents(&self) -> String {
        self.screen.screen().contents_formatted()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_viewers_while_ten_megabytes_flow() {
    watch_a_flood(10, 160).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a hundred megabytes for fifty: make soak"]
async fn fifty_viewers_while_a_hundred_megabytes_flow() {
    watch_a_flood(50, 1600).await;
}

/// So many viewers, and one that never draws, while so many lines of 64 KiB flow.
async fn watch_a_flood(viewers: usize, lines: usize) {
    let server = Arc::new(Server::started());
    server.run(&["message", &server.url, "flood 16"]);
    server.shows("did <flood 16>").await;
    let stalled = Viewer::new(&server).await;
    let mut watching = JoinSet::new();
    let done = format!("did <flood {lines}>");
    for _ in 0..viewers {
        let mut viewer = Viewer::new(&server).await;
        let done = done.clone();
        watching.spawn(async move {
            let drawn = timeout(LIMIT, viewer.shows(&done)).await;
            drawn.expect("the end of the flood is shown");
            viewer
        });
    }
    let before = resident(server.pid());
    server.run(&["message", &server.url, &format!("flood {lines}")]);
    let mut highest = before;
    let mut ended = Vec::new();
    while let Some(joined) = next(&mut watching, || {
        highest = highest.max(resident(server.pid()));
    })
    .await
    {
        ended.push(joined);
    }
    server.is("idle").await;
    // One that comes now gets the screen as the server knows it.
    let mut late = Viewer::new(&server).await;
    late.shows(&done).await;
    for viewer in &ended {
        assert_eq!(viewer.contents(), late.contents());
    }
    let got = ended.iter().map(|viewer| viewer.got);
    println!(
        "{viewers} viewers of {} bytes: each drew {} to {}; {} bytes more memory",
        lines * LINE,
        got.clone().min().unwrap(),
        got.max().unwrap(),
        highest - before
    );
    assert!(highest - before < 48 << 20, "{} bytes", highest - before);
    drop(stalled);
}

/// The next that ends; meanwhile something is looked at again and again.
async fn next(watching: &mut JoinSet<Viewer>, mut look: impl FnMut()) -> Option<Viewer> {
    loop {
        look();
        tokio::select! {
            joined = watching.join_next() => return joined.map(Result::unwrap),
            () = sleep(Duration::from_millis(50)) => {}
        }
    }
}
