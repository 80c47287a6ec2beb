//! The bytes of one regular file.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::stat::FileStat;
use nix::unistd::{Whence, lseek};

/// Below this size reading and writing is one call each, which nothing beats.
const SMALL: i64 = 64 * 1024;

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Shares the blocks, or copies them hole by hole, or byte by byte.
pub(super) fn copy(
    from: &File,
    to: &File,
    stat: &FileStat,
    reflink: &AtomicBool,
) -> Result<(), Errno> {
    if stat.st_size == 0 {
        return Ok(());
    }
    if reflink.load(Ordering::Relaxed) {
        match rlxc_sys::fs::clone_file(from, to).map_err(errno) {
            Ok(()) => return Ok(()),
            Err(Errno::EOPNOTSUPP | Errno::EXDEV | Errno::ENOTTY | Errno::ENOSYS) => {
                reflink.store(false, Ordering::Relaxed);
            }
            // This file only: a swap file, another compression setting.
            Err(Errno::EINVAL | Errno::EPERM | Errno::ETXTBSY) => {}
            Err(errno) => return Err(errno),
        }
    }
    let sparse = stat.st_blocks * 512 < stat.st_size;
    match (sparse, stat.st_size <= SMALL) {
        (false, true) => small(from, to),
        (false, false) => range(from, to, 0, stat.st_size),
        (true, _) => holes(from, to, stat.st_size),
    }
}

fn small(mut from: &File, mut to: &File) -> Result<(), Errno> {
    let mut buffer = [0u8; SMALL as usize];
    loop {
        match from.read(&mut buffer).map_err(errno)? {
            0 => return Ok(()),
            n => to.write_all(&buffer[..n]).map_err(errno)?,
        }
    }
}

/// Copies data only, and leaves the holes.
fn holes(from: &File, to: &File, size: i64) -> Result<(), Errno> {
    nix::unistd::ftruncate(to, size)?;
    let mut at = 0;
    while at < size {
        let start = match lseek(from, at, Whence::SeekData) {
            Ok(start) => start,
            Err(Errno::ENXIO) => break,
            Err(Errno::EINVAL) => return range(from, to, at, size),
            Err(errno) => return Err(errno),
        };
        let end = lseek(from, start, Whence::SeekHole)?.min(size);
        range(from, to, start, end)?;
        at = end;
    }
    Ok(())
}

/// Copies the bytes from `at` to `end`; a file that has become shorter meanwhile ends earlier.
fn range(from: &File, to: &File, at: i64, end: i64) -> Result<(), Errno> {
    let (mut read, mut write) = (at, at);
    while read < end {
        let length = usize::try_from(end - read)
            .unwrap_or(usize::MAX)
            .min(1 << 30);
        match nix::fcntl::copy_file_range(from, Some(&mut read), to, Some(&mut write), length) {
            Ok(0) => return by_hand(from, to, read, end),
            Ok(_) => {}
            Err(Errno::EINTR) => {}
            Err(Errno::EXDEV | Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS) => {
                return by_hand(from, to, read, end);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn by_hand(from: &File, to: &File, at: i64, end: i64) -> Result<(), Errno> {
    let mut at = u64::try_from(at).map_err(|_| Errno::EINVAL)?;
    let end = u64::try_from(end).map_err(|_| Errno::EINVAL)?;
    let mut buffer = vec![0u8; 256 * 1024];
    while at < end {
        let want = usize::try_from(end - at).map_or(buffer.len(), |n| n.min(buffer.len()));
        match from.read_at(&mut buffer[..want], at) {
            Ok(0) => break,
            Ok(n) => {
                to.write_all_at(&buffer[..n], at).map_err(errno)?;
                at += n as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(errno(error)),
        }
    }
    Ok(())
}
