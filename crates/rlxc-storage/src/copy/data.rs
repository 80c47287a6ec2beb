//! The bytes of one regular file.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::stat::FileStat;
use nix::unistd::{Whence, lseek};

use super::Progress;

/// Below this size reading and writing is one call each, which nothing beats.
const SMALL: i64 = 64 * 1024;

/// How much is copied between two looks at whether to go on.
const STEP: usize = 64 << 20;

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Shares the blocks, or copies them hole by hole, or byte by byte.
pub(super) fn copy(
    from: &File,
    to: &File,
    stat: &FileStat,
    reflink: &AtomicBool,
    progress: &Progress,
) -> Result<(), Errno> {
    if stat.st_size == 0 {
        return Ok(());
    }
    let done = |bytes: i64| {
        let bytes = u64::try_from(bytes).unwrap_or_default();
        progress.bytes.fetch_add(bytes, Ordering::Relaxed);
    };
    if reflink.load(Ordering::Relaxed) {
        match rlxc_sys::fs::clone_file(from, to).map_err(errno) {
            Ok(()) => {
                done(stat.st_size);
                return Ok(());
            }
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
        (false, true) => {
            small(from, to, stat.st_size)?;
            done(stat.st_size);
            Ok(())
        }
        (false, false) => range(from, to, 0, stat.st_size, progress),
        (true, _) => holes(from, to, stat.st_size, progress),
    }
}

fn small(mut from: &File, mut to: &File, size: i64) -> Result<(), Errno> {
    let mut buffer = [0u8; SMALL as usize];
    let mut left = usize::try_from(size).unwrap_or_default();
    // What is appended meanwhile is not copied: the size is that of the moment when the file was opened.
    while left > 0 {
        let want = left.min(buffer.len());
        match from.read(&mut buffer[..want]).map_err(errno)? {
            0 => return Ok(()),
            n => {
                to.write_all(&buffer[..n]).map_err(errno)?;
                left -= n;
            }
        }
    }
    Ok(())
}

/// Copies data only, and leaves the holes.
fn holes(from: &File, to: &File, size: i64, progress: &Progress) -> Result<(), Errno> {
    nix::unistd::ftruncate(to, size)?;
    let mut at = 0;
    while at < size {
        let start = match lseek(from, at, Whence::SeekData) {
            Ok(start) => start,
            Err(Errno::ENXIO) => break,
            Err(Errno::EINVAL) => return range(from, to, at, size, progress),
            Err(errno) => return Err(errno),
        };
        let end = lseek(from, start, Whence::SeekHole)?.min(size);
        range(from, to, start, end, progress)?;
        at = end;
    }
    Ok(())
}

/// Copies the bytes from `at` to `end`; a file that has become shorter meanwhile ends earlier.
fn range(from: &File, to: &File, at: i64, end: i64, progress: &Progress) -> Result<(), Errno> {
    let (mut read, mut write) = (at, at);
    while read < end {
        if progress.is_cancelled() {
            return Err(Errno::EINTR);
        }
        let length = usize::try_from(end - read).unwrap_or(STEP).min(STEP);
        match nix::fcntl::copy_file_range(from, Some(&mut read), to, Some(&mut write), length) {
            Ok(0) => return by_hand(from, to, read, end, progress),
            Ok(n) => {
                progress.bytes.fetch_add(n as u64, Ordering::Relaxed);
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EXDEV | Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS) => {
                return by_hand(from, to, read, end, progress);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn by_hand(from: &File, to: &File, at: i64, end: i64, progress: &Progress) -> Result<(), Errno> {
    let mut at = u64::try_from(at).map_err(|_| Errno::EINVAL)?;
    let end = u64::try_from(end).map_err(|_| Errno::EINVAL)?;
    let mut buffer = vec![0u8; 256 * 1024];
    while at < end {
        if progress.is_cancelled() {
            return Err(Errno::EINTR);
        }
        let want = usize::try_from(end - at).map_or(buffer.len(), |n| n.min(buffer.len()));
        match from.read_at(&mut buffer[..want], at) {
            Ok(0) => break,
            Ok(n) => {
                to.write_all_at(&buffer[..n], at).map_err(errno)?;
                at += n as u64;
                progress.bytes.fetch_add(n as u64, Ordering::Relaxed);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(errno(error)),
        }
    }
    Ok(())
}
