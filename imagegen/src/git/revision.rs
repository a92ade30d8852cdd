//! Resolving a revision step by step, so that a walk over the history can be
//! stopped.

use gix::{
    ObjectId, Repository, bstr::ByteSlice, revision::walk::Sorting,
    traverse::commit::simple::CommitTimeOrder,
};

use super::store::message;
use crate::error::{Error, Kind, Result};

/// Commits that gix steps over at once.
const STEP: u64 = 1024;

/// A part of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage<'a> {
    /// What gix resolves without a long walk.
    Plain(&'a str),
    /// `~N`.
    Back(u64),
    /// `^{/TEXT}`.
    Search(&'a str),
}

/// The stages of a revision; one that is malformed is one stage.
pub(super) fn stages(rev: &str) -> Vec<Stage<'_>> {
    let whole = || vec![Stage::Plain(rev)];
    let (mut stages, mut plain, mut rest) = (Vec::new(), 0, rev);
    while let Some(next) = rest.find(['~', '^', '{']) {
        let (_, at) = rest.split_at(next);
        let (stage, after) = match long_walk(at) {
            Some(found) => found,
            None if at.starts_with('{') => match braced(at) {
                Some((_, after)) => (Stage::Plain(""), after),
                None => return whole(),
            },
            None => (Stage::Plain(""), at.split_at(1).1),
        };
        if stage != Stage::Plain("") {
            let (before, _) = rev.split_at(rev.len().saturating_sub(at.len()));
            let (_, before) = before.split_at(plain);
            if !before.is_empty() {
                stages.push(Stage::Plain(before));
            }
            stages.push(stage);
            plain = rev.len().saturating_sub(after.len());
        }
        rest = after;
    }
    let (_, last) = rev.split_at(plain);
    if !last.is_empty() {
        stages.push(Stage::Plain(last));
    }
    match stages.first() {
        Some(Stage::Plain(_)) => stages,
        _ => whole(),
    }
}

/// The walk that `text` begins with, and what follows.
fn long_walk(text: &str) -> Option<(Stage<'_>, &str)> {
    if let Some(braces) = text.strip_prefix('^') {
        let (search, after) = braced(braces)?;
        return Some((Stage::Search(search.strip_prefix('/')?), after));
    }
    let digits = text.strip_prefix('~')?;
    let end = digits.find(|c: char| !c.is_ascii_digit());
    let (digits, after) = digits.split_at(end.unwrap_or(digits.len()));
    let steps = digits.parse().ok().filter(|steps| *steps > STEP)?;
    Some((Stage::Back(steps), after))
}

/// What is between the braces that `text` begins with, and what follows them.
fn braced(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0u32;
    for (at, brace) in text.match_indices(['{', '}']) {
        depth = match brace {
            "{" => depth.checked_add(1)?,
            _ => depth.checked_sub(1)?,
        };
        if depth == 0 {
            let (inside, after) = text.split_at(at);
            return Some((inside.strip_prefix('{')?, after.strip_prefix('}')?));
        }
    }
    None
}

/// The steps of one `~N`, as many as gix takes at once.
pub(super) fn steps(mut commits: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let step = commits.min(STEP);
        commits = commits.checked_sub(step)?;
        (step > 0).then_some(step)
    })
}

/// The youngest commit among `from` and its ancestors whose message contains
/// `text`, or does not, if that is behind `!-`.
///
/// # Errors
///
/// [`Kind::NotFound`] if there is none, [`Kind::Invalid`] for another `!`, what
/// `go_on` says; else as reading a commit fails.
pub(super) fn search(
    repository: &Repository,
    from: ObjectId,
    text: &str,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<ObjectId> {
    let (text, negated) = match text.strip_prefix('!') {
        None => (text, false),
        Some(behind) if behind.starts_with('!') => (behind, false),
        Some(behind) => match behind.strip_prefix('-') {
            Some(text) => (text, true),
            None => return Err(Error::new(Kind::Invalid, "`!` is followed by `!` or `-`")),
        },
    };
    let unread = |error: gix::Error| Error::with_source(Kind::Corrupt, message(&error), error);
    let newest_first = Sorting::ByCommitTime(CommitTimeOrder::NewestFirst);
    let walk = repository.rev_walk([from]).sorting(newest_first).all();
    for commit in walk.map_err(unread)? {
        go_on()?;
        let commit = commit.and_then(|commit| commit.object()).map_err(unread)?;
        if commit.message_raw_sloppy().contains_str(text) != negated {
            return Ok(commit.id);
        }
    }
    let reason = format!("no message of {from} and its ancestors is like that");
    Err(Error::new(Kind::NotFound, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_walks_are_stages_of_their_own() {
        use Stage::{Back, Plain, Search};
        for (rev, expected) in [
            ("main", vec![Plain("main")]),
            ("main~3^2~", vec![Plain("main~3^2~")]),
            ("v1^{commit}~1024", vec![Plain("v1^{commit}~1024")]),
            ("a~1025", vec![Plain("a"), Back(1025)]),
            (
                "a^2~2000^~3000~1",
                vec![
                    Plain("a^2"),
                    Back(2000),
                    Plain("^"),
                    Back(3000),
                    Plain("~1"),
                ],
            ),
            (
                "a^{/x ~5000 {y}}^",
                vec![Plain("a"), Search("x ~5000 {y}"), Plain("^")],
            ),
            ("@{~5000}", vec![Plain("@{~5000}")]),
            ("a^{/x", vec![Plain("a^{/x")]),
            ("~5000", vec![Plain("~5000")]),
            ("", vec![]),
        ] {
            let expected = if expected.is_empty() {
                vec![Plain("")]
            } else {
                expected
            };
            assert_eq!(stages(rev), expected, "{rev}");
        }
        assert_eq!(steps(2500).collect::<Vec<_>>(), [1024, 1024, 452]);
    }
}
