//! Rust source as far as the rules of the house look at it: without comments,
//! strings and what is compiled for tests only.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// One file of a crate's `src`.
pub(crate) struct Source {
    /// Its path below the root of the workspace.
    pub(crate) path: String,
    /// Its text, comments and strings blanked, items of `cfg(test)` too; lines
    /// keep their numbers.
    pub(crate) code: String,
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// The files of `src` that are compiled into the crate itself, below `root`.
pub(crate) fn sources(root: &Path, src: &str) -> Vec<Source> {
    let mut files = Vec::new();
    let mut folders = vec![root.join(src)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let mut sources = Vec::new();
    let mut tests = BTreeSet::new();
    for file in files {
        let blanked = blank(&fs::read_to_string(&file).unwrap());
        let (code, modules) = without_tests(&blanked);
        tests.extend(
            modules
                .iter()
                .map(|name| folder_of_children(&file).join(name)),
        );
        let path = file
            .strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        sources.push(Source { path, code });
    }
    sources.retain(|source| {
        let path = root.join(&source.path).with_extension("");
        !tests.iter().any(|module| path.starts_with(module))
    });
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// Where the files of `mod name;` in `file` lie.
fn folder_of_children(file: &Path) -> PathBuf {
    let is_folder = matches!(
        file.file_name().and_then(|name| name.to_str()),
        Some("mod.rs" | "lib.rs" | "main.rs")
    );
    if is_folder {
        file.parent().unwrap().to_owned()
    } else {
        file.with_extension("")
    }
}

/// Comments and the insides of strings become blanks.
pub(crate) fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (keep, length) = match first {
            '/' if rest.starts_with("//") => (0, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (0, rest.find("*/").map_or(rest.len(), |end| end + 2)),
            'r' if is_raw_string(rest) && !ends_in_word(&out) => (0, raw_string(rest)),
            '"' => (0, string(rest)),
            '\'' => (0, character(rest)),
            _ => (first.len_utf8(), first.len_utf8()),
        };
        out.push_str(&rest[..keep]);
        out.extend(
            rest[keep..length]
                .chars()
                .map(|c| if c == '\n' { c } else { ' ' }),
        );
        rest = &rest[length..];
    }
    out
}

fn ends_in_word(text: &str) -> bool {
    text.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn is_raw_string(rest: &str) -> bool {
    rest[1..].trim_start_matches('#').starts_with('"')
}

fn raw_string(rest: &str) -> usize {
    let hashes = rest[1..].find('"').unwrap();
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 2 + hashes;
    rest[start..]
        .find(&end)
        .map_or(rest.len(), |at| start + at + end.len())
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal, or the quote of a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(rest.len(), |at| 3 + at + 1),
        Some((at, c)) if rest[at + c.len_utf8()..].starts_with('\'') => at + c.len_utf8() + 1,
        _ => 1,
    }
}

/// Blanks every item under `#[cfg(test)]`; gives the names of modules among them.
fn without_tests(code: &str) -> (String, Vec<String>) {
    let mark = "#[cfg(test)]";
    let mut out = code.to_owned();
    let mut modules = Vec::new();
    let mut from = 0;
    while let Some(at) = out[from..].find(mark).map(|at| from + at) {
        let end = end_of_item(&out, at + mark.len());
        let item = out[at + mark.len()..end].to_owned();
        if let Some(name) = item
            .trim_end_matches(';')
            .rsplit("mod ")
            .next()
            .filter(|name| {
                item.contains("mod ") && name.chars().all(|c| c.is_alphanumeric() || c == '_')
            })
        {
            modules.push(name.to_owned());
        }
        let blanked: String = out[at..end]
            .chars()
            .map(|c| if c == '\n' { c } else { ' ' })
            .collect();
        out.replace_range(at..end, &blanked);
        from = at;
    }
    (out, modules)
}

fn end_of_item(code: &str, from: usize) -> usize {
    let (mut braces, mut others) = (0_usize, 0_usize);
    for (at, c) in code[from..].char_indices() {
        match c {
            '{' => braces += 1,
            '}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    return from + at + 1;
                }
            }
            '(' | '[' => others += 1,
            ')' | ']' => others = others.saturating_sub(1),
            ';' if braces == 0 && others == 0 => return from + at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_tests_are_blank() {
        let text = "use a; // use b;\nlet x = \"use c;\"; let y = r#\"use \"d\";\"#; let z = '\"';\nuse e;\n#[cfg(test)]\nmod tests { use f; }\n#[cfg(test)]\nmod more;\nuse g;";
        let (code, modules) = without_tests(&blank(text));
        for gone in ["b", "c", "d", "f"] {
            assert!(!code.contains(&format!("use {gone}")), "{gone}: {code}");
        }
        for left in ["use a;", "use e;", "use g;"] {
            assert!(code.contains(left), "{left}: {code}");
        }
        assert_eq!(modules, ["more"]);
        assert_eq!(code.lines().count(), text.lines().count());
    }
}
