//! Stock `nbd-client`: its command line, and what it says.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{self, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::{process::Command, time::sleep};

use crate::attach::layers::device::nbd;

pub(crate) const PROGRAM: &str = "nbd-client";
/// Where Debian and others have what only root runs.
const PATH: [&str; 6] = [
    "/usr/sbin",
    "/sbin",
    "/usr/local/sbin",
    "/usr/bin",
    "/bin",
    "/usr/local/bin",
];
/// The kernel must not give a relay up that gives a server up.
const GRACE: Duration = Duration::from_secs(10);
/// To the relay: each is a queue of the kernel's.
const CONNECTIONS: usize = 2;
/// How long a device may take to show its size.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `nbd-client` is asked to connect.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    /// The relay's.
    pub(crate) socket: &'a Path,
    pub(crate) export: &'a str,
    pub(crate) size: u64,
    /// After which the relay answers, whatever happens above it.
    pub(crate) timeout: Duration,
    /// It is to be written to.
    pub(crate) writable: bool,
}

impl Wanted<'_> {
    /// The arguments of `nbd-client`; netlink is not there in a container with
    /// a network of its own, ioctl is.
    fn arguments(&self, device: &Path, netlink: bool) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["-unix".into(), self.socket.into(), device.into()];
        // A silent relay is given up, instead of hanging all who look at the disk.
        let timeout = (self.timeout + GRACE).as_secs().to_string();
        let connections = CONNECTIONS.to_string();
        for (option, value) in [
            ("-N", self.export),
            ("-b", "4096"),
            ("-timeout", &timeout),
            ("-C", &connections),
        ] {
            arguments.extend([option.into(), value.into()]);
        }
        if !netlink {
            arguments.push("-nonetlink".into());
        }
        arguments
    }

    /// Connects one device; `Ok(false)` when another program took it first.
    pub(crate) async fn connect(&self, device: &Path, log: &Path) -> Result<bool> {
        for netlink in [true, false] {
            let said = run(&self.arguments(device, netlink), log).await?;
            match said {
                None => {
                    self.wait(device).await?;
                    nbd::tune(device);
                    if self.writable {
                        nbd::let_write(device)?;
                    }
                    return Ok(true);
                }
                Some(words) if is_busy(&words) => return Ok(false),
                Some(words) if netlink && words.contains("netlink") => {}
                Some(words) => bail!("nbd-client cannot connect {}: {words}", device.display()),
            }
        }
        bail!("nbd-client reaches the kernel neither by netlink nor by ioctl")
    }

    async fn wait(&self, device: &Path) -> Result<()> {
        let begun = Instant::now();
        while !nbd::has_size(device, self.size) {
            if begun.elapsed() > PATIENCE {
                bail!(
                    "{} does not show the export's {} bytes",
                    device.display(),
                    self.size
                );
            }
            sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

fn is_busy(words: &str) -> bool {
    [
        "already in use",
        "Device or resource busy",
        "being setup by another",
    ]
    .iter()
    .any(|sign| words.contains(sign))
}

/// Runs `nbd-client`; `None` when it succeeds, else its last words.
///
/// With ioctl it leaves a process behind, which keeps what it inherits: a pipe
/// would never end, so it writes into a file.
async fn run(arguments: &[OsString], log: &Path) -> Result<Option<String>> {
    let file = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
    let program = program(PROGRAM).unwrap_or_else(|| PROGRAM.into());
    let status = Command::new(&program)
        .args(arguments)
        .current_dir("/")
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .await
        .with_context(|| format!("cannot run {}", program.display()))?;
    if status.success() {
        return Ok(None);
    }
    let words = fs::read_to_string(log).unwrap_or_default();
    Ok(Some(words.trim().lines().collect::<Vec<_>>().join("; ")))
}

/// Disconnects a device; one that is not connected is left alone.
pub(crate) fn disconnect(device: &Path) -> Result<()> {
    let program = program(PROGRAM).unwrap_or_else(|| PROGRAM.into());
    let output = process::Command::new(program)
        .arg("-d")
        .arg(device)
        .stdin(Stdio::null())
        .output()
        .context("cannot run nbd-client")?;
    if !output.status.success() && nbd::is_connected(device) {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("nbd-client cannot disconnect {}: {words}", device.display());
    }
    Ok(())
}

pub(crate) fn program(name: &str) -> Option<PathBuf> {
    PATH.iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_stock_nbd_clients() {
        let wanted = Wanted {
            socket: Path::new("/run/s"),
            export: "r@1:uid=5",
            size: 4096,
            timeout: Duration::from_secs(5),
            writable: false,
        };
        let arguments = |netlink| {
            let arguments = wanted.arguments(Path::new("/dev/nbd2"), netlink);
            arguments.join(" ".as_ref()).into_string().unwrap()
        };
        let expected = "-unix /run/s /dev/nbd2 -N r@1:uid=5 -b 4096 -timeout 15 -C 2";
        assert_eq!(arguments(true), expected);
        assert_eq!(arguments(false), format!("{expected} -nonetlink"));
    }

    #[test]
    fn busy_is_told_from_broken() {
        assert!(is_busy("Error: nbd0 already in use"));
        assert!(!is_busy("Error: Socket failed: Connection refused"));
    }
}
