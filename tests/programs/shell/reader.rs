//! Takes a shell script apart, as far as it takes to see where commands begin.

use std::{collections::BTreeSet, mem};

/// What a script holds: the words of every command, and the functions it makes.
#[derive(Default)]
pub(super) struct Reader<'a> {
    rest: &'a str,
    pub(super) commands: Vec<Vec<String>>,
    pub(super) functions: BTreeSet<String>,
    /// What ends each document that begins behind this line.
    documents: Vec<String>,
}

enum Token {
    Word(String),
    /// Whatever ends a command, but `;;`.
    End,
    EndOfCase,
    Open,
    Close,
    /// `()` behind a name.
    Function,
}

impl<'a> Reader<'a> {
    pub(super) fn read(script: &'a str) -> Self {
        let mut reader = Self {
            rest: script,
            ..Self::default()
        };
        reader.read_commands();
        reader
    }

    /// Up to the end, or to the parenthesis that closes what was opened before.
    fn read_commands(&mut self) {
        let (mut command, mut open) = (Vec::new(), 0);
        // For each `case` around: is a pattern what comes next?
        let mut cases: Vec<bool> = Vec::new();
        while let Some(token) = self.token() {
            let is_pattern = cases.last() == Some(&true);
            match token {
                Token::Word(word) if is_pattern && command.is_empty() && word == "esac" => {
                    cases.pop();
                }
                Token::Word(word) => {
                    command.push(word);
                    if command.len() == 3 && command[0] == "case" {
                        self.commands.push(mem::take(&mut command));
                        cases.push(true);
                    }
                }
                Token::Close if is_pattern => {
                    command.clear();
                    cases.pop();
                    cases.push(false);
                }
                Token::End | Token::Open if is_pattern => {}
                Token::Function => self.functions.extend(command.pop()),
                Token::Close if open == 0 => break,
                _ => {
                    open += i32::from(matches!(token, Token::Open));
                    open -= i32::from(matches!(token, Token::Close));
                    if matches!(token, Token::EndOfCase)
                        || command.first().is_some_and(|word| word == "esac")
                    {
                        cases.pop();
                    }
                    if matches!(token, Token::EndOfCase) {
                        cases.push(true);
                    }
                    self.commands.push(mem::take(&mut command));
                }
            }
        }
        self.commands.push(command);
    }

    fn token(&mut self) -> Option<Token> {
        loop {
            let next = self.rest.chars().next()?;
            let (length, token) = match next {
                '\n' => {
                    self.rest = &self.rest[1..];
                    self.skip_documents();
                    return Some(Token::End);
                }
                '#' => {
                    self.skip_before("\n");
                    continue;
                }
                '<' | '>' => {
                    self.redirection();
                    continue;
                }
                _ if self.take("((") => {
                    self.skip_behind("))");
                    continue;
                }
                _ if self.take("\\\n") => continue,
                _ if self.rest.starts_with(";;") => (2, Token::EndOfCase),
                _ if self.rest.starts_with("()") => (2, Token::Function),
                ';' | '&' | '|' => (1, Token::End),
                '(' => (1, Token::Open),
                ')' => (1, Token::Close),
                _ if next.is_whitespace() => {
                    self.rest = &self.rest[1..];
                    continue;
                }
                _ => return Some(Token::Word(self.word())),
            };
            self.rest = &self.rest[length..];
            return Some(token);
        }
    }

    /// Up to a space or a sign that ends it, without its quotes.
    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(next) = self.rest.chars().next() {
            match next {
                '(' if word.ends_with('=') => {
                    self.rest = &self.rest[1..];
                    while !matches!(self.token(), None | Some(Token::Close)) {}
                }
                _ if next.is_whitespace() || ";&|()<>".contains(next) => break,
                '\'' => {
                    self.rest = &self.rest[1..];
                    word += self.skip_behind("'");
                }
                '"' => {
                    self.rest = &self.rest[1..];
                    while !self.rest.is_empty() && !self.take("\"") {
                        self.sign(&mut word);
                    }
                }
                _ => self.sign(&mut word),
            }
        }
        if word == "[[" {
            self.skip_behind("]]");
        }
        word
    }

    /// One sign of a word, or what it stands for.
    fn sign(&mut self, word: &mut String) {
        if self.take("$((") {
            self.skip_behind("))");
        } else if self.take("$(") {
            self.read_commands();
            word.push('$');
        } else if self.take("${") {
            let mut inner = String::new();
            while !self.rest.is_empty() && !self.take("}") {
                self.sign(&mut inner);
            }
            word.push('$');
        } else {
            self.take("\\");
            let next = self.rest.chars().next();
            word.extend(next.filter(|c| *c != '\n'));
            self.rest = &self.rest[next.map_or(0, char::len_utf8)..];
        }
    }

    fn redirection(&mut self) {
        if self.take("<(") || self.take(">(") {
            return self.read_commands();
        }
        let is_document = !self.rest.starts_with("<<<") && self.take("<<");
        self.rest = self.rest.trim_start_matches(['<', '>', '&', '|', '-']);
        self.rest = self.rest.trim_start_matches(' ');
        let word = self.word();
        if is_document {
            self.documents.push(word);
        }
    }

    fn skip_documents(&mut self) {
        for end in mem::take(&mut self.documents) {
            while !self.rest.is_empty() && self.skip_behind("\n").trim() != end {}
        }
    }

    /// Takes this from the text, if it comes next.
    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_before(&mut self, sign: &str) {
        let end = self.rest.find(sign).unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
    }

    /// Gives what stands before.
    fn skip_behind(&mut self, sign: &str) -> &'a str {
        let (before, rest) = self.rest.split_once(sign).unwrap_or((self.rest, ""));
        self.rest = rest;
        before
    }
}
