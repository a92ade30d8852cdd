//! Freed memory goes back to the system, so that the bounds of a server bound
//! what it has resident.
//!
//! glibc keeps for each thread what its largest plan took: it has up to eight
//! arenas (malloc(3)) a core, returns of each but the top, and once a large block
//! was freed takes larger ones from arenas too, up to 32 MiB. Plans that were
//! refused thus stay resident many times over.

/// How many arenas threads share. Each keeps at most what was in it at once; small
/// blocks are taken from a cache of the thread's own, so that few threads meet.
#[cfg(target_env = "gnu")]
const ARENAS: libc::c_int = 4;

/// From so many bytes on, a block is a mapping of its own, which freeing ends: the
/// tables of large plans, and buffers of large reads. To set it ends its growth.
#[cfg(target_env = "gnu")]
const MAPPED: libc::c_int = 1 << 20;

/// Has the C library return freed memory. Without effect on one that is not
/// glibc.
#[cfg(target_env = "gnu")]
pub(super) fn return_freed_memory() {
    for (option, value) in [
        (libc::M_ARENA_MAX, ARENAS),
        (libc::M_MMAP_THRESHOLD, MAPPED),
    ] {
        #[expect(unsafe_code, reason = "a function of the C library")]
        // SAFETY: mallopt(3) takes any numbers, and locks what it changes.
        let set = unsafe { libc::mallopt(option, value) };
        if set == 0 {
            tracing::warn!(option, value, "mallopt(3) refuses an option");
        }
    }
}

#[cfg(not(target_env = "gnu"))]
pub(super) fn return_freed_memory() {}
