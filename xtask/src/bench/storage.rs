//! Rows of the comparison about storage: copy, snapshot copy, destroy, each on a file system of its own in memory.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Side, print_row};
use crate::host;

mod lvm;
mod zfs;

const FILES: u32 = 20_000;

/// How often each row is repeated, and how long all may take together: the later ones are repeated less often, or left
/// out.
pub(super) struct Plan {
    runs: usize,
    budget: Duration,
}

impl Plan {
    /// As one part of the comparison.
    pub(super) fn among_others() -> Self {
        Self {
            runs: 3,
            budget: Duration::from_secs(220),
        }
    }

    /// `--storage [--runs N]`: as often as is wanted.
    pub(super) fn alone(args: &[String]) -> Result<Self, String> {
        let runs = args.iter().position(|arg| arg == "--runs");
        let runs = runs.and_then(|at| args.get(at + 1));
        let runs = runs.map_or(Ok(5), |n| n.parse::<usize>());
        Ok(Self {
            runs: runs.map_err(|e| format!("--runs: {e}"))?.max(1),
            budget: Duration::from_secs(3600),
        })
    }
}

/// How much of the time is left.
struct Clock {
    runs: usize,
    end: Instant,
}

impl Clock {
    fn start(plan: &Plan) -> Self {
        Self {
            runs: plan.runs,
            end: Instant::now() + plan.budget,
        }
    }

    /// Whether one more run of what took so long last time fits in.
    fn allows(&self, last: Duration) -> bool {
        Instant::now() + last < self.end
    }
}

