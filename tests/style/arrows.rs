//! Which file of a crate uses which, and what of that must not be.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    source::Source,
    uses::{Use, uses},
};

/// One file uses something that another one defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrow {
    pub(crate) from: String,
    pub(crate) to: String,
    /// The modules of the two files, `a::b` below the crate.
    pub(crate) from_module: String,
    pub(crate) to_module: String,
    /// The line of the `use`, and the path in it.
    pub(crate) line: usize,
    pub(crate) path: String,
}

impl std::fmt::Display for Arrow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            from,
            to,
            line,
            path,
            ..
        } = self;
        write!(f, "{from}:{line} uses {path} of {to}")
    }
}

struct Module {
    file: String,
    uses: Vec<Use>,
}

/// The files of one crate as the compiler sees them: modules by their path.
pub(crate) struct Modules {
    /// How other crates call it, `-` as `_`.
    name: String,
    modules: BTreeMap<Vec<String>, Module>,
}

const BINARY: &str = "(main)";

impl Modules {
    pub(crate) fn new(name: &str, src: &str, sources: &[Source]) -> Self {
        let module = |source: &Source| {
            let inside = source
                .path
                .strip_prefix(src)
                .unwrap()
                .trim_start_matches('/');
            let mut path: Vec<_> = inside
                .trim_end_matches(".rs")
                .split('/')
                .map(str::to_owned)
                .collect();
            match path.last().map(String::as_str) {
                Some("mod") => drop(path.pop()),
                Some("lib") if path.len() == 1 => path.clear(),
                Some("main") if path.len() == 1 => path = vec![BINARY.to_owned()],
                _ => {}
            }
            let file = source.path.clone();
            (
                path,
                Module {
                    file,
                    uses: uses(&source.code),
                },
            )
        };
        Self {
            name: name.to_owned(),
            modules: sources.iter().map(module).collect(),
        }
    }

    /// Every arrow between two files of the crate.
    pub(crate) fn arrows(&self) -> BTreeSet<Arrow> {
        let mut arrows = BTreeSet::new();
        for (path, module) in &self.modules {
            for used in &module.uses {
                let Some(to) = self.definer(path, &used.path, 0) else {
                    continue;
                };
                let file = &self.modules[&to].file;
                if *file != module.file {
                    arrows.insert(Arrow {
                        from: module.file.clone(),
                        to: file.clone(),
                        from_module: path.join("::"),
                        to_module: to.join("::"),
                        line: used.line,
                        path: used.path.join("::"),
                    });
                }
            }
        }
        arrows
    }

    /// The module that defines what `path` means in `module`: names that are
    /// only passed on by a `use` are followed to where they come from.
    fn definer(&self, module: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
        assert!(depth < 32, "{path:?} in {module:?} comes from itself");
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Vec::new(),
            "self" => module.to_vec(),
            "super" => module[..module.len() - 1].to_vec(),
            name if name == self.name => Vec::new(),
            name => {
                let child = child_of(module, name);
                if !self.modules.contains_key(&child) {
                    return None;
                }
                child
            }
        };
        while let Some((next, after)) = rest.split_first() {
            if next == "super" {
                at.pop();
            } else if self.modules.contains_key(&child_of(&at, next)) {
                at.push(next.clone());
            } else {
                let passed_on = self.modules[&at]
                    .uses
                    .iter()
                    .find(|used| used.name == *next);
                return match passed_on.and_then(|used| self.definer(&at, &used.path, depth + 1)) {
                    Some(origin) => self.below(&origin, after, depth),
                    None => Some(at),
                };
            }
            rest = after;
        }
        Some(at)
    }

    fn below(&self, module: &[String], rest: &[String], depth: usize) -> Option<Vec<String>> {
        let mut path = vec!["self".to_owned()];
        path.extend_from_slice(rest);
        self.definer(module, &path, depth + 1)
    }
}

fn child_of(module: &[String], name: &str) -> Vec<String> {
    let mut child = module.to_vec();
    child.push(name.to_owned());
    child
}

/// The arrows by which files of a circle use each other, one list for each circle.
pub(crate) fn circles(arrows: &BTreeSet<Arrow>) -> Vec<Vec<&Arrow>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for arrow in arrows {
        next.entry(&arrow.from).or_default().insert(&arrow.to);
    }
    let reach: BTreeMap<&str, BTreeSet<&str>> = next
        .keys()
        .map(|file| (*file, reachable(file, &next)))
        .collect();
    let mutual = |a: &str, b: &str| {
        let reaches = |from: &str, to: &str| reach.get(from).is_some_and(|set| set.contains(to));
        reaches(a, b) && reaches(b, a)
    };
    let mut circles: Vec<Vec<&Arrow>> = Vec::new();
    for arrow in arrows.iter().filter(|arrow| mutual(&arrow.from, &arrow.to)) {
        let same = circles
            .iter_mut()
            .find(|circle| mutual(&circle[0].from, &arrow.from));
        match same {
            Some(circle) => circle.push(arrow),
            None => circles.push(vec![arrow]),
        }
    }
    circles
}

fn reachable<'a>(from: &'a str, next: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for to in next.get(file).into_iter().flatten() {
            if seen.insert(*to) {
                open.push(to);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrows_of(files: &[(&str, &str)]) -> BTreeSet<Arrow> {
        let source = |(path, code): &(&str, &str)| Source {
            path: format!("x/src/{path}"),
            code: (*code).to_owned(),
        };
        let sources: Vec<_> = files.iter().map(source).collect();
        Modules::new("x", "x/src", &sources).arrows()
    }

    #[test]
    fn a_name_that_is_passed_on_belongs_to_the_file_that_defines_it() {
        let arrows = arrows_of(&[
            ("lib.rs", "pub mod a; pub mod b; pub use a::Deep;"),
            ("a/mod.rs", "mod c; pub use self::c::Deep;"),
            ("a/c.rs", "pub struct Deep;"),
            ("b.rs", "use crate::Deep;"),
        ]);
        let texts: Vec<_> = arrows.iter().map(ToString::to_string).collect();
        assert!(
            texts.contains(&"x/src/b.rs:1 uses crate::Deep of x/src/a/c.rs".to_owned()),
            "{texts:?}"
        );
        assert!(circles(&arrows).is_empty());
    }

    #[test]
    fn a_circle_is_found_with_the_arrows_that_make_it() {
        let arrows = arrows_of(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use std::fmt;\nuse super::b::{self, B};"),
            ("b.rs", "use crate::c::C;"),
            ("c.rs", "use crate::a;"),
        ]);
        let found = circles(&arrows);
        assert_eq!(found.len(), 1);
        let texts: Vec<_> = found[0].iter().map(ToString::to_string).collect();
        assert!(
            texts.contains(&"x/src/c.rs:1 uses crate::a of x/src/a.rs".to_owned()),
            "{texts:?}"
        );
        assert!(
            texts.contains(&"x/src/a.rs:2 uses super::b::B of x/src/b.rs".to_owned()),
            "{texts:?}"
        );
    }

    #[test]
    fn a_child_that_uses_what_its_module_defines_is_a_circle() {
        let arrows = arrows_of(&[
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod c; use self::c::C; struct A;"),
            ("a/c.rs", "use super::A;"),
        ]);
        assert_eq!(circles(&arrows).len(), 1);
    }
}
