//! Attributes agree with `git check-attr`, and conversions with `git checkout`.

use gix::{
    bstr::{BStr, ByteSlice},
    glob::wildmatch,
    hash::Kind,
};
use proptest::prelude::*;

use super::{Attributes, glob::Glob};
use crate::git::{
    filter::{
        Conversion, Setting,
        tests::checkout::{Files, Walk, agree, files},
    },
    tests::is_git_older,
    vanilla::Vanilla,
};

const NAMES: [&str; 5] = ["text", "crlf", "eol", "ident", "working-tree-encoding"];

/// Asserts that git gives these paths the same attributes. Only the
/// `.gitattributes` need to exist.
fn agree_on(files: &Files, paths: &[Vec<u8>]) {
    let git = Vanilla::new(Kind::Sha1);
    let entry = |(path, blob): (&Vec<u8>, &Vec<u8>)| (0o100_644, git.blob(blob), path.clone());
    git.stage(&files.iter().map(entry).collect::<Vec<_>>());
    let mut sorted = paths.to_vec();
    sorted.sort();
    let args = ["check-attr", "--cached", "--stdin", "-z"];
    let input = [sorted.join(&0), vec![0]].concat();
    let output = git.feed(args.into_iter().chain(NAMES), &input);

    let mut walk = Walk::new(files);
    let mut fields = output.split(|&byte| byte == 0);
    for path in &sorted {
        let (attributes, path) = (walk.attributes(path), path.as_bstr());
        let request = attributes.request(path);
        let settings = [
            request.text,
            request.crlf,
            request.eol,
            request.ident,
            request.encoding,
        ];
        for (name, setting) in NAMES.iter().zip(settings) {
            let theirs: Vec<_> = fields.by_ref().take(3).map(ByteSlice::as_bstr).collect();
            assert_eq!(
                theirs,
                [path, name.as_bytes().as_bstr(), shown(setting)],
                "{files:?}"
            );
        }
        assert_eq!(
            attributes.conversion(path),
            Conversion::new(&request),
            "{files:?}"
        );
    }
}

/// As `git check-attr` prints it.
fn shown(setting: Setting<'_>) -> &BStr {
    match setting {
        Setting::Set => "set".into(),
        Setting::Unset => "unset".into(),
        Setting::Unspecified => "unspecified".into(),
        Setting::Value(value) => value.as_bstr(),
    }
}

fn paths(paths: &[&str]) -> Vec<Vec<u8>> {
    paths.iter().map(|path| path.as_bytes().to_vec()).collect()
}

#[test]
fn deeper_files_later_lines_and_later_words_take_precedence() {
    let files = files([
        (
            ".gitattributes",
            b"* eol=crlf text=auto\n*.txt -text eol=lf eol=crlf\n".as_slice(),
        ),
        (
            "a/.gitattributes",
            b"*.txt !text\n/x.txt ident\nb/* crlf=input\n",
        ),
        ("a/b/.gitattributes", b"x.txt -ident !eol\n*.TXT text\n"),
        ("c/d/.gitattributes", b"/e text\ne/f -text\n../x text\n"),
    ]);
    let asked = [
        "x.txt",
        "x",
        "a/x.txt",
        "a/x",
        "a/b/x.txt",
        "a/b/X.TXT",
        "a/b/c/x.txt",
        "c/x",
        "c/d/e",
        "c/d/e/f",
        "c/d/f/e",
        "c/x.txt",
        "a/bb/x.txt",
        "ab/x.txt",
    ];
    agree_on(&files, &paths(&asked));
}

