//! Cgroups that a test's containers leave: found in whichever hierarchy and below whichever cgroup
//! they are, and removed.
//!
//! LXC leaves the cgroups of its monitors (`lxc.monitor.NAME`, with `-1`, `-2` … appended where the
//! name was taken) in some v1 hierarchies now and then, a directory of `lxc.cgroup.dir` always, and
//! the calling process in its monitor's cgroup after a start in the foreground. They are below the
//! cgroup of pid 1 in each hierarchy, or below the test's own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a process that is just ending may hold a cgroup up.
const PATIENCE: Duration = Duration::from_secs(2);

/// How deep below a mount containers are made at most.
const DEPTH: u32 = 8;

/// Where cgroup hierarchies are mounted.
#[must_use]
pub fn mounts() -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let lines = table.lines().filter(|line| line.contains(" - cgroup"));
    let found = lines.filter_map(|line| line.split(' ').nth(4).map(PathBuf::from));
    found.collect()
}

/// Removes, when it is dropped, what containers of these names have left.
///
/// A name is that of a container (`lxc.monitor.NAME`, `lxc.payload.NAME`, those with a number
/// appended too) or of a directory of the test's own.
#[derive(Debug, Default)]
pub struct Left {
    names: Vec<String>,
    kill: bool,
}

impl Left {
    /// Of one container, or one directory.
    #[must_use]
    pub fn of(name: impl Into<String>) -> Self {
        Self {
            names: vec![name.into()],
            kill: false,
        }
    }

    /// Processes that are still there are killed: the test has killed their monitor.
    #[must_use]
    pub fn with_processes(mut self) -> Self {
        self.kill = true;
        self
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        remove(&self.names, self.kill);
    }
}

/// Removes at once what containers of these names have left, as [`Left`] does.
pub fn remove_left(names: &[impl AsRef<str>]) {
    let names: Vec<String> = names.iter().map(|name| name.as_ref().to_owned()).collect();
    remove(&names, false);
}

fn remove(names: &[String], kill: bool) {
    if names.is_empty() {
        return;
    }
    let begin = Instant::now();
    for dir in left(names) {
        while !remove_tree(&dir) {
            if begin.elapsed() > PATIENCE && !kill {
                // Somebody else's of the same name, or a failed test's container that still runs.
                println!("the cgroup {} is in use and stays", dir.display());
                break;
            }
            if begin.elapsed() > PATIENCE * 5 {
                println!("the cgroup {} cannot be removed", dir.display());
                break;
            }
            if kill {
                kill_all(&dir);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The topmost cgroups of these names, in every hierarchy.
#[must_use]
pub fn left(names: &[impl AsRef<str>]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for mount in mounts() {
        find(&mount, names, DEPTH, &mut found);
    }
    found
}

fn find(dir: &Path, names: &[impl AsRef<str>], depth: u32, found: &mut Vec<PathBuf>) {
    for path in directories(dir) {
        let last = path.file_name().unwrap_or_default().to_string_lossy();
        match names.iter().any(|name| is_of(&last, name.as_ref())) {
            true => found.push(path),
            false if depth > 0 => find(&path, names, depth - 1, found),
            false => {}
        }
    }
}

/// Whether a directory's name is `name`, or that of a cgroup of the container `name`.
fn is_of(directory: &str, name: &str) -> bool {
    let kinds = ["lxc.monitor.", "lxc.payload."];
    let rest = kinds.iter().find_map(|kind| directory.strip_prefix(kind));
    let Some(number) = rest.and_then(|rest| rest.strip_prefix(name)) else {
        return directory == name;
    };
    let digits = number.strip_prefix('-');
    number.is_empty()
        || digits.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// From the leaves up; the kernel refuses those with processes. Whether it is gone.
fn remove_tree(dir: &Path) -> bool {
    for below in directories(dir) {
        remove_tree(&below);
    }
    std::fs::remove_dir(dir).is_ok() || !dir.exists()
}

fn kill_all(dir: &Path) {
    for below in directories(dir) {
        kill_all(&below);
    }
    let pids = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    for pid in pids.lines().filter(|pid| *pid != "0") {
        let mut kill = std::process::Command::new("kill");
        let _ = kill.args(["-KILL", pid]).output();
    }
}

fn directories(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let kind = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.filter(kind).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::is_of;

    #[test]
    fn a_containers_cgroups_are_known_by_kind_name_and_number() {
        for (directory, name, wanted) in [
            ("lxc.monitor.c1", "c1", true),
            ("lxc.payload.c1-12", "c1", true),
            ("c1", "c1", true),
            ("lxc.monitor.c1-", "c1", false),
            ("lxc.monitor.c1-2x", "c1", false),
            ("lxc.monitor.c10", "c1", false),
            ("lxc.pivot", "c1", false),
            ("c1-1", "c1", false),
        ] {
            assert_eq!(is_of(directory, name), wanted, "{directory}");
        }
    }
}
