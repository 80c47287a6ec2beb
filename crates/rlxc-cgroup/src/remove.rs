//! Removing cgroups: rmdir first, a walk only where children are left.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::file;

/// Removes a cgroup with all below it; a busy one is tried for `timeout`.
///
/// # Errors
/// [`Error::Remove`] for the first directory that stays.
pub fn remove(path: &Path, timeout: Duration) -> Result<()> {
    tree(path, Instant::now() + timeout)
}

/// Removes a cgroup with all below it; a busy one is tried until `deadline`, since an ended
/// process keeps its v1 cgroup for a moment. One that is gone already is no error.
pub(crate) fn tree(path: &Path, deadline: Instant) -> Result<()> {
    let mut pause = Duration::from_micros(200);
    loop {
        match std::fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e)
                if [Errno::EBUSY, Errno::ENOTEMPTY]
                    .map(|n| Some(n as i32))
                    .contains(&e.raw_os_error()) =>
            {
                for child in children(path) {
                    tree(&child, deadline)?;
                }
                if Instant::now() >= deadline {
                    return Err(Error::Remove {
                        path: path.into(),
                        source: e,
                    });
                }
                // rmdir(2) of the now childless cgroup comes first; only a busy one waits.
                if std::fs::remove_dir(path).is_ok() {
                    return Ok(());
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            Err(source) => {
                return Err(Error::Remove {
                    path: path.into(),
                    source,
                });
            }
        }
    }
}

/// Cgroups that another process is about to leave, told by it.
#[derive(Debug, Default)]
pub struct Left(Vec<(PathBuf, u64)>);

impl Left {
    /// Notes which directories these are, while that process is still in them: later another
    /// container may have made new ones of the same names.
    ///
    /// What is no cgroup is not touched: the names come from another process.
    #[must_use]
    pub fn note(dirs: Vec<PathBuf>) -> Self {
        use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};
        let noted = dirs.into_iter().filter_map(|dir| {
            let kind = statfs(&dir).ok()?.filesystem_type();
            let number = inode(&dir)?;
            matches!(kind, CGROUP_SUPER_MAGIC | CGROUP2_SUPER_MAGIC).then_some((dir, number))
        });
        Self(noted.collect())
    }

    /// Removes them when the process has ended, each tried for `patience`; what cannot be removed
    /// stays.
    pub fn remove(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        for (dir, number) in &self.0 {
            if inode(dir) != Some(*number) {
                continue;
            }
            if let Err(error) = tree(dir, deadline) {
                tracing::warn!("{error}");
            }
        }
    }
}

fn inode(dir: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(dir).ok().map(|meta| meta.ino())
}

/// Whether no process is in this cgroup or below it.
pub(crate) fn is_vacant(path: &Path) -> bool {
    file::get(path, "cgroup.procs").is_ok_and(|pids| pids.is_empty())
        && children(path).iter().all(|child| is_vacant(child))
}

/// The processes in these cgroups and below them.
#[must_use]
pub fn processes(dirs: &[PathBuf]) -> Vec<i32> {
    let mut pids: Vec<i32> = Vec::new();
    for dir in dirs {
        let text = file::get(dir, "cgroup.procs").unwrap_or_default();
        pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        pids.extend(processes(&children(dir)));
    }
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Waits until the processes in these cgroups have ended: v1 tells nobody when a cgroup is empty.
pub(crate) fn wait_ended(dirs: &[PathBuf], deadline: Instant) -> Result<()> {
    loop {
        let left = processes(dirs);
        // 0 is a process of another pid namespace, which cannot be waited for here.
        let Some(pid) = left.into_iter().find(|pid| *pid > 0) else {
            return Ok(());
        };
        let rest = deadline.saturating_duration_since(Instant::now());
        let process = match rlxc_sys::process::pidfd_open(pid) {
            Ok(process) => process,
            // It has ended meanwhile.
            Err(e) if e.raw_os_error() == Some(Errno::ESRCH as i32) && !rest.is_zero() => continue,
            // Without events: removing is tried until the deadline.
            Err(_) => return Ok(()),
        };
        let timeout = PollTimeout::try_from(rest + Duration::from_millis(1));
        let timeout = timeout.unwrap_or(PollTimeout::MAX);
        let ended = poll(
            &mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)],
            timeout,
        );
        if ended != Ok(1) && Instant::now() >= deadline {
            return Err(Error::Timeout {
                what: "the end of the processes",
                path: dirs.first().cloned().unwrap_or_default(),
            });
        }
    }
}

fn children(path: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let dirs = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    dirs.map(|e| e.path()).collect()
}

/// Kills all processes at and below a cgroup: cgroup.kill where the kernel has it.
pub(crate) fn kill_all(path: &Path) {
    if file::set(path, "cgroup.kill", "1").is_ok() {
        return;
    }
    for child in children(path) {
        kill_all(&child);
    }
    let pids = file::get(path, "cgroup.procs").unwrap_or_default();
    for pid in pids.lines().filter_map(|line| line.parse::<i32>().ok()) {
        // 0 is a process of another pid namespace: kill(0) would hit our own group.
        if pid > 0 && Pid::from_raw(pid) != Pid::this() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
