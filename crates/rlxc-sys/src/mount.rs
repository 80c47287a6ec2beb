//! The mount API on descriptors: `open_tree`, `move_mount`, `fsopen`, `fsconfig`, `fsmount`,
//! `mount_setattr`.
//!
//! # References
//! open_tree(2), move_mount(2), fsopen(2), fsconfig(2), fsmount(2), mount_setattr(2).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Clone the tree instead of only opening it (open_tree(2)).
pub const OPEN_TREE_CLONE: u32 = 1;
/// Apply to the whole tree below as well.
pub const AT_RECURSIVE: u32 = 0x8000;
/// An empty path names the descriptor itself.
pub const AT_EMPTY_PATH: u32 = 0x1000;
/// Do not follow a final symbolic link.
pub const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
/// Close the new descriptor on exec.
const CLOEXEC: u32 = libc::O_CLOEXEC as u32;

/// Attributes of a mount (mount_setattr(2)).
pub mod attr {
    /// Read-only.
    pub const RDONLY: u64 = 0x1;
    /// Set-user-id bits have no effect.
    pub const NOSUID: u64 = 0x2;
    /// Device nodes have no effect.
    pub const NODEV: u64 = 0x4;
    /// No execution.
    pub const NOEXEC: u64 = 0x8;
    /// The bits that choose how access times are kept; always clear the whole field first.
    pub const ATIME_MASK: u64 = 0x70;
    /// Do not update access times.
    pub const NOATIME: u64 = 0x10;
    /// Always update access times.
    pub const STRICTATIME: u64 = 0x20;
    /// Do not update access times of directories.
    pub const NODIRATIME: u64 = 0x80;
    /// Translate ids by a user namespace.
    pub const IDMAP: u64 = 0x0010_0000;
    /// Do not follow symbolic links.
    pub const NOSYMFOLLOW: u64 = 0x0020_0000;
}

