//! The open descriptors of this process: closing, keeping across an exec, taking over.
//!
//! # References
//! close_range(2), fcntl(2), dup(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Closes every descriptor above 2 that is not in `keep` (close_range(2)).
///
/// For programs at their start: nothing may own the descriptors that are closed.
///
/// # Errors
/// As close_range(2).
pub fn close_other_fds(keep: &[RawFd]) -> io::Result<()> {
    let mut keep: Vec<u32> = keep
        .iter()
        .filter_map(|fd| u32::try_from(*fd).ok())
        .collect();
    keep.sort_unstable();
    let mut first = 3_u32;
    for fd in keep.into_iter().filter(|fd| *fd >= 3).chain([u32::MAX]) {
        if fd > first {
            let last = if fd == u32::MAX { fd } else { fd - 1 };
            // SAFETY: by this function's contract nothing owns these descriptors.
            let ret = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            if ret < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = fd.saturating_add(1);
    }
    Ok(())
}

/// Closes every descriptor above 2 by close(2) alone, for a process under a seccomp policy.
///
/// For programs at their start: nothing may own the descriptors that are closed.
pub fn close_fds_one_by_one() {
    for fd in open_fds().unwrap_or_else(|_| (3..1024).collect()) {
        // SAFETY: by this function's contract nothing owns the descriptor.
        unsafe { libc::close(fd) };
    }
}

/// Sets close-on-exec on every descriptor above 2 (close_range(2)).
///
/// # Errors
/// As close_range(2).
pub fn cloexec_all_fds() -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: only integers are passed; no descriptor is closed now.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, CLOSE_RANGE_CLOEXEC) };
    if ret < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Puts /dev/null on the standard streams.
///
/// # Errors
/// As open(2) and dup2(2).
pub fn null_streams() -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let null = options.read(true).write(true).open("/dev/null")?;
    for stream in 0..3 {
        // SAFETY: dup2 replaces the stream in one step; the standard streams have no owner.
        if unsafe { libc::dup2(null.as_raw_fd(), stream) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The open descriptors above 2, in order.
///
/// # Errors
/// When /proc cannot be read.
pub fn open_fds() -> io::Result<Vec<RawFd>> {
    let mut fds: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    // The one that was used to read the list is closed again.
    fds.retain(|fd| {
        // SAFETY: F_GETFD only looks, also at a number that is not open.
        unsafe { libc::fcntl(*fd, libc::F_GETFD) >= 0 }
    });
    fds.sort_unstable();
    Ok(fds)
}

/// Whether a descriptor by its number lets its holder walk a tree: a directory or a bare path.
pub fn is_directory_or_path(fd: RawFd) -> bool {
    // SAFETY: F_GETFL only looks, also at a number that is not open.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    // SAFETY: an all-zero stat is valid, and the kernel fills it in.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is valid for writing.
    let known = unsafe { libc::fstat(fd, &raw mut stat) } == 0;
    flags & libc::O_PATH != 0 || !known || stat.st_mode & libc::S_IFMT == libc::S_IFDIR
}

/// Sets or clears close-on-exec of a descriptor by its number; nothing happens if it is not open.
pub fn set_cloexec(fd: RawFd, cloexec: bool) {
    let flag = if cloexec { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: F_SETFD takes an integer.
    unsafe {
        libc::fcntl(fd, libc::F_SETFD, flag);
    }
}

/// Takes ownership of an inherited descriptor whose number came by an argument; `None` if it is
/// not open. It is made close-on-exec.
///
/// Call it once a number: a second owner of the same descriptor would close it under the first.
pub fn adopt_fd(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_SETFD takes an integer; on a closed number it only fails.
    if fd < 0 || unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return None;
    }
    // SAFETY: the descriptor is open, and by this function's contract nothing else owns it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A close-on-exec duplicate with a number of at least `least` (F_DUPFD_CLOEXEC).
///
/// # Errors
/// As fcntl(2).
pub fn duplicate_above(fd: BorrowedFd<'_>, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer.
    let new = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) };
    if new < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_number_is_not_adopted() {
        assert!(adopt_fd(9999).is_none());
        assert!(adopt_fd(-1).is_none());
    }
}
