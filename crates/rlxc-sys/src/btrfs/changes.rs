//! What was changed in a subvolume since a transaction: by inode, with its paths. For root.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{ARGS_V1, IOC_MAGIC, both_request};

/// What a subvolume is, and what it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subvolume {
    /// Its identity
    pub uuid: [u8; 16],
    /// That of the subvolume of which it is a snapshot; zeros: of none
    pub parent: [u8; 16],
    /// The transaction in which it was made
    pub made: u64,
    /// When that was, in seconds
    pub born: i64,
}

/// `struct btrfs_ioctl_get_subvol_info_args`
#[repr(C)]
struct Info {
    tree: u64,
    name: [u8; 256],
    parent: u64,
    dir: u64,
    generation: u64,
    flags: u64,
    uuid: [u8; 16],
    parent_uuid: [u8; 16],
    received_uuid: [u8; 16],
    changed: u64,
    made: u64,
    sent: u64,
    received: u64,
    /// Seconds and nanoseconds of the last change, of its making, of sending and receiving
    times: [[u64; 2]; 4],
    reserved: [u64; 8],
}

const GET_SUBVOL_INFO: libc::c_ulong =
    // _IOR: the other direction.
    ((2u32 << 30) | ((size_of::<Info>() as u32) << 16) | (IOC_MAGIC << 8) | 60)
            as libc::c_ulong;

/// `struct btrfs_ioctl_search_args`
#[repr(C)]
struct Search {
    tree: u64,
    min_object: u64,
    max_object: u64,
    min_offset: u64,
    max_offset: u64,
    min_transaction: u64,
    max_transaction: u64,
    min_type: u32,
    max_type: u32,
    items: u32,
    unused: u32,
    unused_more: [u64; 4],
    found: [u8; ARGS_V1 - 104],
}

const _: () = assert!(size_of::<Search>() == ARGS_V1 && size_of::<Info>() == 504);

const TREE_SEARCH: libc::c_ulong = both_request(17);

/// `struct btrfs_ioctl_ino_path_args`
#[repr(C)]
struct InodePaths {
    inode: u64,
    size: u64,
    reserved: [u64; 4],
    room: u64,
}

const INO_PATHS: libc::c_ulong =
    ((3u32 << 30) | ((size_of::<InodePaths>() as u32) << 16) | (IOC_MAGIC << 8) | 35)
        as libc::c_ulong;

const INODE_ITEM: u32 = 1;

/// What the subvolume with that top is.
///
/// # Errors
/// `ENOTTY` when it is not on btrfs; else the errno of BTRFS_IOC_GET_SUBVOL_INFO.
///
/// # References
/// btrfs-ioctl(2)
pub fn subvolume(top: impl AsFd) -> io::Result<Subvolume> {
    // SAFETY: a structure of numbers is valid with all bits zero.
    let mut info: Info = unsafe { std::mem::zeroed() };
    let fd = top.as_fd().as_raw_fd();
    // SAFETY: info is the structure of this request, writable, and lives through the call.
    match unsafe { libc::ioctl(fd, GET_SUBVOL_INFO as _, &raw mut info) } {
        0 => Ok(Subvolume {
            uuid: info.uuid,
            parent: info.parent_uuid,
            made: info.made,
            born: i64::try_from(info.times[1][0]).unwrap_or(i64::MAX),
        }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// The inodes of the subvolume that were touched after that transaction. What is not on the disk yet is not seen: call
/// syncfs(2) before.
///
/// # Errors
/// `EPERM` without CAP_SYS_ADMIN; else the errno of BTRFS_IOC_TREE_SEARCH.
///
/// # References
/// btrfs-ioctl(2)
pub fn changed_since(top: impl AsFd, transaction: u64) -> io::Result<Vec<u64>> {
    const HEADER: usize = 32;
    let fd = top.as_fd().as_raw_fd();
    let mut changed = Vec::new();
    let (mut object, mut kind, mut offset) = (super::SUBVOLUME_INODE, 0, 0);
    loop {
        let mut search = Search {
            tree: 0,
            min_object: object,
            // Beyond are the objects of the file system itself.
            max_object: u64::MAX - 256,
            min_offset: offset,
            max_offset: u64::MAX,
            min_transaction: transaction + 1,
            max_transaction: u64::MAX,
            min_type: kind,
            max_type: u32::MAX,
            items: u32::MAX,
            unused: 0,
            unused_more: [0; 4],
            found: [0; ARGS_V1 - 104],
        };
        // SAFETY: search is the structure of this request, writable, and lives through the call.
        if unsafe { libc::ioctl(fd, TREE_SEARCH as _, &raw mut search) } != 0 {
            return Err(io::Error::last_os_error());
        }
        if search.items == 0 {
            return Ok(changed);
        }
        let mut at = 0;
        for _ in 0..search.items {
            // Header: transaction, object, offset, type and length (four bytes each).
            let header = (
                number(&search.found, at + 8),
                number(&search.found, at + 16),
                number(&search.found, at + 24),
            );
            let (Some(found), Some(place), Some(type_and_length)) = header else {
                return Err(io::Error::from_raw_os_error(libc::EPROTO));
            };
            let (found_type, length) = (type_and_length as u32, (type_and_length >> 32) as usize);
            let item = at + HEADER;
            // The second number of an inode: the transaction that touched it last.
            if found_type == INODE_ITEM
                && number(&search.found, item + 8).is_some_and(|touched| touched > transaction)
            {
                changed.push(found);
            }
            (object, kind, offset) = (found, found_type, place);
            at = item + length;
        }
        match offset.checked_add(1) {
            Some(next) => offset = next,
            None => (kind, offset) = (kind + 1, 0),
        }
    }
}

/// The paths of an inode below its subvolume's top; none: it is gone, or has more names than fit.
///
/// # Errors
/// The errno of BTRFS_IOC_INO_PATHS.
///
/// # References
/// btrfs-ioctl(2)
pub fn paths_of(top: impl AsFd, inode: u64) -> io::Result<Vec<PathBuf>> {
    const WORDS: usize = 8192;
    // Four numbers of four bytes, then for each path the distance of its text from there, and the texts.
    let mut room = vec![0u64; WORDS];
    let mut args = InodePaths {
        inode,
        size: (WORDS * 8) as u64,
        reserved: [0; 4],
        room: room.as_mut_ptr() as u64,
    };
    let fd = top.as_fd().as_raw_fd();
    // SAFETY: args is the structure of this request and points to a writable buffer of the size in it; both live through
    // the call.
    if unsafe { libc::ioctl(fd, INO_PATHS as _, &raw mut args) } != 0 {
        return match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOENT) => Ok(Vec::new()),
            error => Err(error),
        };
    }
    let bytes: Vec<u8> = room.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let (count, missed) = (room[1] as u32 as usize, room[1] >> 32);
    if missed > 0 {
        return Err(io::Error::from_raw_os_error(libc::EOVERFLOW));
    }
    let paths = (0..count).map(|n| {
        let start = 16 + usize::try_from(*room.get(2 + n)?).ok()?;
        let text = bytes.get(start..)?;
        let end = text.iter().position(|byte| *byte == 0)?;
        Some(PathBuf::from(OsStr::from_bytes(&text[..end])))
    });
    let paths: Option<Vec<PathBuf>> = paths.collect();
    paths.ok_or_else(|| io::Error::from_raw_os_error(libc::EPROTO))
}
