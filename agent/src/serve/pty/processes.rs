//! The processes that a program leaves behind, found in `/proc`.

use std::{
    collections::HashSet,
    fs, io,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{
        Pid, Signal, WaitOptions, child_subreaper, getpid, kill_process, set_child_subreaper,
        waitpid,
    },
};

/// How often the processes are listed, since they may fork meanwhile.
const MAX_ROUNDS: u32 = 100;
const ROUND_INTERVAL: Duration = Duration::from_millis(20);

/// Makes this process the parent of orphans below it, so that none escapes
/// (`PR_SET_CHILD_SUBREAPER`).
///
/// # Errors
///
/// When the kernel refuses.
pub fn become_subreaper() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

#[derive(Debug, Clone, Copy)]
struct Process {
    pid: Pid,
    parent: i32,
    state: char,
}

/// All processes that `/proc` lists.
fn processes() -> io::Result<Vec<Process>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        // Other names are no processes.
        let pid = name.to_str().and_then(|name| name.parse().ok());
        all.extend(pid.and_then(process));
    }
    Ok(all)
}

/// One process (`proc_pid_stat(5)`), if it still exists. Its name stands in
/// parentheses and may hold any byte.
fn process(pid: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    Some(Process {
        pid: Pid::from_raw(pid)?,
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
    })
}

/// Whether a process has `marker`, a `NAME=value`, in its environment. That of
/// another user's process cannot be read, and does not count.
fn has_marker(pid: Pid, marker: &str) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
    environment.is_ok_and(|bytes| {
        bytes
            .split(|byte| *byte == 0)
            .any(|entry| entry == marker.as_bytes())
    })
}

/// Kills what is left of a program: what descends from it, and what has its
/// marker in the environment. A subreaper has no other children, so all that it
/// has are orphans of the program's, marked or not. Blocks for some time.
/// Returns how many processes there were.
///
/// # Errors
///
/// When `/proc` cannot be read.
pub fn kill_descendants(program: Pid, marker: &str) -> io::Result<usize> {
    let own = getpid();
    let mut family = HashSet::from([program.as_raw_nonzero().get()]);
    if matches!(child_subreaper(), Ok(Some(_))) {
        family.insert(own.as_raw_nonzero().get());
    }
    let mut killed = HashSet::new();
    for _ in 0..MAX_ROUNDS {
        let mut alive = processes()?;
        alive.retain(|process| process.state != 'Z' && process.pid != own);
        add_descendants(&mut family, &alive);
        alive.retain(|process| {
            process.pid != program
                && (family.contains(&process.pid.as_raw_nonzero().get())
                    || has_marker(process.pid, marker))
        });
        if alive.is_empty() {
            return Ok(killed.len());
        }
        for process in alive {
            killed.insert(process.pid);
            match kill_process(process.pid, Signal::KILL) {
                // It has ended meanwhile.
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => tracing::warn!(?process, %error, "cannot kill a descendant"),
            }
        }
        thread::sleep(ROUND_INTERVAL);
    }
    tracing::warn!("the program's descendants could not all be killed");
    Ok(killed.len())
}

/// Adds the descendants of a family to it.
fn add_descendants(family: &mut HashSet<i32>, alive: &[Process]) {
    loop {
        let before = family.len();
        for process in alive {
            if family.contains(&process.parent) {
                family.insert(process.pid.as_raw_nonzero().get());
            }
        }
        if family.len() == before {
            return;
        }
    }
}

/// Takes care of the children of this process: reaps orphans that have ended,
/// and continues the program when it is stopped.
#[derive(Debug, Default)]
pub struct Reaper {
    /// The program that a thread waits for. Held while one is spawned: a program
    /// that ends at once must not be taken for an orphan.
    program: Mutex<Option<Pid>>,
}

impl Reaper {
    /// The program, which is not to be reaped.
    pub fn program(&self) -> MutexGuard<'_, Option<Pid>> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Continues the program if it is stopped. Returns whether it was.
    pub fn continue_stopped(&self) -> bool {
        let program = *self.program();
        let Some(pid) = program else {
            return false;
        };
        let stopped =
            process(pid.as_raw_nonzero().get()).is_some_and(|process| process.state == 'T');
        // It may have been killed since: then it is not stopped any more.
        stopped && kill_process(pid, Signal::CONT).is_ok()
    }

    /// Reaps orphans that have ended.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn reap(&self) -> io::Result<()> {
        let program = self.program();
        let own = getpid().as_raw_nonzero().get();
        for process in processes()? {
            if process.state != 'Z' || process.parent != own || Some(process.pid) == *program {
                continue;
            }
            match waitpid(Some(process.pid), WaitOptions::NOHANG) {
                // Another thread that waits for it may be first.
                Ok(_) | Err(Errno::CHILD) => {}
                Err(error) => tracing::warn!(?process, %error, "cannot reap a process"),
            }
        }
        Ok(())
    }
}
