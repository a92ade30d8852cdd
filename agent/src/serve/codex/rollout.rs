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

/// A line of a record. Lines of other kinds have other fields.
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

/// What the user says from now on, as codex records it.
#[derive(Debug)]
pub struct Rollouts {
    sessions: PathBuf,
    /// How many bytes of each file were read.
    read: HashMap<PathBuf, u64>,
    /// What was recorded and not claimed yet.
    said: Vec<String>,
}

impl Rollouts {
    /// Follows the records below a codex home from now on. A record that cannot
    /// be read proves nothing, and is logged.
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
            let length = match fs::metadata(&path) {
                Ok(metadata) => metadata.len(),
                Err(error) => {
                    log_unreadable(&path, &error);
                    // What it holds is not known to be new: it is never read.
                    u64::MAX
                }
            };
            self.read.insert(path, length);
        }
    }

    /// Whether the user has said this since the last [`skip`](Self::skip). Each
    /// record is claimed once.
    pub fn claim(&mut self, text: &str) -> bool {
        for path in self.files() {
            if let Err(error) = self.read_on(&path) {
                log_unreadable(&path, &error);
            }
        }
        let found = self.said.iter().position(|said| said.trim() == text);
        found.map(|index| self.said.remove(index)).is_some()
    }

    fn read_on(&mut self, path: &Path) -> io::Result<()> {
        // A file that is new is read from its beginning.
        let offset = self.read.entry(path.to_owned()).or_insert(0);
        if fs::metadata(path)?.len() <= *offset {
            return Ok(());
        }
        let mut file = BufReader::new(File::open(path)?);
        file.seek(SeekFrom::Start(*offset))?;
        let mut line = Vec::new();
        loop {
            let length = file.read_until(b'\n', &mut line)?;
            // The rest of a line that is being written is read later.
            if line.last() != Some(&b'\n') {
                return Ok(());
            }
            *offset += u64::try_from(length).map_err(io::Error::other)?;
            self.said.extend(user_text(&line));
            line.clear();
        }
    }

    /// The files of all conversations.
    fn files(&self) -> Vec<PathBuf> {
        let (mut files, mut folders) = (Vec::new(), vec![self.sessions.clone()]);
        while let Some(folder) = folders.pop() {
            if let Err(error) = list(&folder, &mut files, &mut folders) {
                log_unreadable(&folder, &error);
            }
        }
        files
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>, folders: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            folders.push(path);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            files.push(path);
        }
    }
    Ok(())
}

fn log_unreadable(path: &Path, error: &io::Error) {
    // Before the first conversation there is none, and old ones are removed.
    if error.kind() != io::ErrorKind::NotFound {
        tracing::debug!(path = %path.display(), %error, "cannot read a record of codex");
    }
}

/// What the user has said in a line, if it records that.
fn user_text(line: &[u8]) -> Option<String> {
    let line: Line = serde_json::from_slice(line).ok()?;
    let texts = line.payload.content.into_iter().map(|content| content.text);
    (line.payload.role.as_deref() == Some("user")).then(|| texts.collect())
}
