//! File copy calls: FICLONE, and extended attributes of whatever a descriptor names.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Makes `to` share all blocks of `from` (FICLONE).
///
/// # Errors
/// `EOPNOTSUPP`, `EXDEV`, `EINVAL` where the file system cannot; else the errno of ioctl(2).
///
/// # References
/// ioctl_ficlone(2)
pub fn clone_file(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    let (from, to) = (from.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
    // SAFETY: FICLONE takes a descriptor by value and touches no memory of ours; both are open for the call.
    match unsafe { libc::ioctl(to, libc::FICLONE, from) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The path under which /proc shows a descriptor; system calls that follow it reach the object itself, also behind
/// an `O_PATH` descriptor of a symbolic link.
fn proc_path(fd: &impl AsFd) -> CString {
    let text = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    CString::new(text).unwrap_or_default()
}

/// The names of the extended attributes of the object behind `fd` (which may be `O_PATH`).
///
/// # Errors
/// `EOPNOTSUPP` where there are none by nature; else the errno of listxattr(2).
///
/// # References
/// listxattr(2)
pub fn list_xattrs(fd: impl AsFd) -> io::Result<Vec<CString>> {
    let path = proc_path(&fd);
    let mut buffer = vec![0u8; 1024];
    loop {
        // SAFETY: path is NUL-terminated, and the buffer is writable for the length that is passed.
        let n = unsafe { libc::listxattr(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
        match usize::try_from(n) {
            Ok(n) => {
                buffer.truncate(n);
                break;
            }
            Err(_) => grow(&mut buffer)?,
        }
    }
    let names = buffer.split(|byte| *byte == 0).filter(|n| !n.is_empty());
    Ok(names.filter_map(|name| CString::new(name).ok()).collect())
}

/// After a failed call: a larger buffer for `ERANGE`, else the error.
fn grow(buffer: &mut Vec<u8>) -> io::Result<()> {
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(libc::ERANGE) || buffer.len() > 1 << 20 {
        return Err(error);
    }
    buffer.resize(buffer.len() * 8, 0);
    Ok(())
}

/// An extended attribute's value.
///
/// # Errors
/// `ENODATA` when it is not there; else the errno of getxattr(2).
///
/// # References
/// getxattr(2)
pub fn get_xattr(fd: impl AsFd, name: &CStr) -> io::Result<Vec<u8>> {
    let path = proc_path(&fd);
    let mut buffer = vec![0u8; 1024];
    loop {
        let (room, len) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: both strings are NUL-terminated, and the buffer is writable for the length that is passed.
        let n = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), room.cast(), len) };
        match usize::try_from(n) {
            Ok(n) => {
                buffer.truncate(n);
                return Ok(buffer);
            }
            Err(_) => grow(&mut buffer)?,
        }
    }
}

/// Sets an extended attribute.
///
/// # Errors
/// The errno of setxattr(2).
///
/// # References
/// setxattr(2)
pub fn set_xattr(fd: impl AsFd, name: &CStr, value: &[u8]) -> io::Result<()> {
    let path = proc_path(&fd);
    let (at, len) = (value.as_ptr().cast(), value.len());
    // SAFETY: both strings are NUL-terminated, and the value is readable for its length.
    match unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), at, len, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets an extended attribute by the descriptor itself, where no /proc is.
///
/// # Errors
/// The errno of fsetxattr(2); `EBADF` for a descriptor opened with `O_PATH`.
///
/// # References
/// fsetxattr(2)
pub fn set_xattr_of_open(fd: impl AsFd, name: &CStr, value: &[u8]) -> io::Result<()> {
    let (fd, at, len) = (fd.as_fd().as_raw_fd(), value.as_ptr().cast(), value.len());
    // SAFETY: the name is NUL-terminated, and the value is readable for its length.
    match unsafe { libc::fsetxattr(fd, name.as_ptr(), at, len, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
