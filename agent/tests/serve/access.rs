//! Who may call, and which command lines are refused before anything runs.

use std::{fs, process::Command};

use reqwest::{Client, StatusCode, redirect::Policy};
use tempfile::tempdir;

use super::harness::{AGENT, FAKE, Launch, Server, TOKEN};

const PROTECTED: [&str; 12] = [
    "/live",
    "/live/runs",
    "/live/runs/1",
    "/live/runs/1/times",
    "/live/runs/1/view",
    "/live/view",
    "/mcp",
    "/status",
    "/terminal",
    "/metrics",
    "/screen",
    "/readyz",
];

#[tokio::test(flavor = "multi_thread")]
async fn callers_need_the_token_a_known_host_and_a_known_origin() {
    let server = Server::fake(&["--allow-host", "app.flycast"]);
    for path in PROTECTED {
        let url = format!("{}{path}", server.url);
        let answer = Client::new().get(url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        let answer = server.get(path, &[("host", "evil.example")]).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
        let answer = server.get(path, &[("origin", "http://evil.example")]).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
    }
    let health = format!("{}/healthz", server.url);
    let health = Client::new().get(health).send().await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
    let own = [("host", "app.flycast"), ("origin", "http://app.flycast")];
    let own = server.get("/status", &own).await;
    assert_eq!(own.status(), StatusCode::OK);
    let page = server.get("/live/view", &[]).await;
    let cookie = page.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    assert!(page.headers().contains_key("content-security-policy"));
    let metrics = server.text("/metrics").await;
    assert!(
        metrics.contains("agent_state{state=\"none\"} 1"),
        "{metrics}"
    );
}

/// The status that another user of this host gets.
fn asked_by_nobody(url: &str) -> String {
    let ids = ["--reuid=65534", "--regid=65534", "--clear-groups", "curl"];
    let output = Command::new("setpriv")
        .args(ids)
        .args(["-so", "/dev/null", "-w", "%{http_code}", url])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_given_no_token_makes_one_and_prints_it() {
    let server = Launch::of(FAKE).without_token().start();
    let http = Client::builder().redirect(Policy::none()).build().unwrap();
    for path in PROTECTED {
        let url = format!("{}{path}", server.url);
        // Another user of this host, and the page of another port in our own browser.
        assert_eq!(asked_by_nobody(&url), "401", "{path}");
        for site in ["cross-site", "same-site"] {
            let request = http.get(&url).header("sec-fetch-site", site);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path} {site}");
        }
    }
    // The user who runs it needs none.
    let own = http.get(format!("{}/status", server.url)).send().await;
    assert_eq!(own.unwrap().status(), StatusCode::OK);
    assert_eq!(asked_by_nobody(&server.printed("/status")), "200");
    let status = http.get(server.printed("/status")).send().await.unwrap();
    assert_eq!(status.status(), StatusCode::OK);
    // Another port of this host is another origin, with the token, too.
    for origin in ["http://localhost:31337", "http://127.0.0.1:1", "null"] {
        let request = http.get(server.printed("/status")).header("origin", origin);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{origin}");
    }
    // A person's browser gets a ticket, and an address without the token.
    let page = http.get(server.printed("/terminal"));
    let page = page.header("accept", "text/html,*/*").send().await.unwrap();
    assert_eq!(page.status(), StatusCode::SEE_OTHER);
    assert_eq!(page.headers()["location"], "/terminal");
    let cookie = page.headers()["set-cookie"].to_str().unwrap().to_owned();
    let (ticket, _) = cookie.split_once(';').unwrap();
    assert!(!server.printed("").contains(ticket), "{cookie}");
    let with = http.get(format!("{}/status", server.url));
    let with = with.header("cookie", ticket).send().await.unwrap();
    assert_eq!(with.status(), StatusCode::OK);
    let started = server.run(&["start", &server.printed("/terminal")]);
    assert!(started.contains("idle"), "{started}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_may_have_the_hash_of_the_token_alone() {
    let launch = Launch::of(FAKE);
    let hash = launch.home().join("hash");
    // printf 0123456789abcdef0123 | sha256sum
    let text = "sha256:1bd8fd47297046f993e608e398d5905b00a33e163c6b1172dd38887fed05ed6a";
    fs::write(&hash, text).unwrap();
    let mut launch = launch.without_token();
    launch.command.arg("--token-file").arg(&hash);
    let server = launch.start();
    let status = |token: &str| {
        let url = format!("{}/status", server.url);
        Client::new().get(url).bearer_auth(token).send()
    };
    assert_eq!(status(TOKEN).await.unwrap().status(), StatusCode::OK);
    let answer = status(text).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn a_key_that_makes_grants_is_refused() {
    let folder = tempdir().unwrap();
    for (name, text, expected) in [
        ("shared", "grant-key-0123456789", "it is no public key"),
        (
            "private",
            include_str!("../keys/grant.pem"),
            "which only the coordinator may have",
        ),
    ] {
        let key = folder.path().join(name);
        fs::write(&key, text).unwrap();
        let mut command = Command::new(AGENT);
        command.args(["serve", "--command", "sh", "--listen", "127.0.0.1:0"]);
        command.arg("--grant-key-file").arg(&key);
        let output = command.env("FLY_MACHINE_ID", "m1").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(expected), "{name}: {stderr}");
    }
}

#[test]
fn a_command_line_that_cannot_work_is_refused_with_its_flag() {
    for (arguments, expected) in [
        (&["--listen", "0.0.0.0:0"][..], "needs a --token-file"),
        (
            &["--command", "no-such-program"],
            "no program no-such-program",
        ),
        (&["--command", "/etc/passwd"], "no program /etc/passwd"),
        (&["--command", "'"], "--command"),
        (
            &["--workspace", "/no/such/folder"],
            "--workspace /no/such/folder",
        ),
        (&["--token-file", "/dev/null"], "16 visible"),
        (&["--log-dir", "/proc/none"], "--log-dir /proc/none"),
        (&["--allow-host", "http://app.flycast"], "--allow-host"),
        (&["--allow-origin", "app.example"], "--allow-origin"),
        (
            &["--log-cap", "1000000", "--log-total", "1000"],
            "--log-total",
        ),
    ] {
        let mut command = Command::new(AGENT);
        let command = command.arg("serve").args(arguments);
        let command = command.env("PATH", "/usr/bin:/bin");
        let output = command.env("AGENT_COMMAND", "sh").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}
