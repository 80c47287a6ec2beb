//! `cargo xtask bench`: rlxc against the installed LXC, in the same run, in turn.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{host, install};

mod cgroup;
mod config;
mod network;
mod storage;

const CONTAINERS: usize = 1000;
const MONITORS: usize = 20;

/// One side of a comparison: how each job is called.
struct Side {
    rlxc: bool,
    bin: PathBuf,
}

impl Side {
    fn command(&self, tool: &str, lxcpath: &Path) -> Command {
        let mut command = if self.rlxc {
            let mut command = Command::new(self.bin.join("rlxc"));
            command.arg(tool);
            command
        } else {
            Command::new(format!("lxc-{tool}"))
        };
        command
            .arg("-P")
            .arg(lxcpath)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn run(&self, tool: &str, lxcpath: &Path, args: &[&str]) -> Result<Duration, String> {
        let mut command = self.command(tool, lxcpath);
        command.args(args);
        let begin = Instant::now();
        let status = command.status().map_err(|e| format!("{command:?}: {e}"))?;
        let took = begin.elapsed();
        if status.success() {
            Ok(took)
        } else {
            Err(format!("{command:?}: {status}"))
        }
    }
}

fn ours() -> Side {
    Side {
        rlxc: true,
        bin: bin(),
    }
}

/// The programs as an installation has them.
fn bin() -> PathBuf {
    host::root().join("target/bench/bin")
}

fn lay_out(built: &Path) -> Result<(), String> {
    let bin = bin();
    let failed = |e| format!("{}: {e}", bin.display());
    std::fs::create_dir_all(&bin).map_err(failed)?;
    for (program, name) in [
        ("rlxc", "rlxc"),
        ("rlxc-monitor-static", "rlxc-monitor"),
        ("rlxc-worker", "rlxc-worker"),
        ("rlxc-image", "rlxc-image"),
        ("lxc-init", "lxc-init"),
    ] {
        std::fs::copy(built.join(program), bin.join(name)).map_err(failed)?;
    }
    Ok(())
}

fn theirs() -> Side {
    Side {
        rlxc: false,
        bin: PathBuf::new(),
    }
}

/// Runs every row, prints medians and ratios.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    if let [inner, place, runs] = args
        && inner == network::INNER
    {
        let runs = runs.parse().map_err(|e| format!("{runs}: {e}"))?;
        return network::inner(Path::new(place), runs, &ours(), &theirs());
    }
    if args.iter().any(|arg| arg == "--config") {
        return config::only(args);
    }
    let network_only = args.iter().any(|arg| arg == "--network");
    if !host::is_root() {
        return Err("the comparison runs privileged containers: run it as root".to_owned());
    }
    if host::find_program("lxc-start").is_none() || !Path::new("/bin/busybox").exists() {
        return Err("the peer is missing: apt-get install lxc busybox-static".to_owned());
    }
    let runs = count(args)?;
    println!("building the release programs");
    let installed = install::Options::parse(&[])?;
    host::run(host::cargo().args(["build", "--quiet", "--release", "--workspace", "--bins"]))?;
    install::build_static(&installed)?;
    lay_out(&installed.built())?;
    clone_children();

    let place = std::env::temp_dir().join(format!("rlxc-bench-{}", std::process::id()));
    let storage_only = args.iter().any(|arg| arg == "--storage");
    let result = match network_only {
        _ if storage_only => {
            storage::measure(&place, &ours(), &theirs(), storage::Plan::alone(args)?)
        }
        true => rootfs(&place).and_then(|_| network::rows(&place, runs)),
        false => measure(&place, runs),
    };
    std::fs::remove_dir_all(&place).map_err(|e| format!("{}: {e}", place.display()))?;
    result
}

/// `--runs N`, at least three.
fn count(args: &[String]) -> Result<usize, String> {
    let runs = args
        .iter()
        .position(|arg| arg == "--runs")
        .and_then(|at| args.get(at + 1));
    let runs = runs
        .map_or(Ok(20), |n| n.parse::<usize>())
        .map_err(|e| format!("--runs: {e}"))?;
    Ok(runs.max(3))
}

/// LXC 7.0.0 needs it in v1 cpuset; harmless elsewhere.
fn clone_children() {
    let file = "/sys/fs/cgroup/cpuset/cgroup.clone_children";
    if Path::new(file).exists() && std::fs::write(file, "1").is_err() {
        println!("note: {file} could not be set");
    }
}

