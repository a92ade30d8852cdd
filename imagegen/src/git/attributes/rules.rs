//! The lines of `.gitattributes` that affect the files that `git checkout`
//! writes.

use std::collections::HashMap;

use super::{
    fingerprint::hash,
    line::{self, Line, State, Subject},
    pattern::Pattern,
};

/// An attribute, by its number in [`Names`].
pub(super) type Attribute = usize;

pub(super) const TEXT: Attribute = 0;
pub(super) const CRLF: Attribute = 1;
pub(super) const EOL: Attribute = 2;
pub(super) const IDENT: Attribute = 3;
pub(super) const ENCODING: Attribute = 4;
const CONVERTING: [&[u8]; 5] = [b"text", b"crlf", b"eol", b"ident", b"working-tree-encoding"];

/// git's built-in macro.
const BUILTIN: &[u8] = b"[attr]binary -diff -merge -text";

pub(super) type States = Box<[(Attribute, State)]>;

/// The relevant attributes: those that convert, and macros.
#[derive(Clone, Debug)]
pub(super) struct Names {
    by_name: HashMap<Vec<u8>, Attribute>,
    macros: HashMap<Attribute, States>,
    /// Whether a macro can enable a conversion.
    active: bool,
    /// A hash of the macros.
    fingerprint: u64,
}

impl Names {
    /// The attributes of a tree whose root has the `.gitattributes` `file`. No
    /// other file can define macros.
    pub(super) fn new(file: &[u8]) -> Self {
        let lines = || line::parse(BUILTIN).chain(line::parse(file));
        let mut by_name: HashMap<Vec<u8>, Attribute> = HashMap::new();
        let defined = lines().filter_map(|line| match line.subject {
            Subject::Macro(name) => Some(name),
            Subject::Pattern(_) => None,
        });
        for name in CONVERTING.iter().map(|name| name.to_vec()).chain(defined) {
            let next = by_name.len();
            by_name.entry(name).or_insert(next);
        }
        let mut names = Self {
            by_name,
            macros: HashMap::new(),
            active: false,
            fingerprint: 0,
        };
        lines().for_each(|line| names.define(line));
        let mut states = names.macros.values().flatten();
        names.active = states.any(|(name, state)| turns_on(*name, state));
        names
    }

    /// The number of attributes.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// A hash of the macros.
    pub(super) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The expansion of an attribute, if it is a macro.
    pub(super) fn expansion(&self, name: Attribute) -> Option<&States> {
        self.macros.get(&name)
    }

    /// Defines a macro. The last definition takes effect.
    fn define(&mut self, Line { subject, states }: Line<'_>) {
        if let Subject::Macro(name) = subject
            && let Some(&name) = self.by_name.get(&name)
        {
            let states = self.known(states);
            self.fingerprint = hash(&(self.fingerprint, name, &states));
            self.macros.insert(name, states);
        }
    }

    fn known(&self, states: Vec<(&[u8], State)>) -> States {
        let known = |(name, state)| Some((*self.by_name.get(name)?, state));
        states.into_iter().filter_map(known).collect()
    }

    /// Whether a state can enable a conversion.
    fn may_turn_on(&self, (name, state): &(Attribute, State)) -> bool {
        let by_macro = self.active && *state == State::Set && self.macros.contains_key(name);
        by_macro || turns_on(*name, state)
    }

    /// The lines of a `.gitattributes` that mention these attributes.
    pub(super) fn rules(&self, file: &[u8]) -> Vec<Rule> {
        line::parse(file)
            .filter_map(|line| self.rule(line))
            .collect()
    }

    fn rule(&self, Line { subject, states }: Line<'_>) -> Option<Rule> {
        let Subject::Pattern(pattern) = subject else {
            return None;
        };
        let states = self.known(states);
        let pattern = (!states.is_empty())
            .then(|| Pattern::parse(&pattern))
            .flatten()?;
        let active = states.iter().any(|state| self.may_turn_on(state));
        Some(Rule {
            pattern,
            states,
            active,
        })
    }
}

/// Whether a state can enable a conversion. A conversion needs at least one of
/// these; all other states can only disable it.
fn turns_on(name: Attribute, state: &State) -> bool {
    match (name, state) {
        (EOL, State::Value(value)) => **value == *b"crlf",
        (ENCODING, State::Value(value)) => !value.is_empty(),
        (IDENT | ENCODING, State::Set) => true,
        _ => false,
    }
}

/// A line: a pattern and the attributes of the files that match.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rule {
    pub(super) pattern: Pattern,
    pub(super) states: States,
    /// Whether it can enable a conversion.
    pub(super) active: bool,
}
