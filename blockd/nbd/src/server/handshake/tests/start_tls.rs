//! A server that requires TLS, before `NBD_OPT_STARTTLS`.

use super::*;

const TLS_REQUIRED: u32 = wire::NBD_REP_ERR_TLS_REQD;

#[tokio::test]
async fn every_option_needs_tls() {
    let mut client = Client::before_tls(&disk()).await;
    for (option, data) in [
        (wire::NBD_OPT_LIST, vec![]),
        (wire::NBD_OPT_INFO, info("disk", &[])),
        (wire::NBD_OPT_GO, info("disk", &[])),
        (wire::NBD_OPT_STRUCTURED_REPLY, vec![]),
        (99, vec![]),
    ] {
        client.option(option, &data).await;
        assert_eq!(client.refusal().await.0, TLS_REQUIRED, "option {option}");
    }
    client.option(wire::NBD_OPT_EXPORT_NAME, b"disk").await;
    assert!(client.end_text().await.contains("requires TLS"));
}

#[tokio::test]
async fn abort_needs_no_tls() {
    let mut client = Client::before_tls(&disk()).await;
    client.option(wire::NBD_OPT_ABORT, b"").await;
    assert_eq!(client.answer().await, (wire::NBD_REP_ACK, vec![]));
    client.end().await.unwrap();
}

#[tokio::test]
async fn starttls_takes_no_data_and_nothing_may_follow_it() {
    let mut client = Client::before_tls(&disk()).await;
    client.option(wire::NBD_OPT_STARTTLS, b"x").await;
    assert_eq!(client.refusal().await.0, INVALID);
    let mut both = Client::option_bytes(wire::NBD_OPT_STARTTLS, b"");
    both.extend(Client::option_bytes(wire::NBD_OPT_LIST, b""));
    client.send(&both).await;
    assert!(client.end_text().await.contains("data before the reply"));
}

#[tokio::test]
async fn a_failed_tls_handshake_ends_the_connection() {
    let mut client = Client::before_tls(&disk()).await;
    client.option(wire::NBD_OPT_STARTTLS, b"").await;
    assert_eq!(client.answer().await, (wire::NBD_REP_ACK, vec![]));
    client.send(b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(
        client
            .end_with_rest()
            .await
            .starts_with("the TLS handshake failed: ")
    );
}
