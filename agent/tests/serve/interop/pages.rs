//! The pages, in a real browser.

use std::fs;

use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use super::{browser::Browser, codex::Real};
use crate::harness::{FAKE, Launch, Server, TOKEN, poll_until, write_program};

const ENTER: &str = "\u{e007}";
const CONTROL: &str = "\u{e009}";
const RELEASED: &str = "\u{e000}";

impl Server {
    /// The address of a page, with the token as a password.
    fn page(&self, path: &str) -> String {
        self.url.replace("http://", &format!("http://me:{TOKEN}@")) + path
    }
}

fn shows(id: &str, text: &str) -> String {
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
async fn press(browser: &Browser, key: &str, modifiers: u32, text: &str) {
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
async fn a_browser_ends_with_its_test() {
    let mut browser = Browser::new(400, 400).await;
    assert!(browser.processes() > 1);
    browser.abandon();
    poll_until("the browser to end", || {
        (browser.processes() == 0).then_some(())
    });
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