/// A file system on a loop device whose image lies in memory, so that no disk decides.
struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    fn new(place: &Path, fstype: &str) -> Result<Option<Self>, String> {
        let mkfs = format!("mkfs.{fstype}");
        if host::find_program(&mkfs).is_none() {
            println!("skipped: {mkfs}");
            return Ok(None);
        }
        let disk = Self {
            image: PathBuf::from(format!(
                "/dev/shm/rlxc-bench-{}.{fstype}",
                std::process::id()
            )),
            mount: place.join(fstype),
        };
        std::fs::create_dir_all(&disk.mount).map_err(|e| e.to_string())?;
        let script = format!(
            "truncate -s 3G {0}; {mkfs} -q {0} && mount -o loop {0} {1}",
            disk.image.display(),
            disk.mount.display()
        );
        match shell(&script) {
            Ok(_) => Ok(Some(disk)),
            Err(error) => {
                println!("skipped: {fstype}: {error}");
                Ok(None)
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A loop device whose image lies on it is let go of a moment after its own end.
        let _ = shell(&format!(
            "for i in $(seq 40); do umount {} 2>/dev/null && break; sleep 0.1; done",
            self.mount.display()
        ));
        let _ = std::fs::remove_file(&self.image);
    }
}

fn shell(script: &str) -> Result<Duration, String> {
    let begin = Instant::now();
    let status = Command::new("/bin/sh")
        .args(["-ec", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|e| e.to_string())?;
    match status.success() {
        true => Ok(begin.elapsed()),
        false => Err(format!("{script}: {status}")),
    }
}

/// Files as a system has them: most small, a few large.
fn fill(rootfs: &Path) -> std::io::Result<()> {
    const SIZES: [usize; 8] = [0, 100, 1_000, 3_000, 3_000, 8_000, 20_000, 60_000];
    let bytes: Vec<u8> = (0..60_000u32).map(|n| (n * 31 % 251) as u8).collect();
    for n in 0..FILES {
        let dir = rootfs.join(format!("d{}/e{}", n % 20, n % 400));
        std::fs::create_dir_all(&dir)?;
        let size = SIZES[n as usize % SIZES.len()];
        std::fs::write(dir.join(n.to_string()), &bytes[..size])?;
    }
    Ok(())
}

fn container(lxcpath: &Path, backend: &str) -> Result<(), String> {
    let dir = lxcpath.join("a");
    std::fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
    let rootfs = dir.join("rootfs");
    if backend == "loop" {
        return image(&dir);
    }
    match backend {
        "btrfs" => shell(&format!("btrfs -q subvolume create {}", rootfs.display())).map(drop)?,
        _ => std::fs::create_dir(&rootfs).map_err(|e| e.to_string())?,
    }
    fill(&rootfs).map_err(|e| e.to_string())?;
    let text = format!(
        "lxc.rootfs.path = {backend}:{}\nlxc.net.0.type = empty\n",
        rootfs.display()
    );
    std::fs::write(dir.join("config"), text).map_err(|e| e.to_string())
}

/// A container in an image.
fn image(dir: &Path) -> Result<(), String> {
    let (image, rootfs) = (dir.join("rootdev"), dir.join("rootfs"));
    std::fs::create_dir(&rootfs).map_err(|e| e.to_string())?;
    let (image, at) = (image.display(), rootfs.display());
    shell(&format!(
        "truncate -s 700M {image}; mkfs.ext4 -qF {image}; mount -o loop {image} {at}"
    ))?;
    let filled = fill(&rootfs);
    shell(&format!("umount {at}"))?;
    filled.map_err(|e| e.to_string())?;
    let text = format!("lxc.rootfs.path = loop:{image}\nlxc.net.0.type = empty\n");
    std::fs::write(dir.join("config"), text).map_err(|e| e.to_string())
}

/// One run of a copy and of the end of the copy, with nothing left to be written back.
fn copy_and_destroy(
    side: &Side,
    lxcpath: &Path,
    args: &[&str],
) -> Result<(Duration, Duration), String> {
    shell("sync")?;
    let copy = side.run("copy", lxcpath, args)?;
    shell("sync")?;
    let destroy = side.run("destroy", lxcpath, &["-n", "b"])?;
    Ok((copy, destroy))
}

fn rows(
    name: &str,
    lxcpath: &Path,
    args: &[&str],
    sides: [&Side; 2],
    clock: &Clock,
) -> Result<(), String> {
    let mut copies = [Vec::new(), Vec::new()];
    let mut ends = [Vec::new(), Vec::new()];
    let mut last = Duration::ZERO;
    for _ in 0..=clock.runs {
        if !clock.allows(last) {
            break;
        }
        let begin = Instant::now();
        for (n, side) in sides.into_iter().enumerate() {
            let (copy, end) = copy_and_destroy(side, lxcpath, args)?;
            copies[n].push(copy);
            ends[n].push(end);
        }
        last = begin.elapsed();
    }
    if copies[0].len() < 2 {
        println!("skipped: {name}: the time of this part is over");
        return Ok(());
    }
    let ([a, b], [c, d]) = (copies, ends);
    print_row(&format!("{name}: copy"), a, b);
    print_row(&format!("{name}: destroy"), c, d);
    Ok(())
}

/// The tools that copy trees and know nothing of containers, against the same copy as above.
fn against_tools(lxcpath: &Path, ours: &Side, clock: &Clock) -> Result<(), String> {
    let (from, to) = (lxcpath.join("a/rootfs"), lxcpath.join("t"));
    let (from, to) = (from.display(), to.display());
    let tools = [
        ("cp -a", format!("cp -a {from} {to}")),
        (
            "tar",
            format!("mkdir {to}; tar -C {from} -cf - . | tar -C {to} -xf -"),
        ),
        ("rsync -aHXS", format!("rsync -aHXS {from}/ {to}")),
    ];
    for (name, script) in tools {
        let (mut us, mut them) = (Vec::new(), Vec::new());
        let (mut our_end, mut their_end) = (Vec::new(), Vec::new());
        let mut last = Duration::ZERO;
        for _ in 0..=clock.runs {
            if !clock.allows(last) {
                break;
            }
            let begin = Instant::now();
            let (copy, end) = copy_and_destroy(ours, lxcpath, &["-n", "a", "-N", "b"])?;
            us.push(copy);
            our_end.push(end);
            shell("sync")?;
            them.push(shell(&script)?);
            shell("sync")?;
            their_end.push(shell(&format!("rm -rf {to}"))?);
            last = begin.elapsed();
        }
        if us.len() < 2 {
            println!("skipped: copy against {name}: the time of this part is over");
            continue;
        }
        print_row(&format!("copy against {name}"), us, them);
        if name == "cp -a" {
            print_row("destroy against rm -rf", our_end, their_end);
        }
    }
    Ok(())
}

/// All rows.
pub(super) fn measure(place: &Path, ours: &Side, theirs: &Side, plan: Plan) -> Result<(), String> {
    println!("storage, {FILES} files:");
    let clock = Clock::start(&plan);
    let sides = [ours, theirs];
    let full = ["-n", "a", "-N", "b"];
    let snapshot = ["-n", "a", "-N", "b", "-s"];
    let failures = RefCell::new(Vec::new());
    let failed = |what: &str, error: &str| {
        println!("failed: {what}: {error}");
        failures.borrow_mut().push(what.to_owned());
    };
    let on = |fstype: &str, part: &dyn Fn(&Path) -> Result<(), String>| {
        if !clock.allows(Duration::from_secs(5)) {
            println!("skipped: {fstype}: the time of this part is over");
            return Ok(());
        }
        let Some(disk) = Disk::new(place, fstype)? else {
            return Ok(());
        };
        // The other parts have their figures all the same.
        if let Err(error) = part(&disk.mount) {
            failed(fstype, &error);
        }
        Ok::<_, String>(())
    };
    on("btrfs", &|disk| {
        let subvolumes = disk.join("subvolumes");
        container(&subvolumes, "btrfs")?;
        rows("btrfs, snapshot", &subvolumes, &snapshot, sides, &clock)?;
        rows("btrfs", &subvolumes, &full, sides, &clock)?;
        let dirs = disk.join("dirs");
        container(&dirs, "dir")?;
        rows("dir on btrfs, reflinks", &dirs, &full, sides, &clock)
    })?;
    on("ext4", &|disk| {
        container(disk, "dir")?;
        rows("overlay on dir", disk, &snapshot, sides, &clock)?;
        rows("dir on ext4", disk, &full, sides, &clock)?;
        against_tools(disk, ours, &clock)
    })?;
    if let Err(error) = zfs::rows(place, ours, &clock) {
        failed("zfs", &error);
    }
    if let Err(error) = lvm::rows(place, sides, &clock) {
        failed("lvm", &error);
    }
    on("xfs", &|disk| {
        container(disk, "dir")?;
        rows("dir on xfs, reflinks", disk, &full, sides, &clock)?;
        rows("overlay on dir on xfs", disk, &snapshot, sides, &clock)
    })?;
    on("ext4", &|disk| {
        container(disk, "loop")?;
        rows("loop", disk, &full, sides, &clock)
    })?;
    match failures.borrow().as_slice() {
        [] => Ok(()),
        parts => Err(format!("storage rows failed on {}", parts.join(", "))),
    }
}
