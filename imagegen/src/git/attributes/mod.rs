//! The attributes of a commit's files, as far as `git checkout` converts files
//! because of them.
//!
//! Only the `.gitattributes` of the commit count, as in a fresh clone without
//! any configuration. Most lines convert no file on Linux.
//! So only lines about attributes that convert are retained, and the attributes
//! of a file are collected only if a line that can enable a conversion matches
//! it.

mod byte_set;
mod fingerprint;
mod glob;
mod line;
mod pattern;
mod rules;

#[cfg(test)]
mod tests;

use std::mem;

use gix::bstr::{BStr, BString, ByteSlice};

use super::filter::{Conversion, Request, Setting};
use crate::numbers::to_u64;

use fingerprint::hash;
use line::State;
use rules::{Attribute, Names, Rule};

/// The `.gitattributes` in force during a top-down walk of a tree.
#[derive(Debug)]
pub struct Attributes {
    names: Names,
    levels: Vec<Level>,
}

/// A directory that was entered.
#[derive(Debug, Default)]
struct Level {
    dir: BString,
    /// The length of its file.
    bytes: u64,
    rules: Vec<Rule>,
    /// A hash of the rules of this directory and its parents.
    fingerprint: u64,
    /// Whether one of these rules can enable a conversion.
    active: bool,
    /// Whether one of these rules depends on the directory of a file.
    anchored: bool,
}

impl Level {
    /// The rules of this directory that match, in the order of precedence.
    fn matching<'a>(&'a self, file: File<'a>) -> impl Iterator<Item = &'a Rule> {
        let relative = file.below(&self.dir);
        let matches = move |rule: &&Rule| rule.pattern.matches(file.name, relative);
        self.rules.iter().rev().filter(matches)
    }

    /// Whether one of the rules of this directory can enable a conversion of
    /// this file.
    fn turns_on(&self, file: File<'_>) -> bool {
        let mut active = self.rules.iter().filter(|rule| rule.active).peekable();
        active.peek().is_some() && {
            let relative = file.below(&self.dir);
            active.any(|rule| rule.pattern.matches(file.name, relative))
        }
    }
}

/// A path and its last component.
#[derive(Clone, Copy)]
struct File<'a> {
    path: &'a [u8],
    name: &'a [u8],
}

impl<'a> File<'a> {
    fn at(path: &'a [u8]) -> Self {
        let name = path.rsplit_once_str(b"/").map_or(path, |(_, name)| name);
        Self { path, name }
    }

    /// The path relative to `dir`, which contains the file.
    fn below(&self, dir: &[u8]) -> &'a [u8] {
        if dir.is_empty() {
            return self.path;
        }
        self.path
            .strip_prefix(dir)
            .and_then(|rest| rest.strip_prefix(b"/"))
            .expect("the file lies in all directories that are entered")
    }
}

impl Default for Attributes {
    fn default() -> Self {
        Self::new()
    }
}

impl Attributes {
    /// The size of a `.gitattributes` in bytes from which on git ignores it
    /// (`ATTR_MAX_FILE_SIZE`).
    pub const MAX_FILE: u64 = 100 << 20;

    /// Attributes before the root of a tree is entered.
    pub fn new() -> Self {
        Self {
            names: Names::new(b""),
            levels: Vec::new(),
        }
    }

    /// Enters the directory `dir`, a path relative to the root of the work tree;
    /// the root comes first, with an empty path. `gitattributes` is the content
    /// of the directory's `.gitattributes`, be it a file or a symlink; `None` is
    /// the same as an empty one.
    pub fn enter(&mut self, dir: &BStr, gitattributes: Option<&[u8]>) {
        let file = gitattributes.unwrap_or(b"");
        if self.levels.is_empty() {
            self.names = Names::new(file);
        }
        let rules = self.names.rules(file);
        let none = Level {
            fingerprint: self.names.fingerprint(),
            ..Level::default()
        };
        let parent = self.levels.last().unwrap_or(&none);
        let fingerprint = match rules.as_slice() {
            [] => parent.fingerprint,
            rules => hash(&(parent.fingerprint, dir, rules)),
        };
        self.levels.push(Level {
            dir: dir.to_owned(),
            bytes: to_u64(file.len()),
            fingerprint,
            active: parent.active || rules.iter().any(|rule| rule.active),
            anchored: parent.anchored || rules.iter().any(|rule| rule.pattern.is_anchored()),
            rules,
        });
    }

