//! setns with pidfds, time namespaces, ns ioctls (NS_GET_USERNS).
//!
//! Everything here is a single system call without allocation, so it may run between fork and exec.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::c_ulong;

const NS_GET_USERNS: c_ulong = 0xb701;
const NS_GET_PARENT: c_ulong = 0xb702;
const NS_GET_NSTYPE: c_ulong = 0xb703;
const NS_GET_OWNER_UID: c_ulong = 0xb704;

/// `CLONE_NEWTIME`; not a valid `clone(2)` flag, only for clone3, unshare and setns.
pub const CLONE_NEWTIME: u64 = 0x80;

/// Enters the namespaces that `fd` stands for: one namespace file, or a pidfd with a mask of CLONE_NEW* in `flags`.
///
/// # Errors
/// The errno of setns(2); `EINVAL` also for a pidfd on kernels before 5.8.
///
/// # References
/// setns(2)
pub fn setns(fd: BorrowedFd<'_>, flags: u64) -> io::Result<()> {
    let flags =
        libc::c_int::try_from(flags).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: setns takes two integers; the descriptor is open for the length of the call.
    let rc = unsafe { libc::syscall(libc::SYS_setns, fd.as_raw_fd(), flags) };
    check(rc).map(drop)
}

/// Leaves the namespaces of `flags` (CLONE_NEW*, with [`CLONE_NEWTIME`]) for new ones.
///
/// # Errors
/// The errno of unshare(2).
///
/// # References
/// unshare(2), time_namespaces(7)
pub fn unshare(flags: u64) -> io::Result<()> {
    // SAFETY: unshare takes one integer.
    let rc = unsafe { libc::syscall(libc::SYS_unshare, flags) };
    check(rc).map(drop)
}

/// The user namespace that owns the namespace `ns` (or, for a user namespace, its own owner's).
///
/// # Errors
/// `EPERM` when the owner is outside the caller's own user namespace.
///
/// # References
/// ioctl_ns(2)
pub fn owner_userns(ns: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    ioctl_fd(ns, NS_GET_USERNS)
}

/// The parent of a pid or user namespace.
///
/// # Errors
/// `EPERM` when it is out of the caller's scope, `EINVAL` for kinds without parents.
///
/// # References
/// ioctl_ns(2)
pub fn parent(ns: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    ioctl_fd(ns, NS_GET_PARENT)
}

/// The CLONE_NEW* flag of the namespace.
///
/// # Errors
/// `ENOTTY` when the descriptor is no namespace.
///
/// # References
/// ioctl_ns(2)
pub fn kind(ns: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: the request takes no argument and the descriptor is open.
    let rc = unsafe { libc::ioctl(ns.as_raw_fd(), NS_GET_NSTYPE) };
    let rc = check(rc.into())?;
    Ok(rc.unsigned_abs())
}

/// The uid, in the caller's user namespace, of who made the user namespace `ns`.
///
/// # Errors
/// `EINVAL` when `ns` is no user namespace.
///
/// # References
/// ioctl_ns(2)
pub fn owner_uid(ns: BorrowedFd<'_>) -> io::Result<u32> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: the request writes one uid_t, which `uid` is.
    let rc = unsafe { libc::ioctl(ns.as_raw_fd(), NS_GET_OWNER_UID, &raw mut uid) };
    check(rc.into())?;
    Ok(uid)
}

fn ioctl_fd(ns: BorrowedFd<'_>, request: c_ulong) -> io::Result<OwnedFd> {
    // SAFETY: the request takes no argument and the descriptor is open.
    let rc = unsafe { libc::ioctl(ns.as_raw_fd(), request) };
    check(rc.into())?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(rc) })
}

fn check(rc: libc::c_long) -> io::Result<libc::c_long> {
    if rc < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(rc)
    }
}
