//! The pages, in a real browser.

use std::fs;

use tokio::time::{Duration, sleep};

use super::{browser::Browser, codex::Real};
use crate::harness::{FAKE, Launch, Server, TOKEN, poll_until};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_shown() {
    let server = Server::fake(&[]);
    let browser = Browser::new(390, 844).await;
    browser.open(&server.page("/live/view")).await;
    browser.until(&shows("state", "none")).await;
    server.run(&["start", &server.url]);
    browser.until(&shows("state", "idle")).await;
    browser.until(&shows("screen", "fake codex")).await;
    let red = "[...document.querySelectorAll('#screen span')].some(span => \
        span.textContent.includes('fake codex') && span.style.color)";
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
    browser.until(&shows("history", "line 3 of many")).await;
    let follows = "innerHeight + scrollY >= document.body.scrollHeight - 40";
    browser.until(follows).await;
    // It is wider than a phone, and scrolls by itself, not the page.
    browser
        .until("document.body.scrollWidth <= innerWidth")
        .await;
    browser.ask("socket.close()").await;
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
        .until("!document.getElementById('cursor').hidden")
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

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_ends_with_its_test() {
    let mut browser = Browser::new(400, 400).await;
    assert!(browser.processes() > 1);
    browser.abandon();
    poll_until("the browser to end", || {
        (browser.processes() == 0).then_some(())
    });
}
