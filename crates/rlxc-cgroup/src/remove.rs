//! Removing cgroups: rmdir first, a walk only where children are left.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
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

/// Removes cgroups that a process left behind which has just ended, each tried for `patience`.
///
/// What is no cgroup is not touched, and what cannot be removed stays: the directories come from
/// another process.
pub fn remove_left(dirs: &[PathBuf], patience: Duration) {
    use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};
    let deadline = Instant::now() + patience;
    for dir in dirs {
        let kind = statfs(dir).map(|found| found.filesystem_type());
        if !matches!(kind, Ok(CGROUP_SUPER_MAGIC | CGROUP2_SUPER_MAGIC)) {
            continue;
        }
        if let Err(error) = tree(dir, deadline) {
            tracing::warn!("{error}");
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
