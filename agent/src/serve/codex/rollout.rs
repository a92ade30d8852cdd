//! Codex's own record of a conversation: the proof that a message was
//! submitted.
//!
//! ```text
//! CODEX_HOME/sessions/YYYY/MM/DD/rollout-….jsonl
//! {"type":"response_item","payload":{"type":"message","role":"user","content":[{"text":…}]}}
//! ```

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::{
    interface::{Line, RECORD_EXTENSION, SESSIONS, USER},
    watch::Watch,
};

/// What the user says from now on, as codex records it.
#[derive(Debug)]
pub struct Rollouts {
    home: PathBuf,
    /// Tells what has changed. Without it everything is listed each time.
    watch: Option<Watch>,
    /// How many bytes of each file were read.
    read: HashMap<PathBuf, u64>,
    /// What was recorded and not claimed yet.
    said: Vec<String>,
    /// How many directories were listed.
    listed: u64,
}

impl Rollouts {
    /// Follows the records below a codex home from now on. A record that cannot
    /// be read proves nothing, and is logged.
    pub fn new(home: &Path) -> Self {
        let mut rollouts = Self {
            home: home.to_owned(),
            watch: None,
            read: HashMap::new(),
            said: Vec::new(),
            listed: 0,
        };
        rollouts.watch = rollouts.begin_watch();
        let files = rollouts.list(rollouts.sessions());
        rollouts.skip_files(files);
        rollouts
    }

    fn sessions(&self) -> PathBuf {
        self.home.join(SESSIONS)
    }

    /// A watch of the home, in which the directory of the records may be made.
    fn begin_watch(&self) -> Option<Watch> {
        let watch = Watch::new().and_then(|mut watch| {
            watch.add_parent(&self.home)?;
            Ok(watch)
        });
        watch
            .inspect_err(|error| warn_unwatched(&self.home, *error))
            .ok()
    }

    /// Forgets what is recorded up to now.
    pub fn skip(&mut self) {
        let files = self.changed();
        self.skip_files(files);
        self.said.clear();
    }

    fn skip_files(&mut self, files: Vec<PathBuf>) {
        for path in files {
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
        for path in self.changed() {
            if let Err(error) = self.read_on(&path) {
                log_unreadable(&path, &error);
            }
        }
        let found = self.said.iter().position(|said| said.trim() == text);
        found.map(|index| self.said.remove(index)).is_some()
    }

    /// The records that have changed since this was last asked.
    fn changed(&mut self) -> Vec<PathBuf> {
        let Some(watch) = &self.watch else {
            return self.list(self.sessions());
        };
        let changed = watch.changed().unwrap_or_else(|error| {
            tracing::debug!(%error, "codex's records are listed: their changes are not known");
            HashSet::from([self.sessions()])
        });
        let sessions = self.sessions();
        let ours = changed
            .into_iter()
            .filter(|path| path.starts_with(&sessions));
        let (folders, mut files): (Vec<_>, Vec<_>) = ours.partition(|path| path.is_dir());
        files.retain(|path| is_record(path));
        for folder in folders {
            files.extend(self.list(folder));
        }
        files
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

    /// The records in this directory and below, which are watched from now on.
    fn list(&mut self, folder: PathBuf) -> Vec<PathBuf> {
        let (mut files, mut folders) = (Vec::new(), vec![folder]);
        while let Some(folder) = folders.pop() {
            // Watched first: what is made while it is listed is not missed.
            let watched = self.watch.as_mut().map(|watch| watch.add(&folder));
            if let Some(Err(error)) = watched.filter(|watched| *watched != Err(Errno::NOENT)) {
                warn_unwatched(&folder, error);
                self.watch = None;
            }
            self.listed += 1;
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
        } else if is_record(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_record(path: &Path) -> bool {
    let extension = path.extension();
    extension.is_some_and(|extension| extension == RECORD_EXTENSION)
}

fn warn_unwatched(folder: &Path, error: Errno) {
    let folder = folder.display();
    tracing::warn!(%folder, %error, "cannot watch codex's records: they are listed each time (inotify(7) has limits in /proc/sys/fs/inotify)");
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
    (line.payload.role.as_deref() == Some(USER)).then(|| texts.collect())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, OpenOptions},
        io::Write,
        path::Path,
    };

    use super::Rollouts;

    fn say(path: &Path, text: &str) {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let content = serde_json::json!([{ "text": text }]);
        let line = serde_json::json!({ "payload": { "role": "user", "content": content } });
        writeln!(file.unwrap(), "{line}").unwrap();
    }

    /// However many conversations there were, only what changes is looked at.
    #[test]
    fn old_conversations_are_listed_once() {
        let home = tempfile::tempdir().unwrap();
        let month = home.path().join("sessions/2026/10");
        let old = |day: u32, index: u32| month.join(format!("{day:02}/rollout-{index}.jsonl"));
        for day in 1..=20 {
            fs::create_dir_all(month.join(format!("{day:02}"))).unwrap();
            for index in 0..500 {
                fs::write(old(day, index), "").unwrap();
            }
        }
        say(&old(3, 3), "old");
        let mut rollouts = Rollouts::new(home.path());
        assert!(rollouts.watch.is_some());
        assert_eq!(rollouts.listed, 23);
        for round in 0..100 {
            rollouts.skip();
            assert!(!rollouts.claim("old"));
            // One that is resumed.
            say(&old(1 + round % 20, 7), "resumed");
            assert!(rollouts.claim("resumed") && !rollouts.claim("resumed"));
        }
        assert_eq!(rollouts.listed, 23);
        let new = home.path().join("sessions/2026/11/28");
        fs::create_dir_all(&new).unwrap();
        say(&new.join("rollout-new.jsonl"), "new");
        assert!(rollouts.claim("new"));
        say(&new.join("rollout-new.jsonl"), "more");
        assert!(rollouts.claim("more"));
        assert_eq!(rollouts.listed, 25);
    }

    #[test]
    fn the_first_conversation_is_found_without_a_watch_too() {
        let home = tempfile::tempdir().unwrap();
        let mut watched = Rollouts::new(home.path());
        let mut listed = Rollouts::new(home.path());
        listed.watch = None;
        let day = home.path().join("sessions/2026/11/28");
        fs::create_dir_all(&day).unwrap();
        say(&day.join("rollout-first.jsonl"), "first");
        assert!(watched.claim("first") && listed.claim("first"));
    }
}
