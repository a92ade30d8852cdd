//! The options of a relay, and the document that hands them to the process in
//! the background.
//!
//! They are handed over in a file and not as arguments or variables of the
//! environment: a relay does what its parent says, and nothing that the
//! parent happened to inherit.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use blockd_nbd::{token::Token, uri::NbdUri};

/// The number of the document's format, raised with every change of its
/// fields. A relay is started by the program that it is, so it reads one.
const FORMAT: u32 = 2;

/// How many bytes of data the cache holds at most, unless another limit is
/// given: 4 GiB.
pub(crate) const DEFAULT_CACHE_SIZE: u64 = 4 << 30;

/// What a relay serves, where, and with which limits. Paths are absolute: the
/// process in the background has `/` as its directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayOptions {
    /// The export, on one server or on several: at least one URI, all with the
    /// same export name.
    #[serde(with = "as_text")]
    pub uris: Vec<NbdUri>,
    /// What goes to every server with the export's name.
    #[serde(with = "secret")]
    pub token: Option<Token>,
    /// The unix socket that NBD clients connect to.
    #[serde(with = "os_path")]
    pub unix: PathBuf,
    /// An empty directory, where a FUSE file system with the disk as its only
    /// file is mounted.
    #[serde(with = "optional_os_path")]
    pub fuse: Option<PathBuf>,
    /// The directory of the changed blocks; without it the export is read-only.
    #[serde(with = "optional_os_path")]
    pub cow: Option<PathBuf>,
    /// The unix socket that [`Status`](super::Status) is read from.
    #[serde(with = "optional_os_path")]
    pub status: Option<PathBuf>,
    /// The directory of the local cache's file.
    #[serde(with = "optional_os_path")]
    pub cache: Option<PathBuf>,
    /// Bytes of data that the local cache holds at most, unless the request to
    /// hydrate says another limit.
    pub cache_size: u64,
    /// The unix socket that requests to hydrate are sent to.
    #[serde(with = "optional_os_path")]
    pub control: Option<PathBuf>,
    /// The file that names the relay's process.
    #[serde(with = "optional_os_path")]
    pub pid_file: Option<PathBuf>,
    /// How long a read waits for a server before it fails: 1 ms to 1 day.
    pub timeout: Duration,
    /// Connections to the server that is read from.
    pub connections: NonZeroUsize,
    /// Bytes at the front of the disk that are read first; 0: none.
    pub front: u64,
}

/// The document around the options.
#[derive(Serialize, Deserialize)]
struct Document<T> {
    format: u32,
    options: T,
}

impl RelayOptions {
    /// A file in memory that holds these options, to become the standard input
    /// of the process in the background.
    ///
    /// # Errors
    ///
    /// The kernel has no memory or no descriptor for it.
    pub(crate) fn to_file(&self) -> Result<File> {
        let document = Document {
            format: FORMAT,
            options: self,
        };
        let attempt = || {
            let mut file = File::from(memfd_create("relay-options", MemfdFlags::CLOEXEC)?);
            file.write_all(&serde_json::to_vec(&document)?)?;
            file.rewind()?;
            anyhow::Ok(file)
        };
        attempt().context("cannot hand the relay its options")
    }

    /// Reads what `to_file` wrote.
    ///
    /// # Errors
    ///
    /// `input` cannot be read, is no such document, or has the format of
    /// another release.
    pub fn from_reader(mut input: impl Read) -> Result<Self> {
        let mut document = Vec::new();
        input
            .read_to_end(&mut document)
            .context("cannot read the relay's options from standard input")?;
        let not_options = "standard input holds no options of a relay: it is started by \
                           `blockd attach` or `blockd relay --daemon`";
        let Document { format, options } =
            serde_json::from_slice::<Document<serde_json::Value>>(&document)
                .context(not_options)?;
        if format != FORMAT {
            bail!(
                "the relay's options have format {format}, and this blockd reads {FORMAT}: \
                 was the program replaced meanwhile? Start the relay again"
            );
        }
        serde_json::from_value(options).context(not_options)
    }
}

/// Values that have a text, in a list of texts.
mod as_text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<T: Display, S: Serializer>(
        values: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let texts = Vec::<String>::deserialize(deserializer)?.into_iter();
        texts
            .map(|text| text.parse().map_err(D::Error::custom))
            .collect()
    }
}

/// A token, which only this document and the server see.
mod secret {
    use blockd_nbd::token::Token;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "serde hands the field over")]
    pub(super) fn serialize<S: Serializer>(
        token: &Option<Token>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        token.as_ref().map(Token::secret).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Token>, D::Error> {
        let secret = Option::<String>::deserialize(deserializer)?;
        let token = secret.map(|secret| secret.parse()).transpose();
        token.map_err(D::Error::custom)
    }
}

/// A path of any bytes: serde's own form of a path is UTF-8.
mod os_path {
    use std::{
        ffi::OsString,
        path::{Path, PathBuf},
    };

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PathBuf, D::Error> {
        OsString::deserialize(deserializer).map(PathBuf::from)
    }
}

/// The same of a path that need not be there.
mod optional_os_path {
    use std::{
        ffi::OsString,
        path::{Path, PathBuf},
    };

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands the field over")]
    pub(super) fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        path.as_deref().map(Path::as_os_str).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        let path = Option::<OsString>::deserialize(deserializer)?;
        Ok(path.map(PathBuf::from))
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use super::*;

    fn options() -> RelayOptions {
        let uris = [
            "nbd://[::1]/a@b:uid=1",
            "nbd+unix:///a@b:uid=1?socket=/x%20y",
        ];
        RelayOptions {
            uris: uris.map(|uri| uri.parse().unwrap()).to_vec(),
            token: Some("a.b-c_d".parse().unwrap()),
            unix: OsStr::from_bytes(b"/run/\xff.sock").into(),
            fuse: Some("/mnt".into()),
            cow: None,
            status: Some("/run/status".into()),
            cache: None,
            cache_size: u64::MAX,
            control: None,
            pid_file: Some("/run/pid".into()),
            timeout: Duration::from_micros(1_234_567),
            connections: NonZeroUsize::MIN,
            front: 0,
        }
    }

    #[test]
    fn options_are_read_back_as_they_were_written() {
        let file = options().to_file().unwrap();
        assert_eq!(RelayOptions::from_reader(file).unwrap(), options());
    }

    #[test]
    fn options_of_another_release_are_refused() {
        let mut document: serde_json::Value =
            serde_json::from_reader(options().to_file().unwrap()).unwrap();
        document["format"] = (FORMAT + 1).into();
        let error = RelayOptions::from_reader(document.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("reads 2"), "{error}");
    }

    #[test]
    fn an_option_that_is_missing_or_unknown_is_an_error() {
        let document: serde_json::Value =
            serde_json::from_reader(options().to_file().unwrap()).unwrap();
        let names: Vec<_> = document["options"].as_object().unwrap().keys().collect();
        for name in names {
            let mut document = document.clone();
            document["options"].as_object_mut().unwrap().remove(name);
            let read = RelayOptions::from_reader(document.to_string().as_bytes());
            let error = format!("{:#}", read.unwrap_err());
            assert!(
                error.contains(&format!("missing field `{name}`")),
                "{error}"
            );
        }
        let mut document = document;
        document["options"]["color"] = "red".into();
        let read = RelayOptions::from_reader(document.to_string().as_bytes());
        let error = format!("{:#}", read.unwrap_err());
        assert!(error.contains("unknown field `color`"), "{error}");
    }
}
