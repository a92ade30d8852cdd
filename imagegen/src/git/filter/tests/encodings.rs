//! Encodings agree with iconv and `git checkout`.

use std::{collections::BTreeSet, process::Command};

use gix::hash::Kind;

use super::checkout::{Files, Walk, agree, apply};
use crate::{
    git::filter::{
        iconv::{ENCODINGS, Iconv, is_glibc},
        tests::checkout::files,
    },
    support::git::run,
};

/// Texts that some encodings have and others have not, and some that end within
/// a shift state.
const TEXTS: [&str; 14] = [
    "plain\n",
    "abc \n",
    "\u{e4}\u{f6}\u{df}\n",
    "\u{20ac}\n",
    "\u{1f600}\n",
    "\u{feff}x\n",
    "\u{416}\u{43e}\n",
    "\u{3042}\u{65e5}\u{672c}\n",
    "\u{4e2d}\u{56fd} \u{4e2d}",
    "\u{d55c}\u{ae00}\n",
    "\u{e01}\u{5d0}\u{627}\u{3b1}",
    "\u{ca}\u{304}\u{61}\u{300}",
    "\u{81}\n",
    "\u{e0041}\u{2225}\u{ff0d}\u{a5}\u{203e}",
];
/// Every kind of malformed UTF-8.
const BROKEN: [&[u8]; 6] = [
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xc0\x80",
    b"a\xe2\x82",
    b"\xff\n",
    b"ok\n\x80",
];

/// Files of these texts in each of the encodings, as git checks them out;
/// returns how many are converted.
fn agree_in_all<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    let (mut files, mut attributes) = (Files::new(), Vec::new());
    for (number, name) in names.enumerate() {
        attributes.push(format!("/{number}/* working-tree-encoding={name}\n"));
        let texts = TEXTS.iter().map(|text| text.as_bytes()).chain(BROKEN);
        for (text_number, text) in texts.enumerate() {
            files.insert(format!("{number}/{text_number}").into(), text.to_vec());
        }
    }
    files.insert(b".gitattributes".into(), attributes.concat().into());
    agree(&files, Kind::Sha1)
}

/// One name of each encoding. The names of one give the same bytes.
fn distinct() -> Vec<&'static str> {
    let sample = TEXTS.concat();
    let mut seen = BTreeSet::new();
    let differs = |name: &&str| {
        let mut iconv = Iconv::open(name.as_bytes(), 1 << 20).unwrap();
        let mut out = Vec::new();
        let encoded = sample.chars().map(|one| {
            let mut utf8 = [0; 4];
            iconv
                .encode(one.encode_utf8(&mut utf8).as_bytes(), &mut out)
                .is_ok()
        });
        let encoded: Vec<_> = encoded.collect();
        seen.insert((encoded, out))
    };
    ENCODINGS.lines().filter(differs).collect()
}

#[test]
fn files_are_encoded_as_by_git_in_every_encoding_of_glibc() {
    let distinct = distinct();
    assert!(distinct.len() > 150, "{distinct:?}");
    assert!(agree_in_all(distinct.into_iter()) > 500);
}

#[test]
fn names_are_read_as_by_git() {
    let names = [
        "UTF-16",
        "utf16",
        "UTF-16LE",
        "UTF16LE",
        "UTF-16BE",
        "UTF-16LE-BOM",
        "utf16le-bom",
        "UTF-16BE-BOM",
        "UTF16BE-bom",
        "UTF-32",
        "UTF-32LE",
        "UTF-32BE",
        "utf-32be",
        "UTF-32LE-BOM",
        "UTF-8-BOM",
        "UTF-7",
        "UCS-2",
        "UCS-4LE",
        "ISO-10646/UCS4/",
        "ISO-8859-1",
        "latin-1",
        "Latin-1",
        "latin1",
        "ASCII",
        "us-ascii",
        "L1",
        "IBM-1047",
        "GB2312",
        "BIG5",
        "CP437",
        "ISO-2022-JP",
        "MacRoman",
        "macintosh",
        "nonsense",
        "UTF-",
        "utf",
        "-",
        "/",
        "//",
        "ASCII//TRANSLIT",
        "ascii//IGNORE",
        "UTF-16//IGNORE",
        "UTF_16",
        "L@ATIN1",
        "WCHAR_T",
        "INTERNAL",
        "\u{fc}tf-16",
        "utf-8//",
        "utf-8//TRANSLIT",
    ];
    assert!(agree_in_all(names.into_iter()) > 100);
}

#[test]
fn the_encodings_of_glibc_are_known() {
    let output = run(Command::new("iconv").arg("-l"), b"").stdout;
    let here = String::from_utf8(output).unwrap();
    let here: BTreeSet<_> = here
        .lines()
        .map(|name| name.trim_end_matches('/'))
        .collect();
    for name in ENCODINGS.lines() {
        assert!(here.contains(name), "iconv does not know {name}");
        assert!(Iconv::open(name.as_bytes(), 0).is_some(), "{name}");
    }
    for known in ["utf-16//TRANSLIT", "L@ATIN1", "ISO-10646/UCS4/", "ibm1047"] {
        assert!(is_glibc(known.as_bytes()), "{known}");
    }
    for unknown in [
        "nonsense",
        "UTF-8-BOM",
        "IBM-1047x",
        "MacRoman",
        "",
        "ISO-10646/x/",
    ] {
        assert!(!is_glibc(unknown.as_bytes()), "{unknown}");
    }
}

#[test]
fn what_iconv_cannot_encode_is_said() {
    let encoded = |name: &str, content: &[u8]| {
        let line = format!("* working-tree-encoding={name}");
        let files = files([(".gitattributes", line.as_bytes()), ("file", content)]);
        let conversion = Walk::new(&files)
            .attributes(b"file")
            .conversion("file".into());
        apply(
            &conversion.unwrap(),
            gix::ObjectId::null(Kind::Sha1),
            content,
        )
        .unwrap()
    };
    assert_eq!(encoded("nonsense", b"text"), (None, false));
    assert_eq!(encoded("nonsense", b""), (None, true));
    assert_eq!(encoded("ASCII", b"text"), (None, true));
    assert_eq!(encoded("ASCII", "\u{e4}".as_bytes()), (None, false));
    assert_eq!(encoded("UTF-16BE", b"t"), (Some(b"\0t".to_vec()), true));
}
