//! Lists that codex shows in the place of its input line.

use super::{Fake, Refusal};

/// Codex says that it is idle while a list of its own is open.
#[tokio::test(flavor = "multi_thread")]
async fn no_message_chooses_an_entry_of_a_list() {
    let fake = Fake::started("").await;
    fake.session.message("pick").await.unwrap();
    let refused = fake.session.message("1").await.unwrap_err();
    assert!(
        matches!(refused, Refusal::NoInputLine(ref screen) if screen.contains("› 1. one")),
        "{refused}"
    );
    assert!(!fake.home.path().join("codex/chosen").exists());
    fake.session.keys(b"\x1b".to_vec()).await.unwrap();
    fake.session.message("hello").await.unwrap();
    assert_eq!(fake.said(), ["pick", "hello"]);
    fake.session.stop().await;
}
