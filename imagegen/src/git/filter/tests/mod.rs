//! Conversions give what `git checkout` writes.

pub(crate) mod checkout;
mod encodings;

use gix::{ObjectId, bstr::ByteSlice, hash::Kind};
use proptest::prelude::*;

use super::{Conversion, Request, Setting};
use crate::{git::vanilla::Vanilla, support::git::run};
use checkout::{Files, agree, apply};

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
fn an_encoding_without_a_name_is_refused_as_by_git() {
    let request = Request {
        text: Setting::Unspecified,
        crlf: Setting::Unspecified,
        eol: Setting::Unspecified,
        ident: Setting::Unspecified,
        encoding: Setting::Set,
    };
    let conversion = Conversion::new(&request).unwrap();
    let refused = [b"".as_slice(), b"text\n"]
        .map(|content| apply(&conversion, ObjectId::null(Kind::Sha1), content).unwrap_err());
    let [empty, text] = refused.map(|error| error.to_string());
    insta::assert_snapshot!(text, @"git refuses to check out a file whose working-tree-encoding has no value: write -working-tree-encoding or working-tree-encoding=NAME in .gitattributes");
    assert_eq!(empty, text);

    let git = Vanilla::new(Kind::Sha1);
    git.stage(&[(0o100_644, git.blob(b"text\n"), b"file".to_vec())]);
    git.git(["commit", "-q", "-m", "file"]);
    git.write(".gitattributes", "* working-tree-encoding");
    let output = run(
        &mut git.command(["checkout", "-f", "HEAD", "--", "file"]),
        b"",
    );
    let error = output.stderr.as_bstr();
    assert!(!output.status.success(), "git accepts it: {error}");
    assert!(!git.join("file").exists(), "git writes it: {error}");
}

/// A text that is cut in every place, of every kind, is converted as in one
/// piece.
#[test]
fn large_files_are_converted_as_by_git() {
    let mut files = Files::new();
    let attributes = "*.crlf eol=crlf\n*.auto text=auto eol=crlf ident\n*.ident ident eol=crlf\n\
        *.utf16 working-tree-encoding=UTF-16 ident text\n*.jis working-tree-encoding=ISO-2022-JP\n\
        *.cn working-tree-encoding=ISO-2022-CN-EXT ident\n*.ibm working-tree-encoding=IBM939\n\
        *.utf7 working-tree-encoding=UTF-7 eol=crlf\n\
        *.bom working-tree-encoding=UTF-16LE-BOM eol=crlf\n";
    files.insert(b".gitattributes".into(), attributes.into());
    let names = [
        "crlf", "auto", "ident", "utf16", "jis", "bom", "cn", "ibm", "utf7",
    ];
    let text = "\u{65e5}\u{672c}$Id$ \u{3042}x\n$Id: b$\n";
    for pad in 0..4 {
        let text = ["x".repeat(pad), text.repeat(4000)].concat();
        for name in names {
            files.insert(format!("{pad}.{name}").into(), text.clone().into());
        }
        let cut = [
            "y".repeat((32 << 10) - 1 - pad),
            "\n\r\n\r\r\n$Id$\n".into(),
        ]
        .concat();
        files.insert(format!("{pad}-cut.crlf").into(), cut.clone().into());
        files.insert(format!("{pad}-cut.ident").into(), cut.into());
    }
    assert_eq!(agree(&files, Kind::Sha1), 4 * 11);
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
