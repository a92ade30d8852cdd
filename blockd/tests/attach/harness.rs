//! An ext4 image made by mke2fs, nbdkit as the server, blockd, and checks of what is
//! left behind.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Everything takes milliseconds; this is for a busy machine.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Fails with the reason where the tests cannot run.
fn check_machine() {
    assert!(
        rustix::process::geteuid().is_root(),
        "attaching mounts file systems: run these tests as root"
    );
    for (program, package) in [
        ("nbdkit", "nbdkit"),
        ("mke2fs", "e2fsprogs"),
        ("git", "git"),
        ("sleep", "coreutils"),
    ] {
        let found = Command::new(program).arg("--version").output();
        assert!(
            found.is_ok(),
            "{program} is missing: install Debian's package {package}"
        );
    }
}

/// Runs a program that must succeed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs git with an author.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    run(Command::new("git")
        .current_dir(directory)
        .args(["-c", "user.name=A", "-c", "user.email=a@example.org"])
        .args(arguments))
}

/// An ext4 image of a small clone, made once.
pub(crate) fn image() -> &'static Path {
    static IMAGE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let made = IMAGE.get_or_init(|| {
        check_machine();
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("source");
        fs::create_dir_all(source.join("src/deep")).unwrap();
        for number in 0..50 {
            let content = format!("file {number}\n").repeat(number * 20);
            fs::write(source.join(format!("src/deep/{number}.txt")), content).unwrap();
        }
        fs::write(source.join("README"), "a repository\n").unwrap();
        symlink("src/deep/7.txt", source.join("link")).unwrap();
        git(&source, &["init", "-q", "-b", "main"]);
        git(&source, &["add", "."]);
        git(&source, &["commit", "-q", "-m", "first"]);
        let image = directory.path().join("image");
        let mut mke2fs = Command::new("mke2fs");
        mke2fs.args(["-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal", "-d"]);
        run(mke2fs.arg(&source).arg(&image).arg("64M"));
        (directory, image)
    });
    &made.1
}

/// A new mount namespace copies all mounts, those of other tests too: a test that
/// makes one runs alone.
static NAMESPACE: RwLock<()> = RwLock::new(());

#[derive(Debug)]
#[expect(dead_code, reason = "held, not looked at")]
enum Guard {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

/// One server, one mountpoint, one state directory.
#[derive(Debug)]
pub(crate) struct Bench {
    directory: TempDir,
    server: Child,
    _guard: Guard,
}

impl Bench {
    /// nbdkit serves the image under any name.
    pub(crate) fn new() -> Self {
        Self::with_server(&["file", &image().display().to_string()])
    }

    /// The same as [`Bench::new`], while no other test has a bench.
    pub(crate) fn alone() -> Self {
        let guard = NAMESPACE.write().unwrap_or_else(PoisonError::into_inner);
        Self::start(
            &["file", &image().display().to_string()],
            Guard::Alone(guard),
        )
    }

    /// nbdkit with these arguments.
    pub(crate) fn with_server(arguments: &[&str]) -> Self {
        let guard = NAMESPACE.read().unwrap_or_else(PoisonError::into_inner);
        Self::start(arguments, Guard::Shared(guard))
    }

    /// The server that `command` starts, given a directory and its socket.
    pub(crate) fn with_command(command: impl FnOnce(&Path, &Path) -> Command) -> Self {
        let guard = NAMESPACE.read().unwrap_or_else(PoisonError::into_inner);
        Self::start_server(command, Guard::Shared(guard))
    }

    fn start(arguments: &[&str], guard: Guard) -> Self {
        let start = |_: &Path, socket: &Path| {
            let mut server = Command::new("nbdkit");
            server.args(["--foreground", "--readonly", "--unix"]);
            server.arg(socket).args(arguments);
            server
        };
        Self::start_server(start, guard)
    }

    fn start_server(command: impl FnOnce(&Path, &Path) -> Command, guard: Guard) -> Self {
        check_machine();
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("m")).unwrap();
        let socket = directory.path().join("s");
        let mut server = command(directory.path(), &socket);
        let server = server.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let server = server.unwrap();
        wait_until("the server listens", || {
            UnixStream::connect(&socket).is_ok()
        });
        Self {
            directory,
            server,
            _guard: guard,
        }
    }