/// What [`set_attr`] changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct MountAttr<'a> {
    /// Attributes ([`attr`]) to set.
    pub set: u64,
    /// Attributes to clear.
    pub clear: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE` or `MS_UNBINDABLE`; 0 leaves it.
    pub propagation: u64,
    /// The user namespace of [`attr::IDMAP`].
    pub userns: Option<BorrowedFd<'a>>,
}

#[repr(C)]
struct RawMountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

fn cpath(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn ctext(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn check(ret: libc::c_long) -> io::Result<libc::c_long> {
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

fn new_fd(ret: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(check(ret)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just returned this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens a mount, or with [`OPEN_TREE_CLONE`] makes a detached copy of the tree at `path`.
///
/// An empty `path` names `dir` itself. The descriptor is close-on-exec.
///
/// # Errors
/// As open_tree(2).
pub fn open_tree(dir: BorrowedFd<'_>, path: &Path, flags: u32) -> io::Result<OwnedFd> {
    let path = cpath(path)?;
    // SAFETY: `path` is NUL-terminated and lives over the call.
    new_fd(unsafe {
        libc::syscall(
            libc::SYS_open_tree,
            dir.as_raw_fd(),
            path.as_ptr(),
            flags | CLOEXEC,
        )
    })
}

/// [`open_tree`] by a path of the calling process.
///
/// # Errors
/// As open_tree(2).
pub fn open_tree_at(path: &Path, flags: u32) -> io::Result<OwnedFd> {
    let path = cpath(path)?;
    // SAFETY: `path` is NUL-terminated and lives over the call.
    new_fd(unsafe {
        libc::syscall(
            libc::SYS_open_tree,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags | CLOEXEC,
        )
    })
}

/// A detached copy of the mount that `fd` lies on, at `fd`; with `recursive` of all below it too.
///
/// # Errors
/// As open_tree(2).
pub fn clone_tree(fd: impl AsFd, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OPEN_TREE_CLONE | AT_EMPTY_PATH;
    if recursive {
        flags |= AT_RECURSIVE;
    }
    open_tree(fd.as_fd(), Path::new(""), flags)
}

/// Attaches the detached mount `mount` exactly where `target` points (no path is walked).
///
/// # Errors
/// As move_mount(2).
pub fn attach(mount: impl AsFd, target: impl AsFd) -> io::Result<()> {
    const F_EMPTY_PATH: u32 = 0x4;
    const T_EMPTY_PATH: u32 = 0x40;
    // SAFETY: both paths are constant empty strings.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            target.as_fd().as_raw_fd(),
            c"".as_ptr(),
            F_EMPTY_PATH | T_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// Changes attributes of the mount at `fd`; `recursive` means everything below it too.
///
/// # Errors
/// As mount_setattr(2).
pub fn set_attr(fd: impl AsFd, recursive: bool, attr: &MountAttr<'_>) -> io::Result<()> {
    set_attr_path(fd.as_fd(), Path::new(""), recursive, attr)
}

/// [`set_attr`] at `path` below `dir`; an empty path names `dir` itself.
///
/// # Errors
/// As mount_setattr(2).
pub fn set_attr_path(
    dir: BorrowedFd<'_>,
    path: &Path,
    recursive: bool,
    attr: &MountAttr<'_>,
) -> io::Result<()> {
    let path = cpath(path)?;
    let mut flags = AT_EMPTY_PATH;
    if recursive {
        flags |= AT_RECURSIVE;
    }
    let raw = RawMountAttr {
        set: attr.set,
        clear: attr.clear,
        propagation: attr.propagation,
        userns_fd: attr
            .userns
            .map_or(0, |fd| u64::try_from(fd.as_raw_fd()).unwrap_or(0)),
    };
    // SAFETY: `path` is NUL-terminated, `raw` has the kernel's layout and its size is passed.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const raw,
            size_of::<RawMountAttr>(),
        )
    })
    .map(drop)
}

/// Whether `fd` is the root of a mount (statx(2), STATX_ATTR_MOUNT_ROOT).
pub fn is_mount_root(fd: impl AsFd) -> bool {
    // SAFETY: an all-zero statx is valid, and the kernel fills it in.
    let mut stat: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the path is an empty string, `stat` is valid for writing.
    let ret = unsafe {
        libc::statx(
            fd.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            0,
            &raw mut stat,
        )
    };
    let root = libc::STATX_ATTR_MOUNT_ROOT as u64;
    ret == 0 && stat.stx_attributes & root != 0
}

/// A file system being configured (fsopen(2)).
#[derive(Debug)]
pub struct FsContext(OwnedFd);

impl FsContext {
    /// Starts configuring a file system of type `fstype`.
    ///
    /// # Errors
    /// `ENODEV`: the kernel has no such type. Otherwise as fsopen(2).
    pub fn open(fstype: &str) -> io::Result<Self> {
        const FSOPEN_CLOEXEC: u32 = 1;
        let text = ctext(fstype)?;
        // SAFETY: `text` is NUL-terminated and lives over the call.
        new_fd(unsafe { libc::syscall(libc::SYS_fsopen, text.as_ptr(), FSOPEN_CLOEXEC) }).map(Self)
    }

    fn config(&self, command: u32, key: Option<&str>, value: Option<&str>) -> io::Result<()> {
        let key = key.map(ctext).transpose()?;
        let value = value.map(ctext).transpose()?;
        let pointer =
            |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |t| t.as_ptr());
        // SAFETY: both texts are NUL-terminated and live over the call, or null as the command wants.
        check(unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                self.0.as_raw_fd(),
                command,
                pointer(&key),
                pointer(&value),
                0,
            )
        })
        .map(drop)
    }

    /// Sets an option without value.
    ///
    /// # Errors
    /// As fsconfig(2).
    pub fn flag(&self, key: &str) -> io::Result<()> {
        self.config(0, Some(key), None)
    }

    /// Sets `key=value`.
    ///
    /// # Errors
    /// As fsconfig(2).
    pub fn set(&self, key: &str, value: &str) -> io::Result<()> {
        self.config(1, Some(key), Some(value))
    }

    /// Sets each of a comma-separated list of `key` or `key=value`.
    ///
    /// # Errors
    /// As fsconfig(2).
    pub fn set_all(&self, options: &str) -> io::Result<()> {
        for option in options.split(',').filter(|o| !o.is_empty()) {
            match option.split_once('=') {
                Some((key, value)) => self.set(key, value)?,
                None => self.flag(option)?,
            }
        }
        Ok(())
    }

    /// Names what the mount shows as its source.
    ///
    /// # Errors
    /// As fsconfig(2).
    pub fn source(self, source: &str) -> io::Result<Self> {
        self.set("source", source)?;
        Ok(self)
    }

    /// Creates the file system and mounts it detached, with mount attributes from [`attr`].
    ///
    /// # Errors
    /// As fsconfig(2) and fsmount(2).
    pub fn mount(self, attrs: u64) -> io::Result<OwnedFd> {
        const FSMOUNT_CLOEXEC: u32 = 1;
        self.config(6, None, None)?;
        let attrs = u32::try_from(attrs).map_err(io::Error::other)?;
        // SAFETY: only integers are passed.
        new_fd(unsafe {
            libc::syscall(
                libc::SYS_fsmount,
                self.0.as_raw_fd(),
                FSMOUNT_CLOEXEC,
                attrs,
            )
        })
    }
}

/// The MS_* flags of mount(2) as mount attributes; flags without an attribute are left out.
pub fn attrs_of_flags(flags: u64) -> u64 {
    const PAIRS: [(u64, u64); 7] = [
        (libc::MS_RDONLY, attr::RDONLY),
        (libc::MS_NOSUID, attr::NOSUID),
        (libc::MS_NODEV, attr::NODEV),
        (libc::MS_NOEXEC, attr::NOEXEC),
        (libc::MS_NODIRATIME, attr::NODIRATIME),
        (256, attr::NOSYMFOLLOW),
        (libc::MS_NOATIME, attr::NOATIME),
    ];
    let mut attrs = 0;
    for (flag, attribute) in PAIRS {
        if flags & flag != 0 {
            attrs |= attribute;
        }
    }
    if flags & libc::MS_STRICTATIME != 0 && flags & libc::MS_NOATIME == 0 {
        attrs |= attr::STRICTATIME;
    }
    attrs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_attributes() {
        assert_eq!(
            attrs_of_flags(libc::MS_RDONLY | libc::MS_NODEV | libc::MS_BIND),
            attr::RDONLY | attr::NODEV
        );
        assert_eq!(attrs_of_flags(libc::MS_STRICTATIME), attr::STRICTATIME);
        assert_eq!(attrs_of_flags(libc::MS_RELATIME), 0);
    }

    #[test]
    fn an_unknown_file_system_is_enodev() {
        let error = FsContext::open("no-such-file-system").err();
        assert!(
            error.is_some_and(|e| matches!(e.raw_os_error(), Some(libc::ENODEV | libc::EPERM)))
        );
    }
}
