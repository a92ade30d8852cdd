//! The handler of SIGBUS (signal-safety(7)): it reads atomics, calls mmap(2),
//! and nothing else.

use std::{
    io, mem, ptr,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, compiler_fence},
    },
};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use crate::git::sync::lock;

/// How many mappings can be watched at once: two of each pack that may be
/// mapped, and as many that are in use though they no longer may be.
const SLOTS: usize = 1 << 15;

/// A range of addresses that is watched; free if `end` is 0.
struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    damaged: AtomicBool,
    reported: AtomicBool,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        damaged: AtomicBool::new(false),
        reported: AtomicBool::new(false),
    }
}; SLOTS];

/// How many slots have ever been used: the others need not be searched.
static USED: AtomicUsize = AtomicUsize::new(0);
/// The slots below that are free.
static FREE: Mutex<Vec<usize>> = Mutex::new(Vec::new());
/// The size of a page in bytes.
static PAGE: AtomicUsize = AtomicUsize::new(0);
/// What was done before with a SIGBUS, which is done with all others.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

thread_local! {
    /// Whether this thread reads mappings that are not watched.
    static GUARDED: AtomicBool = const { AtomicBool::new(false) };
    /// How many pages of these were gone.
    static GONE: AtomicU64 = const { AtomicU64::new(0) };
}

/// A range of addresses is watched while this lives.
pub(super) struct Watch(&'static Slot, usize);

impl Watch {
    /// Watches `length` bytes from the address `start` on.
    ///
    /// # Errors
    ///
    /// Too many mappings are watched, or no handler can be installed.
    pub(super) fn over(start: usize, length: usize) -> io::Result<Self> {
        install()?;
        let reused = lock(&FREE).pop();
        let at = match reused {
            Some(at) => at,
            None => USED.fetch_add(1, Ordering::AcqRel),
        };
        let Some(slot) = TABLE.get(at) else {
            USED.fetch_sub(1, Ordering::AcqRel);
            let message = format!("more than {SLOTS} files are mapped into memory");
            return Err(io::Error::other(message));
        };
        slot.damaged.store(false, Ordering::Release);
        slot.reported.store(false, Ordering::Release);
        slot.start.store(start, Ordering::Release);
        let end = start.checked_add(length).expect("the kernel has mapped it");
        slot.end.store(end, Ordering::Release);
        Ok(Self(slot, at))
    }

    /// Whether zeros are in the place of a page.
    pub(super) fn is_damaged(&self) -> bool {
        // What was read is read before the mark.
        compiler_fence(Ordering::SeqCst);
        self.0.damaged.load(Ordering::Acquire)
    }

    /// Whether this is the first call.
    pub(super) fn report_once(&self) -> bool {
        !self.0.reported.swap(true, Ordering::AcqRel)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.end.store(0, Ordering::Release);
        lock(&FREE).push(self.1);
    }
}

/// Runs code of others that maps files, for as long as it runs only, and reads
/// them.
///
/// # Errors
///
/// A page was gone; what was read is not to be used.
pub(in crate::git) fn guarded<T>(run: impl FnOnce() -> T) -> io::Result<T> {
    install()?;
    let gone = || GONE.with(|gone| gone.load(Ordering::Relaxed));
    let guard = |on| GUARDED.with(|guarded| guarded.swap(on, Ordering::Relaxed));
    let before = (guard(true), gone());
    // The handler runs in between, which a compiler does not know.
    compiler_fence(Ordering::SeqCst);
    let ran = run();
    compiler_fence(Ordering::SeqCst);
    guard(before.0);
    if gone() == before.1 {
        return Ok(ran);
    }
    super::DAMAGED.fetch_add(1, Ordering::Relaxed);
    Err(io::Error::other(
        "a file was truncated while it was read, or the disk cannot read it",
    ))
}

/// Installs the handler, once.
fn install() -> io::Result<()> {
    static DONE: Mutex<bool> = Mutex::new(false);
    let mut done = lock(&DONE);
    if *done {
        return Ok(());
    }
    PAGE.store(page_size()?, Ordering::Release);
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = handle;
    #[expect(
        clippy::as_conversions,
        reason = "the only one from a function to its address"
    )]
    let handler = handler as libc::sighandler_t;
    #[expect(unsafe_code, reason = "functions of the C library")]
    // SAFETY: an action of zeros is valid, and is filled by sigemptyset(3) and
    // here; the handler has the type that SA_SIGINFO demands. `before` is written
    // before it is read. The handler can run only once `BEFORE` is set: no
    // mapping is watched yet, and another SIGBUS finds the default there.
    let before = unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        libc::sigemptyset(&raw mut action.sa_mask);
        action.sa_sigaction = handler;
        // On the stack that Rust gives each thread for signals.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        let mut before: libc::sigaction = mem::zeroed();
        if libc::sigaction(libc::SIGBUS, &raw const action, &raw mut before) != 0 {
            return Err(io::Error::last_os_error());
        }
        before
    };
    BEFORE.get_or_init(|| before);
    *done = true;
    Ok(())
}

fn page_size() -> io::Result<usize> {
    #[expect(unsafe_code, reason = "a function of the C library")]
    // SAFETY: sysconf(3) takes any number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).map_err(io::Error::other)
}

extern "C" fn handle(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    #[expect(unsafe_code, reason = "what the kernel hands to a handler")]
    // SAFETY: with SA_SIGINFO the kernel passes a valid `info`.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    // Positive: from the kernel, with the address that was read.
    if code > 0 && mark(address) && replace(address) {
        return;
    }
    give_back(code);
}

/// Marks the mappings that have the address. A slot that is changed at the same
/// time may be marked, too; that of this thread is not changed.
fn mark(address: usize) -> bool {
    let mut found = false;
    let used = USED.load(Ordering::Acquire).min(SLOTS);
    for slot in TABLE.iter().take(used) {
        let start = slot.start.load(Ordering::Acquire);
        if (start..slot.end.load(Ordering::Acquire)).contains(&address) {
            slot.damaged.store(true, Ordering::Release);
            found = true;
        }
    }
    if !found && GUARDED.with(|guarded| guarded.load(Ordering::Relaxed)) {
        GONE.with(|gone| gone.fetch_add(1, Ordering::Relaxed));
        found = true;
    }
    found
}

/// Puts a page of zeros at the address.
fn replace(address: usize) -> bool {
    let page = PAGE.load(Ordering::Acquire);
    let Some(within) = address.checked_rem(page) else {
        return false;
    };
    let start = ptr::without_provenance_mut(address.wrapping_sub(within));
    let flags = MapFlags::PRIVATE | MapFlags::FIXED;
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: replaces a page that is mapped for reading, and which nobody can
    // read: it belongs to a mapping that this module watches, or that a guarded
    // thread has made. It is unmapped together with the rest of it.
    unsafe { mmap_anonymous(start, page, ProtFlags::READ, flags) }.is_ok()
}

/// Lets the process do with this signal, and with all later ones, what it would
/// do without the handler.
fn give_back(code: libc::c_int) {
    let before = BEFORE.get();
    #[expect(unsafe_code, reason = "functions of the C library")]
    // SAFETY: sigaction(2) and raise(3) may be called in a handler; the action is
    // one that the system has returned, or the default one, which is zeros.
    unsafe {
        let default = mem::zeroed();
        let action: &libc::sigaction = before.unwrap_or(&default);
        libc::sigaction(libc::SIGBUS, ptr::from_ref(action), ptr::null_mut());
        // Sent by a process, it does not come again by itself.
        if code <= 0 {
            libc::raise(libc::SIGBUS);
        }
    }
}
