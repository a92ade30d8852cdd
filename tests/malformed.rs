//! Bytes no client should send, at every step of a connection.

use crate::harness::{
    Fixture, Peer, TestBlockd,
    peer::{
        EXPORT_NAME, GO, INFO, LIST, SET_META_CONTEXT, STRUCTURED_REPLY, go, option,
        option_of_length, request,
    },
};

const EINVAL: u32 = 22;
const EXPORT: &[u8] = b"history@main";

fn serve() -> TestBlockd {
    TestBlockd::serve(Fixture::get("history").folder())
}

#[track_caller]
fn assert_serves(server: &TestBlockd, after: &str) {
    let mut peer = Peer::transmitting(server, EXPORT);
    peer.send(&request(0, 0, 1024, 512));
    assert_eq!(peer.simple_error(), 0, "after {after}");
    let sector = peer.read(512);
    assert_eq!(sector[56..58], [0x53, 0xEF], "ext4's magic, after {after}");
}

#[test]
fn client_flags_it_does_not_know() {
    let server = serve();
    for (case, bytes) in [
        ("unknown flags", 0xFFFF_FFFF_u32.to_be_bytes().to_vec()),
        ("half of the flags", vec![0, 0]),
        (
            "a web browser",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        ),
        ("nothing", Vec::new()),
    ] {
        let mut peer = Peer::connect(&server);
        peer.send(&bytes);
        peer.assert_ends(case);
        assert_serves(&server, case);
    }
}

#[test]
fn options_that_lie_about_themselves() {
    let server = serve();
    let huge = 0xFFFF_FFFF;
    let long = vec![b'x'; 5000];
    for (case, bytes) in [
        ("no option magic", vec![0x55; 64]),
        ("an option of 4 GiB", option_of_length(GO, huge, b"x")),
        (
            "an unknown option of 4 GiB",
            option_of_length(0x4242, huge, b"x"),
        ),
        ("half an option header", option(LIST, &[])[..11].to_vec()),
        ("an export that is not there", option(EXPORT_NAME, b"nope")),
        ("a name of 5000 bytes", option(EXPORT_NAME, &long)),
        (
            "a name that is not UTF-8",
            option(EXPORT_NAME, &[0xFF, 0xFE]),
        ),
    ] {
        let mut peer = Peer::greeted(&server);
        peer.send(&bytes);
        peer.assert_ends(case);
        assert_serves(&server, case);
    }
}

/// These leave the haggling sound: an error reply, and the next option works.
#[test]
fn options_it_must_answer_with_an_error() {
    let server = serve();
    let lying_name = [&100_u32.to_be_bytes()[..], b"short", &[0, 0]].concat();
    let lying_infos = [&4_u32.to_be_bytes()[..], b"name", &[0xFF, 0xFF]].concat();
    let contexts = [
        &go(EXPORT)[..EXPORT.len() + 4],
        &0xFFFF_FFFF_u32.to_be_bytes()[..],
    ]
    .concat();
    for (case, bytes) in [
        ("an unknown option", option(0x4242, b"data")),
        ("LIST with data", option(LIST, b"data")),
        (
            "STRUCTURED_REPLY with data",
            option(STRUCTURED_REPLY, b"data"),
        ),
        ("GO without data", option(GO, b"")),
        (
            "GO with a name longer than the option",
            option(GO, &lying_name),
        ),
        (
            "INFO with more requests than there are",
            option(INFO, &lying_infos),
        ),
        ("GO with an unknown export", option(GO, &go(b"nope"))),
        (
            "GO with a name that is not UTF-8",
            option(GO, &go(&[0xFF, 0xFE])),
        ),
        ("GO with a NUL in the name", option(GO, &go(b"history\0x"))),
        (
            "INFO with an option nobody knows",
            option(INFO, &go(b"history:what=1")),
        ),
        (
            "SET_META_CONTEXT before structured replies",
            option(SET_META_CONTEXT, &contexts),
        ),
    ] {
        let mut peer = Peer::greeted(&server);
        peer.send(&bytes);
        let (kind, _) = peer
            .reply()
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        assert!(
            kind & 0x8000_0000 != 0,
            "{case}: reply {kind:#x} is no error"
        );
        peer.send(&option(GO, &go(EXPORT)));
        peer.until_acknowledged(case);
        assert_serves(&server, case);
    }
}

/// These leave the transmission sound: an error, and the next request works.
#[test]
fn requests_it_must_answer_with_an_error() {
    let server = serve();
    let mut peer = Peer::transmitting(&server, EXPORT);
    for (case, bytes) in [
        ("a read past the end", request(0, 0, 1 << 60, 4096)),
        (
            "a read that wraps around",
            request(0, 0, u64::MAX - 10, 4096),
        ),
        ("a read of 4 GiB", request(0, 0, 0, u32::MAX)),
        ("an unknown command", request(0, 99, 0, 0)),
        ("an unknown flag", request(0x4000, 0, 0, 4096)),
        ("BLOCK_STATUS without a context", request(0, 7, 0, 4096)),
    ] {
        peer.send(&bytes);
        assert_ne!(peer.simple_error(), 0, "{case}");
    }
    peer.send(&request(0, 0, 1 << 60, 4096));
    assert_eq!(peer.simple_error(), EINVAL);
    // A write brings data along, which must not be taken for a request.
    peer.send(&[request(0, 1, 0, 4096), vec![0x55; 4096]].concat());
    assert_eq!(peer.simple_error(), 1, "EPERM");
    // The protocol leaves a read of nothing open, but for the connection.
    peer.send(&request(0, 0, 0, 0));
    peer.simple_error();
    peer.send(&request(0, 0, 0, 512));
    assert_eq!(peer.simple_error(), 0);
}

#[test]
fn requests_that_end_the_connection() {
    let server = serve();
    for (case, bytes) in [
        ("no request magic", vec![0x55; 28]),
        ("half a request", request(0, 0, 0, 4096)[..20].to_vec()),
        ("a write of 4 GiB", request(0, 1, 0, u32::MAX)),
        ("a write without its data", request(0, 1, 0, 4096)),
        ("an option again", option(LIST, &[])),
    ] {
        let mut peer = Peer::transmitting(&server, EXPORT);
        peer.send(&bytes);
        peer.assert_ends(case);
        assert_serves(&server, case);
    }
}

#[test]
fn a_client_that_goes_away_in_the_middle_of_a_reply() {
    let server = serve();
    for _ in 0..20 {
        let mut peer = Peer::transmitting(&server, EXPORT);
        for _ in 0..8 {
            peer.send(&request(0, 0, 0, 1 << 20));
        }
        drop(peer);
    }
    assert_serves(&server, "clients that went away");
}
