//! Lists that codex shows in the place of its input line, and what is left in that.

use super::{Evidence, Fake, Refusal, State};

/// Codex says that it is idle while a list of its own is open.
#[tokio::test(flavor = "multi_thread")]
async fn no_message_chooses_an_entry_of_a_list() {
    let fake = Fake::started("").await;
    fake.session.message("pick").await.unwrap();
    // The list is not drawn yet: the input line is empty.
    let refused = fake.session.message("1").await.unwrap_err();
    assert!(
        matches!(refused, Refusal::NoInputLine(ref screen) if screen.contains("› 1. one")),
        "{refused}"
    );
    assert!(!fake.home.path().join("codex/chosen").exists());
    fake.is(State::Blocked).await;
    let refused = fake.session.message("2").await.unwrap_err();
    assert!(matches!(refused, Refusal::NoInputLine(_)), "{refused}");
    fake.session.keys(b"\x1b".to_vec()).await.unwrap();
    fake.is(State::Idle).await;
    fake.session.message("hello").await.unwrap();
    assert_eq!(fake.said(), ["pick", "hello"]);
    fake.session.stop().await;
}

/// A text that a list covers is no part of what comes after the list.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_a_list_covers_is_taken_back() {
    let fake = Fake::started("").await;
    let sent = fake.session.message("cover").await;
    assert!(
        sent.as_ref().is_err() || sent.as_ref().is_ok_and(|sent| !sent.submitted),
        "{sent:?}"
    );
    assert!(!fake.home.path().join("codex/chosen").exists());
    fake.session.keys(b"\x1b".to_vec()).await.unwrap();
    fake.session.message("hello").await.unwrap();
    assert_eq!(fake.said(), ["hello"]);
    fake.session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_an_interrupt_nor_a_stop_answers_a_list() {
    let fake = Fake::started("").await;
    fake.session.message("pick").await.unwrap();
    fake.is(State::Blocked).await;
    assert!(!fake.session.interrupt().await.unwrap());
    assert_eq!(fake.session.stop().await.state, State::Exited);
    assert!(!fake.home.path().join("codex/chosen").exists());
    assert_eq!(fake.said(), ["pick"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_not_submitted_is_no_part_of_the_next() {
    let fake = Fake::started("").await;
    let sent = fake.session.message("/no such command").await.unwrap();
    assert_eq!((sent.submitted, sent.evidence), (false, Evidence::None));
    assert!(sent.screen.contains("› /no such"), "{}", sent.screen);
    let sent = fake.session.message("hello").await.unwrap();
    assert_eq!(sent.evidence, Evidence::Rollout);
    assert_eq!(fake.said(), ["hello"]);
    fake.session.stop().await;
}
