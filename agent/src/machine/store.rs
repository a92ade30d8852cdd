//! Storage that outlives this machine: a directory on a volume, or an object
//! store that takes PUT, GET and DELETE (S3 and compatible ones). Requests are
//! made, and signed, by curl.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{fs, io::AsyncWriteExt, process::Command};

/// Seconds that a transfer may take: longer than large changes need, and not so
/// long that the platform kills us first.
const TRANSFER_TIMEOUT: &str = "240";

/// A store of files by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    location: Location,
    keys: Option<Keys>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Location {
    Directory(PathBuf),
    /// A URL without a slash at the end, to which names are appended.
    Web(String),
}

/// An access key of an S3 store.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The id of the key.
    pub id: String,
    /// The secret of the key.
    pub secret: String,
    /// The region that signatures are for.
    pub region: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keys({}, …)", self.id)
    }
}

impl Store {
    /// The store in a directory (`/PATH`) or at a URL (`http://…`, `https://…`).
    ///
    /// # Errors
    ///
    /// When `location` is neither.
    pub fn new(location: &str, keys: Option<Keys>) -> Result<Self> {
        let location = if location.starts_with('/') {
            Location::Directory(location.into())
        } else {
            let is_web = location.starts_with("http://") || location.starts_with("https://");
            ensure!(
                is_web,
                "the store {location} is neither a directory (/PATH) nor a URL (https://…)"
            );
            Location::Web(location.trim_end_matches('/').to_owned())
        };
        Ok(Self { location, keys })
    }

    /// Stores a file under a name, in place of an earlier one.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or the store does not accept it.
    #[expect(clippy::missing_panics_doc, reason = "a joined path has a parent")]
    pub async fn put(&self, name: &str, file: &Path) -> Result<()> {
        match &self.location {
            Location::Directory(directory) => {
                let target = directory.join(name);
                let new = directory.join(format!("{name}.new"));
                let parent = target.parent().expect("a joined path has a parent");
                fs::create_dir_all(parent).await?;
                let copied = fs::copy(file, &new).await;
                copied.with_context(|| format!("cannot write {}", new.display()))?;
                fs::File::open(&new).await?.sync_all().await?;
                Ok(fs::rename(new, target).await?)
            }
            Location::Web(url) => {
                let upload = [("upload-file", utf8(file)?)];
                let status = self.curl(url, name, &upload).await?;
                ensure!(
                    status.starts_with('2'),
                    "cannot upload {url}/{name}: the store answered {status}"
                );
                Ok(())
            }
        }
    }

    /// Fetches the file of a name; false when there is none.
    ///
    /// # Errors
    ///
    /// When there may be one, but it cannot be fetched.
    pub async fn get(&self, name: &str, into: &Path) -> Result<bool> {
        match &self.location {
            Location::Directory(directory) => {
                let path = directory.join(name);
                if !fs::try_exists(&path).await? {
                    return Ok(false);
                }
                let copied = fs::copy(&path, into).await;
                copied.with_context(|| format!("cannot copy {}", path.display()))?;
                Ok(true)
            }
            Location::Web(url) => {
                let status = self.curl(url, name, &[("output", utf8(into)?)]).await?;
                match status.as_str() {
                    "200" => Ok(true),
                    "404" => Ok(false),
                    other => bail!("cannot fetch {url}/{name}: the store answered {other}"),
                }
            }
        }
    }

    /// Removes the file of a name, if there is one.
    ///
    /// # Errors
    ///
    /// When it may still be there.
    pub async fn delete(&self, name: &str) -> Result<()> {
        match &self.location {
            Location::Directory(directory) => match fs::remove_file(directory.join(name)).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            },
            Location::Web(url) => {
                let status = self.curl(url, name, &[("request", "DELETE")]).await?;
                let is_gone = status.starts_with('2') || status == "404";
                ensure!(
                    is_gone,
                    "cannot delete {url}/{name}: the store answered {status}"
                );
                Ok(())
            }
        }
    }

    /// Makes one request, and returns its HTTP status. The options go through
    /// standard input, because command lines can be read by every user.
    async fn curl(&self, url: &str, name: &str, more: &[(&str, &str)]) -> Result<String> {
        let mut config = vec![
            ("url", format!("{url}/{name}")),
            ("write-out", "%{http_code}".to_owned()),
            ("max-time", TRANSFER_TIMEOUT.to_owned()),
            ("retry", "3".to_owned()),
        ];
        if let Some(keys) = &self.keys {
            config.push(("user", format!("{}:{}", keys.id, keys.secret)));
            config.push(("aws-sigv4", format!("aws:amz:{}:s3", keys.region)));
        }
        config.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
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
            .context("cannot run curl, which makes the requests to the store")?;
        let mut input = curl.stdin.take().expect("standard input is a pipe");
        input.write_all(lines.as_bytes()).await?;
        drop(input);
        let output = curl.wait_with_output().await?;
        ensure!(
            output.status.success(),
            "{url}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// A path in curl's configuration.
fn utf8(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("the path {} is not UTF-8", path.display()))
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

    /// Serves a store of one file to callers that sign their requests; its URL.
    async fn served() -> String {
        let stored = Arc::new(Mutex::new(None::<Bytes>));
        let answer = move |method: Method, headers: HeaderMap, body: Bytes| {
            let mut stored = stored.lock().unwrap();
            let signed = headers.get("authorization").is_some_and(|value| {
                value
                    .as_bytes()
                    .starts_with(b"AWS4-HMAC-SHA256 Credential=id/")
            });
            let answer = match (signed, method.as_str(), stored.clone()) {
                (false, ..) => (StatusCode::FORBIDDEN, Bytes::new()),
                (_, "PUT", _) => {
                    *stored = Some(body);
                    (StatusCode::OK, Bytes::new())
                }
                (_, "DELETE", _) => {
                    *stored = None;
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
    async fn a_bucket_stores_fetches_and_deletes() {
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
    async fn a_directory_stores_fetches_and_deletes() {
        let folder = tempfile::tempdir().unwrap();
        let (file, back) = (folder.path().join("file"), folder.path().join("back"));
        std::fs::write(&file, "one").unwrap();
        let directory = folder.path().join("store");
        let store = Store::new(directory.to_str().unwrap(), None).unwrap();
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
    fn other_locations_are_refused_and_secrets_not_shown() {
        assert!(Store::new("ftp://x", None).is_err());
        assert!(Store::new("relative", None).is_err());
        assert!(!format!("{:?}", keys()).contains("hidden"));
    }
}
