//! The `use` lines of a file.

/// One name that a `use` line brings in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// The path as written: `super`, `wire`, `Request`.
    pub(crate) path: Vec<String>,
    /// What it is called here; `*` for a glob, `_` for a trait without a name.
    pub(crate) name: String,
    pub(crate) line: usize,
}

/// All `use` lines of `code`, one entry for each name, groups spelt out.
pub(crate) fn uses(code: &str) -> Vec<Use> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].find("use ").map(|at| from + at) {
        from = at + "use ".len();
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let Some(length) = code[from..].find(';') else {
            break;
        };
        let line = code[..at].matches('\n').count() + 1;
        expand(&code[from..from + length], &[], &mut |path, name| {
            found.push(Use { path, name, line });
        });
        from += length;
    }
    found
}

/// Spells out one tree of a `use`: `a::{b, c as d}` is `a::b` and `a::c as d`.
fn expand(tree: &str, above: &[String], found: &mut impl FnMut(Vec<String>, String)) {
    let tree = tree.trim();
    if let Some((before, inside)) = tree.split_once('{') {
        let mut path = above.to_vec();
        path.extend(segments(before));
        let inside = inside.rsplit_once('}').map_or(inside, |(inside, _)| inside);
        for branch in split(inside) {
            expand(branch, &path, found);
        }
        return;
    }
    let (tree, renamed) = tree
        .split_once(" as ")
        .map_or((tree, None), |(t, n)| (t, Some(n)));
    let mut path = above.to_vec();
    path.extend(segments(tree));
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    if let Some(last) = path.last().cloned() {
        let name = renamed.map_or(last, |name| name.trim().to_owned());
        found(path, name);
    }
}

fn segments(text: &str) -> impl Iterator<Item = String> {
    text.split("::")
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
}

/// The branches of a group, at its commas.
fn split(inside: &str) -> Vec<&str> {
    let (mut branches, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branches.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    branches.push(&inside[start..]);
    branches.retain(|branch| !branch.trim().is_empty());
    branches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_spelt_out() {
        let found = uses("fn x() {}\npub use a::{self, b::{C as D, E}, f::*};\nuse super::g;");
        let texts: Vec<_> = found
            .iter()
            .map(|used| format!("{} {} {}", used.line, used.path.join("::"), used.name))
            .collect();
        assert_eq!(
            texts,
            [
                "2 a a",
                "2 a::b::C D",
                "2 a::b::E E",
                "2 a::f::* *",
                "3 super::g g"
            ]
        );
    }
}
