//! Every process between clone and exec: the descriptors and capabilities that a container could take from it.
#![allow(clippy::unwrap_used, missing_docs)]

mod inside;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use inside::{Inside, World};
use rlxc_config::Config;
use rlxc_monitor::Client;
use rlxc_runtime::attach::{AttachOptions, AttachTask, arguments, attach_wait};
use rlxc_runtime::{Mode, start};

macro_rules! world {
    ($test:literal) => {{
        if let Some(what) = inside::missing() {
            println!("skipped: {what} is missing");
            return;
        }
        World::new($test)
    }};
}

/// What a shell says about a process from inside.
const LIST: &str = "for fd in /proc/$pid/fd/*; do echo \"fd ${fd##*/} $(readlink $fd)\"; done; grep -E \
                    '^(Cap|Seccomp:|NoNewPrivs)' /proc/$pid/status";

fn script(inside: &Inside, name: &str, text: &str) {
    let path = inside.rootfs.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// The lines about descriptors above 2.
fn descriptors(text: &str) -> Vec<&str> {
    let above_2 = |line: &&str| {
        let number = line.split(' ').nth(1).and_then(|n| n.parse().ok());
        line.starts_with("fd ") && number.is_some_and(|n: i32| n > 2)
    };
    text.lines().filter(above_2).collect()
}

/// CVE-2016-8649, CVE-2024-21626: a program of the container that runs before init's execution is root in the same
/// namespaces as the process that it runs under, and may open whatever that has open.
#[test]
fn a_start_hook_finds_nothing_of_the_host_in_its_parent() {
    let world = world!("start-hook");
    let mapped = "\nlxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536";
    for (name, maps, owner) in [("plain", "", 0), ("mapped", mapped, 100_000)] {
        let policy = world.lxcpath.join("policy");
        fs::write(&policy, "2\ndenylist\n[all]\nkexec_load errno 1\n").unwrap();
        let config = format!(
            "lxc.mount.auto = proc\nlxc.hook.start = /hook\nlxc.cap.drop = sys_module sys_time\nlxc.no_new_privs = 1\n\
             lxc.seccomp.profile = {}\nlxc.tty.max = 2\nlxc.pty.max = 10\nlxc.net.0.type = veth{maps}",
            policy.display()
        );
        let inside = world.define(name, "cat /seen; echo end", &config, owner);
        script(
            &inside,
            "hook",
            &format!("#!/bin/sh\nexec >/seen 2>&1\npid=1\n{LIST}\n"),
        );
        fs::write(inside.rootfs.join("seen"), "").unwrap();
        fs::set_permissions(inside.rootfs.join("seen"), PermissionsExt::from_mode(0o666)).unwrap();
        let out = inside.by_us().unwrap();
        let open = descriptors(&out);
        let harmless = |line: &&str| {
            let target = line.splitn(3, ' ').nth(2).unwrap_or_default();
            // Gone already; its conversation with the monitor, the hook's own output, its terminals, its root.
            ["socket:", "pipe:", "/dev/pts", "/dev/ptmx", "/ptmx"]
                .iter()
                .any(|begin| target.starts_with(begin))
                || ["", "/", "/dev/null"].contains(&target)
                || target.ends_with(&format!("{name}.log"))
        };
        let others: Vec<_> = open.iter().filter(|line| !harmless(line)).collect();
        assert!(
            others.is_empty() && !open.is_empty(),
            "{name}: {others:#?}\n{out}"
        );
        let sockets = open.iter().filter(|line| line.contains("socket:")).count();
        assert_eq!(sockets, 1, "{out}");
        let bounding = out
            .lines()
            .find_map(|line| line.strip_prefix("CapBnd:"))
            .unwrap();
        let bounding = u64::from_str_radix(bounding.trim(), 16).unwrap();
        assert_eq!(bounding & (1 << 16 | 1 << 25), 0, "{out}");
        for line in [
            "CapInh:\t0000000000000000",
            "CapAmb:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ] {
            assert!(out.contains(line), "{name}: {line}: {out}");
        }
    }
}

/// The first process of an application container stays, and executes nothing: its descriptors are for ever.
#[test]
fn the_init_that_stays_holds_nothing() {
    let world = world!("execute");
    let inside = world.define("execute", "pid=1\n", "lxc.mount.auto = proc", 0);
    let mut plan = inside.plan(false).unwrap();
    plan.mode = Mode::Execute;
    let text = format!("exec >/out 2>&1; sleep 0.3; pid=1; {LIST}");
    plan.init.argv = ["/bin/sh", "-c", &text].map(str::to_owned).to_vec();
    start(&plan).unwrap();
    let out = inside.out();
    assert!(
        out.contains("fd 0 ") && descriptors(&out).is_empty(),
        "{out}"
    );
}

/// What the monitor does at the end, hooks on the host included, is what it was told at the start.
#[test]
fn the_monitors_plan_cannot_be_changed() {
    let world = world!("plan");
    let inside = world.define("plan", "sleep 60", "lxc.mount.auto = proc", 0);
    let started = inside.start(true).unwrap();
    let mut tried = 0;
    for entry in fs::read_dir(format!("/proc/{}/fd", started.monitor))
        .unwrap()
        .flatten()
    {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        if !target.to_string_lossy().contains("memfd:") {
            continue;
        }
        // Opened anew: writable, since the inode's mode allows it.
        let mut file = OpenOptions::new().write(true).open(entry.path()).unwrap();
        assert!(file.write_all(b"{").is_err() && file.set_len(0).is_err());
        tried += 1;
    }
    Client::new(&inside.lxcpath, &inside.name).stop().unwrap();
    assert!(tried > 0);
}

/// CVE-2016-8649: while a process attaches, the container's root may open its descriptors.
#[test]
fn an_attaching_process_brings_nothing_of_the_host() {
    let world = world!("attach");
    let inside = world.define("attach", "sleep 60", "lxc.mount.auto = proc", 0);
    let started = inside.start(true).unwrap();
    let secrets = [
        File::open("/etc").unwrap(),
        File::open("/etc/hostname").unwrap(),
        File::open("/").unwrap(),
    ];
    let spy = Spy::new(started.init);
    let config = Config::default();
    let options = AttachOptions::default();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        let task = AttachTask::Exec(arguments(&["/bin/true"]).unwrap());
        assert_eq!(
            attach_wait(&inside.lxcpath, &inside.name, &config, &options, task).unwrap(),
            0
        );
    }
    drop(secrets);
    let seen = spy.seen();
    Client::new(&inside.lxcpath, &inside.name).stop().unwrap();
    assert!(!seen.is_empty(), "the spy saw no attaching process");
    let allowed = |target: &&String| {
        [
            "socket:",
            "pipe:",
            "anon_inode:[pidfd]",
            "/dev/null",
            "/dev/pts",
        ]
        .iter()
        .any(|begin| target.starts_with(begin))
    };
    let standard: BTreeSet<String> = (0..3)
        .filter_map(|fd| fs::read_link(format!("/proc/self/fd/{fd}")).ok())
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    let others: Vec<_> = seen
        .iter()
        .filter(|target| !allowed(target) && !standard.contains(*target))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}

/// Looks at the descriptors of our children as soon as they are in the container.
struct Spy {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<BTreeSet<String>>,
}

impl Spy {
    fn new(init: i32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            let inside = fs::read_link(format!("/proc/{init}/ns/mnt")).unwrap();
            move || {
                let mut seen = BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    for pid in children() {
                        look(&pid, &inside, &mut seen);
                    }
                }
                seen
            }
        });
        Self { stop, thread }
    }

    fn seen(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn children() -> Vec<PathBuf> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<PathBuf> = lists
        .flat_map(|list| {
            list.split_whitespace()
                .map(|pid| Path::new("/proc").join(pid))
                .collect::<Vec<_>>()
        })
        .collect();
    pids
}

fn look(process: &Path, inside: &Path, seen: &mut BTreeSet<String>) {
    let is_in = || fs::read_link(process.join("ns/mnt")).is_ok_and(|ns| ns == inside);
    if !is_in() {
        return;
    }
    let Ok(entries) = fs::read_dir(process.join("fd")) else {
        return;
    };
    for entry in entries.flatten() {
        if let Ok(target) = fs::read_link(entry.path()) {
            seen.insert(target.to_string_lossy().into_owned());
        }
    }
}
