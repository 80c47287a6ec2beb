//! Copying a tree with everything that belongs to it, by descriptors only, on several threads.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat, mknodat};
use nix::unistd::{Gid, Uid, fchownat, linkat, symlinkat};

use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::shift::Shift;
use crate::walk::Spot;

mod data;
mod meta;
mod progress;

pub use progress::{Progress, count_tree};

struct Job<'a> {
    progress: &'a Progress,
    shift: Option<&'a Shift>,
    target: OwnedFd,
    device: u64,
    /// The first name of each file that has several.
    links: Mutex<HashMap<(u64, u64), PathBuf>>,
    /// Cleared when the file systems turn out to be unable.
    reflink: AtomicBool,
}

struct Task {
    from: Spot,
    to: Spot,
    /// Below the tops
    path: PathBuf,
}

/// Copies what is in the directory `from` into the existing directory `to`, and `from`'s own owner, mode, times and
/// attributes onto it.
///
/// Kept are: owners, modes, times to the nanosecond, extended attributes (with ACLs and file capabilities), holes, hard
/// links, symbolic links, devices, fifos and sockets. Blocks are shared where the file system can. Mounted file systems
/// below `from` are not entered. No link is followed, whatever another process does to the tree meanwhile.
///
/// # Errors
/// [`Error::Path`]; what was copied before stays.
pub fn copy_tree(from: &Path, to: &Path, progress: &Progress) -> Result<()> {
    let open = |path: &Path| {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        nix::fcntl::open(path, flags, Mode::empty()).map_err(Error::at("open", path))
    };
    copy_between(open(from)?, open(to)?, from, None, progress)
}

