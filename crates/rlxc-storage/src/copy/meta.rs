//! Owner, mode, extended attributes, times.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, UtimensatFlags, futimens, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown};

use crate::shift::Shift;

type Failed = (&'static str, Errno);

/// Everything onto an open file or directory. The order matters: a change of owner clears set-id bits and capabilities.
pub(super) fn apply(
    from: &OwnedFd,
    to: &OwnedFd,
    stat: &FileStat,
    shift: Option<&Shift>,
) -> Result<(), Failed> {
    let owner = owner(stat, shift)?;
    let (uid, gid) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
    fchown(to, Some(uid), Some(gid)).map_err(|e| ("set the owner of", e))?;
    super::set_mode(to, stat.st_mode).map_err(|e| ("set the mode of", e))?;
    xattrs(from, to, shift)?;
    let (access, change) = times(stat);
    futimens(to, &access, &change).map_err(|e| ("set the times of", e))
}

/// The owner that the copy gets.
pub(super) fn owner(stat: &FileStat, shift: Option<&Shift>) -> Result<FileStat, Failed> {
    shift.map_or(Ok(*stat), |shift| {
        shift.stat(stat).map_err(|e| ("give a mapped owner to", e))
    })
}

fn times(stat: &FileStat) -> (TimeSpec, TimeSpec) {
    (
        TimeSpec::new(stat.st_atime, stat.st_atime_nsec),
        TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec),
    )
}

/// The times of something that cannot be opened.
pub(super) fn times_at(dir: &OwnedFd, name: &CStr, stat: &FileStat) -> Result<(), Failed> {
    let (access, change) = times(stat);
    let how = UtimensatFlags::NoFollowSymlink;
    utimensat(dir, name, &access, &change, how).map_err(|e| ("set the times of", e))
}

fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// All extended attributes. Those that only the kernel or a security module writes are left out when they are refused.
pub(super) fn xattrs(from: &OwnedFd, to: &OwnedFd, shift: Option<&Shift>) -> Result<(), Failed> {
    let names = match rlxc_sys::fs::list_xattrs(from) {
        Ok(names) => names,
        Err(error) if errno(&error) == Errno::EOPNOTSUPP => return Ok(()),
        Err(error) => return Err(("list the attributes of", errno(&error))),
    };
    for name in names {
        let value = match rlxc_sys::fs::get_xattr(from, &name) {
            Ok(value) => value,
            Err(error) if matches!(errno(&error), Errno::ENODATA | Errno::EPERM) => continue,
            Err(error) => return Err(("read an attribute of", errno(&error))),
        };
        let value = match shift {
            Some(shift) => shift
                .xattr(&name, value)
                .map_err(|e| ("give mapped ids in an attribute to", e))?,
            None => value,
        };
        if let Err(error) = rlxc_sys::fs::set_xattr(to, &name, &value) {
            let whole = name.to_bytes();
            let foreign = whole.starts_with(b"trusted.")
                || (whole.starts_with(b"security.") && whole != b"security.capability")
                || whole.starts_with(b"btrfs.")
                || whole.starts_with(b"system.nfs4");
            if !(foreign && matches!(errno(&error), Errno::EPERM | Errno::EOPNOTSUPP)) {
                return Err(("set an attribute of the copy of", errno(&error)));
            }
        }
    }
    Ok(())
}
