//! MCP sessions on disk, so that one goes on when the machine was stopped and
//! started: what its client said when it initialized the session. Nothing else is
//! needed, since all sessions drive one codex.
//!
//! A session is a file `ID.json`, beside the logs.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use rmcp::transport::streamable_http_server::session::{
    SessionState, SessionStore, SessionStoreError,
};
use tokio::fs;
use tracing::warn;

/// How many are kept; the oldest ones go.
const MAX_KEPT: usize = 512;
/// How many places there are for new ones after the oldest have gone.
const MARGIN: usize = 64;
/// The longest one in bytes.
const MAX_LENGTH: u64 = 64 << 10;

/// The directory with the sessions.
#[derive(Debug, Clone)]
pub(super) struct KeptSessions {
    directory: PathBuf,
    /// How long after its last use a session is kept.
    lifetime: Duration,
}

impl KeptSessions {
    pub(super) fn new(directory: PathBuf, lifetime: Duration) -> Self {
        Self {
            directory,
            lifetime,
        }
    }

    /// The file of a session; none for what is no id of ours.
    fn path(&self, id: &str) -> Option<PathBuf> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_ours = matches!(id.len(), 1..=64) && id.bytes().all(fits);
        is_ours.then(|| self.directory.join(format!("{id}.json")))
    }

    /// Whether there is a session of this id.
    pub(super) async fn has(&self, id: &str) -> bool {
        match self.path(id) {
            Some(path) => fs::try_exists(path).await.unwrap_or(false),
            None => false,
        }
    }

    /// Notes that a session is used now.
    pub(super) fn touch(&self, id: &str) {
        let Some(path) = self.path(id) else { return };
        // One that is not kept cannot be touched.
        if let Ok(file) = std::fs::File::options().write(true).open(path) {
            drop(file.set_modified(SystemTime::now()));
        }
    }

    /// Removes the oldest ones where there are more than [`MAX_KEPT`]: some more of
    /// them, so that this is rare.
    async fn prune(&self) -> io::Result<()> {
        let mut entries = fs::read_dir(&self.directory).await?;
        let mut paths = Vec::new();
        while let Some(entry) = entries.next_entry().await? {
            paths.push(entry.path());
        }
        if paths.len() <= MAX_KEPT {
            return Ok(());
        }
        let mut files = Vec::new();
        for path in paths {
            files.push((fs::metadata(&path).await?.modified()?, path));
        }
        files.sort_unstable();
        let superfluous = files.len() - (MAX_KEPT - MARGIN);
        for (_, path) in files.drain(..superfluous) {
            fs::remove_file(path).await?;
        }
        Ok(())
    }

    async fn write(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.directory).await?;
        let new = path.with_extension("new");
        fs::write(&new, text).await?;
        fs::rename(new, path).await?;
        self.prune().await
    }
}

#[async_trait]
impl SessionStore for KeptSessions {
    async fn load(&self, session_id: &str) -> Result<Option<SessionState>, SessionStoreError> {
        let Some(path) = self.path(session_id) else {
            return Ok(None);
        };
        let metadata = match fs::metadata(&path).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        // A clock that was set back makes no session older.
        let age = metadata.modified()?.elapsed();
        let is_old = age.is_ok_and(|age| age > self.lifetime);
        // Codex may write here, too.
        let is_ours = metadata.is_file() && metadata.len() <= MAX_LENGTH;
        if !is_old && is_ours {
            match serde_json::from_slice(&fs::read(&path).await?) {
                Ok(state) => return Ok(Some(state)),
                Err(error) => warn!(session_id, %error, "an MCP session on disk is damaged"),
            }
        }
        fs::remove_file(path).await?;
        Ok(None)
    }

    async fn store(&self, session_id: &str, state: &SessionState) -> Result<(), SessionStoreError> {
        let path = self.path(session_id).ok_or("its id is none of ours")?;
        let text = serde_json::to_vec(state)?;
        if u64::try_from(text.len())? > MAX_LENGTH {
            return Err(format!("it is longer than {MAX_LENGTH} bytes").into());
        }
        Ok(self.write(&path, &text).await?)
    }

    async fn delete(&self, session_id: &str) -> Result<(), SessionStoreError> {
        let Some(path) = self.path(session_id) else {
            return Ok(());
        };
        match fs::remove_file(path).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use rmcp::{
        model::InitializeRequestParams,
        transport::streamable_http_server::session::{SessionState, SessionStore},
    };
    use tempfile::tempdir;

    use super::{KeptSessions, MARGIN, MAX_KEPT};

    fn state(name: &str) -> SessionState {
        let params = serde_json::json!({
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": { "name": name, "version": "1" } });
        let params: InitializeRequestParams = serde_json::from_value(params).unwrap();
        SessionState::new(params)
    }

    #[tokio::test]
    async fn a_session_is_kept_until_it_is_deleted_or_old() {
        let folder = tempdir().unwrap();
        let kept = KeptSessions::new(folder.path().join("a"), Duration::from_secs(60));
        assert!(kept.load("a-1").await.unwrap().is_none());
        kept.store("a-1", &state("one")).await.unwrap();
        let loaded = kept.load("a-1").await.unwrap().unwrap();
        assert_eq!(loaded.initialize_params.client_info.name, "one");
        assert!(kept.has("a-1").await && !kept.has("a-2").await);
        kept.delete("a-1").await.unwrap();
        kept.delete("a-1").await.unwrap();
        assert!(kept.load("a-1").await.unwrap().is_none());
        let brief = KeptSessions::new(folder.path().join("a"), Duration::ZERO);
        kept.store("a-3", &state("three")).await.unwrap();
        assert!(brief.load("a-3").await.unwrap().is_none());
        assert!(!kept.has("a-3").await);
    }

    #[tokio::test]
    async fn no_id_leads_out_of_the_directory_and_none_is_too_long() {
        let folder = tempdir().unwrap();
        let kept = KeptSessions::new(folder.path().join("a"), Duration::from_secs(60));
        fs::write(folder.path().join("b.json"), "{}").unwrap();
        for id in ["../b", "", "/", "a/b", "a.b", &"a".repeat(65)] {
            assert!(kept.store(id, &state("x")).await.is_err(), "{id}");
            assert!(kept.load(id).await.unwrap().is_none(), "{id}");
            kept.delete(id).await.unwrap();
        }
        let long = state(&"x".repeat(1 << 20));
        assert!(kept.store("a", &long).await.is_err());
        fs::create_dir(folder.path().join("a")).unwrap();
        for damaged in ["", "{}", "\0", &"x".repeat(1 << 20)] {
            fs::write(folder.path().join("a/d.json"), damaged).unwrap();
            assert!(kept.load("d").await.unwrap().is_none());
            assert!(!kept.has("d").await, "it is removed");
        }
    }

    #[tokio::test]
    async fn the_number_of_sessions_is_bounded() {
        let folder = tempdir().unwrap();
        let kept = KeptSessions::new(folder.path().to_owned(), Duration::from_secs(60));
        for nth in 0..MAX_KEPT + 20 {
            kept.store(&format!("s-{nth}"), &state("x")).await.unwrap();
        }
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert!((MAX_KEPT - MARGIN..=MAX_KEPT).contains(&left), "{left}");
        assert!(!kept.has("s-0").await);
        assert!(kept.has(&format!("s-{}", MAX_KEPT + 19)).await);
    }
}
