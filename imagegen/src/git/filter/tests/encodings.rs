//! Encodings agree with iconv and `git checkout`.

#![expect(clippy::indexing_slicing, reason = "a test that fails may panic")]

use std::process::Command;

use gix::hash::Kind;

use super::checkout::{Files, agree};
use crate::{
    git::filter::{
        encoding::{Encoding, Outcome},
        legacy::{Encoded, Legacy},
    },
    support::git::run,
};

/// Whether iconv succeeds, and its output.
fn iconv(args: &[&str], input: &[u8]) -> (bool, Vec<u8>) {
    let output = run(Command::new("iconv").args(args), input);
    (output.status.success(), output.stdout)
}

/// All characters, one per line; iconv omits those that it cannot encode.
#[test]
fn every_character_is_encoded_as_by_iconv() {
    let all: Vec<char> = ('\x01'..=char::MAX).filter(|&one| one != '\n').collect();
    let text: String = all.iter().flat_map(|&one| [one, '\n']).collect();
    for legacy in Legacy::all() {
        let name = legacy.names().next().unwrap();
        let (_, output) = iconv(&["-c", "-f", "UTF-8", "-t", name], text.as_bytes());
        let theirs: Vec<_> = output.split(|&byte| byte == b'\n').collect();
        assert_eq!(theirs.len(), all.len() + 1, "iconv does not know {name}");
        let mut unsure = 0;
        for (&one, theirs) in all.iter().zip(theirs) {
            let mut buffer = [0; 8];
            match legacy.encode(one, &mut buffer) {
                Encoded::Bytes(length) => {
                    assert_eq!(buffer[..length], *theirs, "{name} {one:?}");
                }
                Encoded::Missing => assert!(theirs.is_empty(), "{name} has {one:?}: {theirs:x?}"),
                Encoded::Unsure => unsure += usize::from(!theirs.is_empty()),
            }
        }
        println!("{name}: unsure of {unsure} characters that iconv has");
    }
}

#[test]
fn every_name_is_known_to_iconv_as_the_same_encoding() {
    for legacy in Legacy::all() {
        let first = legacy.names().next().unwrap();
        let bytes: Vec<u8> = (1..=0x7f).chain([0xc4, 0xa3, 0xb1, 0xb2]).collect();
        let decoded = iconv(&["-c", "-f", first, "-t", "UTF-8"], &bytes);
        for name in legacy.names() {
            let other = iconv(&["-c", "-f", name, "-t", "UTF-8"], &bytes);
            assert_eq!(other, decoded, "{first} {name}");
            assert_eq!(Legacy::named(name), Some(legacy));
        }
    }
}

#[test]
fn files_are_encoded_as_by_git() {
    const TEXTS: [&str; 8] = [
        "plain\n",
        "\u{e4}\u{f6}\u{df}\n",
        "\u{20ac}\n",
        "\u{1f600}\n",
        "\u{feff}x\n",
        "\u{416}\n",
        "\u{3042}\u{65e5}\n",
        "\u{81}\n",
    ];
    // Every kind of malformed UTF-8.
    const BROKEN: [&[u8]; 6] = [
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc0\x80",
        b"a\xe2\x82",
        b"\xff\n",
        b"ok\n\x80",
    ];
    let utfs = [
        "UTF-16",
        "utf16",
        "UTF-16LE",
        "UTF16LE",
        "UTF-16BE",
        "UTF-16LE-BOM",
        "utf16le-bom",
        "UTF-16BE-BOM",
        "UTF-32",
        "UTF-32LE",
        "UTF-32BE",
        "utf-32be",
        "ISO-8859-1",
        "latin-1",
        "latin1",
        "ASCII",
        "us-ascii",
        "L1",
    ];
    let mut files = Files::new();
    let mut attributes = Vec::new();
    for name in utfs
        .into_iter()
        .chain(Legacy::all().flat_map(Legacy::names))
    {
        let encoding = Encoding::named(name.as_bytes()).unwrap();
        attributes.push(format!("/{name}/* working-tree-encoding={name}\n"));
        let texts = TEXTS.iter().map(|text| text.as_bytes()).chain(BROKEN);
        for (number, text) in texts.enumerate() {
            if !matches!(encoding.encode(text), Outcome::Unsure(_)) {
                files.insert(format!("{name}/{number}").into(), text.to_vec());
            }
        }
    }
    files.insert(b".gitattributes".into(), attributes.concat().into());
    assert!(agree(&files, Kind::Sha1) > 100);
}
