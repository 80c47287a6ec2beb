//! Locks between processes that work on one container's files.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;

use crate::rundir::{make_dirs, run_dir};
use crate::{Error, Result};

/// The disk lock of a container, held until it is dropped.
///
/// An open-file-description write lock on `RUNDIR/lxc/lock/LXCPATH/.NAME`, the same as LXC's; the
/// file stays in place.
#[derive(Debug)]
pub struct DiskLock {
    _file: File,
}

impl DiskLock {
    /// Waits for the lock.
    ///
    /// # Errors
    /// [`Error::Path`] when the lock file cannot be made or is a link.
    pub fn acquire(lxcpath: &Path, name: &str) -> Result<Self> {
        Self::acquire_below(&run_dir()?, lxcpath, name, None)
    }

    /// Waits for the lock, at most `patience`.
    ///
    /// # Errors
    /// As [`DiskLock::acquire`]; ETIMEDOUT when somebody else keeps it.
    pub fn acquire_within(lxcpath: &Path, name: &str, patience: Duration) -> Result<Self> {
        let until = Instant::now() + patience;
        Self::acquire_below(&run_dir()?, lxcpath, name, Some(until))
    }

    fn acquire_below(
        run: &Path,
        lxcpath: &Path,
        name: &str,
        until: Option<Instant>,
    ) -> Result<Self> {
        let path = make_dirs(run, Some("lock"), lxcpath)?.join(format!(".{name}"));
        let failed = |source| Error::Path {
            operation: "lock",
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NOCTTY).bits())
            .open(&path)
            .map_err(failed)?;
        lock_file(&file, until).map_err(|e| failed(e.into()))?;
        Ok(Self { _file: file })
    }
}

/// A write lock on all of a file.
fn whole_file_lock() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn lock_file(file: &File, until: Option<Instant>) -> nix::Result<()> {
    let lock = whole_file_lock();
    loop {
        let argument = match until {
            None => FcntlArg::F_OFD_SETLKW(&lock),
            Some(_) => FcntlArg::F_OFD_SETLK(&lock),
        };
        match fcntl(file, argument) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN | Errno::EACCES) if until.is_some_and(|u| Instant::now() >= u) => {
                return Err(Errno::ETIMEDOUT);
            }
            // The kernel offers no wait with a time limit.
            Err(Errno::EAGAIN | Errno::EACCES) => std::thread::sleep(Duration::from_millis(5)),
            Err(errno) => return Err(errno),
        }
    }
}

/// The mark of a container that is being made: `LXCPATH/NAME/partial`, locked while it lasts.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    file: File,
}

/// What a `partial` file says about a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartialState {
    /// There is none: the container is whole
    Absent,
    /// Somebody is making it right now
    InProgress,
    /// Somebody began and never finished: to be removed
    Leftover,
}

impl Partial {
    /// Makes the mark in the container's directory and locks it.
    ///
    /// # Errors
    /// [`Error::Path`]; EEXIST when the mark is there already.
    pub fn create(container_dir: &Path) -> Result<Self> {
        let path = container_dir.join("partial");
        let failed = |source| Error::Path {
            operation: "mark the container as partial by",
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o000)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits())
            .open(&path)
            .map_err(failed)?;
        lock_file(&file, Some(Instant::now())).map_err(|e| failed(e.into()))?;
        Ok(Self { path, file })
    }

    /// The container is whole: removes the mark.
    ///
    /// # Errors
    /// [`Error::Path`] when it cannot be removed.
    pub fn finish(self) -> Result<()> {
        fs::remove_file(&self.path).map_err(|source| Error::Path {
            operation: "remove",
            path: self.path.clone(),
            source,
        })
    }

    /// The open, locked file (a child that goes on creating keeps it open).
    pub fn file(&self) -> &File {
        &self.file
    }

    /// What the mark in a container's directory says.
    ///
    /// # Errors
    /// [`Error::Path`] when it is there but cannot be read.
    pub fn look(container_dir: &Path) -> Result<PartialState> {
        let path = container_dir.join("partial");
        let failed = |source| Error::Path {
            operation: "look at",
            path: path.clone(),
            source,
        };
        match fs::symlink_metadata(&path) {
            Err(error) if is_absent(&error) => return Ok(PartialState::Absent),
            Err(error) => return Err(failed(error)),
            Ok(_) => {}
        }
        match open_partial(&path) {
            Ok(file) => match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file_lock())) {
                Ok(_) => Ok(PartialState::Leftover),
                Err(Errno::EAGAIN | Errno::EACCES) => Ok(PartialState::InProgress),
                Err(errno) => Err(failed(errno.into())),
            },
            // Gone between the two looks: its maker has just finished.
            Err(error) if is_absent(&error) => Ok(PartialState::Absent),
            Err(error) => Err(failed(error)),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Opens for locking. The file has mode 0, which only its owner can lift.
fn open_partial(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).bits());
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let handle = OpenOptions::new()
                .read(true)
                .custom_flags((OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits())
                .open(path)?;
            if !handle.metadata()?.is_file()
                || handle.metadata()?.uid() != nix::unistd::geteuid().as_raw()
            {
                return Err(error);
            }
            let own = format!("/proc/self/fd/{}", handle.as_raw_fd());
            fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            options.open(path)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(what: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("rlxc-monitor-{what}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn a_second_holder_waits_and_gives_up_in_time() {
        let run = scratch("lock");
        let lxcpath = Path::new("/some/where");
        let soon = || Some(Instant::now() + Duration::from_millis(30));
        let held = DiskLock::acquire_below(&run, lxcpath, "c1", None).unwrap();
        assert!(run.join("lxc/lock/some/where/.c1").exists());
        let error = DiskLock::acquire_below(&run, lxcpath, "c1", soon()).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::ETIMEDOUT));
        drop(held);
        DiskLock::acquire_below(&run, lxcpath, "c1", soon()).unwrap();
        fs::remove_dir_all(&run).unwrap();
    }

    #[test]
    fn a_link_in_place_of_the_lock_file_is_not_followed() {
        let run = scratch("locklink");
        let dir = make_dirs(&run, Some("lock"), Path::new("/x")).unwrap();
        std::os::unix::fs::symlink(run.join("victim"), dir.join(".c1")).unwrap();
        let error = DiskLock::acquire_below(&run, Path::new("/x"), "c1", None).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::ELOOP));
        assert!(!run.join("victim").exists());
        fs::remove_dir_all(&run).unwrap();
    }

    #[test]
    fn the_partial_mark_tells_progress_from_leftovers() {
        let dir = scratch("partial");
        assert_eq!(Partial::look(&dir).unwrap(), PartialState::Absent);
        let mark = Partial::create(&dir).unwrap();
        assert_eq!(Partial::look(&dir).unwrap(), PartialState::InProgress);
        assert!(Partial::create(&dir).is_err());
        mark.finish().unwrap();
        assert_eq!(Partial::look(&dir).unwrap(), PartialState::Absent);
        drop(Partial::create(&dir).unwrap());
        assert_eq!(Partial::look(&dir).unwrap(), PartialState::Leftover);
        fs::remove_dir_all(&dir).unwrap();
    }
}
