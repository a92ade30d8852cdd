#[path = "../../../tests/serve/ctrl_z.rs"]
mod ctrl_z;

use self::ctrl_z::CTRL_Z;
use super::{Key, KeyFilter, filter::MAX_SEQUENCE};

/// What must pass unchanged.
const PASS: [&[u8]; 14] = [
    b"hello \xf0\x9f\x91\xa9 \xd0\xaf\r\n\t\x7f",
    b"\x1b[A\x1b[1;5D\x1b[3~\x1bOP",
    b"\x1b[122u",
    b"\x1b[122;2u",
    b"\x1b[97;5u",
    b"\x1b[27;5;97~",
    b"\x1b[27;5~",
    b"\x1b[200~pasted\x1b[201~",
    b"\x1bz\x1b\x7f",
    b"\x1b]11;rgb:0/0/0\x07",
    b"\x1b[<0;10;20M",
    b"\x12\x13\x11\x14\x0c\x0f\x07\x01\x05",
    b"\x1b\x1b[A",
    b"\x1b[?62;c",
];

fn filter() -> KeyFilter {
    KeyFilter::new(&[])
}

fn in_pieces(filter: &mut KeyFilter, pieces: &[&[u8]]) -> (Vec<u8>, Vec<Key>) {
    let (mut bytes, mut dropped) = (Vec::new(), Vec::new());
    for piece in pieces {
        let passed = filter.feed(piece);
        bytes.extend(passed.bytes);
        dropped.extend(passed.dropped);
    }
    bytes.extend(filter.flush());
    (bytes, dropped)
}

#[test]
fn ctrl_z_is_dropped_in_every_encoding_and_however_it_is_cut() {
    for sent in CTRL_Z {
        let input = [b"ab", sent, b"cd"].concat();
        for first in 0..=input.len() {
            for second in first..=input.len() {
                let pieces = [&input[..first], &input[first..second], &input[second..]];
                let (bytes, dropped) = in_pieces(&mut filter(), &pieces);
                assert_eq!(bytes, b"abcd", "{sent:?} cut at {first}, {second}");
                assert_eq!(dropped, [Key::CtrlZ], "{sent:?} cut at {first}, {second}");
            }
        }
        let bytes: Vec<_> = input.iter().map(std::slice::from_ref).collect();
        assert_eq!(in_pieces(&mut filter(), &bytes).0, b"abcd", "{sent:?}");
    }
}

#[test]
fn other_keys_pass_however_they_are_cut() {
    for sent in PASS {
        for cut in 0..=sent.len() {
            let (bytes, dropped) = in_pieces(&mut filter(), &[&sent[..cut], &sent[cut..]]);
            assert_eq!(bytes, sent, "cut at {cut}");
            assert_eq!(dropped, []);
        }
    }
}

#[test]
fn the_other_blocked_keys_are_dropped() {
    for (key, letter, byte) in [
        (Key::CtrlC, 99, 0x03),
        (Key::CtrlD, 100, 0x04),
        (Key::CtrlBackslash, 92, 0x1c),
    ] {
        let encodings = [
            vec![byte],
            format!("\x1b[{letter};5u").into_bytes(),
            format!("\x1b[{byte}u").into_bytes(),
            format!("\x1b[27;5;{letter}~").into_bytes(),
        ];
        for sent in encodings {
            let (bytes, dropped) = in_pieces(&mut filter(), &[&sent]);
            assert_eq!((bytes, dropped), (Vec::new(), vec![key]));
        }
    }
}

#[test]
fn a_key_is_dropped_inside_a_paste_and_a_sequence() {
    let (bytes, _) = in_pieces(&mut filter(), &[b"\x1b[200~a\x1ab\x1b[201~"]);
    assert_eq!(bytes, b"\x1b[200~ab\x1b[201~");
    let (bytes, dropped) = in_pieces(&mut filter(), &[b"\x1b[122\x1a;5u"]);
    assert_eq!((bytes, dropped), (Vec::new(), vec![Key::CtrlZ; 2]));
}

#[test]
fn malformed_sequences_are_dropped() {
    let long = [
        b"\x1b[122;5;",
        [b'9'; 2 * MAX_SEQUENCE].as_slice(),
        b"u",
        b"x",
    ]
    .concat();
    assert_eq!(in_pieces(&mut filter(), &[&long]).0, b"x");
    assert_eq!(in_pieces(&mut filter(), &[b"\x1b[12\x1b[A"]).0, b"\x1b[A");
    let mut filter = filter();
    filter.feed(&[b"\x1b[", vec![b'1'; 1 << 16].as_slice()].concat());
    assert!(filter.held.len() <= MAX_SEQUENCE);
}

#[test]
fn a_lone_escape_waits_for_what_follows() {
    let mut filter = filter();
    assert_eq!(filter.feed(b"\x1b").bytes, b"");
    assert!(filter.is_holding());
    assert_eq!(filter.flush(), b"\x1b");
    assert!(!filter.is_holding());
    // The program may not have read that Escape yet.
    assert_eq!(filter.feed(b"[122;5u").dropped, [Key::CtrlZ]);
    filter.feed(b"\x1b");
    assert_eq!(filter.flush(), b"\x1b");
    assert_eq!(filter.feed(b"[Ax").bytes, b"[Ax");
    filter.feed(b"\x1b[122");
    assert_eq!(filter.flush(), b"");
    assert_eq!(filter.feed(b";5u").dropped, [Key::CtrlZ]);
}

#[test]
fn what_is_allowed_passes() {
    let mut filter = KeyFilter::new(&[Key::CtrlC]);
    assert_eq!(filter.feed(b"\x03\x04\x1b[99;5u").bytes, b"\x03\x1b[99;5u");
    assert_eq!("ctrl-c".parse(), Ok(Key::CtrlC));
    assert_eq!("Ctrl+\\".parse(), Ok(Key::CtrlBackslash));
    assert!("ctrl-x".parse::<Key>().is_err());
    assert_eq!(Key::CtrlZ.to_string(), "Ctrl+Z");
}
