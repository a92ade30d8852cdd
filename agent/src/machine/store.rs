//! A place that outlives this machine: a folder on a volume, or an object store
//! that takes PUT, GET and DELETE (S3 and its like), spoken to by curl, which
//! signs too.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{fs, io::AsyncWriteExt, process::Command};

/// Longer than a large diff takes; after it the platform kills us anyhow.
const LONGEST_TRANSFER: &str = "240";

/// Where things are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    place: Place,
    keys: Option<Keys>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Folder(PathBuf),
    Web(String),
}

/// What an S3 store knows us by.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The access key's id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// The region that is signed for.
    pub region: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keys({}, …)", self.id)
    }
}

impl Store {
    /// A folder, or a URL that names are appended to.
    ///
    /// # Errors
    ///
    /// When it is neither.
    pub fn new(place: &str, keys: Option<Keys>) -> Result<Self> {
        let place = if place.starts_with('/') {
            Place::Folder(place.into())
        } else {
            let is_web = place.starts_with("http://") || place.starts_with("https://");
            ensure!(
                is_web,
                "the store {place} is neither a folder (/PATH) nor a URL (https://…)"
            );
            Place::Web(place.trim_end_matches('/').to_owned())
        };
        Ok(Self { place, keys })
    }

    /// Keeps a file under a name, in place of what was there.
    ///
    /// # Errors
    ///
    /// When it is not there afterwards.
    pub async fn put(&self, name: &str, file: &Path) -> Result<()> {
        match &self.place {
            Place::Folder(folder) => {
                let target = folder.join(name);
                let new = folder.join(format!("{name}.new"));
                let parent = target.parent().unwrap_or(folder);
                fs::create_dir_all(parent).await?;
                let copied = fs::copy(file, &new).await;
                copied.with_context(|| format!("cannot write {}", new.display()))?;
                fs::File::open(&new).await?.sync_all().await?;
                Ok(fs::rename(new, target).await?)
            }
            Place::Web(url) => {
                let answer = self
                    .curl(url, name, &[("upload-file", file.as_os_str())])
                    .await?;
                ensure!(
                    answer.starts_with('2'),
                    "{url}/{name} was not taken: the store answers {answer}"
                );
                Ok(())
            }
        }
    }

    /// Brings what is kept under a name; false when there is nothing.
    ///
    /// # Errors
    ///
    /// When there may be something, but it does not come.
    pub async fn get(&self, name: &str, into: &Path) -> Result<bool> {
        match &self.place {
            Place::Folder(folder) => {
                let path = folder.join(name);
                if !fs::try_exists(&path).await? {
                    return Ok(false);
                }
                let copied = fs::copy(&path, into).await;
                copied.with_context(|| format!("cannot copy {}", path.display()))?;
                Ok(true)
            }
            Place::Web(url) => {
                let answer = self
                    .curl(url, name, &[("output", into.as_os_str())])
                    .await?;
                match answer.as_str() {
                    "200" => Ok(true),
                    "404" => Ok(false),
                    other => bail!("{url}/{name} does not come: the store answers {other}"),
                }
            }
        }
    }

