//! Loop devices (loop(4)).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LOOP_GET_STATUS64: libc::c_ulong = 0x4C05;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// The kernel's `struct loop_info64` (linux/loop.h).
#[repr(C)]
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

/// The kernel's `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopConfig>() == 304);

/// A loop device that is given back when nothing uses it any more.
#[derive(Debug)]
pub struct LoopDevice {
    /// Its node, `/dev/loopN`.
    pub path: PathBuf,
    /// Keeps it until it is mounted.
    _device: File,
}

impl LoopDevice {
    /// Puts the file at `image` on a free loop device.
    ///
    /// # Errors
    /// As open(2) of the image, /dev/loop-control or the device, and as LOOP_CONFIGURE.
    pub fn attach(image: &Path, read_only: bool) -> io::Result<Self> {
        if let Some(device) = Self::attached(image, read_only) {
            return Ok(device);
        }
        let mut options = File::options();
        options.read(true).write(!read_only);
        let backing = options.open(image)?;
        let control = File::options()
            .read(true)
            .write(true)
            .open("/dev/loop-control")?;
        // Between the question and the answer somebody else may take the device.
        for _ in 0..16 {
            // SAFETY: LOOP_CTL_GET_FREE takes no argument and returns a number.
            let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
            if number < 0 {
                return Err(io::Error::last_os_error());
            }
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = options.open(&path)?;
            match configure(&device, &backing, read_only) {
                Ok(()) => {
                    return Ok(Self {
                        path,
                        _device: device,
                    });
                }
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from_raw_os_error(libc::EBUSY))
    }
}

impl LoopDevice {
    /// The device that serves `image` already: two devices on one image would each keep a cache of their own, and
    /// damage the file system.
    fn attached(image: &Path, read_only: bool) -> Option<Self> {
        let image = std::fs::canonicalize(image).ok()?;
        for entry in std::fs::read_dir("/sys/block").ok()?.flatten() {
            let name = entry.file_name();
            let Some(number) = name.to_str().and_then(|name| name.strip_prefix("loop")) else {
                continue;
            };
            let backing = std::fs::read_to_string(entry.path().join("loop/backing_file"));
            let same = backing.is_ok_and(|text| Path::new(text.trim_end_matches('\n')) == image);
            if !same {
                continue;
            }
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = File::options()
                .read(true)
                .write(!read_only)
                .open(&path)
                .ok()?;
            // It may have been released, and another file put on it, before it was opened.
            let status = status(&device)?;
            let meta = std::fs::metadata(&image).ok()?;
            use std::os::unix::fs::MetadataExt;
            if (status.device, status.inode) == (meta.dev(), meta.ino()) {
                return Some(Self {
                    path,
                    _device: device,
                });
            }
        }
        None
    }
}

/// What the device is set to; `None` when nothing is on it.
fn status(device: &File) -> Option<LoopInfo> {
    // SAFETY: all fields are integers, for which zero is valid.
    let mut info: LoopInfo = unsafe { std::mem::zeroed() };
    // SAFETY: the argument is a struct of the kernel's layout, writable, that lives over the call.
    let ret = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64, &raw mut info) };
    (ret == 0).then_some(info)
}

fn configure(device: &File, backing: &File, read_only: bool) -> io::Result<()> {
    // SAFETY: all fields are integers, for which zero is valid.
    let mut config: LoopConfig = unsafe { std::mem::zeroed() };
    config.fd = u32::try_from(backing.as_raw_fd()).unwrap_or(u32::MAX);
    config.info.flags = LO_FLAGS_AUTOCLEAR;
    if read_only {
        config.info.flags |= LO_FLAGS_READ_ONLY;
    }
    // SAFETY: the argument is a struct of the kernel's layout that lives over the call.
    let ret = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
    if ret < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
