//! Mounted for the caller alone.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::error::{Error, Result};

/// How to mount a root file system.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Nothing will be written
    pub read_only: bool,
    /// MS_* flags, as mount(2) has them
    pub flags: u64,
    /// The file system's own options
    pub data: String,
    /// Overlay: its marks are user attributes, as where it is mounted in a user namespace
    pub user_marks: bool,
}

impl Options {
    /// For reading only.
    #[must_use]
    pub fn reading() -> Self {
        Self {
            read_only: true,
            ..Self::default()
        }
    }

    pub(crate) fn attrs(&self) -> u64 {
        let read_only = match self.read_only {
            true => rlxc_sys::mount::attr::RDONLY,
            false => 0,
        };
        rlxc_sys::mount::attrs_of_flags(self.flags) | read_only
    }
}

/// A root file system that can be reached by descriptor. It ends when this is dropped, unless it was attached.
pub struct Mounted {
    tree: OwnedFd,
    /// The path of a directory that is no mount of its own
    path: Option<PathBuf>,
    is_mount: bool,
    /// What has to last as long, and is undone by being dropped
    hold: Option<Box<dyn Send + Sync>>,
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mounted")
            .field("tree", &self.tree)
            .finish_non_exhaustive()
    }
}

impl Mounted {
    /// A directory where it is.
    pub(crate) fn directory(path: &Path) -> Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let tree = nix::fcntl::open(path, flags, Mode::empty()).map_err(Error::at("open", path))?;
        Ok(Self {
            tree,
            path: Some(path.to_owned()),
            is_mount: false,
            hold: None,
        })
    }

    /// A detached mount.
    pub(crate) fn detached(tree: OwnedFd) -> Self {
        Self {
            tree,
            path: None,
            is_mount: true,
            hold: None,
        }
    }

    pub(crate) fn holding(mut self, hold: impl Send + Sync + 'static) -> Self {
        self.hold = Some(Box::new(hold));
        self
    }

    /// Whether something has to be undone where it was mounted.
    pub(crate) fn ends_at_home(&self) -> bool {
        self.hold.is_some()
    }

    /// Its top directory, open for reading.
    ///
    /// # Errors
    /// [`Error::Path`].
    pub fn top(&self) -> Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(&self.tree, ".", flags, Mode::empty()).map_err(Error::at("open", "the rootfs"))
    }

    /// Attaches it at `target` in the caller's mount namespace.
    ///
    /// # Errors
    /// [`Error::Path`].
    pub fn attach(&self, target: &Path) -> Result<()> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let place = nix::fcntl::open(target, flags, Mode::empty())
            .map_err(Error::at("open the mount point", target))?;
        let attached = match self.is_mount {
            true => rlxc_sys::mount::attach(&self.tree, &place),
            false => self
                .clone_directory()
                .and_then(|copy| rlxc_sys::mount::attach(&copy, &place)),
        };
        attached.map_err(Error::at("mount the rootfs at", target))
    }

    /// A directory's view, detached. Its descriptor may be of the mount namespace that we come from,
    /// of which no view can be taken here (open_tree(2), EINVAL): then by its name. (Not by the one that
    /// /proc shows for the descriptor: in a chroot that begins outside of it.)
    fn clone_directory(&self) -> std::io::Result<OwnedFd> {
        let copied = rlxc_sys::mount::clone_tree(&self.tree, true);
        match (copied, &self.path) {
            (Err(error), Some(path))
                if error.raw_os_error() == Some(nix::errno::Errno::EINVAL as i32) =>
            {
                let how = rlxc_sys::mount::OPEN_TREE_CLONE | rlxc_sys::mount::AT_RECURSIVE;
                rlxc_sys::mount::open_tree_at(path, how)
            }
            (other, _) => other,
        }
    }

    /// The mount's descriptor, and what has to be kept as long as it is used.
    #[must_use]
    pub fn into_tree(self) -> (OwnedFd, Option<Box<dyn Send + Sync>>) {
        (self.tree, self.hold)
    }
}

impl AsFd for Mounted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tree.as_fd()
    }
}
