//! What a program or a server that is not honest sends to a person's terminal.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use futures_util::SinkExt;
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
    },
};

use super::{
    harness::{AGENT, Launch, Server, poll_until},
    keys::Person,
};

/// A title, a clipboard, a question; then what draws.
const TYPED: &str =
    r"printf '\033]2;owned\a\033]52;c;cHduZWQ=\a\033[6n\033[?1003h<\033[31mred\033[0m>'";
const PUT_OUT: &str =
    "\x1b]2;owned\x07\x1b]52;c;cHduZWQ=\x07\x1b[6n\x1b[?1003h<\x1b[31mred\x1b[0m>";
const DRAWN: &str = "<\x1b[31mred\x1b[0m>";

/// A shell that has put out what acts on a terminal.
fn acting() -> Server {
    let server = Launch::of("sh").start();
    server.run(&["start", &server.url]);
    // A shell confirms no message.
    server.output(&["message", &server.url, TYPED]);
    poll_until("the output", || {
        String::from_utf8_lossy(&server.logged())
            .contains(PUT_OUT)
            .then_some(())
    });
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_draws_the_output_and_a_pipe_gets_every_byte() {
    let server = acting();
    for (options, gets_all) in [("", false), ("--raw", true)] {
        let script = format!("{AGENT} live {options} {}; echo ov''er", server.url);
        let mut person = Person::new(&server, &script);
        person.sees("over\r\n");
        assert_eq!(person.has_seen(PUT_OUT) > 0, gets_all);
        assert_eq!(
            person.has_seen("\x1b]52") + person.has_seen("\x1b[6n") > 0,
            gets_all
        );
        assert_eq!(person.has_seen(DRAWN), 1);
    }
    let mut live = server.client(&["live", &server.url]);
    assert_eq!(live.output().unwrap().stdout, server.logged());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_left_as_it_was_after_a_signal() {
    let server = acting();
    let script = format!(
        "{AGENT} live --follow {} & p=$!; read x; kill $p; wait $p; echo ov''er",
        server.url
    );
    let mut person = Person::new(&server, &script);
    person.sees(DRAWN);
    person.types(b"\r").await;
    person.sees("over\r\n");
    assert_eq!(person.has_seen("\x1b[!p"), 1);
    person.sees("agent: ended by a signal");
}

#[expect(
    clippy::result_large_err,
    reason = "the signature is that of the crate of WebSockets"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_draws_nothing_else_that_a_server_sends() {
    let server = Server::fake(&[]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let sized = |_: &Request, mut answer: Response| {
            let size = "120x120".parse().unwrap();
            answer.headers_mut().insert("agent-terminal-size", size);
            Ok(answer)
        };
        let mut socket = accept_hdr_async(stream, sized).await.unwrap();
        // Cut within a sequence.
        let (first, second) = PUT_OUT.split_at(12);
        for piece in [first, second] {
            socket
                .send(Message::binary(piece.as_bytes().to_vec()))
                .await
                .unwrap();
        }
        let notice = r#"{"notice":"\u001b]52;c;eA==\u0007\u009b6nnotice"}"#;
        socket.send(Message::text(notice)).await.unwrap();
        socket
    });
    let mut person = Person::new(&server, &format!("{AGENT} terminal {url}; echo ov''er"));
    person.sees("6nnotice\x07");
    person.types(b"\x1d").await;
    person.sees("over\r\n");
    assert_eq!(person.has_seen(DRAWN), 1);
    for taken in [
        "\x1b]52",
        "\x1b[6n",
        "\x1b]2;owned",
        "\x1b[?1003h",
        "\u{9b}",
    ] {
        assert_eq!(person.has_seen(taken), 0, "{}", taken.escape_debug());
    }
    drop(serving.await.unwrap());
}

/// A server that answers every request with this.
fn answering(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _asked = stream.read(&mut [0; 4096]).unwrap();
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n");
            let head = format!("{head}content-length: {length}\r\nconnection: close\r\n\r\n");
            stream.write_all((head + body).as_bytes()).unwrap();
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_is_shown_and_not_obeyed() {
    let server = Server::fake(&[]);
    let url = answering("409 Conflict", "no\x1b]52;c;eA==\x07\u{9b}6n\u{202e}now");
    for command in ["status", "live", "start"] {
        let output = server.output(&[command, &url]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            !error
                .trim_end()
                .contains(|c: char| c.is_control() && c != '\n'),
            "{error:?}"
        );
        assert!(!error.contains('\u{202e}'), "{error:?}");
        assert!(
            command == "start" || error.contains(r"no\u{1b}]52;c;eA==\u{7}\u{9b}6n\u{202e}now"),
            "{error}"
        );
    }
    let url = answering("200 OK", "{\"state\":\"\u{9b}6n\u{7f}\"}");
    let printed = server.run(&["status", &url]);
    assert_eq!(printed, "{\n  \"state\": \"\\u009b6n\\u007f\"\n}\n");
}
