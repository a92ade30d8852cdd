//! Codex's own record of a conversation: the proof that a message was
//! submitted.
//!
//! ```text
//! CODEX_HOME/sessions/YYYY/MM/DD/rollout-….jsonl
//! {"type":"response_item","payload":{"type":"message","role":"user","content":[{"text":…}]}}
//! ```

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// A line of the record, as far as it concerns us.
#[derive(Deserialize)]
struct Line {
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    role: Option<String>,
    #[serde(default)]
    content: Vec<Content>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    text: String,
}

/// What the user said, as it is recorded from now on.
#[derive(Debug)]
pub struct Rollouts {
    sessions: PathBuf,
    /// How far each record was read.
    read: HashMap<PathBuf, u64>,
    /// What was recorded and not asked for yet.
    said: Vec<String>,
}

impl Rollouts {
    /// Looks at records below a codex home from now on.
    pub fn new(home: &Path) -> Self {
        let mut rollouts = Self {
            sessions: home.join("sessions"),
            read: HashMap::new(),
            said: Vec::new(),
        };
        rollouts.skip();
        rollouts
    }

    /// Forgets what is recorded up to now.
    pub fn skip(&mut self) {
        self.said.clear();
        for path in self.files() {
            let length = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            self.read.insert(path, length);
        }
    }

    /// Whether this was said by the user; a second time only if it was said twice.
    pub fn claim(&mut self, text: &str) -> bool {
        for path in self.files() {
            if let Err(error) = self.read_on(&path) {
                tracing::debug!(path = %path.display(), %error, "cannot read a record");
            }
        }
        let found = self.said.iter().position(|said| said.trim() == text);
        found.map(|index| self.said.remove(index)).is_some()
    }

    fn read_on(&mut self, path: &Path) -> io::Result<()> {
        let offset = self.read.entry(path.to_owned()).or_default();
        if fs::metadata(path)?.len() <= *offset {
            return Ok(());
        }
        let mut file = BufReader::new(File::open(path)?);
        file.seek(SeekFrom::Start(*offset))?;
        let mut line = Vec::new();
        while let Ok(length) = file.read_until(b'\n', &mut line) {
            // The rest of a line that is being written comes later.
            if line.last() != Some(&b'\n') {
                break;
            }
            *offset += u64::try_from(length).map_err(io::Error::other)?;
            self.said.extend(user_text(&line));
            line.clear();
        }
        Ok(())
    }

    fn files(&self) -> Vec<PathBuf> {
        let (mut files, mut folders) = (Vec::new(), vec![self.sessions.clone()]);
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(folder) else {
                continue;
            };
            for entry in entries.flatten() {
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(path);
                } else if path
                    .extension()
                    .is_some_and(|extension| extension == "jsonl")
                {
                    files.push(path);
                }
            }
        }
        files
    }
}

fn user_text(line: &[u8]) -> Option<String> {
    let line: Line = serde_json::from_slice(line).ok()?;
    let texts = line.payload.content.into_iter().map(|content| content.text);
    (line.payload.role.as_deref() == Some("user")).then(|| texts.collect())
}
