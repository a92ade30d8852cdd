use proptest::prelude::*;
use vt100::Parser;

use super::{
    Filter, Policy,
    filter::{MAX_COMMAND, MAX_SEQUENCE},
};

/// All that passes of bytes that come at once.
fn filtered(policy: Policy, bytes: &[u8]) -> Vec<u8> {
    Filter::new(policy).push(bytes)
}

/// What a screen shows, with colours and the cursor.
fn shown(bytes: &[u8]) -> Vec<u8> {
    let mut parser = Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0);
    parser.process(bytes);
    parser.screen().contents_formatted().into_bytes()
}

/// Sequences that pass for everybody.
const DRAWN: &[&[u8]] = &[
    b"plain \t\r\n\x08\x07",
    "grüße 🦀 é".as_bytes(),
    b"\x1b[0m\x1b[1;38;5;200m\x1b[38:2::1:2:3m",
    b"\x1b[H\x1b[2J\x1b[J\x1b[12;40H\x1b[3A\x1b[K",
    b"\x1b[2;20r\x1bM\x1b[r\x1b[3S\x1b[2T",
    b"\x1b[?1049h\x1b[?25l\x1b[?1049l\x1b[?25h",
    b"\x1b[?2026h\x1b[?2026l",
    b"\x1b[4 q",
    b"\x1b7\x1b8\x1b[s\x1b[u",
    b"\x1b]8;;https://example.org/a?b=c;d\x1b\\link\x1b]8;;\x1b\\",
    b"\x1b]8;id=1;http://a/\x07x\x1b]8;;\x07",
    b"\x1b(0\x0elqk\x0f\x1b(B",
    b"\x1b[!p",
    b"\x1b[5b\x1b[2X\x1b[P\x1b[@\x1b[L\x1b[M",
];

/// What passes for nobody: it is answered, or leaves the window.
const TAKEN: &[&[u8]] = &[
    b"\x05",
    b"\x1b[c",
    b"\x1b[>c",
    b"\x1b[=c",
    b"\x1b[0c",
    b"\x1bZ",
    b"\x1b[5n",
    b"\x1b[6n",
    b"\x1b[?6n",
    b"\x1b[?996n",
    b"\x1b[?25$p",
    b"\x1b[4$p",
    b"\x1b[>q",
    b"\x1b[>0q",
    b"\x1b[14t",
    b"\x1b[21t",
    b"\x1b[8;1;1t",
    b"\x1b[22;2t",
    b"\x1b[?u",
    b"\x1b[x",
    b"\x1b[1;1;1;1;1;1*y",
    b"\x1b[?1;1;0S",
    b"\x1b[i",
    b"\x1b[5i",
    b"\x1b[?m",
    b"\x1b[?4m",
    b"\x1b[1;2;3;4;5T",
    b"\x1b[2h",
    b"\x1b[12l",
    b"\x1b[?3h",
    b"\x1b[?1001h",
    b"\x1b[?2031h",
    b"\x1b[?2048h",
    b"\x1b[?25s",
    b"\x1b[?25r",
    b"\x1b[>3T",
    b"\x1b[#|",
    b"\x1b['|",
    b"\x1b]52;c;cHduZWQ=\x07",
    b"\x1b]52;c;?\x1b\\",
    b"\x1b]0;title\x07",
    b"\x1b]2;title\x1b\\",
    b"\x1b]4;1;?\x07",
    b"\x1b]10;?\x07",
    b"\x1b]11;?\x1b\\",
    b"\x1b]12;?\x07",
    b"\x1b]7;file:///\x07",
    b"\x1b]9;note\x07",
    b"\x1b]133;A\x07",
    b"\x1b]777;notify;a;b\x07",
    b"\x1b]1337;File=:\x07",
    b"\x1b]7501;state=idle\x07",
    b"\x1bP$qm\x1b\\",
    b"\x1bP+q544e\x1b\\",
    b"\x1bPq#0;2;0;0;0\x1b\\",
    b"\x1b_Ga=q;\x1b\\",
    b"\x1b^private\x1b\\",
    b"\x1bXstring\x1b\\",
    b"\x1b#8",
    b"\x1b\\",
    "\u{90}\u{9c}\u{98}\u{9e}\u{9f}\u{85}\u{9d}".as_bytes(),
    b"\0\x7f",
    b"\x1b[3;1$z",
];