/// Patterns, separated by white space.
const PATTERNS: &str = r#"
    * a /a a/ a/b /a/b a/* a/** **/b a/**/b a**/b x/a**/b ** */b *b *.c a*c [ab] [!a]b ? a?b \* \a
    a\b !a \!a #a \#a "q\tx" "q\303\244" "nul\000a" "open "a"b [[:alpha:]]b [a- []-] / // a//b
    **/a/ /** a/b/**/c/* */ a**b/c /a**/**/b [^a]* **a/b \** a/**\/b **\/b x/**/[ab]/** **/*/**/b
    [a\]b] [a\-c] [--/] [[:x:]] [[:alpha] [[:]ab] [[a-c]] [a-\c]b [!]] [^]a]b a[/]b a[!b]b ***/b a/***
"#;

const PATHS: &str = r#"
    a b ab ac abc b.c a/b a/c a/x/b a/x/y/b ax/b axb a?b * !a #a qä nul nula "open "a"b ab/c x/ab/b
    x/a/b x/ay/z/b a/b/x/c/d a/b/c/d [a- ] - a\b x/a aXb/c aX/b/c
"#;

#[test]
fn patterns_match_as_in_git() {
    let mut asked: Vec<Vec<u8>> = PATHS.split_whitespace().map(Into::into).collect();
    asked.push(b"q\tx".into());
    for pattern in PATTERNS.split_whitespace() {
        let line = format!("{pattern} eol=crlf\n");
        agree_on(&files([(".gitattributes", line.as_bytes())]), &asked);
    }
}

#[test]
fn macros_are_expanded_in_place() {
    let files = files([
        (
            ".gitattributes",
            b"*.1 dos -text\n*.2 -text dos\n*.3 dos\n[attr]dos text eol=crlf\n*.4 nested\n\
              [attr]nested dos ident\n[attr]loop loop2 ident\n[attr]loop2 loop eol=crlf\n*.5 loop\n\
              *.6 -dos\n*.7 binary eol=crlf\n[attr]text ident\n*.8 text\n*.9 dos=x\n*.10 !dos dos\n\
              [attr]twice eol=lf\n[attr]twice eol=crlf\n*.11 twice\n[attr]bad/name ident\n*.12 bad/name\n\
              [attr]\n[attr] spaced ident\n\"[attr] quoted\" ident\n*.13 quoted spaced\n*.14 -binary\n"
                .as_slice(),
        ),
        ("a/.gitattributes", b"[attr]dos -text\n[attr]own ident\n*.1 own dos\n*.3 -dos\n"),
    ]);
    let name = |number| [format!("x.{number}").into(), format!("a/x.{number}").into()];
    let asked: Vec<Vec<u8>> = (1..=14).flat_map(name).collect();
    agree_on(&files, &asked);
}

#[test]
fn the_builtin_macro_can_be_redefined() {
    let root = b"[attr]binary eol=crlf\n* binary\n".as_slice();
    agree_on(&files([(".gitattributes", root)]), &paths(&["x"]));
    assert!(
        Walk::new(&files([(".gitattributes", root)]))
            .attributes(b"x")
            .conversion("x".into())
            .is_some()
    );
}

#[test]
fn odd_lines_are_read_or_ignored_as_in_git() {
    let long = |length: usize| {
        let line = format!("long{length} eol=crlf ");
        [line.clone(), "x".repeat(length - line.len()), "\n".into()].concat()
    };
    let lines: [&[u8]; 15] = [
        b"\xef\xbb\xbfa eol=crlf\n",
        b" \t a eol=crlf\n",
        b"a eol=crlf\r\n",
        b"a\teol=crlf",
        b"a eol=crlf bad*name\n",
        b"a eol=crlf -\n",
        b"a eol=crlf --x\n",
        b"a -eol=crlf\n",
        b"a eol=crlf\0\nb eol=crlf\n",
        b"\0a eol=crlf\n",
        b"#a eol=crlf\n",
        b"\n\n\na eol=crlf",
        b"a eol=crlf =x\n",
        b"a eol=crlf eol= \n",
        b"a\x0beol=crlf\n",
    ];
    for line in lines {
        agree_on_line(line);
    }
    let all = [long(2046), long(2047), long(2048), long(2049)].concat();
    let asked = paths(&["long2046", "long2047", "long2048", "long2049"]);
    agree_on(&files([(".gitattributes", all.as_bytes())]), &asked);
}

#[test]
fn a_line_with_a_reserved_name_is_ignored_as_in_git() {
    if is_git_older((2, 44)) {
        return;
    }
    agree_on_line(b"a eol=crlf builtin_x\n");
}

fn agree_on_line(line: &[u8]) {
    agree_on(
        &files([(".gitattributes", line)]),
        &paths(&["a", "b", "\u{feff}a"]),
    );
}

#[test]
fn paths_of_any_bytes_are_matched() {
    let root = b"\"\\377\\376*\" eol=crlf\ncaf\xc3\xa9/* eol=crlf\n*\xff ident\n".as_slice();
    let names: [&[u8]; 4] = [b"\xff\xfex", b"caf\xc3\xa9/x", b"x\xff", b"caf\xe9/x"];
    agree_on(
        &files([(".gitattributes", root)]),
        &names.map(<[u8]>::to_vec),
    );
}

/// At checkout git parses the target of such a symlink.
#[test]
fn the_target_of_a_symlink_is_parsed() {
    let git = Vanilla::new(Kind::Sha1);
    let (target, text) = (git.blob(b"* eol=crlf"), git.blob(b"a\n"));
    let link = (0o120_000, target, b".gitattributes".to_vec());
    git.stage(&[link, (0o100_644, text, b"file".to_vec())]);
    git.git(["commit", "-q", "-m", "link"]);
    git.git(["checkout", "-q", "-f", "HEAD", "--", "."]);
    assert_eq!(std::fs::read(git.join("file")).unwrap(), b"a\r\n");
}

#[test]
fn attributes_that_convert_nothing_are_inert() {
    let inert: [&[u8]; 6] = [
        b"",
        b"* text=auto\n*.sh text eol=lf\n*.png binary\n",
        b"*.js diff\n*.bin filter=lfs -text\n",
        b"[attr]own -text -diff\n* own !eol -ident\n",
        b"dir/ eol=crlf\n",
        b"!a eol=crlf",
    ];
    for file in inert {
        let mut attributes = Attributes::new();
        attributes.enter("".into(), Some(file));
        assert!(attributes.is_inert(), "{}", file.as_bstr());
        assert_eq!(
            (attributes.fingerprint(), attributes.conversion("a".into())),
            (0, None)
        );
        attributes.enter("dir".into(), Some(b"*.bat eol=crlf\n"));
        assert!(!attributes.is_inert());
        attributes.leave();
        assert!(attributes.is_inert());
    }
}

#[test]
fn attributes_that_convert_differently_have_different_fingerprints() {
    let of = |dirs: &[(&str, &str)]| {
        let mut attributes = Attributes::new();
        for (dir, file) in dirs {
            attributes.enter((*dir).into(), Some(file.as_bytes()));
        }
        attributes.fingerprint()
    };
    let names = of(&[("", "*.bat eol=crlf"), ("a", "")]);
    assert_eq!(
        names,
        of(&[("", "*.bat eol=crlf"), ("b", ""), ("b/c", "* diff")])
    );
    assert_ne!(names, of(&[("", "*.cmd eol=crlf"), ("a", "")]));
    assert_ne!(names, of(&[("", "*.bat eol=crlf"), ("a", "*.bat -text")]));
    let anchored = of(&[("", "a/*.bat eol=crlf"), ("a", "")]);
    assert_ne!(anchored, of(&[("", "a/*.bat eol=crlf"), ("b", "")]));
    let of_macro = of(&[("", "* dos\n[attr]dos eol=crlf")]);
    assert_ne!(of_macro, of(&[("", "* dos\n[attr]dos ident")]));
}

#[test]
fn the_deepest_gitattributes_decides_at_checkout() {
    let tree = files([
        (".gitattributes", b"*.txt eol=crlf\n* ident\n".as_slice()),
        (
            "a/.gitattributes",
            b"*.txt -text\n.gitattributes text eol=crlf\n",
        ),
        ("a/b/.gitattributes", b"x.txt !text"),
        ("x.txt", b"$Id$\n"),
        ("a/x.txt", b"$Id$\n"),
        ("a/b/x.txt", b"$Id$\n"),
        ("a/b/y.txt", b"$Id$\n"),
    ]);
    assert_eq!(agree(&tree, Kind::Sha1), 5);
}

/// git takes days for these.
#[test]
fn many_wildcards_are_matched_in_linear_time() {
    let (deep, name) = ("ab/".repeat(300) + "y", "ab".repeat(120));
    for pattern in ["**/a*/**/", "**/", "**/*b", "*a*", "*/**/", "[ab]*/**/"] {
        let line = format!("/{}x eol=crlf\n", pattern.repeat(60));
        let mut attributes = Attributes::new();
        attributes.enter("".into(), Some(line.as_bytes()));
        for path in [deep.as_bytes(), name.as_bytes()] {
            assert_eq!(attributes.conversion(path.as_bstr()), None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// `gix-glob` is a port of git's `wildmatch.c`.
    #[test]
    fn random_globs_match_as_in_gix(
        pattern in r"([ab/*?\\\[\]!^-]|\*\*/|/\*\*|\[ab\]|\[!a\]|\[\[:alpha:\]b\]|\[a-b\]){1,10}",
        text in "[ab-]{1,3}(/[ab\\]]{1,3}){0,4}",
    ) {
        let ours = Glob::parse(pattern.as_bytes()).matches(text.as_bytes());
        let mode = wildmatch::Mode::NO_MATCH_SLASH_LITERAL;
        let theirs = wildmatch(pattern.as_bytes().as_bstr(), text.as_bytes().as_bstr(), mode);
        prop_assert_eq!(ours, theirs, "{} {}", pattern, text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn random_attributes_are_those_git_gives(
        root in lines(), below in lines(),
        asked in prop::collection::btree_set("[ab*]{1,2}(/[ab*]{1,2}){0,3}", 1..60),
    ) {
        let tree = files([
            (".gitattributes", root.as_bytes()),
            ("a/.gitattributes", below.as_bytes()),
        ]);
        let asked: Vec<_> = asked.into_iter().map(String::into_bytes).collect();
        agree_on(&tree, &asked);
    }
}

fn lines() -> impl Strategy<Value = String> {
    let word = "(text|-text|!text|text=auto|eol=crlf|eol=lf|!eol|ident|-ident|crlf|binary|m|-m|!m)";
    let start = r"(\[attr\](m|text)|[/ab*?\[\]\\^!-]{1,9})";
    let line = format!("{start} {word}( {word}){{0,2}}\n");
    prop::collection::vec(line.prop_regex(), 0..8).prop_map(|lines| lines.concat())
}

/// Strings of a regular expression made at run time.
trait PropRegex {
    fn prop_regex(&self) -> prop::string::RegexGeneratorStrategy<String>;
}

impl PropRegex for String {
    fn prop_regex(&self) -> prop::string::RegexGeneratorStrategy<String> {
        prop::string::string_regex(self).unwrap()
    }
}
