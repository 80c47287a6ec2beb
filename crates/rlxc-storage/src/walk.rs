//! Directories that are still to be visited, without keeping each of them open.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// So long may the way from an open directory be; at most as many bytes in a path as the kernel takes.
const FAR: usize = 1500;

/// A directory below an open one. A tree of any depth and width keeps few of them open.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    anchor: Arc<OwnedFd>,
    below: PathBuf,
}

impl Spot {
    /// The top of a tree.
    pub(crate) fn top(top: OwnedFd) -> Self {
        Self {
            anchor: Arc::new(top),
            below: PathBuf::from("."),
        }
    }

    /// Opens it. No link is followed on the way, and none leads out of the tree.
    pub(crate) fn open(&self) -> nix::Result<OwnedFd> {
        open_beneath(&*self.anchor, &self.below)
    }

    /// The directory `name` in this one, which is open as `opened`.
    pub(crate) fn child(&self, opened: &Arc<OwnedFd>, name: &CStr) -> Self {
        let name = OsStr::from_bytes(name.to_bytes());
        match self.below.as_os_str().len() + name.len() > FAR {
            true => Self {
                anchor: opened.clone(),
                below: PathBuf::from(name),
            },
            false => Self {
                anchor: self.anchor.clone(),
                below: self.below.join(name),
            },
        }
    }
}

fn open_beneath(top: impl AsFd, path: &Path) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(top, path, how)
}
