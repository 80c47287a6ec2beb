//! Executing a file by its descriptor, and descriptors that callers name by number.

use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null;

use nix::errno::Errno;

/// Replaces this process by the executable behind `file`, which may be close-on-exec (execveat(2)).
///
/// Returns only on failure, with the reason.
pub fn exec_fd(file: BorrowedFd<'_>, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| -> Vec<*const c_char> {
        let list = list.iter().map(|s| s.as_ptr());
        list.chain([null()]).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end with a null, and their strings live through the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Has a descriptor of ours stand for what `new` is, under its own number and at one stroke (dup3(2)).
///
/// # Errors
/// As dup3(2).
pub fn replace(fd: BorrowedFd<'_>, new: OwnedFd) -> io::Result<()> {
    // SAFETY: both descriptors are open; the number goes on being its owner's, only for another file.
    Errno::result(unsafe { libc::dup3(new.as_raw_fd(), fd.as_raw_fd(), libc::O_CLOEXEC) })?;
    Ok(())
}

/// A close-on-exec duplicate of a descriptor that is known by number only.
///
/// # Errors
/// EBADF when there is no such descriptor.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes two numbers.
    let new = Errno::result(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}
