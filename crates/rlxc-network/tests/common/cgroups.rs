//! Cgroups that a test's containers leave, removed for certain.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Removes, when it is dropped, every cgroup whose name holds the needle, in each hierarchy, with
/// all below; waits for processes that are just ending, and kills those that do not end.
pub struct Cgroups(pub String);

impl Cgroups {
    /// The topmost cgroups with such a name: of each v1 hierarchy, or of the one v2 tree.
    fn found(&self) -> Vec<PathBuf> {
        let base = Path::new("/sys/fs/cgroup");
        let mut all = directories(base);
        for hierarchy in directories(base) {
            all.extend(directories(&hierarchy));
        }
        let named = |p: &PathBuf| {
            p.file_name()
                .is_some_and(|n| n.to_string_lossy().contains(&self.0))
        };
        all.retain(named);
        all
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        let begin = Instant::now();
        loop {
            let left = self.found();
            if left.is_empty() {
                return;
            }
            let patience = begin.elapsed();
            if patience > Duration::from_secs(20) {
                println!("cgroups that cannot be removed: {left:?}");
                return;
            }
            for directory in left {
                remove(&directory, patience > Duration::from_secs(2));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .collect()
}

fn remove(directory: &Path, kill: bool) {
    for below in directories(directory) {
        remove(&below, kill);
    }
    if std::fs::remove_dir(directory).is_err() && kill {
        let pids = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        for pid in pids.lines().filter_map(|line| line.parse().ok()) {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
    }
}
