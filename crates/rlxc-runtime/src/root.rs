//! A directory tree that is not trusted: every path is resolved below its root, by descriptors.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};
use nix::unistd::symlinkat;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// The root of an untrusted tree. Links in it, absolute ones too, stay below it; magic links are
/// refused (openat2(2), RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS).
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// The tree below an open directory.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// The tree below a host path.
    ///
    /// # Errors
    /// As open(2).
    pub fn open_host(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(nix::fcntl::open(path, flags, Mode::empty())?))
    }

    /// Opens `path` with `flags`; an empty path is the root itself.
    ///
    /// # Errors
    /// As openat2(2).
    pub fn open(&self, path: impl AsRef<Path>, flags: OFlag) -> io::Result<OwnedFd> {
        let path = path.as_ref();
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        loop {
            match openat2(&self.0, path, how) {
                // A rename elsewhere in the tree during the walk: try again, as openat2(2) asks.
                Err(Errno::EAGAIN) => {}
                other => return Ok(other?),
            }
        }
    }

    /// A reference to `path` without opening what it is.
    ///
    /// # Errors
    /// As openat2(2).
    pub fn path_fd(&self, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
        self.open(path, OFlag::O_PATH)
    }

    /// The directory `path` as a root of its own.
    pub(crate) fn below(&self, path: impl AsRef<Path>) -> io::Result<Self> {
        self.open(path, OFlag::O_PATH | OFlag::O_DIRECTORY)
            .map(Self)
    }

    /// Makes `path` and its missing parents, mode 0755; what exists is left.
    ///
    /// # Errors
    /// As mkdirat(2) and openat2(2).
    pub fn make_dirs(&self, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
        let path = normal(path.as_ref());
        match self.open(&path, OFlag::O_PATH | OFlag::O_DIRECTORY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let mut done = PathBuf::new();
        let mut parent = self.path_fd("")?;
        for part in path.components() {
            let name = Path::new(part.as_os_str());
            done.push(name);
            parent = match self.open(&done, OFlag::O_PATH | OFlag::O_DIRECTORY) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    mkdirat(&parent, name, Mode::from_bits_truncate(0o755))?;
                    self.open(&done, OFlag::O_PATH | OFlag::O_DIRECTORY)?
                }
                other => other?,
            };
        }
        Ok(parent)
    }

    /// Makes the empty file `path` and its missing parents; what exists is left.
    ///
    /// # Errors
    /// As mknodat(2) and openat2(2).
    pub fn make_file(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<OwnedFd> {
        let path = normal(path.as_ref());
        match self.path_fd(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let name = path.file_name().ok_or(Errno::EISDIR)?;
        let parent = self.make_dirs(path.parent().unwrap_or(Path::new("")))?;
        match mknodat(
            &parent,
            name,
            SFlag::S_IFREG,
            Mode::from_bits_truncate(mode),
            0,
        ) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.path_fd(&path)
    }

    /// Makes a symbolic link in directory `dir`, replacing a link or file that has another target.
    pub(crate) fn link(&self, dir: &str, name: &str, target: &str) -> io::Result<()> {
        let dir = self.open(dir, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        match symlinkat(target, &dir, name) {
            Err(Errno::EEXIST) => {
                let present = nix::fcntl::readlinkat(&dir, name);
                if present.is_ok_and(|found| found == target) {
                    return Ok(());
                }
                unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir)?;
                Ok(symlinkat(target, &dir, name)?)
            }
            other => Ok(other?),
        }
    }

    /// Writes `text` to the existing file `path`.
    pub(crate) fn write(&self, path: impl AsRef<Path>, text: &[u8]) -> io::Result<()> {
        let fd = self.open(path, OFlag::O_WRONLY | OFlag::O_NOCTTY)?;
        File::from(fd).write_all(text)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `/proc/self/fd/N`: names exactly what the descriptor refers to, for calls that take a path.
pub(crate) fn fd_path(fd: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}

/// Without leading slashes and `.`; `..` stays and is clamped by the kernel at the root.
fn normal(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .collect()
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("rlxc-root-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory");
        dir
    }

    #[test]
    fn absolute_links_stay_below_the_root() {
        let dir = scratch("links");
        symlink("/etc", dir.join("evil")).expect("a link");
        let root = Root::open_host(&dir).expect("a root");
        assert!(root.open("evil/passwd", OFlag::O_RDONLY).is_err());
        root.make_dirs("a/b/c").expect("directories");
        root.make_file("a/f", 0).expect("a file");
        assert!(dir.join("a/b/c").is_dir() && dir.join("a/f").is_file());
        // Made below the root or refused, but never outside.
        let _ = root.make_file("evil/rlxc-escape", 0o600);
        assert!(!Path::new("/etc/rlxc-escape").exists());
        assert!(
            root.open("../../../../etc/passwd", OFlag::O_RDONLY)
                .is_err()
        );
        std::fs::remove_dir_all(&dir).expect("cleaned up");
    }

    #[test]
    fn a_link_with_another_target_is_replaced() {
        let dir = scratch("replace");
        symlink("/old", dir.join("fd")).expect("a link");
        let root = Root::open_host(&dir).expect("a root");
        root.link("", "fd", "/proc/self/fd").expect("a link");
        root.link("", "fd", "/proc/self/fd").expect("twice is fine");
        let target = std::fs::read_link(dir.join("fd")).expect("a link");
        assert_eq!(target, Path::new("/proc/self/fd"));
        std::fs::remove_dir_all(&dir).expect("cleaned up");
    }
}
