//! Who may call, and which command lines are refused before anything runs.

use std::process::Command;

use reqwest::{Client, StatusCode};

use super::harness::{AGENT, Server};

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