fn measure(place: &Path, runs: usize) -> Result<(), String> {
    let (ours, theirs) = (ours(), theirs());
    let single = place.join("one");
    container(&single, "c", &rootfs(place)?)?;
    let many = place.join("many");
    for number in 0..CONTAINERS {
        container(&many, &format!("c{number:04}"), &place.join("rootfs"))?;
    }
    println!(
        "{:<34} {:>12} {:>12} {:>8}",
        "median", "rlxc", "LXC", "ratio"
    );
    row(
        "execute /bin/true",
        runs,
        |side| side.run("execute", &single, &["-n", "c", "--", "/bin/true"]),
        &ours,
        &theirs,
    )?;
    let start = |side: &Side| {
        let took = side.run("start", &single, &["-n", "c"]);
        side.run("stop", &single, &["-k", "-n", "c"])?;
        took
    };
    row("start to RUNNING, daemonised", runs, start, &ours, &theirs)?;
    let stop = |side: &Side| {
        side.run("start", &single, &["-n", "c"])?;
        side.run("stop", &single, &["-k", "-n", "c"])
    };
    row("stop -k", runs, stop, &ours, &theirs)?;
    running_rows(&single, runs, &ours, &theirs)?;
    row(
        "ls, 1,000 defined",
        runs,
        |side| side.run("ls", &many, &["-1"]),
        &ours,
        &theirs,
    )?;
    row(
        "ls -f, 1,000 defined",
        runs.min(10),
        |side| side.run("ls", &many, &["-f"]),
        &ours,
        &theirs,
    )?;
    row(
        "ls --running, 1,000 defined",
        runs,
        |side| side.run("ls", &many, &["--running"]),
        &ours,
        &theirs,
    )?;
    let (a, b) = (memory(&many, &ours)?, memory(&many, &theirs)?);
    println!(
        "{:<34} {a:>8} KiB {b:>8} KiB {:>8.2}",
        "monitor's PSS, 20 running",
        ratio(a, b)
    );
    cgroup::rows(place, runs)?;
    config::rows(place, runs)?;
    network::rows(place, runs)?;
    storage::measure(place, &ours, &theirs, storage::Plan::among_others())
}

fn ratio(a: u64, b: u64) -> f64 {
    f64::from(u32::try_from(a).unwrap_or(u32::MAX))
        / f64::from(u32::try_from(b.max(1)).unwrap_or(u32::MAX))
}

fn running_rows(single: &Path, runs: usize, ours: &Side, theirs: &Side) -> Result<(), String> {
    for (name, tool, args) in [
        (
            "attach /bin/true",
            "attach",
            &["-n", "c", "--", "/bin/true"][..],
        ),
        ("info -s", "info", &["-n", "c", "-s"][..]),
    ] {
        // Each side works on a container of its own making.
        let mut times = [Vec::new(), Vec::new()];
        for (side, times) in [ours, theirs].into_iter().zip(&mut times) {
            side.run("start", single, &["-n", "c"])?;
            for _ in 0..=runs {
                times.push(side.run(tool, single, args)?);
            }
            side.run("stop", single, &["-k", "-n", "c"])?;
        }
        let [a, b] = times;
        print_row(name, a, b);
    }
    Ok(())
}

/// Both sides in turn, A B A B, after one warm-up each.
fn row(
    name: &str,
    runs: usize,
    job: impl Fn(&Side) -> Result<Duration, String>,
    ours: &Side,
    theirs: &Side,
) -> Result<(), String> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..=runs {
        a.push(job(ours)?);
        b.push(job(theirs)?);
    }
    print_row(name, a, b);
    Ok(())
}

fn print_row(name: &str, a: Vec<Duration>, b: Vec<Duration>) {
    let (a, b) = (median(a), median(b));
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    println!(
        "{name:<34} {:>9.2} ms {:>9.2} ms {:>8.2}",
        ms(a),
        ms(b),
        a.as_secs_f64() / b.as_secs_f64()
    );
}

/// The first value is the warm-up.
fn median(mut times: Vec<Duration>) -> Duration {
    times.remove(0);
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A busybox root file system that both sides share.
fn rootfs(place: &Path) -> Result<PathBuf, String> {
    let root = place.join("rootfs");
    for folder in ["bin", "sbin", "dev", "proc", "sys", "etc", "tmp"] {
        std::fs::create_dir_all(root.join(folder))
            .map_err(|e| format!("{}: {e}", root.display()))?;
    }
    let copied = std::fs::copy("/bin/busybox", root.join("bin/busybox"));
    copied.map_err(|e| format!("/bin/busybox: {e}"))?;
    for link in ["bin/sh", "bin/true", "bin/sleep", "sbin/init"] {
        std::os::unix::fs::symlink("/bin/busybox", root.join(link))
            .map_err(|e| format!("{link}: {e}"))?;
    }
    std::fs::write(root.join("etc/inittab"), "::sysinit:/bin/true\n").map_err(|e| e.to_string())?;
    Ok(root)
}

fn container(lxcpath: &Path, name: &str, rootfs: &Path) -> Result<(), String> {
    let folder = lxcpath.join(name);
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let text = format!(
        "lxc.rootfs.path = dir:{}\nlxc.uts.name = {name}\nlxc.net.0.type = empty\nlxc.mount.auto = proc:mixed sys:mixed\n",
        rootfs.display()
    );
    std::fs::write(folder.join("config"), text).map_err(|e| format!("{}: {e}", folder.display()))
}

/// Mean PSS of the monitors of 20 running containers, in KiB.
fn memory(lxcpath: &Path, side: &Side) -> Result<u64, String> {
    let names: Vec<String> = (0..MONITORS).map(|n| format!("c{n:04}")).collect();
    for name in &names {
        side.run("start", lxcpath, &["-n", name])?;
    }
    std::thread::sleep(Duration::from_millis(500));
    let total: u64 = monitors(lxcpath).iter().filter_map(|pid| pss(*pid)).sum();
    for name in &names {
        side.run("stop", lxcpath, &["-k", "-n", name])?;
    }
    Ok(total / MONITORS as u64)
}

fn monitors(lxcpath: &Path) -> Vec<u32> {
    let title = format!("[lxc monitor] {}", lxcpath.display());
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        String::from_utf8_lossy(&line)
            .starts_with(&title)
            .then_some(pid)
    })
    .collect()
}

fn pss(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}
