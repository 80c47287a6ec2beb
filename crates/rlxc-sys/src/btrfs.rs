//! Btrfs subvolumes by ioctl: create, snapshot, delete, recognise, find those within.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

mod changes;

pub use changes::{Subvolume, changed_since, paths_of, subvolume};

const IOC_MAGIC: u32 = 0x94;
const ARGS_V1: usize = 4096;
const NAME_V1: usize = 4087;
const NAME_V2: usize = 4039;

/// The inode number of every subvolume's top directory.
pub const SUBVOLUME_INODE: u64 = 256;

#[repr(C)]
struct ArgsV1 {
    fd: i64,
    name: [u8; NAME_V1 + 1],
}

#[repr(C)]
struct ArgsV2 {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; NAME_V2 + 1],
}

const _: () = assert!(size_of::<ArgsV1>() == ARGS_V1 && size_of::<ArgsV2>() == ARGS_V1);

const fn write_request(number: u32) -> libc::c_ulong {
    // _IOW: direction 1 in the two top bits, then 14 bits of size.
    ((1u32 << 30) | ((ARGS_V1 as u32) << 16) | (IOC_MAGIC << 8) | number) as libc::c_ulong
}

const SUBVOL_CREATE: libc::c_ulong = write_request(14);
const SNAP_DESTROY: libc::c_ulong = write_request(15);
const SNAP_CREATE_V2: libc::c_ulong = write_request(23);

const fn both_request(number: u32) -> libc::c_ulong {
    // _IOWR: both directions.
    ((3u32 << 30) | ((ARGS_V1 as u32) << 16) | (IOC_MAGIC << 8) | number) as libc::c_ulong
}

const GET_SUBVOL_ROOTREF: libc::c_ulong = both_request(61);
const INO_LOOKUP_USER: libc::c_ulong = both_request(62);
const ROOTREFS: usize = 255;

#[repr(C)]
#[derive(Clone, Copy)]
struct RootRef {
    tree: u64,
    dir: u64,
}

/// `struct btrfs_ioctl_get_subvol_rootref_args`
#[repr(C)]
struct RootRefs {
    min_tree: u64,
    refs: [RootRef; ROOTREFS],
    count: u8,
    unused: [u8; 7],
}

/// `struct btrfs_ioctl_ino_lookup_user_args`
#[repr(C)]
struct LookupUser {
    dir: u64,
    tree: u64,
    name: [u8; 256],
    path: [u8; 4096 - 16 - 256],
}

const _: () = assert!(size_of::<RootRefs>() == ARGS_V1 && size_of::<LookupUser>() == ARGS_V1);

