//! File systems on block devices: which it is, and mounting it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;
use rlxc_sys::mount::FsContext;

use crate::error::{Error, Result};
use crate::mounted::{Mounted, Options};

/// What is on a device.
#[derive(Debug)]
pub(crate) struct Guess;

/// Where on the device which bytes stand, and what that means.
const MAGICS: [(u64, &[u8], &str); 6] = [
    (0x0001_0040, b"_BHRfS_M", "btrfs"),
    (0, b"XFSB", "xfs"),
    (0x438, &[0x53, 0xef], "ext4"),
    (0, b"hsqs", "squashfs"),
    (0x400, &[0x10, 0x20, 0xf5, 0xf2], "f2fs"),
    (0x400, &[0xe2, 0xe1, 0xf5, 0xe0], "erofs"),
];

impl Guess {
    /// The file system's type by its magic number.
    pub(crate) fn magic(device: &Path) -> Option<&'static str> {
        let file = File::open(device).ok()?;
        let found = MAGICS.iter().find(|(at, magic, _)| {
            let mut bytes = [0u8; 8];
            let bytes = &mut bytes[..magic.len()];
            file.read_exact_at(bytes, *at).is_ok() && bytes == *magic
        });
        found.map(|(_, _, name)| *name)
    }
}

/// The types to try: what the magic number says, then /etc/filesystems, then what the kernel has registered.
fn types(device: &Path) -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let listed = read("/etc/filesystems");
    let registered = read("/proc/filesystems");
    let mut types: Vec<String> = Guess::magic(device)
        .map(str::to_owned)
        .into_iter()
        .collect();
    for line in listed.lines().chain(registered.lines()).map(str::trim) {
        let usable = !line.is_empty() && !line.starts_with(['#', '*']) && !line.contains("nodev");
        if usable && !types.iter().any(|known| known == line) {
            types.push(line.to_owned());
        }
    }
    types
}

/// A file system mounted nowhere yet.
pub(super) fn detached(
    fstype: &str,
    source: &str,
    options: &Options,
    extra: &str,
) -> std::io::Result<OwnedFd> {
    let context = FsContext::open(fstype)?.source(source)?;
    if options.flags & nix::mount::MsFlags::MS_RDONLY.bits() != 0 {
        context.flag("ro")?;
    }
    context.set_all(extra)?;
    context.set_all(&options.data)?;
    context.mount(options.attrs())
}

/// Mounts what is on a block device; every type that the system knows is tried.
pub(super) fn mount(device: &Path, options: &Options) -> Result<Mounted> {
    let name = device.to_string_lossy();
    // A device that is gone, or in use otherwise, is no matter of types.
    File::open(device).map_err(Error::at("open the device", device))?;
    let mut first = None;
    for fstype in types(device) {
        match detached(&fstype, &name, options, "") {
            Ok(tree) => return Ok(Mounted::detached(tree)),
            Err(error) => first = first.or(Some(error)),
        }
    }
    match first {
        Some(error) if error.raw_os_error() != Some(Errno::EINVAL as i32) => {
            Err(Error::at("mount", device)(error))
        }
        _ => Err(Error::RootfsPath {
            path: name.into_owned(),
            reason: "the kernel knows no file system that is on it",
        }),
    }
}

/// A block device's size in bytes.
pub(super) fn size(device: &Path) -> Option<u64> {
    use std::io::{Seek, SeekFrom};
    File::open(device).ok()?.seek(SeekFrom::End(0)).ok()
}
