//! Loop devices (loop(4)).

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use rustix::{
    io::Errno,
    ioctl::{self, Ioctl, IoctlOutput, NoArg, Opcode, Setter},
};

use super::probe;
use crate::device_node::Device;

const LOOP_CLR_FD: Opcode = 0x4C01;
const LOOP_CONFIGURE: Opcode = 0x4C0A;
const LOOP_CTL_GET_FREE: Opcode = 0x4C82;

const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// How often another program may take the device that the kernel offered.
const ATTEMPTS: u32 = 64;

/// `struct loop_info64` of linux/loop.h.
#[repr(C)]
#[derive(Debug)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of linux/loop.h.
#[repr(C)]
#[derive(Debug)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// `LOOP_CTL_GET_FREE`: the number is the return value.
struct GetFree;

// SAFETY: LOOP_CTL_GET_FREE takes no argument, writes nothing, and returns a
// number (loop(4)).
#[expect(unsafe_code, reason = "rustix has no call for the loop driver")]
unsafe impl Ioctl for GetFree {
    type Output = IoctlOutput;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        LOOP_CTL_GET_FREE
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(
        number: IoctlOutput,
        _: *mut std::ffi::c_void,
    ) -> rustix::io::Result<Self::Output> {
        Ok(number)
    }
}

/// A loop device that unbinds itself when it is not open any more: it exists while
/// this does, and then while it is mounted.
#[derive(Debug)]
pub(crate) struct LoopDevice {
    path: PathBuf,
    #[expect(dead_code, reason = "the device lives as long as the file")]
    file: File,
}

impl LoopDevice {
    /// Binds a free loop device to `backing`, with blocks of 4096 bytes. It is
    /// buffered: the readahead of the FUSE file saves more than the second copy in
    /// the page cache costs.
    ///
    /// # Errors
    ///
    /// When a file or device cannot be opened, or no loop device is free.
    pub(crate) fn bind(backing: &Path, writable: bool) -> Result<Self> {
        let file = open_for(backing, writable)
            .with_context(|| format!("cannot open {}", backing.display()))?;
        let control = probe::open_loop_control().context("attach needs the kernel's loop driver (modprobe loop), and in a container /dev/loop-control")?;
        for _ in 0..ATTEMPTS {
            let number = get_free(&control)?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = open(&path, writable)?;
            match configure(&device, &file, writable) {
                Ok(()) => return Ok(Self { path, file: device }),
                Err(Errno::BUSY) => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot set up {}", path.display()));
                }
            }
        }
        bail!("no loop device stays free: other programs take each before it can be bound")
    }

    /// `/dev/loopN`, whether it is there or not.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn open_for(path: &Path, writable: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(writable).open(path)
}

fn open(path: &Path, writable: bool) -> Result<File> {
    let device = Device::block(path)?;
    let opened = device.open(OpenOptions::new().read(true).write(writable));
    opened.context("in a container, pass the host's loop devices in")
}

fn get_free(control: &File) -> Result<IoctlOutput> {
    // SAFETY: the file is /dev/loop-control, whose ioctl this is.
    #[expect(unsafe_code, reason = "rustix has no call for the loop driver")]
    let number = unsafe { ioctl::ioctl(control, GetFree) };
    number.context("no loop device is free, and the kernel makes no other")
}

fn configure(device: &File, backing: &File, writable: bool) -> rustix::io::Result<()> {
    let fd = u32::try_from(backing.as_raw_fd()).map_err(|_| Errno::BADF)?;
    let info = LoopInfo {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: LO_FLAGS_AUTOCLEAR | if writable { 0 } else { LO_FLAGS_READ_ONLY },
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
    let config = LoopConfig {
        fd,
        block_size: 4096,
        info,
        reserved: [0; 8],
    };
    // SAFETY: LOOP_CONFIGURE reads one `struct loop_config`, which `LoopConfig`
    // is field by field (the test below holds its size); it writes nothing.
    #[expect(unsafe_code, reason = "rustix has no call for the loop driver")]
    unsafe {
        ioctl::ioctl(device, Setter::<LOOP_CONFIGURE, LoopConfig>::new(config))
    }
}

/// The loop devices that are bound to `backing`.
///
/// # Errors
///
/// When sysfs is not mounted.
pub(crate) fn bound_to(backing: &Path) -> io::Result<Vec<PathBuf>> {
    let mut bound = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        // A device that is not bound, or no loop device, has no such file.
        let file = fs::read_to_string(entry.path().join("loop/backing_file"));
        if file.is_ok_and(|file| Path::new(file.trim_end_matches('\n')) == backing) {
            bound.push(Path::new("/dev").join(entry.file_name()));
        }
    }
    Ok(bound)
}

/// Unbinds a loop device, now or when it is not open any more.
///
/// # Errors
///
/// When it cannot be opened, or the kernel refuses.
pub(crate) fn clear(device: &Path) -> Result<()> {
    let device = Device::block(device)?.open(OpenOptions::new().read(true))?;
    // SAFETY: LOOP_CLR_FD takes no argument and writes nothing.
    #[expect(unsafe_code, reason = "rustix has no call for the loop driver")]
    let cleared = unsafe { ioctl::ioctl(&device, NoArg::<LOOP_CLR_FD>::new()) };
    match cleared {
        Ok(()) | Err(Errno::NXIO) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structs_have_the_sizes_of_the_kernels() {
        assert_eq!(size_of::<LoopInfo>(), 232);
        assert_eq!(size_of::<LoopConfig>(), 304);
    }
}
