//! What is shown otherwise than the repository asks for, as by git.

/// Sentences for the log, each with a path: the first ones, and how many more
/// there are.
#[derive(Debug, Default)]
pub(super) struct Notices {
    first: Vec<String>,
    more: u64,
}

impl Notices {
    /// The most sentences; a repository may give cause to one for every file.
    const MOST: usize = 16;

    pub(super) fn add(&mut self, sentence: impl FnOnce() -> String) {
        if self.first.len() < Self::MOST {
            self.first.push(sentence());
        } else {
            self.more += 1;
        }
    }

    pub(super) fn into_sentences(mut self) -> Vec<String> {
        if self.more > 0 {
            self.first
                .push(format!("and {} more of this kind", self.more));
        }
        self.first
    }
}