/// What changes the keys, or erases what has scrolled off.
const FOR_THE_PROGRAM: &[&[u8]] = &[
    b"\x1b[?1h",
    b"\x1b[?1000h",
    b"\x1b[?1006;1003h",
    b"\x1b[?1004h",
    b"\x1b[?2004h",
    b"\x1b[?2004l",
    b"\x1b[>1u",
    b"\x1b[<u",
    b"\x1b[=5;1u",
    b"\x1b[>4;2m",
    b"\x1b[>4n",
    b"\x1b=",
    b"\x1b>",
    b"\x1b[20h",
    b"\x1b[3J",
    b"\x1b[03J",
    b"\x1b[?1007h",
];

const POLICIES: [Policy; 2] = [Policy::READER, Policy::KEYBOARD];

#[test]
fn what_draws_passes_unchanged() {
    for policy in POLICIES {
        for bytes in DRAWN {
            let passed = filtered(policy, bytes);
            assert_eq!(passed, *bytes, "{}", bytes.escape_ascii());
        }
    }
}

#[test]
fn what_is_answered_or_leaves_the_window_does_not_pass() {
    for policy in POLICIES {
        for bytes in TAKEN {
            let passed = filtered(policy, &[b"<", *bytes, b">"].concat());
            assert_eq!(passed, b"<>", "{}", bytes.escape_ascii());
        }
    }
}

#[test]
fn what_changes_the_keys_passes_for_the_keyboard_alone() {
    for bytes in FOR_THE_PROGRAM {
        assert_eq!(
            filtered(Policy::KEYBOARD, bytes),
            *bytes,
            "{}",
            bytes.escape_ascii()
        );
        assert_eq!(
            filtered(Policy::READER, bytes),
            b"",
            "{}",
            bytes.escape_ascii()
        );
    }
    let mixed = filtered(Policy::READER, b"\x1b[?25;2004;7;2031h");
    assert_eq!(mixed, b"\x1b[?25;7h");
}

#[test]
fn a_title_passes_where_it_is_wanted() {
    let policy = Policy {
        title: true,
        ..Policy::READER
    };
    let good = "\x1b]0;tïtle\x07".as_bytes();
    assert_eq!(filtered(policy, good), good);
    for bad in [
        &b"\x1b]2;a\nb\x07"[..],
        "\x1b]2;a\u{9b}6n\x07".as_bytes(),
        b"\x1b]2;\xff\x07",
    ] {
        assert_eq!(filtered(policy, bad), b"");
    }
}

#[test]
fn a_link_that_is_refused_ends_the_one_before() {
    let long = [
        b"\x1b]8;;https://".to_vec(),
        vec![b'a'; MAX_COMMAND],
        b"\x07".to_vec(),
    ]
    .concat();
    for link in [
        &b"\x1b]8;;file:///etc/passwd\x07"[..],
        b"\x1b]8;;javascript:alert(1)\x1b\\",
        b"\x1b]8;;mailto:a@b\x07",
        "\x1b]8;;https://exämple.org\x07".as_bytes(),
        b"\x1b]8;;https://a b\x07",
        b"\x1b]8;;https://a\nb\x07",
        b"\x1b]8;nothing\x07",
        &long,
    ] {
        assert_eq!(
            filtered(Policy::READER, link),
            b"\x1b]8;;\x1b\\",
            "{}",
            link.escape_ascii()
        );
    }
}

#[test]
fn a_c1_control_leaves_text() {
    assert_eq!(filtered(Policy::READER, "a\u{9b}6nb".as_bytes()), b"a6nb");
    assert_eq!(
        filtered(Policy::READER, b"a\x9b6nb"),
        "a\u{fffd}6nb".as_bytes()
    );
    assert_eq!(
        filtered(Policy::READER, b"\xe2\x82\x1b[6nx"),
        "\u{fffd}x".as_bytes()
    );
}