    pub(crate) fn mountpoint(&self) -> PathBuf {
        self.directory.path().join("m")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn uri(&self, export: &str) -> String {
        format!(
            "nbd+unix:///{export}?socket={}",
            self.directory.path().join("s").display()
        )
    }

    pub(crate) fn server(&self) -> Pid {
        pid(self.server.id())
    }

    /// `blockd` with a state directory of its own.
    pub(crate) fn blockd(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blockd"));
        command.args(arguments).arg("--state").arg(self.state());
        // Images are mke2fs's.
        command.env("BLOCKD_ANY_EXT4", "1");
        command
    }

    pub(crate) fn attach_command(&self, export: &str, more: &[&str]) -> Command {
        self.attach_at_command("m", export, more)
    }

    /// At another mountpoint than usual, which is made.
    pub(crate) fn attach_at_command(&self, name: &str, export: &str, more: &[&str]) -> Command {
        fs::create_dir_all(self.path(name)).unwrap();
        let mut command = self.blockd(&["attach", "--via", "fuse", "--json", &self.uri(export)]);
        command.arg(self.path(name)).args(more);
        command
    }

    pub(crate) fn attach_at(&self, name: &str, export: &str, more: &[&str]) -> Value {
        serde_json::from_str(&run(&mut self.attach_at_command(name, export, more))).unwrap()
    }

    pub(crate) fn attach(&self, export: &str, more: &[&str]) -> Value {
        serde_json::from_str(&run(&mut self.attach_command(export, more))).unwrap()
    }

    /// The error of an attach that must fail and leave nothing.
    pub(crate) fn refused(&self, export: &str, more: &[&str]) -> String {
        let error = failure(&mut self.attach_command(export, more));
        self.nothing_is_left();
        error
    }

    pub(crate) fn detach_command(&self, more: &[&str]) -> Command {
        self.detach_from_command("m", more)
    }

    pub(crate) fn detach_from_command(&self, name: &str, more: &[&str]) -> Command {
        let mut command = self.blockd(&["detach", "--json"]);
        command.arg(self.path(name)).args(more);
        command
    }

    pub(crate) fn detach_from(&self, name: &str, more: &[&str]) -> Value {
        serde_json::from_str(&run(&mut self.detach_from_command(name, more))).unwrap()
    }

    pub(crate) fn detach(&self, more: &[&str]) -> Value {
        serde_json::from_str(&run(&mut self.detach_command(more))).unwrap()
    }

    /// The only relay.
    pub(crate) fn relay(&self) -> Pid {
        let processes = self.processes("relay-daemon");
        assert_eq!(processes.len(), 1, "{processes:?}");
        pid(processes[0])
    }

    /// The relays.
    pub(crate) fn relays(&self) -> Vec<Pid> {
        self.processes_with("relay-daemon")
    }

    pub(crate) fn processes_with(&self, word: &str) -> Vec<Pid> {
        self.processes(word).into_iter().map(pid).collect()
    }

    /// The processes of blockd for this bench that have a word in their command line.
    fn processes(&self, word: &str) -> Vec<u32> {
        let needle = self.state().display().to_string();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| {
            let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.contains("blockd") && words.contains(&needle) && words.contains(word)
        })
        .collect()
    }

    /// What a reboot takes away, and what it changes: every mount, every process,
    /// every device, and the machine's boot id.
    pub(crate) fn reboot(&self, attached: &[&str]) {
        for name in attached {
            run(Command::new("umount").arg(self.path(name)));
        }
        let lower = self.state().join("lowers").join(&self.entries("lowers")[0]);
        run(Command::new("umount").arg(lower.join("mount")));
        run(Command::new("umount").arg(lower.join("device")));
        for place in self.entries("places") {
            let memory = self.state().join("places").join(&place).join("memory");
            if memory.exists() {
                run(Command::new("umount").arg(memory));
            }
        }
        wait_until("the relays have ended", || self.relays().is_empty());
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let files = run(Command::new("grep")
            .args(["-rl", boot.trim()])
            .arg(self.state()));
        for file in files.lines() {
            let text = fs::read_to_string(file).unwrap();
            fs::write(file, text.replace(boot.trim(), "another-boot")).unwrap();
        }
    }

    fn left(&self) -> Vec<String> {
        let needle = self.directory.path().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = mounts
            .lines()
            .filter(|line| line.contains(&needle))
            .map(str::to_owned);
        let loops = fs::read_dir("/sys/block")
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                let file = fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
                file.contains(&needle).then_some(file)
            });
        let processes = self
            .processes("")
            .into_iter()
            .map(|pid| format!("process {pid}"));
        let lowers = self.entries("lowers").into_iter().map(|name| {
            let files = fs::read_dir(self.state().join("lowers").join(&name));
            let files = files.into_iter().flatten().flatten();
            let files: Vec<_> = files.map(|file| file.file_name()).collect();
            format!("the lower layer {name} with {files:?}")
        });
        mounts.chain(loops).chain(processes).chain(lowers).collect()
    }

    /// The names in a directory of the state directory.
    pub(crate) fn entries(&self, what: &str) -> Vec<String> {
        let entries = fs::read_dir(self.state().join(what)).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    /// No mount, no loop device, no process, no lower layer.
    pub(crate) fn nothing_is_left(&self) {
        let left = self.left();
        assert!(left.is_empty(), "left behind: {left:#?}");
    }

    pub(crate) fn nothing_will_be_left(&self) {
        let start = Instant::now();
        while !self.left().is_empty() && start.elapsed() < TIMEOUT {
            thread::sleep(Duration::from_millis(5));
        }
        self.nothing_is_left();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for name in fs::read_dir(self.directory.path()).unwrap().flatten() {
            let name = name.file_name().into_string().unwrap();
            if name.starts_with('m') {
                let _cleaned = self.detach_from_command(&name, &["--lazy"]).output();
            }
        }
        let _killed = self.server.kill();
        let _ended = self.server.wait();
    }
}

/// The standard error of a program that must fail.
pub(crate) fn failure(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let error = String::from_utf8(stderr).unwrap();
    assert!(!status.success(), "{command:?} succeeds");
    assert!(!error.contains("panicked"), "{error}");
    error
}

/// Waits until `condition` holds.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TIMEOUT, "timeout: waiting until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a program waits for a disk: it is in uninterruptible sleep
/// (`proc_pid_stat(5)`).
pub(crate) fn wait_until_blocked(child: &Child, name: &str) {
    let stat = format!("/proc/{}/stat", child.id());
    let blocked = format!("({name}) D ");
    wait_until("the program waits for the disk", || {
        fs::read_to_string(&stat).unwrap().contains(&blocked)
    });
}

/// Whether a read fails with EIO, as from a disk that is gone.
pub(crate) fn fails_with_eio(path: &Path) -> bool {
    let eio = rustix::io::Errno::IO.raw_os_error();
    fs::read(path).is_err_and(|error| error.raw_os_error() == Some(eio))
}

pub(crate) fn pid(id: u32) -> Pid {
    Pid::from_raw(id.try_into().unwrap()).unwrap()
}

pub(crate) fn send(process: Pid, what: Signal) {
    kill_process(process, what).unwrap();
}
