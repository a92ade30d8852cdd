//! A relay in the background.
//!
//! ```text
//! attach ─exec─► relay --daemon ─setsid, exec─► relay --detached: serves
//!    ▲              │ exits: the relay's parent is init     │
//!    └── one line ◄─┴── one line: ready, or why not ◄───────┘
//! ```

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::fd::{BorrowedFd, RawFd},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use rustix::{
    io::{Errno, FdFlags, fcntl_setfd},
    mm::{MlockAllFlags, mlockall},
    process::setsid,
};
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::cli::{relay::RelayArgs, values::running_program};

/// The one line that a relay in the background writes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Greeting {
    /// It serves.
    Ready,
    /// It will not.
    Failed(String),
}

impl Greeting {
    pub(super) fn say(&self) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        let mut pipe = io::stdout().lock();
        pipe.write_all(&line)?;
        pipe.flush()
    }
}

/// Leaves the terminal, starts the relay, passes its greeting on, and lets
/// init have it.
pub(super) fn launch(args: &RelayArgs) -> Result<()> {
    let args = args.absolute()?;
    // The leader of a process group (a job of a shell) has a session already.
    let _alone = setsid();
    inherit_nothing().context("cannot close the caller's files")?;
    let mut relay = Command::new(running_program()?)
        .args(args.detached())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the relay")?;
    let mut line = String::new();
    if let Some(pipe) = relay.stdout.take() {
        BufReader::new(pipe).read_line(&mut line)?;
    }
    let greeting = serde_json::from_str(&line)
        .unwrap_or_else(|_| Greeting::Failed("the relay died; its log says why".to_owned()));
    greeting.say().context("nobody hears the greeting")?;
    match greeting {
        Greeting::Ready => Ok(()),
        Greeting::Failed(reason) => bail!("{reason}"),
    }
}

/// A file that a shell left open to us (a lock, a pipe) would stay open for as
/// long as the disk lives.
pub(crate) fn inherit_nothing() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")?.flatten() {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|number| number.parse().ok());
        let Some(number) = number.filter(|number: &RawFd| *number > 2) else {
            continue;
        };
        // SAFETY: the descriptor was open a moment ago; were it closed since,
        // the call would fail with EBADF and do nothing.
        #[expect(unsafe_code, reason = "descriptors of others have no safe handle")]
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        match fcntl_setfd(file, FdFlags::CLOEXEC) {
            Ok(()) | Err(Errno::BADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A disk must not wait for memory that is written out to that disk, nor die
/// before its users do.
pub(super) fn stay_in_memory() {
    if let Err(error) = fs::write("/proc/self/oom_score_adj", "-1000") {
        info!("oom_score_adj stays as it is: {error}");
    }
    // With a limit, what is mapped beyond it later would fail.
    if !may_lock_all() {
        info!("the memory is not locked: that needs CAP_IPC_LOCK");
        return;
    }
    // Pages are locked when they are first used: what is only reserved, as
    // most of a thread's stack is, costs nothing.
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if let Err(error) = mlockall(flags) {
        info!("the memory is not locked: {error}");
    }
}

fn may_lock_all() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    set.is_some_and(|set| set >> CAP_IPC_LOCK & 1 == 1)
}