#[test]
fn a_sequence_that_is_cut_off_does_not_pass() {
    for cut in [
        &b"\x1b[6\x18n"[..],
        b"\x1b]52;c;\x1an",
        b"\x1b[1\x1b[6n",
        b"\x1b]0;a\x1b[6n",
    ] {
        let passed = filtered(Policy::READER, cut);
        assert!(
            passed.is_empty() || passed == b"n",
            "{}",
            cut.escape_ascii()
        );
    }
    // A control within a sequence is obeyed before it, as by terminals.
    assert_eq!(filtered(Policy::READER, b"\x1b[3\n1m"), b"\n\x1b[31m");
    assert_eq!(
        filtered(Policy::READER, "\x1b[3ü1m".as_bytes()),
        "ü1m".as_bytes()
    );
}

#[test]
fn a_reset_erases_no_history_of_a_reader() {
    let before = b"\x1b[?1049h\x1b[31m\x1b[2;3rtext\x1bc";
    let passed = filtered(Policy::READER, before);
    assert!(!passed.windows(2).any(|pair| pair == b"\x1bc"));
    assert_eq!(shown(&[&passed[..], b"x"].concat()), shown(b"x"));
    assert!(filtered(Policy::KEYBOARD, before).ends_with(b"\x1bc"));
}

#[test]
fn the_end_leaves_the_alternate_screen_and_the_cursor_visible() {
    let mut filter = Filter::new(Policy::READER);
    let mut all =
        filter.push(b"before\x1b[?1049h\x1b[?25l\x1b[4;9r\x1b[31m\x1b]8;;http://a/\x07in");
    all.extend(filter.end());
    all.extend(b" after");
    assert_eq!(shown(&all), shown(b"before after"));
}

#[test]
fn endless_sequences_cost_no_memory() {
    for begin in ["\x1b[", "\x1b]8;;https://", "\x1bP", "\x1b("] {
        let mut filter = Filter::new(Policy::KEYBOARD);
        filter.push(begin.as_bytes());
        for piece in [&b" "[..], b"1"] {
            filter.push(&piece.repeat(1 << 20));
            assert!(filter.held.capacity() <= 2 * MAX_COMMAND);
        }
    }
    let long = [
        b"\x1b[".to_vec(),
        b"1;".repeat(MAX_SEQUENCE),
        b"m.".to_vec(),
    ]
    .concat();
    assert_eq!(filtered(Policy::READER, &long), b".");
}

/// Pieces of output, as a program or somebody hostile may put them together.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let listed = [DRAWN, TAKEN, FOR_THE_PROGRAM].concat();
    let piece = prop_oneof![
        prop::sample::select(listed).prop_map(<[u8]>::to_vec),
        "\\x1b[\\[\\]P_^X()#]?[<=>?]?[0-9;:]{0,6}[ -/]?[@-~]".prop_map(String::into_bytes),
        "\\PC{0,8}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same(bytes in pieces(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        for policy in POLICIES {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let (mut filter, mut from, mut passed) = (Filter::new(policy), 0, Vec::new());
            for to in cuts.into_iter().chain([bytes.len()]) {
                passed.extend(filter.push(&bytes[from..to]));
                from = to;
            }
            prop_assert_eq!(passed, filtered(policy, &bytes));
        }
    }

    /// What passes is whole, so that no terminal reads it in another way, and holds
    /// nothing that is to be taken out.
    #[test]
    fn what_passes_passes_again(bytes in pieces()) {
        for policy in POLICIES {
            let once = filtered(policy, &bytes);
            prop_assert!(str::from_utf8(&once).is_ok());
            for taken in TAKEN.iter().filter(|taken| taken.len() > 2) {
                prop_assert!(!once.windows(taken.len()).any(|found| found == *taken));
            }
            prop_assert_eq!(filtered(policy, &once), once);
        }
    }

    #[test]
    fn whole_text_is_never_held_back(text in "\\PC{0,20}") {
        let mut filter = Filter::new(Policy::READER);
        prop_assert_eq!(filter.push(text.as_bytes()), text.as_bytes());
        prop_assert!(filter.character.is_empty() && filter.held.is_empty());
    }
}
