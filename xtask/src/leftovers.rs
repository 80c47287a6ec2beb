//! What a test run must not leave behind: processes, mounts, cgroups, links, loop devices.
//!
//! An ordinary user answers for what belongs to it: everything else is others' work meanwhile.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long what is on its way out may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A picture of the machine, taken before and after the suite.
#[derive(Debug, Default)]
pub(crate) struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Takes the picture.
    pub(crate) fn take() -> Self {
        let mut seen = BTreeSet::new();
        processes(&mut seen);
        if crate::host::is_root() {
            mounts(&mut seen);
            links(&mut seen);
            loop_devices(&mut seen);
        }
        cgroups(Path::new("/sys/fs/cgroup"), 0, &mut seen);
        Self(seen)
    }

    /// What is there now and was not there then.
    pub(crate) fn since(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }
}

/// What is left of a suite that has ended: an ended process keeps its cgroup, and a cgroup its
/// devices and links, for a moment.
pub(crate) fn after(before: &Snapshot) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = Snapshot::take().since(before);
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Whether the thing at `path` is this user's to answer for.
fn is_own(path: &Path) -> bool {
    let own = crate::host::effective_uid();
    own == Some(0) || std::fs::metadata(path).is_ok_and(|meta| Some(meta.uid()) == own)
}

/// Monitors and our own helper programs; other programs come and go without us.
fn processes(seen: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name
            .to_str()
            .filter(|n| n.bytes().all(|b| b.is_ascii_digit()))
        else {
            continue;
        };
        if !is_own(&entry.path()) {
            continue;
        }
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let program = line
            .split(' ')
            .next()
            .unwrap_or_default()
            .rsplit('/')
            .next()
            .unwrap_or_default();
        if line.starts_with("[lxc monitor]")
            || [
                "rlxc-monitor",
                "rlxc-worker",
                "lxc-monitord",
                "lxc-user-nic",
            ]
            .contains(&program)
        {
            seen.insert(format!("process {pid}: {}", line.trim_end()));
        }
    }
}

fn mounts(seen: &mut BTreeSet<String>) {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for line in table.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        if let Some(target) = fields.get(4) {
            seen.insert(format!("mount {target}"));
        }
    }
}

fn links(seen: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
    {
        seen.insert(format!("link {}", entry.file_name().to_string_lossy()));
    }
}

/// Loop devices with a file behind them.
fn loop_devices(seen: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir("/sys/block")
        .into_iter()
        .flatten()
        .flatten()
    {
        if let Ok(file) = std::fs::read_to_string(entry.path().join("loop/backing_file")) {
            let name = entry.file_name();
            seen.insert(format!(
                "loop device {}: {}",
                name.to_string_lossy(),
                file.trim_end()
            ));
        }
    }
}

/// Container cgroups, down to the depth where tests make them.
fn cgroups(folder: &Path, depth: u32, seen: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        // LXC 5 and 7 themselves leave lxc.pivot behind.
        if depth > 0 && !path.ends_with("lxc.pivot") && is_own(&path) {
            seen.insert(format!("cgroup {}", path.display()));
        }
        if depth < 3 {
            cgroups(&path, depth + 1, seen);
        }
    }
}
