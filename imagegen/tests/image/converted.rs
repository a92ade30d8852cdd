//! Files that checkout converts.

use std::fs;

use imagegen::{Kind, image::Options};

use crate::harness::{TestRepo, bare, file};

#[test]
fn what_git_leaves_unencoded_is_shown_so_and_said() {
    let attributes = "*.txt working-tree-encoding=nonsense eol=crlf\n\
        latin working-tree-encoding=latin1\nfine working-tree-encoding=IBM-1047\n";
    let files = [
        file(".gitattributes", attributes),
        file("fine", "abc\n"),
        file("sub/a.txt", "a\n"),
        file("sub/latin", "\u{416}\n"),
    ]
    .concat();
    let (repo, head) = TestRepo::holding(&files);
    let image = repo.open(head, &bare()).unwrap();
    let [one, two] = image.notices() else {
        panic!("{:?}", image.notices())
    };
    assert_eq!(
        one,
        "sub/a.txt: checked out unencoded, as by git: iconv fails to encode it from UTF-8 to nonsense"
    );
    assert!(two.starts_with("sub/latin: "), "{two}");
    let copy = repo.dump_all(&image, "ours");
    repo.git(&["checkout", "-q", "main"]);
    for path in ["fine", "sub/a.txt", "sub/latin"] {
        let read = |folder: &std::path::Path| fs::read(folder.join(path)).unwrap();
        assert_eq!(read(&copy), read(&repo.path()), "{path}");
    }
}

#[test]
fn notices_are_bounded() {
    let mut files = file(".gitattributes", "* working-tree-encoding=nonsense\n");
    files.extend((0..100).flat_map(|number| file(format!("file{number}"), "text\n")));
    let (repo, head) = TestRepo::holding(&files);
    let image = repo.open(head, &Options::default()).unwrap();
    assert_eq!(image.notices().len(), 17);
    // The attributes are encoded like the others.
    assert_eq!(image.notices()[16], "and 85 more of this kind");
}

#[test]
fn an_encoding_without_a_name_is_refused_with_the_path() {
    let files = [
        file("sub/.gitattributes", "text working-tree-encoding\n"),
        file("sub/text", "text\n"),
    ]
    .concat();
    let (repo, head) = TestRepo::holding(&files);
    let error = repo.open(head, &bare()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    let words = [
        "sub: text: ",
        "working-tree-encoding has no value",
        &head.to_string(),
    ];
    assert!(
        words.iter().all(|word| error.to_string().contains(word)),
        "{error}"
    );
}
