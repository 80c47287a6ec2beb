//! A child that goes on in Rust, for programs with one thread only (the command line tools, the worker, the monitor).

use std::io;

/// Makes a child in new namespaces (`flags`: CLONE_NEW*, 0 for a plain child) that runs `child` and ends with its
/// result. Returns the child's pid.
///
/// The child never returns into the caller's code; a panic in it ends it with status 255.
///
/// # Errors
/// `EBUSY` when the calling process has more than one thread (a lock held by another thread would stay locked for
/// ever in the child; not looked at without /proc); `EINVAL` for CLONE_NEWTIME, which clone(2) does not take; else the errno of clone(2).
///
/// # References
/// clone(2)
pub fn spawn(flags: u64, child: impl FnOnce() -> i32) -> io::Result<i32> {
    if flags & 0xff != 0 {
        // These bits are the exit signal of clone(2); CLONE_NEWTIME is among them.
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // Without /proc the caller is trusted.
    if !single_threaded().unwrap_or(true) {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    let flags = libc::c_ulong::from(flags) | libc::SIGCHLD as libc::c_ulong;
    let none = 0 as libc::c_ulong;
    // SAFETY: without CLONE_VM and with a null stack this is fork(2) into new namespaces: the child has its own copy
    // of the memory. No other thread exists that could hold a lock.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, none, none, none, none) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(255);
            // SAFETY: _exit ends the process without running the parent's exit handlers a second time.
            unsafe { libc::_exit(code) }
        }
        pid => i32::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW)),
    }
}

/// Whether the calling process has one thread only.
///
/// # Errors
/// When /proc is not there.
pub fn single_threaded() -> io::Result<bool> {
    Ok(std::fs::read_dir("/proc/self/task")?.take(2).count() == 1)
}
