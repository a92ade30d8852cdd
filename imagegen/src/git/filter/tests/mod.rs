//! Conversions give what `git checkout` writes.

pub(crate) mod checkout;
mod encodings;

use gix::{ObjectId, bstr::ByteSlice, hash::Kind};
use proptest::prelude::*;

use super::{Conversion, Request, Setting};
use crate::{git::vanilla::Vanilla, support::git::run};
use checkout::{Files, agree};

/// Lines of `.gitattributes` without their patterns, separated by semicolons.
const ATTRIBUTES: &str = "\
text; -text; text=auto; !text; text=input; text=other; text=; binary; eol=lf; eol=crlf; eol=CRLF; \
eol; -eol; text eol=crlf; text=auto eol=crlf; text=auto eol=lf; -text eol=crlf; text=input eol=crlf; \
binary eol=crlf; crlf; -crlf; crlf=input; crlf=auto; crlf eol=crlf; -crlf eol=crlf; \
crlf=auto eol=crlf; text -crlf eol=crlf; text=other -crlf eol=crlf; ident; -ident; ident=yes; \
ident eol=crlf; ident text=auto; ident text=auto eol=crlf; ident text=auto eol=lf; \
working-tree-encoding=UTF-16LE ident eol=crlf; working-tree-encoding=UTF-16 text; \
working-tree-encoding=utf8 eol=crlf; working-tree-encoding=UTF-8 ident; \
working-tree-encoding= ident; -working-tree-encoding ident; filter=lfs diff=lfs -text";

#[rustfmt::skip]
const CONTENTS: [&[u8]; 40] = [
    b"", b"\n", b"\r", b"\r\n", b"a\nb\n", b"a\r\nb\r\n", b"a\nb\r\n", b"a\rb\n", b"a\r\r\nb\n",
    b"no end", b"no\nend", b"nul\0\nb\n", b"\0", b"\x01\x02\x03\n", b"dos\n\x1a", b"\x7f\n",
    b"$Id$", b"$Id$\n", b"$Id: old $\n", b"$Id:old$\n", b"$Id: by somebody else $\n",
    b"$Id:\n$Id$\n", b"$Id: not\nended $Id$", b"$$Id$\n", b"$Idx$Id$\n", b"$Idx$Id: y$\n",
    b"$Id\0$Id$\n", b"$Id", b"$I", b"$", b"$Id:", b"$Id: unended", b"$Id:$", b"$Id: $", b"$Id:  $",
    b"$Id: a\tb $\n$Id: a\t$\n", b"$Id$Id$Id$\r\n$id$\n",
    "\u{e4} \u{20ac} \u{1f600}\n$Id$\n".as_bytes(), b"\xff\xfe broken utf-8 \n",
    "\u{feff}marked\n".as_bytes(),
];

fn attributes() -> impl Iterator<Item = &'static str> {
    ATTRIBUTES.split("; ")
}

#[test]
fn every_attribute_converts_every_content_as_git_does() {
    for kind in [Kind::Sha1, Kind::Sha256] {
        let mut files = Files::new();
        let mut lines = Vec::new();
        for (row, states) in attributes().enumerate() {
            lines.push(format!("/{row}/* {states}\n"));
            for (column, content) in CONTENTS.iter().enumerate() {
                files.insert(format!("{row}/{column}").into(), content.to_vec());
            }
        }
        files.insert(b".gitattributes".into(), lines.concat().into());
        assert!(agree(&files, kind) > 300, "hardly any file is converted");
    }
}

/// Files that differ by one byte, of which one is text and the other binary.
#[test]
fn binary_files_are_recognized_as_by_git() {
    let mut files = Files::new();
    files.insert(b".gitattributes".into(), b"* text=auto eol=crlf".into());
    for (number, (printable, odd)) in [(126, 1), (127, 1), (128, 1), (255, 2), (256, 2)]
        .into_iter()
        .enumerate()
    {
        let text = ["x".repeat(printable), "\x02".repeat(odd), "\n".into()].concat();
        files.insert(format!("{number}").into(), text.clone().into());
        files.insert(format!("{number}-dos").into(), (text + "\x1a").into());
    }
    assert!(agree(&files, Kind::Sha1) > 3);
}

/// These are longer than git's buffers.
#[test]
fn long_files_are_converted_as_by_git() {
    let mut files = Files::new();
    let attributes = "*.crlf eol=crlf\n*.ident ident\n*.both ident eol=crlf\n";
    files.insert(b".gitattributes".into(), attributes.into());
    let text = "line\n$Id$ and $Id: a $\r\n$Idx$Id: b\n".repeat(5000);
    for skip in [0, 1, 7] {
        for name in ["crlf", "ident", "both"] {
            files.insert(format!("{skip}.{name}").into(), text[skip..].into());
        }
    }
    assert_eq!(agree(&files, Kind::Sha1), 9);
}

#[test]
fn an_encoding_without_a_name_or_that_is_unknown_is_unsupported() {
    let request = |encoding| Request {
        text: Setting::Unspecified,
        crlf: Setting::Unspecified,
        eol: Setting::Unspecified,
        ident: Setting::Unspecified,
        encoding,
    };
    let apply = |encoding, blob: &[u8]| {
        let conversion = Conversion::new(b"dir/file".as_bstr(), &request(encoding)).unwrap();
        let result = conversion.apply(&ObjectId::null(Kind::Sha1), blob);
        result.map_err(|error| error.to_string())
    };
    insta::assert_snapshot!(apply(Setting::Set, b"").unwrap_err(),
        @"dir/file: a working-tree-encoding without a name is not supported");
    insta::assert_snapshot!(apply(Setting::Value(b"CP437"), b"a").unwrap_err(),
        @"dir/file: the working-tree-encoding CP437 is not supported");
    insta::assert_snapshot!(apply(Setting::Value(b"SJIS"), "a\u{2460}".as_bytes()).unwrap_err(),
        @r"dir/file: the working-tree-encoding SJIS of \u{2460} is not supported");
    assert_eq!(apply(Setting::Value(b"CP437"), b""), Ok(None));

    let git = Vanilla::new(Kind::Sha1);
    git.write(".gitattributes", "* working-tree-encoding");
    git.write("file", "");
    let output = run(&mut git.command(["add", "file"]), b"");
    assert!(
        !output.status.success(),
        "git accepts it: {}",
        output.stderr.as_bstr()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn random_contents_are_converted_as_by_git(
        contents in prop::collection::vec(
            prop::collection::vec(prop::sample::select(PIECES.as_slice()), 0..24), 60..61),
        attributes in prop::collection::vec(prop::sample::select(attributes().collect::<Vec<_>>()), 6),
    ) {
        let mut files = Files::new();
        let lines = attributes.iter().enumerate().map(|(row, states)| format!("{row}-* {states}\n"));
        files.insert(b".gitattributes".into(), lines.collect::<String>().into());
        for (number, pieces) in contents.iter().enumerate() {
            files.insert(format!("{}-{number}", number % 6).into(), pieces.concat());
        }
        agree(&files, Kind::Sha1);
    }
}

const PIECES: [&[u8]; 16] = [
    b"$",
    b"I",
    b"d",
    b"Id",
    b"$Id$",
    b"$Id:",
    b":",
    b" ",
    b"\n",
    b"\r",
    b"\r\n",
    b"\0",
    b"x",
    b"\t",
    "\u{e4}".as_bytes(),
    b"text, text, text",
];
