//! The attributes a commit gives to its files: which of them `git checkout`
//! converts.
//!
//! Only the `.gitattributes` of the commit itself count, as in a fresh clone
//! of somebody without any configuration. Most repositories have some, and
//! most of what they say changes no byte on Linux; so only what does is kept,
//! and a file is looked at closely only if a line that can turn a conversion
//! on matches it.

mod byte_set;
mod glob;
mod line;
mod pattern;
mod rules;

#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash, Hasher};

use gix::bstr::{BStr, BString, ByteSlice};

use super::filter::{Conversion, Request, Setting};

use line::State;
use rules::{Attribute, Names, Rule};

/// The `.gitattributes` in force while a tree is walked top-down.
#[derive(Debug)]
pub struct Attributes {
    names: Names,
    levels: Vec<Level>,
}

/// A directory that was entered.
#[derive(Debug, Default)]
struct Level {
    dir: BString,
    rules: Vec<Rule>,
    /// Of all the rules from here up.
    fingerprint: u64,
    /// Whether one of them may turn a conversion on.
    active: bool,
    /// Whether one of them cares where a file lies.
    anchored: bool,
}

impl Level {
    /// The rules here that match, the one that counts most first.
    fn matching<'a>(&'a self, file: File<'a>) -> impl Iterator<Item = &'a Rule> {
        let relative = file.below(&self.dir);
        let matches = move |rule: &&Rule| rule.pattern.matches(file.name, relative);
        self.rules.iter().rev().filter(matches)
    }

    /// Whether one of the rules here may turn a conversion on for this file.
    fn turns_on(&self, file: File<'_>) -> bool {
        let mut active = self.rules.iter().filter(|rule| rule.active).peekable();
        active.peek().is_some() && {
            let relative = file.below(&self.dir);
            active.any(|rule| rule.pattern.matches(file.name, relative))
        }
    }
}

/// A path, and its last part.
#[derive(Clone, Copy)]
struct File<'a> {
    path: &'a [u8],
    name: &'a [u8],
}

impl<'a> File<'a> {
    fn at(path: &'a [u8]) -> Self {
        let slash = path.rfind_byte(b'/');
        let name = slash.and_then(|slash| path.get(slash.saturating_add(1)..));
        Self {
            path,
            name: name.unwrap_or(path),
        }
    }

    /// Where it lies from `dir` on.
    fn below(&self, dir: &[u8]) -> &'a [u8] {
        let below = self
            .path
            .strip_prefix(dir)
            .and_then(|rest| rest.strip_prefix(b"/"));
        below.unwrap_or(self.path)
    }
}

impl Default for Attributes {
    fn default() -> Self {
        Self::new()
    }
}

impl Attributes {
    /// git ignores a `.gitattributes` of this many bytes or more.
    pub const MAX_FILE: u64 = 100 << 20;

    /// Nothing entered yet.
    pub fn new() -> Self {
        Self {
            names: Names::new(b""),
            levels: Vec::new(),
        }
    }

    /// Goes down into `dir`, its path from the root of the work tree; the root
    /// itself, which comes first, is the empty path. `gitattributes` is the
    /// blob of that name there, be it a file or a symbolic link.
    pub fn enter(&mut self, dir: &BStr, gitattributes: Option<&[u8]>) {
        let file = gitattributes.unwrap_or_default();
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
            fingerprint,
            active: parent.active || rules.iter().any(|rule| rule.active),
            anchored: parent.anchored || rules.iter().any(|rule| rule.pattern.is_anchored()),
            rules,
        });
    }

    /// Goes up again from the directory entered last.
    pub fn leave(&mut self) {
        self.levels.pop();
    }

    /// How many directories are entered.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Whether nothing in force can change a byte, here or, unless another
    /// `.gitattributes` is met, below.
    pub fn is_inert(&self) -> bool {
        self.levels.last().is_none_or(|level| !level.active)
    }

    /// A number for what is in force in the directory entered last: where it
    /// is equal, files of the same names are converted in the same way. 0 when
    /// [inert](Self::is_inert).
    ///
    /// It takes the place of the directory into account only if a rule does.
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

    /// What `git checkout` changes in the regular file at `path`, from the root
    /// of the work tree; it lies in the directory entered last.
    pub fn conversion(&self, path: &BStr) -> Option<Conversion> {
        let file = File::at(path);
        let worth_a_look = !self.is_inert() && self.levels.iter().any(|level| level.turns_on(file));
        worth_a_look
            .then(|| Conversion::new(path, &self.request(path)))
            .flatten()
    }

    /// The attributes of `path`, as git collects them: whatever says something
    /// of an attribute first, going from the deepest directory up and in each
    /// file from the last line up, has said it.
    fn request<'a>(&'a self, path: &'a BStr) -> Request<'a> {
        let mut said = vec![None; self.names.len()];
        for rule in self
            .levels
            .iter()
            .rev()
            .filter(|level| !level.rules.is_empty())
            .flat_map(|level| level.matching(File::at(path)))
        {
            self.fill(&mut said, rule);
        }
        let setting = |name: Attribute| match said.get(name).copied().flatten() {
            Some(State::Set) => Setting::Set,
            Some(State::Unset) => Setting::Unset,
            Some(State::Value(value)) => Setting::Value(value),
            Some(State::Unspecified) | None => Setting::Unspecified,
        };
        Request {
            text: setting(rules::TEXT),
            crlf: setting(rules::CRLF),
            eol: setting(rules::EOL),
            ident: setting(rules::IDENT),
            encoding: setting(rules::ENCODING),
        }
    }

    /// Within a line, too, the last word counts; a macro is spelled out where
    /// it stands (`fill_one`).
    fn fill<'a>(&'a self, said: &mut [Option<&'a State>], rule: &'a Rule) {
        let (mut states, mut todo) = (rule.states.iter().rev(), Vec::new());
        loop {
            let Some((name, state)) = states.next() else {
                let Some(rest) = todo.pop() else { return };
                states = rest;
                continue;
            };
            let Some(slot @ None) = said.get_mut(*name) else {
                continue;
            };
            *slot = Some(state);
            if let (State::Set, Some(expansion)) = (state, self.names.expansion(*name)) {
                todo.push(std::mem::replace(&mut states, expansion.iter().rev()));
            }
        }
    }
}

/// The same on every machine, since [`DefaultHasher::new`] has fixed keys.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