    /// The bytes of all `.gitattributes` that are in force.
    pub fn bytes(&self) -> u64 {
        self.levels.iter().map(|level| level.bytes).sum()
    }

    /// Leaves the directory entered last, if any.
    pub fn leave(&mut self) {
        self.levels.pop();
    }

    /// Whether no attribute in force can convert a file. Below, that changes
    /// only with another `.gitattributes`.
    pub fn is_inert(&self) -> bool {
        self.levels.last().is_none_or(|level| !level.active)
    }

    /// A hash of the attributes in force in the directory entered last. In two
    /// directories with the same fingerprint, files of the same name are
    /// converted alike. 0 if the attributes are [inert](Self::is_inert).
    ///
    /// The path of the directory matters only if a rule depends on it.
    pub fn fingerprint(&self) -> u64 {
        match self.levels.last() {
            Some(Level {
                active: true,
                anchored: true,
                fingerprint,
                dir,
                ..
            }) => hash(&(fingerprint, dir)).max(1),
            Some(Level {
                active: true,
                fingerprint,
                ..
            }) => (*fingerprint).max(1),
            _ => 0,
        }
    }

    /// The conversion by `git checkout` of the regular file at `path`, a path
    /// relative to the root of the work tree; `None` if the file is not
    /// converted.
    ///
    /// # Panics
    ///
    /// If the file does not lie in the directory entered last.
    pub fn conversion(&self, path: &BStr) -> Option<Conversion> {
        let file = File::at(path);
        let enabled = !self.is_inert() && self.levels.iter().any(|level| level.turns_on(file));
        enabled
            .then(|| Conversion::new(&self.request(path)))
            .flatten()
    }

    /// Whether git converts the file at `path`, like that of
    /// [`conversion`](Self::conversion), when it is added. Git asks this of a
    /// `.gitignore`.
    pub fn converts_to_git(&self, path: &BStr) -> bool {
        let has_rules = self.levels.iter().any(|level| !level.rules.is_empty());
        has_rules && self.request(path).converts_to_git()
    }

    /// The attributes of `path`, collected as by git: from the deepest directory
    /// up and in each file from the last line up, the first mention of an
    /// attribute decides.
    fn request<'a>(&'a self, path: &'a BStr) -> Request<'a> {
        let mut states = vec![None; self.names.len()];
        for rule in self
            .levels
            .iter()
            .rev()
            .filter(|level| !level.rules.is_empty())
            .flat_map(|level| level.matching(File::at(path)))
        {
            self.fill(&mut states, rule);
        }
        let setting = |name: Attribute| {
            let state = states.get(name).expect("every attribute has a state");
            match state {
                Some(State::Set) => Setting::Set,
                Some(State::Unset) => Setting::Unset,
                Some(State::Value(value)) => Setting::Value(value),
                Some(State::Unspecified) | None => Setting::Unspecified,
            }
        };
        Request {
            text: setting(rules::TEXT),
            crlf: setting(rules::CRLF),
            eol: setting(rules::EOL),
            ident: setting(rules::IDENT),
            encoding: setting(rules::ENCODING),
        }
    }

    /// Applies a line to the attributes without a state. Within a line, too, the
    /// last mention decides, and a macro is expanded in its place (git,
    /// `fill_one`).
    fn fill<'a>(&'a self, states: &mut [Option<&'a State>], rule: &'a Rule) {
        let (mut line, mut suspended) = (rule.states.iter().rev(), Vec::new());
        loop {
            let Some((name, state)) = line.next() else {
                let Some(rest) = suspended.pop() else { return };
                line = rest;
                continue;
            };
            let current = states.get_mut(*name).expect("every attribute has a state");
            if current.is_some() {
                continue;
            }
            *current = Some(state);
            if let (State::Set, Some(expansion)) = (state, self.names.expansion(*name)) {
                suspended.push(mem::replace(&mut line, expansion.iter().rev()));
            }
        }
    }
}
