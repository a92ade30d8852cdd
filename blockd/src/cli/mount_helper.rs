//! The command lines of `mount.blockd` and `umount.blockd`: this program by other
//! names, which mount(8) and umount(8) call.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use clap::{ArgAction, Parser};

use super::{Cli, Command, attach::AttachArgs, state::StateArgs, values::running_program};
use crate::{
    attach::{self, DetachMode, DetachOptions},
    mount_helper::{attach_arguments, parse},
};

/// Attach an export, as mount(8) asks for it: `mount -t blockd URI DIR -o OPTIONS`
#[derive(Clone, Debug, Parser)]
#[command(name = "mount.blockd", bin_name = "mount.blockd", version, after_help = HELP)]
pub struct MountArgs {
    /// The NBD URI of the export, or a repository on this host
    pub uri: String,

    /// The directory to attach at
    pub mountpoint: PathBuf,

    /// Options, separated by commas
    #[arg(short = 'o', value_name = "OPTIONS")]
    pub options: Vec<String>,

    /// Pass over options that are not known
    #[arg(short = 's')]
    pub sloppy: bool,

    /// Check the options, and attach nothing
    #[arg(short = 'f')]
    pub fake: bool,

    /// Without meaning here: nothing is written to /etc/mtab
    #[arg(short = 'n')]
    pub no_mtab: bool,

    /// Print what was attached
    #[arg(short = 'v', action = ArgAction::Count)]
    pub verbose: u8,

    /// A mount namespace
    #[arg(short = 'N', value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// The type, blockd
    #[arg(short = 't', value_name = "TYPE")]
    pub kind: Option<String>,
}

const HELP: &str = "\
Options are those of `blockd attach`, whose --help explains them:

  uid=N gid=N             owner of the files
  ro                      read-only
  upper=state|tmpfs[:SIZE] cow=overlay|block volatile
                          where changes are kept, and how
  also=URI                another server; may be repeated
  token-file=FILE timeout=TIME connections=N hydrate cache-size=SIZE
  via=nbd|fuse any-ext4 allow-clear state=DIR

nosuid, nodev and noatime hold always. _netdev, nofail, noauto, x-… are for others.
A value with a comma stands in double quotes. In /etc/fstab:

  nbd://server/team/project@main /workspace blockd _netdev,nofail,uid=1000,gid=1000 0 0

  nbd://server/team/project@main /workspace blockd noauto,x-systemd.automount,_netdev 0 0

mount(8) looks for its helpers in /sbin:

  ln -s \"$(command -v blockd)\" /sbin/mount.blockd
  ln -s \"$(command -v blockd)\" /sbin/umount.blockd

Changes are kept by `umount`, as by `blockd detach`, which can also discard them. To
mount again what is mounted is no error.

Exit code: 0 success, 1 wrong call, 32 the attach failed.";

/// Detach, as umount(8) asks for it: `umount DIR`
#[derive(Clone, Debug, Parser)]
#[command(name = "umount.blockd", bin_name = "umount.blockd", version)]
#[command(
    after_help = "Changes are kept; `blockd detach --discard DIR` discards them.\n\n\
    Exit code: 0 success, 1 wrong call, 32 the detach failed."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct UnmountArgs {
    /// Where it is attached
    pub mountpoint: PathBuf,

    /// Also if processes use it, which go on in a tree that is not mounted any more
    #[arg(short = 'l')]
    pub lazy: bool,

    /// Without meaning here: reads of a server that is gone fail anyhow
    #[arg(short = 'f')]
    pub force: bool,

    /// Without meaning here: nothing is written to /etc/mtab
    #[arg(short = 'n')]
    pub no_mtab: bool,

    /// Without meaning here: it is not mounted read-only where it is busy
    #[arg(short = 'r')]
    pub read_only: bool,

    /// Print what was detached
    #[arg(short = 'v', action = ArgAction::Count)]
    pub verbose: u8,

    /// A mount namespace
    #[arg(short = 'N', value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// The type
    #[arg(short = 't', value_name = "TYPE")]
    pub kind: Option<String>,

    /// The state directory, of what attach did not tell umount(8) of
    #[command(flatten)]
    pub state: StateArgs,
}

/// Why a helper fails.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong, or `--help` was asked for.
    CommandLine(clap::Error),
    /// What was asked for cannot be done, or not by this user.
    Usage(anyhow::Error),
    /// It failed.
    Failed(anyhow::Error),
}

