//! Running nbd-client(8).

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{self, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::{process::Command, time::sleep};

use super::nbd;
use crate::{attach::layers::programs, device_node::Device};

pub(crate) const PROGRAM: &str = "nbd-client";
/// How much longer than the relay the kernel waits: it must not give up a relay
/// that is about to give up a server.
const EXTRA_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections to the relay. Each has a request queue of its own in the kernel.
const CONNECTIONS: usize = 2;
/// How long a device may take to have its size.
const SIZE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a device is to be connected to.
#[derive(Clone, Debug)]
pub(crate) struct ConnectSpec<'a> {
    /// The socket of the relay.
    pub(crate) socket: &'a Path,
    pub(crate) export: &'a str,
    /// Size of the export in bytes.
    pub(crate) size: u64,
    /// How long the relay waits for a server before it answers with an error.
    pub(crate) timeout: Duration,
    /// Whether the device is to be written to.
    pub(crate) writable: bool,
}

impl ConnectSpec<'_> {
    /// The arguments of nbd-client. In a container with a network namespace of its
    /// own it cannot use netlink; ioctl works there. With netlink it takes the number
    /// out of the path and opens nothing.
    fn arguments(&self, device: &Path, netlink: bool) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["-unix".into(), self.socket.into(), device.into()];
        // Without a timeout, whoever uses the disk hangs with a relay that hangs.
        let timeout = (self.timeout + EXTRA_TIMEOUT).as_secs().to_string();
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

    /// Connects a device; `false` when another program has taken it meanwhile.
    ///
    /// # Errors
    ///
    /// When nbd-client fails for another reason, or the device does not get the
    /// size of the export.
    pub(crate) async fn connect(&self, device: &Path, log: &Path) -> Result<bool> {
        for netlink in [true, false] {
            let node = Device::block(device)?.node()?;
            let path = if netlink { device } else { node.path() };
            let failure = run(&self.arguments(path, netlink), log).await?;
            match failure {
                None => {
                    self.wait_for_size(device).await?;
                    nbd::tune(device);
                    if self.writable {
                        nbd::make_writable(device)?;
                    }
                    return Ok(true);
                }
                Some(output) if is_busy(&output) => return Ok(false),
                Some(output) if netlink && output.contains("netlink") => {}
                Some(output) => bail!("nbd-client cannot connect {}: {output}", device.display()),
            }
        }
        bail!("nbd-client can use neither netlink nor ioctl")
    }

    async fn wait_for_size(&self, device: &Path) -> Result<()> {
        let begun = Instant::now();
        while !nbd::has_size(device, self.size) {
            if begun.elapsed() > SIZE_TIMEOUT {
                bail!(
                    "{} does not get the size of the export, {} bytes",
                    device.display(),
                    self.size
                );
            }
            sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

fn is_busy(output: &str) -> bool {
    [
        "already in use",
        "Device or resource busy",
        "being setup by another",
    ]
    .iter()
    .any(|message| output.contains(message))
}

/// Runs nbd-client; returns its output when it fails.
///
/// With ioctl it leaves a process behind that inherits its output: a pipe would
/// never end, so it writes into a file.
async fn run(arguments: &[OsString], log: &Path) -> Result<Option<String>> {
    let file = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
    let status = Command::new(program()?)
        .args(arguments)
        .current_dir("/")
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .await
        .context("cannot run nbd-client")?;
    if status.success() {
        return Ok(None);
    }
    let output = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    let output = String::from_utf8_lossy(&output);
    Ok(Some(output.trim().lines().collect::<Vec<_>>().join("; ")))
}

/// Disconnects a device; one that is not connected is left alone.
///
/// # Errors
///
/// When nbd-client fails and the device is still connected.
pub(crate) fn disconnect(device: &Path) -> Result<()> {
    let output = process::Command::new(program()?)
        .arg("-d")
        .arg(device)
        .stdin(Stdio::null())
        .output()
        .context("cannot run nbd-client")?;
    if !output.status.success() && nbd::is_connected(device) {
        let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!(
            "nbd-client cannot disconnect {}: {output}",
            device.display()
        );
    }
    Ok(())
}

fn program() -> Result<PathBuf> {
    programs::find(PROGRAM)
        .context("nbd-client is not installed: install Debian's package nbd-client")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_those_of_nbd_client() {
        let spec = ConnectSpec {
            socket: Path::new("/run/s"),
            export: "r@1:uid=5",
            size: 4096,
            timeout: Duration::from_secs(5),
            writable: false,
        };
        let arguments = |netlink| {
            let arguments = spec.arguments(Path::new("/dev/nbd2"), netlink);
            arguments.join(" ".as_ref()).into_string().unwrap()
        };
        let expected = "-unix /run/s /dev/nbd2 -N r@1:uid=5 -b 4096 -timeout 15 -C 2";
        assert_eq!(arguments(true), expected);
        assert_eq!(arguments(false), format!("{expected} -nonetlink"));
    }

    #[test]
    fn a_busy_device_is_distinguished_from_other_failures() {
        assert!(is_busy("Error: nbd0 already in use"));
        assert!(!is_busy("Error: Socket failed: Connection refused"));
    }
}
