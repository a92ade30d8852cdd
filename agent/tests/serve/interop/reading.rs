//! What a person does with what a page shows: searches, copies, follows a link, plays
//! an earlier run.

use serde_json::{Value, json};

use super::{
    browser::Browser,
    pages::{ENTER, press, shows},
};
use crate::harness::{Launch, Server, write_program};

/// A program with a link in its text, one with an address of its own, and one that
/// would run a script.
const LINKS: &str = r#"#!/usr/bin/env python3
import os, signal
link = lambda address, text: "\x1b]8;;%s\x1b\\%s\x1b]8;;\x1b\\\r\n" % (address, text)
for number in range(90):
    os.write(1, b"row %d\r\n" % number)
os.write(1, b"https://example.com/plain\r\n")
os.write(1, (link("https://example.com/own", "named") + link("javascript:document.title=1", "script") + "last\r\n").encode())
while True: signal.pause()
"#;

/// Where the first character is of a row that begins with a text.
async fn place_of(browser: &Browser, text: &str) -> Value {
    browser
        .ask(&format!(
            "(() => {{ const {{ active }} = terminal.buffer; \
             const row = [...Array(terminal.rows).keys()].find(row => \
             active.getLine(active.viewportY + row).translateToString().startsWith({text:?})); \
             const shown = document.querySelector('.xterm-screen').getBoundingClientRect(); \
             return [shown.left + 12, shown.top + (row + .5) * shown.height / terminal.rows]; }})()"
        ))
        .await
}

async fn mouse(browser: &Browser, kind: &str, place: &Value) {
    let button = if kind == "mouseMoved" { "none" } else { "left" };
    let event =
        json!({ "type": kind, "x": place[0], "y": place[1], "button": button, "clickCount": 1 });
    browser.command("Input.dispatchMouseEvent", event).await;
}

async fn click(browser: &Browser, place: &Value) {
    for kind in ["mousePressed", "mouseReleased"] {
        mouse(browser, kind, place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_found_copied_and_followed() {
    let launch = Launch::of("./program");
    write_program(&launch.home().join("work/program"), LINKS);
    let server = launch.start();
    let browser = Browser::new(1280, 800).await;
    browser.open(&server.page("/live/view")).await;
    browser.until(&shows("state", "none")).await;
    server.run(&["start", &server.url]);
    browser.until(&shows("screen", "last")).await;
    let watched = "window.opened = []; window.copied = []; \
        window.open = address => { opened.push(String(address)); }; \
        navigator.clipboard.writeText = async text => { copied.push(text); }";
    browser.ask(&format!("(() => {{ {watched} }})()")).await;
    // What has scrolled off is found, is selected, and is copied.
    browser.ask("terminal.focus()").await;
    press(&browser, "F", 10, "").await;
    browser
        .until("document.activeElement.id === 'find-text'")
        .await;
    browser.press(&format!("row 17{ENTER}")).await;
    browser
        .until("document.getElementById('found').textContent === '1 of 1'")
        .await;
    assert_eq!(browser.ask("terminal.getSelection()").await, "row 17");
    browser.ask("terminal.focus()").await;
    press(&browser, "C", 10, "").await;
    browser.until("copied[0] === 'row 17'").await;
    // A selection stays while more arrives.
    let held = "(() => { terminal.write('more'); return terminal.getSelection(); })()";
    assert_eq!(browser.ask(held).await, "row 17");
    // The terminal has more rows than the window shows.
    browser.ask("terminal.scrollToBottom()").await;
    browser
        .ask("document.getElementById('all').scrollTo(0, 9999)")
        .await;
    for (text, address) in [
        ("https://", "https://example.com/plain"),
        ("named", "https://example.com/own"),
    ] {
        let place = place_of(&browser, text).await;
        mouse(&browser, "mouseMoved", &place).await;
        browser
            .until("document.querySelector('.xterm-cursor-pointer') !== null")
            .await;
        click(&browser, &place).await;
        browser
            .until(&format!("opened.at(-1) === {address:?}"))
            .await;
    }
    let place = place_of(&browser, "script").await;
    mouse(&browser, "mouseMoved", &place).await;
    browser
        .until("document.querySelector('.xterm-cursor-pointer') === null")
        .await;
    click(&browser, &place).await;
    assert_eq!(browser.ask("opened.length").await, 2);
    assert_eq!(browser.ask("document.title").await, "agent");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_run_is_played() {
    let mut server = Server::started();
    let browser = Browser::new(1200, 800).await;
    browser.open(&server.page("/terminal")).await;
    browser.until(&shows("screen", "fake codex")).await;
    // Whoever types gives the terminal another size.
    browser.press(&format!("seen again{ENTER}")).await;
    browser.until(&shows("screen", "did <seen again>")).await;
    let columns = browser.ask("terminal.cols").await;
    assert_ne!(columns, 120);
    let run = server.status().await["run"].as_str().unwrap().to_owned();
    server.restart();
    browser
        .open(&server.page(&format!("/live/runs/{run}/view")))
        .await;
    browser.until(&shows("state", "paused")).await;
    assert_eq!(browser.ask("terminal.cols").await, 120);
    browser.ask("seek(Number.MAX_VALUE)").await;
    browser.until(&shows("screen", "did <seen again>")).await;
    assert_eq!(browser.ask("terminal.cols").await, columns);
    browser.ask("seek(0)").await;
    browser
        .until(&format!("!{}", shows("screen", "seen again")))
        .await;
    assert_eq!(browser.ask("terminal.cols").await, 120);
    browser
        .ask("document.getElementById('speed').value = 16")
        .await;
    browser.ask("toggle()").await;
    browser.until(&shows("state", "at its end")).await;
    browser.until(&shows("screen", "did <seen again>")).await;
    assert_eq!(
        browser
            .ask("document.getElementById('notice').textContent")
            .await,
        ""
    );
    browser.picture("agent-replay.png").await;
}
