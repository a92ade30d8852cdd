//! The longest messages, and those that codex does not take.

use std::fs;

use super::codex::Real;
use crate::harness::poll_until;

const MAX_CHARS: usize = 1_048_576;

/// One is submitted, once, and codex works after it.
async fn submitted(text: String) {
    let real = Real::new(&[]).await;
    let mcp = real.server.mcp().await;
    mcp.start().await;
    let answer = mcp.message(&text).await;
    assert_eq!(answer["submitted"], true, "{answer}");
    let answer = mcp.message("edit made by codex").await;
    assert_eq!(answer["submitted"], true, "{answer}");
    poll_until("the file to be edited", || {
        let made = fs::read_to_string(real.server.path("work/made"));
        made.is_ok_and(|text| text == "by codex").then_some(())
    });
    let mut said = real.said();
    said.retain(|said| *said == text || said.starts_with("edit "));
    assert!(said == [text, "edit made by codex".to_owned()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_message() {
    submitted("ü".repeat(MAX_CHARS)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a million lines take codex ten seconds of a core: make soak"]
async fn the_longest_message_of_the_shortest_lines() {
    let mut text = "a\n".repeat(MAX_CHARS / 2);
    text.replace_range(MAX_CHARS - 1.., "z");
    submitted(text).await;
}

/// What codex does not know as a command stays in its input line.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_submitted_is_no_part_of_the_next() {
    let real = Real::new(&[]).await;
    let mcp = real.server.mcp().await;
    mcp.start().await;
    for left in ["/nosuch", "/nosuch\nwith\n\nmore", &"/nosuch ".repeat(300)] {
        let answer = mcp.message(left).await;
        assert_eq!(answer["submitted"], false, "{left:.20}: {answer}");
        let answer = mcp.message("hello").await;
        assert_eq!(answer["evidence"], "rollout", "{left:.20}: {answer}");
        real.server.is("idle").await;
    }
    let answer = mcp.message("!touch by_a_shell").await;
    assert_eq!(answer["submitted"], true, "{answer}");
    poll_until("the shell's file", || {
        real.server.path("work/by_a_shell").exists().then_some(())
    });
    let mut said = real.said();
    said.retain(|text| text.contains("hello") || text.contains("/nosuch"));
    assert_eq!(said, ["hello"; 3]);
}
