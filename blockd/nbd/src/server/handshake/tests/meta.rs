//! `NBD_OPT_LIST_META_CONTEXT` and `NBD_OPT_SET_META_CONTEXT`.

use super::*;
use crate::testing::meta;

#[tokio::test]
async fn contexts_need_structured_replies() {
    let mut client = Client::greeted(&disk()).await;
    for option in [
        wire::NBD_OPT_LIST_META_CONTEXT,
        wire::NBD_OPT_SET_META_CONTEXT,
    ] {
        client
            .option(option, &meta("disk", &["base:allocation"]))
            .await;
        assert_eq!(client.refusal().await.0, INVALID);
    }
}

/// The id and name of each context that the queries select.
async fn contexts(client: &mut Client, option: u32, queries: &[&str]) -> Vec<(u32, String)> {
    client.option(option, &meta("disk", queries)).await;
    let mut found = Vec::new();
    loop {
        match client.answer().await {
            (wire::NBD_REP_META_CONTEXT, data) => {
                let (id, name) = data.split_first_chunk().unwrap();
                found.push((
                    u32::from_be_bytes(*id),
                    String::from_utf8(name.to_vec()).unwrap(),
                ));
            }
            (wire::NBD_REP_ACK, data) => {
                assert!(data.is_empty());
                return found;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn list_and_set_match_queries_differently() {
    let mut client = Client::greeted(&disk()).await;
    client.option(wire::NBD_OPT_STRUCTURED_REPLY, &[]).await;
    client.answer().await;
    let list = wire::NBD_OPT_LIST_META_CONTEXT;
    let listed = vec![(0, "base:allocation".to_owned())];
    assert_eq!(contexts(&mut client, list, &[]).await, listed);
    assert_eq!(contexts(&mut client, list, &["base:"]).await, listed);
    assert_eq!(
        contexts(&mut client, list, &["x-y:z", "base:allocation"]).await,
        listed
    );
    assert_eq!(
        contexts(&mut client, list, &["qemu:", "base:else"]).await,
        []
    );
    let set = wire::NBD_OPT_SET_META_CONTEXT;
    let selected = vec![(1, "base:allocation".to_owned())];
    assert_eq!(contexts(&mut client, set, &[]).await, []);
    assert_eq!(contexts(&mut client, set, &["base:"]).await, []);
    assert_eq!(
        contexts(&mut client, set, &["base:allocation", "base:allocation"]).await,
        selected
    );
}

/// The type of the reply to `NBD_CMD_BLOCK_STATUS` after these options and
/// `NBD_OPT_GO`.
async fn status_after(steps: &[(u32, Vec<u8>)]) -> u16 {
    let mut client = Client::greeted(&disk()).await;
    for (option, data) in steps {
        client.option(*option, data).await;
        while client.answer().await.0 == wire::NBD_REP_META_CONTEXT {}
    }
    client.go("disk").await;
    client
        .request((0, wire::NBD_CMD_BLOCK_STATUS), 0, 4096)
        .await;
    client.chunk().await.kind
}

#[tokio::test]
async fn a_selection_counts_for_one_name_and_until_the_next_one_even_if_that_fails() {
    let set = wire::NBD_OPT_SET_META_CONTEXT;
    let structured = (wire::NBD_OPT_STRUCTURED_REPLY, vec![]);
    let good = (set, meta("disk", &["base:allocation"]));
    let failures = [
        (set, meta("disk", &["no namespace"])),
        (set, meta("nothing", &["base:allocation"])),
        (set, meta("other", &["base:allocation"])),
        (set, meta("disk", &[])),
        (set, vec![0; 70_000]),
    ];
    let status = status_after(&[structured.clone(), good.clone()]).await;
    assert_eq!(status, wire::NBD_REPLY_TYPE_BLOCK_STATUS);
    for failure in failures {
        let status = status_after(&[structured.clone(), good.clone(), failure]).await;
        assert_eq!(status, wire::NBD_REPLY_TYPE_ERROR);
    }
}
