//! The window of `agent terminal`.

use std::process::Command;

use super::{
    harness::{AGENT, Server},
    keys::Person,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_another_size_shows_one_notice() {
    let server = Server::started();
    let script = format!(
        "echo at $(tty) now; stty rows 40 columns 120; {AGENT} terminal {}; echo over",
        server.url
    );
    let mut person = Person::new(&server, &script);
    person.sees("fake codex");
    assert_eq!(person.has_seen("this window"), 0);
    let own = person.word_after("at ");
    let resize = |rows, columns| {
        let size = ["-F", &own, "rows", rows, "columns", columns];
        assert!(Command::new("stty").args(size).status().unwrap().success());
    };
    resize("20", "60");
    person.sees("this window 60x20: what does not fit is cut");
    server.run(&["message", &server.url, "more"]);
    person.sees("did <more>");
    // In the title, and in the window.
    assert_eq!(person.has_seen("this window 60x20"), 2);
    resize("50", "130");
    person.sees("this window 130x50: the rest stays empty");
    resize("40", "120");
    person.types(b"\x1d").await;
    person.sees("over\r\n");
    assert_eq!(person.has_seen("this window 120x40"), 0);
}
