//! Advisories of LXC and its relatives, each as a test that a naive runtime would fail.
#![allow(clippy::unwrap_used, missing_docs)]

mod inside;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use inside::{Inside, World};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use rlxc_config::Document;

const LOOK: &str = "echo alive; cat /proc/self/mountinfo";

macro_rules! world {
    ($test:literal) => {{
        if let Some(what) = inside::missing() {
            println!("skipped: {what} is missing");
            return;
        }
        World::new($test)
    }};
}

/// A directory of the host that nobody may touch.
struct Victim(PathBuf);

impl Victim {
    fn new(world: &World) -> Self {
        let path = world.lxcpath.join("victim");
        fs::create_dir_all(path.join("sys/kernel")).unwrap();
        for file in [
            "file",
            "null",
            "console",
            "ptmx",
            "tty1",
            "sys/kernel/shmmax",
        ] {
            fs::write(path.join(file), "precious").unwrap();
        }
        Self(path)
    }

    /// Names, contents and modes of everything below it.
    fn state(&self) -> Vec<(PathBuf, u32, u64, String)> {
        fn walk(dir: &Path, all: &mut Vec<(PathBuf, u32, u64, String)>) {
            let mut entries: Vec<_> = fs::read_dir(dir)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            entries.sort();
            for path in entries {
                let meta = fs::symlink_metadata(&path).unwrap();
                let text = if meta.is_file() {
                    fs::read_to_string(&path).unwrap()
                } else {
                    String::new()
                };
                all.push((path.clone(), meta.mode(), meta.dev(), text));
                if meta.is_dir() {
                    walk(&path, all);
                }
            }
        }
        let mut all = Vec::new();
        walk(&self.0, &mut all);
        all
    }

    fn assert_untouched_by(&self, what: &str, run: impl FnOnce()) {
        let before = self.state();
        run();
        assert_eq!(self.state(), before, "{what}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let victim = self.0.to_string_lossy();
        assert!(
            !mounts.lines().any(|line| line.contains(&*victim)),
            "{what}: {mounts}"
        );
    }
}

/// Replaces a path of the rootfs by a link.
fn link(inside: &Inside, path: &str, target: &Path) {
    let at = inside.rootfs.join(path);
    let _ = fs::remove_dir_all(&at);
    let _ = fs::remove_file(&at);
    symlink(target, at).unwrap();
}

/// The links a container would try: absolute, and climbing out of the rootfs.
fn ways_out(target: &Path) -> [PathBuf; 2] {
    let climb = "../".repeat(20) + target.strip_prefix("/").unwrap().to_str().unwrap();
    [target.to_owned(), PathBuf::from(climb)]
}

/// CVE-2013-6441, CVE-2015-1335, CVE-2018-18554: a link in place of a mount's target.
#[test]
fn mount_targets_do_not_lead_out_by_links() {
    let world = world!("targets");
    let victim = Victim::new(&world);
    let cases = [
        ("proc", "lxc.mount.auto = proc:rw"),
        ("sys", "lxc.mount.auto = sys:rw"),
        ("mnt", "lxc.mount.entry = tmpfs mnt tmpfs defaults 0 0"),
        (
            "mnt",
            "lxc.mount.entry = tmpfs mnt/new/deep tmpfs create=dir 0 0",
        ),
        (
            "mnt",
            "lxc.mount.entry = /etc/hostname mnt/file none bind,create=file 0 0",
        ),
        (
            "mnt",
            "lxc.mount.entry = /etc/hostname mnt/other none bind,create=file 0 0",
        ),
        ("var", "lxc.mount.auto = shmounts:@lxcpath@/mnt:/var/shared"),
    ];
    for (index, (path, config)) in cases.iter().enumerate() {
        let config = config.replace("@lxcpath@", &world.lxcpath.to_string_lossy());
        for (way, target) in ways_out(&victim.0).iter().enumerate() {
            let inside = world.define(&format!("c{index}-{way}"), LOOK, &config, 0);
            link(&inside, path, target);
            victim.assert_untouched_by(
                &format!("{path} -> {} with {config}", target.display()),
                || {
                    drop(inside.by_us());
                },
            );
        }
    }
}

/// CVE-2026-41579 of runc: /dev, or a name in it, is a link.
#[test]
fn devices_and_terminals_do_not_lead_out_by_links() {
    let world = world!("dev");
    let victim = Victim::new(&world);
    for (way, target) in ways_out(&victim.0).iter().enumerate() {
        for autodev in [0, 1] {
            let config = format!("lxc.autodev = {autodev}\nlxc.tty.max = 1\nlxc.pty.max = 10");
            let inside = world.define(&format!("dev{way}-{autodev}"), LOOK, &config, 0);
            link(&inside, "dev", target);
            victim.assert_untouched_by("dev is a link", || drop(inside.by_us()));
        }
        for name in ["null", "console", "ptmx", "tty1", "pts", "fd"] {
            let config = "lxc.autodev = 0\nlxc.tty.max = 1\nlxc.pty.max = 10";
            let inside = world.define(&format!("{name}{way}"), LOOK, config, 0);
            link(&inside, &format!("dev/{name}"), &target.join(name));
            victim.assert_untouched_by(name, || drop(inside.by_us()));
        }
    }
}

/// CVE-2015-1334, CVE-2025-52881: what is written to /proc goes to a real one.
#[test]
fn settings_are_not_written_through_a_replaced_proc() {
    let world = world!("proc");
    let victim = Victim::new(&world);
    let config = "lxc.sysctl.kernel.shmmax = 12345";
    let linked = world.define("linked", LOOK, config, 0);
    link(&linked, "proc", &victim.0);
    victim.assert_untouched_by("proc is a link", || drop(linked.by_us()));
    let fake = world.define("fake", LOOK, config, 0);
    fs::create_dir_all(fake.rootfs.join("proc/sys/kernel")).unwrap();
    let file = fake.rootfs.join("proc/sys/kernel/shmmax");
    fs::write(&file, "fake").unwrap();
    let result = fake.by_us();
    assert_eq!(fs::read_to_string(&file).unwrap(), "fake", "{result:?}");
}

/// CVE-2021-30465: a directory that turns into a link between the look and the mount.
#[test]
fn an_exchanged_mount_target_does_not_lead_out() {
    let world = world!("race");
    let victim = Victim::new(&world);
    let config = "lxc.mount.entry = tmpfs mnt/sub tmpfs create=dir,optional 0 0";
    let inside = world.define("race", LOOK, config, 0);
    let (honest, evil) = (inside.rootfs.join("mnt"), inside.rootfs.join("evil"));
    symlink(&victim.0, &evil).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let exchanger = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                renameat2(
                    AT_FDCWD,
                    &honest,
                    AT_FDCWD,
                    &evil,
                    RenameFlags::RENAME_EXCHANGE,
                )
                .unwrap();
            }
        })
    };
    victim.assert_untouched_by("exchange", || {
        let started = (0..15).filter(|_| inside.by_us().is_ok()).count();
        assert!(started > 0, "{}", inside.log());
    });
    stop.store(true, Ordering::Relaxed);
    exchanger.join().unwrap();
}

