//! Writing security attributes through a procfs that is really one (CVE-2015-1334, CVE-2025-52881).

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use crate::{Error, Result};

/// A file below /proc/self/attr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// AppArmor, at the next exec
    AppArmorExec,
    /// AppArmor, now
    AppArmorCurrent,
    /// SELinux, at the next exec
    SelinuxExec,
    /// SELinux, now
    SelinuxCurrent,
    /// SELinux, for keyrings
    SelinuxKeyCreate,
}

impl Attribute {
    pub(crate) fn apparmor(on_exec: bool) -> Self {
        if on_exec {
            Self::AppArmorExec
        } else {
            Self::AppArmorCurrent
        }
    }

    pub(crate) fn selinux(on_exec: bool) -> Self {
        if on_exec {
            Self::SelinuxExec
        } else {
            Self::SelinuxCurrent
        }
    }

    /// Candidates, relative to /proc/PID; the module's own directory first (kernel 5.1).
    #[must_use]
    pub fn paths(self) -> &'static [&'static str] {
        match self {
            Self::AppArmorExec => &["attr/apparmor/exec", "attr/exec"],
            Self::AppArmorCurrent => &["attr/apparmor/current", "attr/current"],
            Self::SelinuxExec => &["attr/exec"],
            Self::SelinuxCurrent => &["attr/current"],
            Self::SelinuxKeyCreate => &["attr/keycreate"],
        }
    }
}

/// The directory of the calling thread below a procfs, held open.
#[derive(Debug)]
pub struct ProcSelf(OwnedFd);

impl ProcSelf {
    /// Opens /proc/thread-self and makes sure that it is on a procfs.
    ///
    /// # Errors
    /// When it is something else: a label written to a look-alike would silently not be set.
    pub fn open() -> Result<Self> {
        Self::open_at(Path::new("/proc"))
    }

    /// As [`Self::open`] with another mount point.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_at(mount: &Path) -> Result<Self> {
        let path = mount.join("thread-self");
        let dir = File::options()
            .read(true)
            .open(&path)
            .map_err(|source| Error::Read {
                path: path.clone(),
                source,
            })?;
        Self::from_directory(dir.into(), &path)
    }

    /// Takes over an open directory /proc/PID, e.g. one of an own detached procfs mount.
    ///
    /// # Errors
    /// When it is not on a procfs.
    pub fn from_directory(directory: OwnedFd, path: &Path) -> Result<Self> {
        require_procfs(directory.as_fd(), path)?;
        Ok(Self(directory))
    }

    /// Opens an attribute for writing. Neither a symbolic link nor a mount on top of the file is followed.
    ///
    /// # Errors
    /// When none of the candidates can be opened.
    pub fn open_attribute(&self, attribute: Attribute) -> Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(OFlag::O_WRONLY | OFlag::O_CLOEXEC)
            .resolve(
                ResolveFlag::RESOLVE_BENEATH
                    | ResolveFlag::RESOLVE_NO_XDEV
                    | ResolveFlag::RESOLVE_NO_SYMLINKS,
            );
        let mut failed = None;
        for path in attribute.paths() {
            match openat2(&self.0, *path, how) {
                Ok(fd) => {
                    require_procfs(fd.as_fd(), Path::new(path))?;
                    return Ok(fd);
                }
                Err(errno) => failed = Some((path, errno)),
            }
        }
        let (path, source) = failed.map_or(("attr", nix::errno::Errno::ENOENT), |(path, errno)| {
            (*path, errno)
        });
        Err(Error::Write {
            path: PathBuf::from("/proc/self").join(path),
            source: source.into(),
        })
    }

    /// Writes an attribute in one write.
    ///
    /// # Errors
    /// When it cannot be opened or the label is refused.
    pub fn write(&self, attribute: Attribute, text: &str) -> Result<()> {
        let mut file = File::from(self.open_attribute(attribute)?);
        file.write_all(text.as_bytes())
            .map_err(|source| Error::WriteLabel {
                label: text.to_owned(),
                source,
            })
    }
}

fn require_procfs(fd: BorrowedFd<'_>, path: &Path) -> Result<()> {
    match fstatfs(fd) {
        Ok(stat) if stat.filesystem_type() == PROC_SUPER_MAGIC => Ok(()),
        _ => Err(Error::NotProcfs { path: path.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_looks_like_proc_is_refused() {
        let fake = std::env::temp_dir().join(format!("rlxc-security-proc-{}", std::process::id()));
        std::fs::create_dir_all(fake.join("thread-self/attr")).ok();
        assert!(matches!(
            ProcSelf::open_at(&fake),
            Err(Error::NotProcfs { .. })
        ));
        std::fs::remove_dir_all(&fake).ok();
    }

    #[test]
    fn the_real_proc_is_taken() {
        assert!(ProcSelf::open().is_ok());
    }
}