    /// Forgets what is kept under a name.
    ///
    /// # Errors
    ///
    /// When it may still be there.
    pub async fn delete(&self, name: &str) -> Result<()> {
        match &self.place {
            Place::Folder(folder) => match fs::remove_file(folder.join(name)).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            },
            Place::Web(url) => {
                let delete = [("request", "DELETE".as_ref())];
                let answer = self.curl(url, name, &delete).await?;
                let gone = answer.starts_with('2') || answer == "404";
                ensure!(gone, "{url}/{name} stays: the store answers {answer}");
                Ok(())
            }
        }
    }

    /// One request; its status. All goes in by standard input, since command
    /// lines are everybody's to read.
    async fn curl(
        &self,
        url: &str,
        name: &str,
        more: &[(&str, &std::ffi::OsStr)],
    ) -> Result<String> {
        let mut config = vec![
            ("url", format!("{url}/{name}")),
            ("write-out", "%{http_code}".to_owned()),
            ("max-time", LONGEST_TRANSFER.to_owned()),
            ("retry", "3".to_owned()),
        ];
        if let Some(keys) = &self.keys {
            config.push(("user", format!("{}:{}", keys.id, keys.secret)));
            config.push(("aws-sigv4", format!("aws:amz:{}:s3", keys.region)));
        }
        config.extend(more.iter().map(|(key, value)| {
            let value = value.to_string_lossy().into_owned();
            (*key, value)
        }));
        if !config.iter().any(|(key, _)| *key == "output") {
            config.push(("output", "/dev/null".to_owned()));
        }
        let lines = config.iter().map(|(key, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            format!("{key} = \"{value}\"\n")
        });
        let lines: String = lines.collect();
        let mut curl = Command::new("curl")
            .args(["--silent", "--show-error", "--config", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run curl, which speaks to the store")?;
        if let Some(mut input) = curl.stdin.take() {
            input.write_all(lines.as_bytes()).await?;
        }
        let output = curl.wait_with_output().await?;
        ensure!(
            output.status.success(),
            "{url}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{
        Router,
        body::Bytes,
        http::{HeaderMap, Method, StatusCode},
        routing::any,
    };
    use tokio::net::TcpListener;

    use super::{Keys, Store};

    fn keys() -> Keys {
        Keys {
            id: "id".into(),
            secret: "hidden\"\\".into(),
            region: "auto".into(),
        }
    }

    /// A store of one thing, for those who sign; its URL.
    async fn served() -> String {
        let kept = Arc::new(Mutex::new(None::<Bytes>));
        let answer = move |method: Method, headers: HeaderMap, body: Bytes| {
            let mut kept = kept.lock().unwrap();
            let signed = headers.get("authorization").is_some_and(|value| {
                value
                    .as_bytes()
                    .starts_with(b"AWS4-HMAC-SHA256 Credential=id/")
            });
            let answer = match (signed, method.as_str(), kept.clone()) {
                (false, ..) => (StatusCode::FORBIDDEN, Bytes::new()),
                (_, "PUT", _) => {
                    *kept = Some(body);
                    (StatusCode::OK, Bytes::new())
                }
                (_, "DELETE", _) => {
                    *kept = None;
                    (StatusCode::NO_CONTENT, Bytes::new())
                }
                (_, _, Some(bytes)) => (StatusCode::OK, bytes),
                (_, _, None) => (StatusCode::NOT_FOUND, Bytes::new()),
            };
            async move { answer }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/bucket", listener.local_addr().unwrap());
        let router = Router::new().route("/bucket/diffs/a", any(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    #[tokio::test]
    async fn a_bucket_keeps_brings_and_forgets() {
        let folder = tempfile::tempdir().unwrap();
        let (file, back) = (folder.path().join("file"), folder.path().join("back"));
        std::fs::write(&file, vec![7; 100_000]).unwrap();
        let url = served().await;
        let store = Store::new(&url, Some(keys())).unwrap();
        assert!(!store.get("diffs/a", &back).await.unwrap());
        store.put("diffs/a", &file).await.unwrap();
        assert!(store.get("diffs/a", &back).await.unwrap());
        assert_eq!(std::fs::read(&back).unwrap(), vec![7; 100_000]);
        store.delete("diffs/a").await.unwrap();
        assert!(!store.get("diffs/a", &back).await.unwrap());
        let stranger = Store::new(&url, None).unwrap();
        let refused = stranger.put("diffs/a", &file).await.unwrap_err();
        assert!(refused.to_string().contains("403"), "{refused}");
        assert!(stranger.get("diffs/a", &back).await.is_err());
    }

    #[tokio::test]
    async fn a_folder_keeps_brings_and_forgets() {
        let folder = tempfile::tempdir().unwrap();
        let (file, back) = (folder.path().join("file"), folder.path().join("back"));
        std::fs::write(&file, "one").unwrap();
        let kept = folder.path().join("kept");
        let store = Store::new(kept.to_str().unwrap(), None).unwrap();
        assert!(!store.get("diffs/a", &back).await.unwrap());
        store.put("diffs/a", &file).await.unwrap();
        std::fs::write(&file, "two").unwrap();
        store.put("diffs/a", &file).await.unwrap();
        assert!(store.get("diffs/a", &back).await.unwrap());
        assert_eq!(std::fs::read(&back).unwrap(), b"two");
        store.delete("diffs/a").await.unwrap();
        store.delete("diffs/a").await.unwrap();
        assert!(!store.get("diffs/a", &back).await.unwrap());
    }

    #[test]
    fn other_places_are_refused_and_secrets_not_shown() {
        assert!(Store::new("ftp://x", None).is_err());
        assert!(Store::new("relative", None).is_err());
        assert!(!format!("{:?}", keys()).contains("hidden"));
    }
}