/// CVE-2024-21626: neither a descriptor of the host nor a working directory on one.
#[test]
fn no_descriptor_is_left_for_the_working_directory() {
    let world = world!("cwd");
    for number in 3..14 {
        let config = format!("lxc.mount.auto = proc\nlxc.init.cwd = /proc/self/fd/{number}");
        // Only the container's own root has this file; a directory of the host has ../../../etc/shadow.
        let look = "ls -l /proc/1/fd; cat ../../../../../../etc/shadow; test -e ../../../../../../look && echo own";
        let inside = world.define(&format!("cwd{number}"), look, &config, 0);
        if let Ok(out) = inside.by_us() {
            assert!(
                !out.contains("root:") && out.contains("own"),
                "descriptor {number}: {out}"
            );
        }
    }
}

/// CVE-2019-5736: the program that becomes init cannot be written to from inside.
#[test]
fn the_program_before_init_is_read_only() {
    let world = world!("exe");
    let hook = "lxc.mount.auto = proc\nlxc.hook.start = /hook";
    let inside = world.define("exe", "cat /hooked", hook, 0);
    let script = "#!/bin/sh\nexec >/hooked 2>&1\ntouch /proc/1/exe; chmod 0777 /proc/1/exe; chown 0 /proc/1/exe\n\
                  cp /proc/1/exe /tmp/copy 2>/dev/null; echo tried\n";
    fs::write(inside.rootfs.join("hook"), script).unwrap();
    fs::set_permissions(
        inside.rootfs.join("hook"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let program = rlxc_runtime::monitor_program().unwrap();
    let state = || {
        fs::metadata(&program)
            .map(|meta| (meta.len(), meta.mode(), meta.mtime(), meta.mtime_nsec()))
            .unwrap()
    };
    let before = state();
    let out = inside.by_us().unwrap();
    assert!(out.contains("tried"), "{out}");
    assert_eq!(out.matches("Read-only file system").count(), 3, "{out}");
    assert_eq!(state(), before);
}

/// CVE-2026-23953: a line break in a value would be a line of its own once the configuration is saved.
#[test]
fn values_with_line_breaks_are_refused() {
    let mut document = Document::new();
    for value in ["A=1\nlxc.hook.pre-start = /evil", "A=1\rx", "A=\0"] {
        let accepted = document.set("lxc.environment", value).is_ok();
        let text = document.text().into_owned();
        assert!(
            !accepted || !text.lines().any(|line| line.starts_with("lxc.hook")),
            "{text}"
        );
    }
    assert!(!document.text().contains("pre-start"));
}

/// CVE-2016-10124: the console of a container that is started on a terminal is a terminal of its own.
#[test]
fn init_has_no_terminal_of_the_host() {
    let world = world!("tty");
    let look = "ls -l /proc/1/fd; tty; cat /proc/1/stat | cut -d' ' -f7";
    let inside = world.define("tty", look, "lxc.mount.auto = proc", 0);
    let out = inside.by_us().unwrap();
    assert!(
        !out.contains("/dev/pts/") && out.lines().last() == Some("0"),
        "{out}"
    );
}

/// Incus ef006240ac, CVE-2026-23954: a file that is written on the host, in a directory that the container's root owns,
/// is a link.
#[test]
fn logs_and_the_pin_are_not_written_through_links() {
    let world = world!("logs");
    let victim = Victim::new(&world);
    let log = world.lxcpath.join("console.log");
    symlink(victim.0.join("file"), &log).unwrap();
    let config = format!(
        "lxc.console.path =\nlxc.console.logfile = {}",
        log.display()
    );
    let inside = world.define("console", LOOK, &config, 0);
    victim.assert_untouched_by("lxc.console.logfile", || {
        let error = inside.by_us().unwrap_err();
        assert!(error.contains("console.log"), "{error}");
    });
    let inside = world.define("log", LOOK, "", 0);
    let mut plan = inside.plan(false).unwrap();
    let log = world.lxcpath.join("start.log");
    symlink(victim.0.join("file"), &log).unwrap();
    plan.log_file = Some(log);
    victim.assert_untouched_by("lxc.log.file", || drop(rlxc_runtime::start(&plan)));
    let inside = world.define("pin", LOOK, "", 0);
    link(&inside, ".lxc_keep", &victim.0.join("file"));
    victim.assert_untouched_by(".lxc_keep", || {
        inside.by_us().unwrap();
    });
}

/// CVE-2025-31133, CVE-2025-52565: what is bound on /dev/null and /dev/console is exchanged meanwhile.
#[test]
fn exchanged_names_in_dev_do_not_lead_out() {
    let world = world!("dev-race");
    let victim = Victim::new(&world);
    let config = "lxc.console.path =\nlxc.autodev = 0\nlxc.tty.max = 1\nlxc.pty.max = 10";
    let inside = world.define("race", LOOK, config, 0);
    let dev = inside.rootfs.join("dev");
    let mut pairs = Vec::new();
    for name in ["console", "ptmx", "tty1", "null", "pts"] {
        let (honest, evil) = (dev.join(name), dev.join(format!("evil-{name}")));
        if name == "pts" {
            fs::create_dir_all(&honest).unwrap();
            symlink(&victim.0, &evil).unwrap();
        } else {
            fs::write(&honest, "").unwrap();
            symlink(victim.0.join(name), &evil).unwrap();
        }
        pairs.push((honest, evil));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let exchanger = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for (honest, evil) in &pairs {
                    let _ = renameat2(
                        AT_FDCWD,
                        honest,
                        AT_FDCWD,
                        evil,
                        RenameFlags::RENAME_EXCHANGE,
                    );
                }
            }
        })
    };
    victim.assert_untouched_by("exchange", || {
        for _ in 0..15 {
            drop(inside.by_us());
        }
    });
    stop.store(true, Ordering::Relaxed);
    exchanger.join().unwrap();
}

/// CVE-2015-1331: the directories of locks and sockets cannot be those of somebody else.
#[test]
fn a_lock_is_not_taken_through_a_link() {
    let world = world!("lock");
    let victim = Victim::new(&world);
    let lxcpath = world.lxcpath.to_string_lossy().into_owned();
    let directory = Path::new("/run/lxc/lock").join(lxcpath.trim_start_matches('/'));
    fs::create_dir_all(&directory).unwrap();
    let lock = directory.join(".locked");
    symlink(victim.0.join("new"), &lock).unwrap();
    let run = rlxc_monitor::lock::DiskLock::acquire(&world.lxcpath, "locked");
    assert!(run.is_err() && !victim.0.join("new").exists());
    fs::remove_dir_all(directory).unwrap();
}
