//! Removing a tree, by descriptors only, on several threads.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2, renameat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::error::{Error, Result};
use crate::pool::Pool;

/// A deeper directory is moved to the top of the tree first, so that few descriptors are open at a time.
const DEEPEST: usize = 64;

struct Node {
    parent: Option<Arc<Node>>,
    name: CString,
    fd: OwnedFd,
    path: PathBuf,
    depth: usize,
    /// Children that are still there, and one for the scan of this directory itself.
    left: AtomicUsize,
}

struct Task {
    parent: Arc<Node>,
    name: CString,
}

/// Removes `path` and everything below it. It is no error when nothing is there.
///
/// Nothing outside is touched whatever another process does to the tree meanwhile: every step is one name below an open
/// directory, and no link is followed. Mounted file systems are not entered.
///
/// # Errors
/// [`Error::MountBelow`] when something is mounted in the tree (what was before it may be gone); [`Error::Path`].
pub fn remove_tree(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::at("remove", path)(Errno::EINVAL));
    };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let parent_fd = match nix::fcntl::open(parent, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => return Err(Error::at("open", parent)(errno)),
    };
    let name = CString::new(name.as_encoded_bytes())
        .map_err(|_| Error::at("remove", path)(Errno::EINVAL))?;
    match fstatat(&parent_fd, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => return Err(Error::at("look at", path)(errno)),
        Ok(stat)
            if SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) != SFlag::S_IFDIR =>
        {
            return unlinkat(&parent_fd, name.as_c_str(), UnlinkatFlags::NoRemoveDir)
                .map_err(Error::at("remove", path));
        }
        Ok(_) => {}
    }
    let top = Arc::new(Node {
        parent: None,
        name: name.clone(),
        fd: parent_fd,
        path: parent.to_owned(),
        depth: 0,
        left: AtomicUsize::new(usize::MAX / 2),
    });
    Pool::run(Task { parent: top, name }, empty)
}

/// A mount point below `path`, in the caller's mount namespace.
pub(crate) fn mount_below(path: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let targets = text.lines().filter_map(|line| line.split(' ').nth(4));
    let unescaped = targets.map(|target| {
        let target = target.replace("\\040", " ").replace("\\011", "\t");
        PathBuf::from(target.replace("\\012", "\n").replace("\\134", "\\"))
    });
    unescaped
        .into_iter()
        .find(|target| target.starts_with(path))
}

fn open_dir(parent: &Node, name: &CString) -> Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(&parent.fd, name.as_c_str(), how).map_err(|errno| {
        let error = Error::below("open", &parent.path, name.as_bytes(), errno);
        match (errno, error) {
            (Errno::EXDEV, Error::Path { path, .. }) => Error::MountBelow(path),
            (_, error) => error,
        }
    })
}

/// Unlinks what is in a directory; what cannot be unlinked because it is a directory becomes a task.
fn empty(pool: &Pool<Task, Error>, task: Task) -> Result<()> {
    let Task { parent, name } = task;
    let fd = open_dir(&parent, &name)?;
    let path = parent
        .path
        .join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name.as_bytes()));
    if is_subvolume(&fd) && rlxc_sys::btrfs::destroy_subvolume(&parent.fd, name.as_bytes()).is_ok()
    {
        return finished(parent);
    }
    let scan = fd.try_clone().map_err(Error::at("open", &path))?;
    let node = Arc::new(Node {
        depth: parent.depth + 1,
        parent: Some(parent),
        name,
        fd,
        path,
        left: AtomicUsize::new(1),
    });
    let mut dir = Dir::from_fd(scan).map_err(Error::at("read", &node.path))?;
    let mut subdirs = Vec::new();
    for entry in dir.iter() {
        let entry = entry.map_err(Error::at("read", &node.path))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let is_dir = entry.file_type() == Some(nix::dir::Type::Directory);
        let gone = match is_dir {
            true => Err(Errno::EISDIR),
            false => unlinkat(&node.fd, name, UnlinkatFlags::NoRemoveDir),
        };
        match gone {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(Errno::EISDIR) => subdirs.push(name.to_owned()),
            Err(Errno::EBUSY) => {
                return Err(Error::MountBelow(node.path.join(os(name.to_bytes()))));
            }
            Err(errno) => return Err(Error::below("remove", &node.path, name.to_bytes(), errno)),
        }
    }
    for name in subdirs {
        let (parent, name) = match node.depth < DEEPEST {
            true => (node.clone(), name),
            false => lift(&node, name)?,
        };
        parent.left.fetch_add(1, Ordering::AcqRel);
        pool.push(Task { parent, name });
    }
    finished(node)
}

/// One that holds other subvolumes cannot be deleted as a whole; then it is emptied like a directory.
fn is_subvolume(fd: &OwnedFd) -> bool {
    nix::sys::stat::fstat(fd).is_ok_and(|stat| stat.st_ino == rlxc_sys::btrfs::SUBVOLUME_INODE)
        && rlxc_sys::btrfs::is_subvolume(fd)
}

fn os(bytes: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}

/// Moves a directory up to the top of the tree that is being removed.
fn lift(node: &Arc<Node>, name: CString) -> Result<(Arc<Node>, CString)> {
    static COUNTER: AtomicUsize = AtomicUsize::new(0);
    let mut top = node;
    while top.depth > 1
        && let Some(parent) = &top.parent
    {
        top = parent;
    }
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let new = CString::new(format!(".rlxc-remove.{}.{number}", std::process::id()))
            .unwrap_or_default();
        match renameat(&node.fd, name.as_c_str(), &top.fd, new.as_c_str()) {
            Ok(()) => return Ok((top.clone(), new)),
            Err(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR) => {}
            // A subvolume's root cannot be moved everywhere: stay here, at the price of a descriptor.
            Err(Errno::EXDEV | Errno::EPERM | Errno::EACCES) => return Ok((node.clone(), name)),
            Err(Errno::EBUSY) => {
                return Err(Error::MountBelow(node.path.join(os(name.as_bytes()))));
            }
            Err(errno) => return Err(Error::below("move", &node.path, name.as_bytes(), errno)),
        }
    }
}

/// One thing less in this directory; when it is empty it goes too, and so on upwards.
fn finished(mut node: Arc<Node>) -> Result<()> {
    while node.left.fetch_sub(1, Ordering::AcqRel) == 1 {
        let Some(parent) = node.parent.clone() else {
            break;
        };
        match unlinkat(&parent.fd, node.name.as_c_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(Errno::EBUSY) => return Err(Error::MountBelow(node.path.clone())),
            Err(errno) => return Err(Error::at("remove", &node.path)(errno)),
        }
        node = parent;
    }
    Ok(())
}