impl Failure {
    /// The exit code of mount(8).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::CommandLine(error) if !error.use_stderr() => 0,
            Self::CommandLine(_) | Self::Usage(_) => 1,
            Self::Failed(_) => 32,
        }
    }
}

/// What this program was called as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// `mount.blockd`
    Mount,
    /// `umount.blockd`
    Unmount,
}

impl Helper {
    /// The helper by whose name this program was called; `None`: it is `blockd`.
    pub fn called() -> Option<Self> {
        let name = env::args_os().next()?;
        let name = Path::new(&name).file_name().and_then(OsStr::to_str);
        [Self::Mount, Self::Unmount]
            .into_iter()
            .find(|helper| name == Some(helper.name()))
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mount => "mount.blockd",
            Self::Unmount => "umount.blockd",
        }
    }

    /// Does what the command line asks for; returns what is to be printed.
    ///
    /// # Errors
    ///
    /// As attach and detach; and when the command line asks for what they cannot do.
    pub fn run(self) -> Result<Option<String>, Failure> {
        match self {
            Self::Mount => MountArgs::try_parse().map_err(Failure::CommandLine)?.run(),
            Self::Unmount => UnmountArgs::try_parse()
                .map_err(Failure::CommandLine)?
                .run(),
        }
    }
}

impl MountArgs {
    fn run(&self) -> Result<Option<String>, Failure> {
        refuse_namespace(self.namespace.as_deref(), "mount -t blockd …")?;
        let args = self.attach_args().map_err(Failure::Usage)?;
        let options = args.options().map_err(Failure::Usage)?;
        if self.fake {
            return Ok(None);
        }
        let uri = options.relay.uri.to_string();
        let mounted = attach::mounted_at(&self.mountpoint).map_err(Failure::Failed)?;
        let said = if mounted.is_some_and(|mounted| mounted.uri == uri) {
            format!("{uri} is attached at {} already", self.mountpoint.display())
        } else {
            let report = args.attach(&options).map_err(Failure::Failed)?;
            for warning in &report.warnings {
                tracing::warn!("{warning}");
            }
            report.to_string()
        };
        Ok((self.verbose > 0).then_some(said))
    }

    /// The command line of attach that says the same.
    fn attach_args(&self) -> Result<AttachArgs> {
        let options = parse(&self.options.join(","))?;
        let arguments = attach_arguments(&options, self.sloppy)?;
        let words = ["blockd", "attach"].map(str::to_owned).into_iter();
        let words = words.chain(arguments).chain(["--".to_owned()]);
        let words = words.map(Into::into).chain([
            self.uri.as_str().into(),
            self.mountpoint.as_os_str().to_owned(),
        ]);
        match Cli::try_parse_from(words) {
            Ok(Cli {
                command: Command::Attach(args),
            }) => Ok(args),
            Ok(_) => Err(anyhow!("the words of attach are another command's")),
            Err(error) => Err(anyhow!("{}", said_by(&error))),
        }
    }
}

/// What clap says, without the usage of `blockd attach`.
fn said_by(error: &clap::Error) -> String {
    let text = error.to_string();
    let said = text.split("\n\n").next().unwrap_or(&text);
    said.trim_start_matches("error: ").to_owned()
}

impl UnmountArgs {
    fn run(&self) -> Result<Option<String>, Failure> {
        refuse_namespace(self.namespace.as_deref(), "umount …")?;
        let report = attach::detach(&self.options().map_err(Failure::Failed)?);
        let report = report.map_err(Failure::Failed)?;
        if report.export.is_none() {
            return Err(Failure::Failed(anyhow!("{report}")));
        }
        Ok((self.verbose > 0).then(|| report.to_string()))
    }

    /// The state directory is the one of the attachment.
    fn options(&self) -> Result<DetachOptions> {
        let state = match attach::mounted_at(&self.mountpoint)? {
            Some(mounted) => mounted.state,
            None => self.state.path()?,
        };
        Ok(DetachOptions {
            mountpoint: self.mountpoint.clone(),
            state,
            mode: if self.lazy {
                DetachMode::Lazy
            } else {
                DetachMode::FailIfBusy
            },
            discard: false,
            program: running_program().context("cannot start blockd once more")?,
        })
    }
}

/// mount(8) leaves it to its helper to enter another namespace.
fn refuse_namespace(namespace: Option<&str>, command: &str) -> Result<(), Failure> {
    match namespace {
        None => Ok(()),
        Some(namespace) => Err(Failure::Usage(anyhow!(
            "-N {namespace}: enter the namespace first, as with \
             `nsenter --mount={namespace} {command}`"
        ))),
    }
}