/// As [`copy_tree`], between two open directories; `shown` stands for the source in errors. With a shift the copy
/// belongs to the ids of other maps.
///
/// # Errors
/// As [`copy_tree`].
pub fn copy_between(
    source: OwnedFd,
    target: OwnedFd,
    shown: &Path,
    shift: Option<&Shift>,
    progress: &Progress,
) -> Result<()> {
    let stat = fstat(&source).map_err(Error::at("look at", shown))?;
    let job = Job {
        progress,
        shift,
        target: target.try_clone().map_err(Error::at("open", shown))?,
        device: stat.st_dev,
        links: Mutex::default(),
        reflink: AtomicBool::new(true),
    };
    let first = Task {
        from: Spot::top(source),
        to: Spot::top(target),
        path: PathBuf::new(),
    };
    Pool::run(first, |pool, task| job.directory(pool, task, shown))
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

impl Job<'_> {
    fn directory(&self, pool: &Pool<Task, Error>, task: Task, top: &Path) -> Result<()> {
        let path = top.join(&task.path);
        let from = Arc::new(task.from.open().map_err(Error::at("open", &path))?);
        let to = Arc::new(
            task.to
                .open()
                .map_err(Error::at("open the copy of", &path))?,
        );
        let stat = fstat(&*from).map_err(Error::at("look at", &path))?;
        let scan = from.try_clone().map_err(Error::at("open", &path))?;
        let mut dir = Dir::from_fd(scan).map_err(Error::at("read", &path))?;
        let mut subdirs = Vec::new();
        for entry in dir.iter() {
            let entry = entry.map_err(Error::at("read", &path))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if self.progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let below = task.path.join(OsStr::from_bytes(name.to_bytes()));
            let is_dir = self
                .entry(&from, &to, name, &below)
                .map_err(|(operation, errno)| Error::at(operation, top.join(&below))(errno))?;
            self.progress.entries.fetch_add(1, Ordering::Relaxed);
            if is_dir {
                subdirs.push((name.to_owned(), below));
            }
        }
        // Only now, when all entries are made, do the directory's times stay what they are set to.
        meta::apply(&from, &to, &stat, self.shift)
            .map_err(|(op, errno)| Error::at(op, &path)(errno))?;
        for (name, path) in subdirs {
            pool.push(Task {
                from: task.from.child(&from, &name),
                to: task.to.child(&to, &name),
                path,
            });
        }
        Ok(())
    }

    /// Copies one entry; a directory is only made, and is entered when the result is true.
    fn entry(
        &self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &CStr,
        below: &Path,
    ) -> std::result::Result<bool, (&'static str, Errno)> {
        let stat = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(|e| ("look at", e))?;
        let kind = kind(&stat);
        if kind == SFlag::S_IFDIR {
            match mkdirat(to, name, Mode::S_IRWXU) {
                // A fresh file system has a lost+found; it is entered only if it is a directory indeed.
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(("make the copy of", errno)),
            }
            // A mounted file system is not entered; a btrfs subvolume has a device number of its own too.
            let same = stat.st_dev == self.device || stat.st_ino == 256;
            return Ok(same);
        }
        if stat.st_nlink < 2 {
            self.leaf(from, to, name, &stat)?;
            return Ok(false);
        }
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = links.get(&(stat.st_dev, stat.st_ino)) {
            match linkat(&self.target, first, to, name, AtFlags::empty()) {
                Ok(()) => return Ok(false),
                // Too deep for one path, or too many links over there: a file of its own.
                Err(Errno::ENAMETOOLONG | Errno::EMLINK) => {}
                Err(errno) => return Err(("link the copy of", errno)),
            }
        }
        self.leaf(from, to, name, &stat)?;
        links.insert((stat.st_dev, stat.st_ino), below.to_owned());
        Ok(false)
    }

    fn leaf(
        &self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &CStr,
        stat: &FileStat,
    ) -> std::result::Result<(), (&'static str, Errno)> {
        let failed = |errno| ("make the copy of", errno);
        let kind = kind(stat);
        if kind == SFlag::S_IFREG {
            return self.regular(from, to, name);
        }
        if kind == SFlag::S_IFLNK {
            let target = readlinkat(from, name).map_err(|e| ("read the link", e))?;
            symlinkat(target.as_os_str(), to, name).map_err(failed)?;
        } else {
            mknodat(to, name, kind, Mode::S_IRUSR, stat.st_rdev).map_err(failed)?;
        }
        let path = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let source = openat(from, name, path, Mode::empty()).map_err(|e| ("open", e))?;
        let copy = openat(to, name, path, Mode::empty()).map_err(failed)?;
        let owner = meta::owner(stat, self.shift)?;
        let (uid, gid) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
        let own = AtFlags::AT_EMPTY_PATH;
        fchownat(&copy, c"", Some(uid), Some(gid), own).map_err(|e| ("set the owner of", e))?;
        if kind != SFlag::S_IFLNK {
            // fchmod(2) does not take an O_PATH descriptor; its name in /proc leads to the same object.
            let proc = format!("/proc/self/fd/{}", copy.as_raw_fd());
            let mode = Mode::from_bits_truncate(stat.st_mode);
            let follow = nix::sys::stat::FchmodatFlags::FollowSymlink;
            nix::sys::stat::fchmodat(nix::fcntl::AT_FDCWD, proc.as_str(), mode, follow)
                .map_err(|e| ("set the mode of", e))?;
        }
        meta::xattrs(&source, &copy, self.shift)?;
        meta::times_at(to, name, stat)
    }

    fn regular(
        &self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &CStr,
    ) -> std::result::Result<(), (&'static str, Errno)> {
        // O_NONBLOCK: the file may have become a fifo since.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let source = openat(from, name, flags, Mode::empty()).map_err(|e| ("open", e))?;
        let stat = fstat(&source).map_err(|e| ("look at", e))?;
        if kind(&stat) != SFlag::S_IFREG {
            return Err(("copy the changing", Errno::ESTALE));
        }
        let make = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let copy = openat(
            to,
            name,
            make | OFlag::O_NOFOLLOW,
            Mode::S_IRUSR | Mode::S_IWUSR,
        )
        .map_err(|e| ("make the copy of", e))?;
        let (source, copy) = (File::from(source), File::from(copy));
        data::copy(&source, &copy, &stat, &self.reflink, self.progress)
            .map_err(|e| ("copy the data of", e))?;
        let (source, copy) = (OwnedFd::from(source), OwnedFd::from(copy));
        meta::apply(&source, &copy, &stat, self.shift)
    }
}

/// Sets the mode, without the type's bits.
fn set_mode(fd: &OwnedFd, mode: u32) -> std::result::Result<(), Errno> {
    fchmod(fd, Mode::from_bits_truncate(mode))
}