fn fill(room: &mut [u8], name: &[u8]) -> io::Result<()> {
    if name.is_empty() || name.len() >= room.len() || name.contains(&0) || name.contains(&b'/') {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    room[..name.len()].copy_from_slice(name);
    Ok(())
}

fn v1(dir: BorrowedFd<'_>, request: libc::c_ulong, name: &[u8]) -> io::Result<()> {
    let mut args = ArgsV1 {
        fd: 0,
        name: [0; NAME_V1 + 1],
    };
    fill(&mut args.name[..NAME_V1], name)?;
    // SAFETY: args is the structure of this request, NUL-terminated, and lives through the call.
    match unsafe { libc::ioctl(dir.as_raw_fd(), request as _, &raw const args) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes an empty subvolume `name` in `dir`.
///
/// # Errors
/// `ENOTTY` when `dir` is not on btrfs; else the errno of BTRFS_IOC_SUBVOL_CREATE.
///
/// # References
/// btrfs-ioctl(2)
pub fn create_subvolume(dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    v1(dir.as_fd(), SUBVOL_CREATE, name)
}

/// Deletes the subvolume `name` of `dir`, which must hold no other subvolume.
///
/// # Errors
/// The errno of BTRFS_IOC_SNAP_DESTROY; `EPERM` for users unless mounted with user_subvol_rm_allowed.
///
/// # References
/// btrfs-ioctl(2)
pub fn destroy_subvolume(dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    v1(dir.as_fd(), SNAP_DESTROY, name)
}

/// Makes `name` in `dir` a writable snapshot of the subvolume `source`.
///
/// # Errors
/// `EXDEV` on different file systems; else the errno of BTRFS_IOC_SNAP_CREATE_V2.
///
/// # References
/// btrfs-ioctl(2)
pub fn snapshot(dir: impl AsFd, name: &[u8], source: impl AsFd) -> io::Result<()> {
    snapshot_with(dir, name, source, 0)
}

/// As [`snapshot`], but one that cannot be written to, as `btrfs send` wants it.
///
/// # Errors
/// As [`snapshot`].
///
/// # References
/// btrfs-ioctl(2)
pub fn snapshot_read_only(dir: impl AsFd, name: &[u8], source: impl AsFd) -> io::Result<()> {
    snapshot_with(dir, name, source, 1 << 1)
}

fn snapshot_with(dir: impl AsFd, name: &[u8], source: impl AsFd, flags: u64) -> io::Result<()> {
    let mut args = ArgsV2 {
        fd: i64::from(source.as_fd().as_raw_fd()),
        transid: 0,
        flags,
        unused: [0; 4],
        name: [0; NAME_V2 + 1],
    };
    fill(&mut args.name[..NAME_V2], name)?;
    let dir = dir.as_fd().as_raw_fd();
    // SAFETY: args is the structure of this request, NUL-terminated, and lives through the call.
    match unsafe { libc::ioctl(dir, SNAP_CREATE_V2 as _, &raw const args) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether `dir` is the top of a subvolume.
pub fn is_subvolume(dir: impl AsFd) -> bool {
    let of_btrfs = nix::sys::statfs::fstatfs(&dir)
        .is_ok_and(|fs| fs.filesystem_type() == nix::sys::statfs::BTRFS_SUPER_MAGIC);
    of_btrfs && nix::sys::stat::fstat(&dir).is_ok_and(|stat| stat.st_ino == SUBVOLUME_INODE)
}

/// The subvolumes that lie directly in the subvolume whose top is `top`, as paths below it. Needs no privilege.
///
/// # Errors
/// `ENOTTY` when it is not on btrfs; else the errno of BTRFS_IOC_GET_SUBVOL_ROOTREF or BTRFS_IOC_INO_LOOKUP_USER.
///
/// # References
/// btrfs-ioctl(2)
pub fn subvolumes(top: impl AsFd) -> io::Result<Vec<PathBuf>> {
    let fd = top.as_fd().as_raw_fd();
    let mut all = Vec::new();
    let mut args = RootRefs {
        min_tree: 0,
        refs: [RootRef { tree: 0, dir: 0 }; ROOTREFS],
        count: 0,
        unused: [0; 7],
    };
    loop {
        // SAFETY: args is the structure of this request, writable, and lives through the call.
        let more = match unsafe { libc::ioctl(fd, GET_SUBVOL_ROOTREF as _, &raw mut args) } {
            0 => false,
            _ => match io::Error::last_os_error() {
                // The room was too small; what is in it is right.
                error if error.raw_os_error() == Some(libc::EOVERFLOW) => true,
                error => return Err(error),
            },
        };
        let refs = &args.refs[..usize::from(args.count).min(ROOTREFS)];
        for one in refs {
            all.push(subvolume_path(fd, one)?);
        }
        match refs.last() {
            Some(last) if more => args.min_tree = last.tree + 1,
            _ => return Ok(all),
        }
    }
}

fn subvolume_path(fd: i32, one: &RootRef) -> io::Result<PathBuf> {
    let mut args = LookupUser {
        dir: one.dir,
        tree: one.tree,
        name: [0; 256],
        path: [0; 4096 - 16 - 256],
    };
    // SAFETY: args is the structure of this request, writable, and lives through the call.
    if unsafe { libc::ioctl(fd, INO_LOOKUP_USER as _, &raw mut args) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        PathBuf::from(OsStr::from_bytes(&bytes[..end]))
    };
    Ok(Path::new("").join(text(&args.path)).join(text(&args.name)))
}
