//! The pages, in a real browser.

use std::fs;

use serde_json::json;
use tokio::time::{Duration, sleep};

use super::{browser::Browser, codex::Real};
use crate::harness::{FAKE, Launch, Server, TOKEN, poll_until, write_program};

pub(super) const ENTER: &str = "\u{e007}";
const CONTROL: &str = "\u{e009}";
const RELEASED: &str = "\u{e000}";

impl Server {
    /// The address of a page, with the token as a password.
    pub(super) fn page(&self, path: &str) -> String {
        self.url.replace("http://", &format!("http://me:{TOKEN}@")) + path
    }
}

pub(super) fn shows(id: &str, text: &str) -> String {
    format!("document.getElementById('{id}').innerText.includes({text:?})")
}

/// Whether a text is on the screen, or has scrolled off.
fn has_shown(text: &str) -> String {
    format!(
        "[...Array(terminal.buffer.active.length).keys()].some(row => \
         terminal.buffer.active.getLine(row).translateToString().includes({text:?}))"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_shown() {
    let server = Server::fake(&[]);
    let browser = Browser::new(390, 844).await;
    browser.open(&server.page("/live/view")).await;
    browser.until(&shows("state", "none")).await;
    server.run(&["start", &server.url]);
    browser.until(&shows("state", "idle")).await;
    browser.until(&shows("screen", "fake codex")).await;
    let red = "[...document.querySelectorAll('#screen .xterm-fg-1')].some(span => \
        span.textContent.includes('fake codex'))";
    browser.until(red).await;
    let attack = "<script>document.title = 'owned'</script><img src=x onerror='document.title=1'>";
    server.run(&["message", &server.url, attack]);
    browser.until(&shows("screen", "did <<script>")).await;
    assert_eq!(browser.ask("document.title").await, "agent");
    assert_eq!(browser.ask("document.images.length").await, 0);
    for line in 0..60 {
        server.run(&["message", &server.url, &format!("line {line} of many")]);
    }
    browser.until(&shows("screen", "line 59 of many")).await;
    browser.until(&has_shown("line 3 of many")).await;
    // It is wider than a phone, and scrolls by itself, not the page.
    browser
        .until("document.body.scrollWidth <= innerWidth")
        .await;
    browser.ask("connection.close()").await;
    server.run(&["message", &server.url, "after the cut"]);
    browser.until(&shows("screen", "did <after the cut>")).await;
    let picture = browser.picture("agent-view.png").await;
    assert!(fs::metadata(picture).unwrap().len() > 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_typed() {
    let server = Server::started();
    let browser = Browser::new(1200, 800).await;
    browser.open(&server.page("/terminal")).await;
    browser.until(&shows("screen", "fake codex")).await;
    browser.press(&format!("typed in a browser{ENTER}")).await;
    browser
        .until(&shows("screen", "did <typed in a browser>"))
        .await;
    browser.press(&format!("{CONTROL}z{RELEASED}")).await;
    browser
        .until(&shows("notice", "Ctrl+Z is blocked here"))
        .await;
    browser.press(&format!("{CONTROL}c{RELEASED}")).await;
    browser
        .until(&shows("notice", "Ctrl+C is blocked here"))
        .await;
    let other = Browser::new(1200, 800).await;
    other.open(&server.page("/terminal")).await;
    other.until(&shows("detail", "somebody else types")).await;
    browser.press(&format!("still here{ENTER}")).await;
    other.until(&shows("screen", "did <still here>")).await;
    // All of a screen that has room is to be seen, and so is the cursor.
    let top = "document.getElementById('screen').getBoundingClientRect().top";
    browser.until(&format!("{top} > 0 && {top} < 100")).await;
    browser
        .until("document.querySelector('.xterm-cursor') !== null")
        .await;
    let picture = browser.picture("agent-terminal.png").await;
    assert!(fs::metadata(picture).unwrap().len() > 5000);
    let output = String::from_utf8_lossy(&server.logged()).into_owned();
    assert!(!output.contains("SUSPENDED"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_codex_is_shown() {
    let real = Real::new(&[]).await;
    let browser = Browser::new(1200, 800).await;
    browser.open(&real.server.page("/terminal")).await;
    real.server.run(&["start", &real.server.url]);
    browser.until(&shows("screen", "OpenAI Codex")).await;
    browser.press("typed in a browser").await;
    browser.until(&shows("screen", "typed in a browser")).await;
    // Codex takes an Enter right after quick keys for a part of a paste.
    sleep(Duration::from_millis(500)).await;
    browser.press(ENTER).await;
    browser.until(&shows("screen", "done")).await;
    assert_eq!(real.said().last().unwrap(), "typed in a browser");
    let picture = browser.picture("agent-codex.png").await;
    assert!(fs::metadata(picture).unwrap().len() > 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_shown() {
    let server = Launch::on_a_small_disk(FAKE).start();
    let browser = Browser::new(1200, 800).await;
    browser.open(&server.page("/live/view")).await;
    server.run(&["start", &server.url]);
    server.run(&["message", &server.url, "flood 32"]);
    browser
        .until(&shows("log", "the disk under the log is full"))
        .await;
    server.make_room();
    browser
        .until(&shows("log", "bytes are missing in /live"))
        .await;
    browser.until(&shows("state", "idle")).await;
}

/// Presses a key with modifiers (Alt 1, Ctrl 2, Shift 8) that makes a text.
pub(super) async fn press(browser: &Browser, key: &str, modifiers: u32, text: &str) {
    for kind in ["keyDown", "keyUp"] {
        let text = if kind == "keyDown" { text } else { "" };
        let event = json!({ "type": kind, "key": key, "modifiers": modifiers, "text": text });
        browser.command("Input.dispatchKeyEvent", event).await;
    }
}

async fn compose(browser: &Browser, steps: &[&str], text: &str) {
    for step in steps {
        let end = step.chars().count();
        let step = json!({ "text": step, "selectionStart": end, "selectionEnd": end });
        browser.command("Input.imeSetComposition", step).await;
    }
    let text = json!({ "text": text });
    browser.command("Input.insertText", text).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_arrives_once() {
    let server = Server::started();
    let browser = Browser::new(1280, 800).await;
    browser.open(&server.page("/terminal")).await;
    browser.until(&shows("screen", "fake codex")).await;
    let mut expected = String::new();
    for (key, modifiers, text, sends) in [
        ("@", 3, "@", "@"),
        ("€", 3, "€", "€"),
        ("F1", 0, "", "\x1bOP"),
        ("Insert", 0, "", "\x1b[2~"),
        ("ArrowLeft", 2, "", "\x1b[1;5D"),
        ("ArrowLeft", 1, "", "\x1b[1;3D"),
        ("Enter", 8, "", "\x1b\r"),
        (" ", 2, "", "\0"),
        ("/", 2, "", "\x1f"),
        ("Backspace", 2, "", "\x08"),
    ] {
        press(&browser, key, modifiers, text).await;
        expected += sends;
        has_typed(&server, &expected);
    }
    for (steps, text) in [
        (&["n", "に", "にほ"][..], "日本"),
        (&["h", "he", "hel"], "hello "),
        (&["^"], "ê"),
    ] {
        compose(&browser, steps, text).await;
        expected += text;
        has_typed(&server, &expected);
    }
}

fn has_typed(server: &Server, expected: &str) {
    let mut typed = String::new();
    poll_until(&format!("{expected:?}"), || {
        typed = fs::read_to_string(server.path("codex/input")).unwrap_or_default();
        assert!(expected.starts_with(&typed), "{typed:?} {expected:?}");
        (typed == expected).then_some(())
    });
}

/// A program that shows its size whenever that changes, and whatever a page may show.
const SHOWS: &str = r#"#!/usr/bin/env python3
import os, signal
def size(*_):
    os.write(1, b"size %dx%d\r\n" % tuple(os.get_terminal_size(1)))
signal.signal(signal.SIGWINCH, size)
os.write(1, "|日本語|\r\n|123456|\r\n|🎉|✅|\r\n|12|12|\r\n┌──┐ \x1b[31mred\x1b[32m green\x1b[0m\r\nhttps://example.com/x\r\n\x1b]2;a title\x07\x1b]52;c;aGk=\x07\x1b[c\x1b[6n\x1b]11;?\x07".encode())
size()
while True: signal.pause()
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_fits_who_types_and_answers_nothing() {
    let launch = Launch::of("./program");
    write_program(&launch.home().join("work/program"), SHOWS);
    let server = launch.start();
    server.run(&["start", &server.url]);
    let browser = Browser::new(1280, 800).await;
    browser.open(&server.page("/terminal?machine=m1")).await;
    browser.until(&shows("screen", "size 120x40")).await;
    browser.until("document.title === 'a title – agent'").await;
    assert_eq!(
        browser
            .ask("connection.url.searchParams.get('machine')")
            .await,
        "m1"
    );
    // Another that watches does not change it, and sees what was there before.
    let phone = Browser::new(390, 844).await;
    phone.open(&server.page("/live/view")).await;
    phone.until(&shows("screen", "size 120x40")).await;
    assert_eq!(phone.ask("terminal.cols").await, 120);
    browser.press("x").await;
    browser
        .until("terminal.cols > 140 && terminal.rows < 40")
        .await;
    let size = browser
        .ask("`size ${terminal.cols}x${terminal.rows}`")
        .await;
    browser
        .until(&shows("screen", size.as_str().unwrap()))
        .await;
    phone.until(&has_shown(size.as_str().unwrap())).await;
    let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    for (name, browser) in [("wide", &browser), ("phone", &phone)] {
        browser.picture(&format!("agent-{name}-light.png")).await;
        browser
            .command("Emulation.setEmulatedMedia", dark.clone())
            .await;
        browser
            .until("terminal.options.theme.background === '#111111'")
            .await;
        browser.picture(&format!("agent-{name}-dark.png")).await;
    }
    // What he has asked for ends with him.
    browser.open(&server.page("/")).await;
    browser.until(&shows("state", "idle")).await;
    phone.until("terminal.cols === 120").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_ends_with_its_test() {
    let mut browser = Browser::new(400, 400).await;
    assert!(browser.processes() > 1);
    browser.abandon();
    poll_until("the browser to end", || {
        (browser.processes() == 0).then_some(())
    });
}
