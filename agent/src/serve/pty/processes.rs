//! The processes a program leaves behind, found in `/proc`.

use std::{
    collections::HashSet,
    fs, io,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::process::{
    Pid, Signal, WaitOptions, child_subreaper, getpid, kill_process, set_child_subreaper, waitpid,
};

/// How often the processes are looked through, since they fork meanwhile.
const ROUNDS: u32 = 20;
const BETWEEN_ROUNDS: Duration = Duration::from_millis(20);

/// Makes orphans below this process its children, so that none gets away.
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

/// All processes there are.
fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter_map(|name| process(name.parse().ok()?))
        .collect()
}

/// One process (`proc_pid_stat(5)`). Its name stands in parentheses and may hold any byte.
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

/// Whether a process carries `marker`, a `NAME=value`, in its environment.
fn carries(pid: Pid, marker: &str) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
    environment.is_ok_and(|bytes| {
        bytes
            .split(|byte| *byte == 0)
            .any(|entry| entry == marker.as_bytes())
    })
}

/// Kills what is left of a program: what descends from it, and what carries
/// its marker in the environment. A subreaper has no other children, so all
/// that it has are orphans of the program's, marked or not. Blocks for some
/// time. Gives how many there were.
pub fn kill_descendants(program: Pid, marker: &str) -> usize {
    let own = getpid();
    let mut family = HashSet::from([program.as_raw_nonzero().get()]);
    if matches!(child_subreaper(), Ok(Some(_))) {
        family.insert(own.as_raw_nonzero().get());
    }
    let mut killed = HashSet::new();
    for _ in 0..ROUNDS {
        let mut alive = processes();
        alive.retain(|process| process.state != 'Z' && process.pid != own);
        // Parents mostly come before their children.
        for _ in 0..4 {
            let born = alive
                .iter()
                .filter(|process| family.contains(&process.parent));
            let pids: Vec<_> = born
                .map(|process| process.pid.as_raw_nonzero().get())
                .collect();
            family.extend(pids);
        }
        alive.retain(|process| {
            process.pid != program
                && (family.contains(&process.pid.as_raw_nonzero().get())
                    || carries(process.pid, marker))
        });
        if alive.is_empty() {
            break;
        }
        for process in alive {
            killed.insert(process.pid);
            // It may be gone already.
            let _sent = kill_process(process.pid, Signal::KILL);
        }
        thread::sleep(BETWEEN_ROUNDS);
    }
    killed.len()
}

/// Takes care of the children of this process: collects dead orphans, and
/// wakes the program if it was stopped.
#[derive(Debug, Default)]
pub struct Reaper {
    /// The program that somebody waits for already. Held while one is
    /// spawned: a program that ends at once must not be taken for an orphan.
    program: Mutex<Option<Pid>>,
}

impl Reaper {
    /// The program that is not to be reaped.
    pub fn program(&self) -> MutexGuard<'_, Option<Pid>> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Continues the program if it is stopped; true when it was.
    pub fn wake(&self) -> bool {
        let program = *self.program();
        let Some(pid) = program else {
            return false;
        };
        let stopped =
            process(pid.as_raw_nonzero().get()).is_some_and(|process| process.state == 'T');
        stopped && kill_process(pid, Signal::CONT).is_ok()
    }

    /// Collects dead orphans.
    pub fn reap(&self) {
        let program = self.program();
        let own = getpid().as_raw_nonzero().get();
        let dead = processes().into_iter();
        let dead = dead.filter(|process| process.state == 'Z' && process.parent == own);
        for process in dead.filter(|process| Some(process.pid) != *program) {
            // Whoever else waited for it was first.
            let _reaped = waitpid(Some(process.pid), WaitOptions::NOHANG);
        }
    }
}
