//! Attributes and conversions.

use gix::bstr::{BStr, ByteSlice};
use imagegen::{
    Result,
    git::{Attributes, Blob, Conversion, ObjectId},
};

const BLOB: ObjectId = ObjectId::Sha1([0x5a; 20]);

/// Looks up the conversion of the path on the first line of `data`; the rest is
/// the `.gitattributes` of each of its directories.
pub fn attributes(data: &[u8]) {
    let (path, file) = data.split_once_str("\n").unwrap_or((data, data));
    let path = path.trim_with(|char| char == '/').as_bstr();
    let (first, second) = (look_up(path, file), look_up(path, file));
    assert_eq!(first, second);
    if let (fingerprint, Some(conversion)) = first {
        assert_ne!(fingerprint, 0, "inert attributes convert nothing");
        apply(&conversion, file).ok();
    }
}

/// The converted content; `None` if it does not change.
fn apply(conversion: &Conversion, content: &[u8]) -> Result<Option<Vec<u8>>> {
    let blob = Blob::InMemory(content.into());
    let measured = conversion.measure(&BLOB, &blob)?;
    let mut bytes = Vec::new();
    let conversion = conversion.clone().as_measured(&measured);
    conversion.convert(&BLOB, &blob, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    assert_eq!(usize::try_from(measured.size), Ok(bytes.len()));
    assert_eq!(measured.changed, bytes != content);
    Ok(measured.changed.then_some(bytes))
}

/// The fingerprint and the conversion of a path, if each of its directories has
/// these attributes.
fn look_up(path: &BStr, file: &[u8]) -> (u64, Option<Conversion>) {
    let mut attributes = Attributes::new();
    attributes.enter(b"".as_bstr(), Some(file));
    let slashes = path.find_iter("/").take(8).collect::<Vec<_>>();
    for &slash in &slashes {
        attributes.enter(path[..slash].as_bstr(), Some(file));
    }
    let result = (attributes.fingerprint(), attributes.conversion(path));
    assert_eq!(result.0 == 0, attributes.is_inert());
    for _ in 0..=slashes.len() + 1 {
        attributes.leave();
    }
    assert!(attributes.is_inert() && attributes.conversion(path).is_none());
    result
}

/// The attributes that the first byte selects from.
const CONVERSIONS: [&str; 15] = [
    "ident",
    "text eol=crlf",
    "text=auto eol=crlf",
    "ident text eol=crlf",
    "ident text=auto eol=crlf",
    "working-tree-encoding=UTF-16",
    "working-tree-encoding=UTF-16LE-BOM eol=crlf",
    "working-tree-encoding=UTF-32BE",
    "working-tree-encoding=latin-1 ident",
    "working-tree-encoding=SHIFT-JIS",
    "working-tree-encoding=windows-1252 text=auto eol=crlf",
    "working-tree-encoding=EUC-KR",
    "working-tree-encoding=ISO-2022-CN-EXT",
    "working-tree-encoding=UTF-7 text=auto eol=crlf ident",
    "working-tree-encoding=nonsense ident",
];

/// Converts `data` after its first byte, which selects the attributes.
pub fn filter(data: &[u8]) {
    let Some((&first, blob)) = data.split_first() else {
        return;
    };
    let words = CONVERSIONS[usize::from(first) % CONVERSIONS.len()];
    let mut attributes = Attributes::new();
    attributes.enter(b"".as_bstr(), Some(format!("* {words}\n").as_bytes()));
    let conversion = attributes
        .conversion(b"file".as_bstr())
        .expect("it converts");
    let Ok(changed) = apply(&conversion, blob) else {
        return;
    };
    assert_eq!(apply(&conversion, blob).expect("as before"), changed);
    let Some(changed) = changed else { return };
    // An ident adds at most an id to three bytes each, and an encoding makes
    // eight bytes of one, twice as many of a line ending.
    assert!(
        changed.len() <= 32 * blob.len() + 8,
        "{} of {}",
        changed.len(),
        blob.len()
    );
    if words.starts_with("text") {
        let lines = changed
            .lines_with_terminator()
            .filter(|line| line.ends_with(b"\n"));
        assert!(lines.into_iter().all(|line| line.ends_with(b"\r\n")));
        assert_eq!(apply(&conversion, &changed).expect("it is text"), None);
    }
}
