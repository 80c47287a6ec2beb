//! Network rows: starts and stops with a bridged pair, two hundred on one bridge, and what one pair
//! costs against the bare netlink requests.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{Side, print_row, row};
use crate::host;

/// The argument by which the bench calls itself in a network namespace of its own.
pub(super) const INNER: &str = "--network-rows";

const CONTAINERS: usize = 200;
/// How many commands run at a time.
const AT_ONCE: usize = 4;

/// A network and mount namespace with a bridge, a sysfs that shows it (LXC asks sysfs whether a
/// link is a bridge) and the cgroups where they were.
const NAMESPACE: &str = "set -e
kept=$(mktemp -d); mount --rbind /sys/fs/cgroup $kept
mount -t sysfs s /sys; mount --rbind $kept /sys/fs/cgroup; umount -l $kept; rmdir $kept
ip link set lo up; ip link add br0 type bridge; ip link set br0 up
exec \"$@\"";

/// The rows, in a namespace of their own.
pub(super) fn rows(place: &Path, runs: usize) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new("unshare");
    command.args(["-m", "-n", "sh", "-c", NAMESPACE, "sh"]);
    command.arg(own).args(["bench", INNER]).arg(place);
    host::run(command.arg(runs.to_string()))?;
    host::run(host::cargo().args([
        "run",
        "--quiet",
        "--release",
        "-p",
        "rlxc-network",
        "--example",
        "veth_cost",
    ]))
}

/// The rows themselves.
pub(super) fn inner(place: &Path, runs: usize, ours: &Side, theirs: &Side) -> Result<(), String> {
    let lxcpath = place.join("network");
    let names: Vec<String> = (0..CONTAINERS).map(|n| format!("rlxc-net-{n}")).collect();
    for name in &names {
        container(&lxcpath, name, &place.join("rootfs"))?;
    }
    let first = ["-n", names.first().map_or("", String::as_str)];
    let killed = ["-k", first[0], first[1]];
    let start = |side: &Side| {
        let took = side.run("start", &lxcpath, &first);
        side.run("stop", &lxcpath, &killed)?;
        took
    };
    row("start, pair on a bridge", runs, start, ours, theirs)?;
    let stop = |side: &Side| {
        side.run("start", &lxcpath, &first)?;
        side.run("stop", &lxcpath, &killed)
    };
    row("stop -k, pair on a bridge", runs, stop, ours, theirs)?;
    let mut times = [Vec::new(), Vec::new()];
    for (side, times) in [ours, theirs].into_iter().zip(&mut times) {
        let before = links()?;
        let begin = Instant::now();
        all(&names, |name| side.run("start", &lxcpath, &["-n", name]))?;
        all(&names, |name| {
            side.run("stop", &lxcpath, &["-k", "-n", name])
        })?;
        let took = begin.elapsed();
        // The first is taken for the warm-up.
        times.extend([took, took]);
        settled(&before)?;
    }
    let [a, b] = times;
    print_row("200 on one bridge: start, stop", a, b);
    Ok(())
}

fn container(lxcpath: &Path, name: &str, rootfs: &Path) -> Result<(), String> {
    let folder = lxcpath.join(name);
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let text = format!(
        "lxc.rootfs.path = dir:{}\nlxc.uts.name = {name}\nlxc.net.0.type = veth\n\
         lxc.net.0.link = br0\nlxc.net.0.flags = up\nlxc.net.0.ipv4.address = 10.9.0.5/16\n",
        rootfs.display()
    );
    std::fs::write(folder.join("config"), text).map_err(|e| format!("{}: {e}", folder.display()))
}

/// Does `job` for all names, some at a time.
fn all<T>(names: &[String], job: impl Fn(&str) -> Result<T, String> + Sync) -> Result<(), String> {
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            job(name)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| {
            let ended = worker.join();
            ended.map_err(|_| "a worker panicked".to_owned())?
        })
    })
}

fn links() -> Result<String, String> {
    let output = Command::new("ip").args(["-br", "link"]).output();
    let output = output.map_err(|e| format!("ip: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let name = |line: &str| {
        line.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let names: Vec<String> = text.lines().map(name).collect();
    Ok(names.join(" "))
}

/// Waits until the kernel has taken the last pair down.
fn settled(before: &str) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let now = links()?;
        if now == before {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("left-over links: {now}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
