//! What a container's cgroups cost: the time that the kernel takes for all calls on the cgroup tree
//! (making, entering, limiting, removing) in one `execute`, beside few and beside many containers.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Side, ours, print_row, theirs};
use crate::host;

/// So many containers' cgroups are there already.
const BESIDE: [usize; 2] = [10, 500];

const LIMITS: &str = "\
lxc.cgroup.memory.limit_in_bytes = 64M
lxc.cgroup.pids.max = 100
lxc.cgroup.cpu.shares = 512
lxc.cgroup.devices.deny = a
lxc.cgroup.devices.allow = c *:* m
lxc.cgroup.devices.allow = c 1:3 rwm
lxc.cgroup2.memory.max = 64M
lxc.cgroup2.pids.max = 100
lxc.cgroup2.cpu.weight = 50
lxc.cgroup2.devices.deny = a
lxc.cgroup2.devices.allow = c *:* m
lxc.cgroup2.devices.allow = c 1:3 rwm
";

/// The rows, where strace is there to tell the times.
pub(super) fn rows(place: &Path, runs: usize) -> Result<(), String> {
    if host::find_program("strace").is_none() {
        println!("skipped: cgroup rows: strace");
        return Ok(());
    }
    let lxcpath = place.join("cgroups");
    super::container(&lxcpath, "c", &place.join("rootfs"))?;
    let file = lxcpath.join("c/config");
    let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    std::fs::write(&file, text + LIMITS).map_err(|e| format!("{}: {e}", file.display()))?;
    for number in BESIDE {
        let _others = Others::make(number);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..=runs.min(10) {
            a.push(cost(&ours(), &lxcpath)?);
            b.push(cost(&theirs(), &lxcpath)?);
        }
        print_row(&format!("cgroups of one, beside {number}"), a, b);
    }
    Ok(())
}

/// The sum of the times of all calls that name a file below /sys/fs/cgroup.
fn cost(side: &Side, lxcpath: &Path) -> Result<Duration, String> {
    let trace = lxcpath.join("trace");
    let inner = side.command("execute", lxcpath);
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-T", "-qq", "-o"]).arg(&trace);
    command.arg(inner.get_program()).args(inner.get_args());
    command.args(["-n", "c", "--", "/bin/true"]);
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|e| format!("strace: {e}"))?;
    if !status.success() {
        return Err(format!("{command:?}: {status}"));
    }
    let text = std::fs::read(&trace).map_err(|e| format!("{}: {e}", trace.display()))?;
    let text = String::from_utf8_lossy(&text);
    let seconds = text
        .lines()
        .filter(|line| line.contains("/sys/fs/cgroup") && !line.contains("poll("))
        .filter_map(|line| {
            line.rsplit_once('<')?
                .1
                .strip_suffix('>')?
                .parse::<f64>()
                .ok()
        });
    Ok(Duration::from_secs_f64(seconds.sum()))
}

/// Cgroups as so many containers have them.
struct Others(Vec<PathBuf>);

impl Others {
    fn make(number: usize) -> Self {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mounts = table
            .lines()
            .filter(|line| line.contains(" - cgroup"))
            .filter_map(|line| line.split(' ').nth(4));
        let mut made = Vec::new();
        for mount in mounts {
            for n in 0..number {
                for role in ["monitor", "payload"] {
                    let dir = Path::new(mount).join(format!("lxc.{role}.rlxc-bench-{n}"));
                    if std::fs::create_dir(&dir).is_ok() {
                        made.push(dir);
                    }
                }
            }
        }
        Self(made)
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for dir in &self.0 {
            let _ = std::fs::remove_dir(dir);
        }
    }
}
