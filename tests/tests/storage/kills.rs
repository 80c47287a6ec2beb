//! kill -9 at any moment of every operation, on every kind of storage: the next command finds the old state or the new
//! one, the original is whole, and what is left is removed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rlxc_tests::{bin_dir, ok, said};

use crate::host::{Host, Kind};

/// What is killed, and how often.
struct Scene {
    host: Host,
    kills: u32,
    /// The original
    base: String,
    /// What is made of it, and how that is called next
    b: String,
    c: String,
    /// What is restored
    r: String,
    /// What the storage has when only the original is there
    volumes: Vec<String>,
}

impl Scene {
    fn new(kind: Kind, kills: u32) -> Option<Self> {
        let host = Host::new(kind)?;
        // Monitors of containers of one name share the names of their cgroups: other tests have other ones.
        let name = |name: &str| format!("{name}-{}", format!("{kind:?}").to_lowercase());
        let base = name("base");
        host.create(&base);
        if kind == Kind::Dir {
            host.enlarge(&base, 800);
        }
        let volumes = data(&host);
        Some(Self {
            base,
            b: name("b"),
            c: name("c"),
            r: name("r"),
            host,
            kills,
            volumes,
        })
    }

    /// Does `rlxc VERB` once, undisturbed, with `undo` after it; then the same many times, each killed at another
    /// moment, with `look` after it.
    fn each(&self, verb: &str, args: &[&str], undo: impl Fn(), mut look: impl FnMut(u32)) {
        let begin = Instant::now();
        ok(&self.host.rlxc(verb, args));
        let takes = begin.elapsed();
        undo();
        let mut unfinished = 0;
        for n in 0..self.kills {
            // The last ones come when it is over, mostly.
            let after = takes * n / (self.kills - self.kills / 8).max(1);
            unfinished += u32::from(!self.killed(verb, args, after));
            self.tools_have_ended();
            look(n);
        }
        let kind = self.host.kind;
        println!(
            "kills: {kind:?} | {verb} {}: {unfinished} of {} met it unfinished",
            args.join(" "),
            self.kills
        );
    }

    /// Programs that were run for it may live a moment longer.
    fn tools_have_ended(&self) {
        std::thread::sleep(Duration::from_millis(20));
        if matches!(self.host.kind, Kind::Zfs | Kind::Lvm | Kind::LvmThick) {
            let tools = "zfs|lvs|lvcreate|lvremove|lvrename|mkfs.ext4";
            let wait =
                format!("for i in $(seq 100); do pgrep -x '{tools}' || break; sleep 0.05; done");
            ok(&self.host.sh(&wait));
        }
    }

    /// Starts `rlxc VERB` and kills it after some time. Whether it had ended by itself before.
    fn killed(&self, verb: &str, args: &[&str], after: Duration) -> bool {
        // As nsenter executes the program, the process that is killed is rlxc itself.
        let mut command = self.host.command(bin_dir().join("rlxc"));
        command.arg(verb).arg("-P").arg(self.host.lxcpath());
        let command = command.args(args);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(after);
        let ended = child.try_wait().unwrap().is_some();
        let _ = child.kill();
        let _ = child.wait();
        ended
    }

    fn is_defined(&self, name: &str) -> bool {
        let info = self.host.rlxc("info", &["-n", name, "-s"]);
        info.status.success()
    }

    fn destroy(&self, name: &str) {
        ok(&self.host.rlxc("destroy", &["-s", "-n", name]));
    }

    /// `b` is there as a whole, or not at all; then it goes.
    fn is_whole_or_absent(&self, after: &str) {
        let host = &self.host;
        let until = Instant::now() + Duration::from_secs(10);
        // A template lives on, and says so.
        while self.is_defined(&self.b)
            && host.has(&format!("{}/partial", self.b))
            && Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        if self.is_defined(&self.b) {
            let seen = host.inside(&self.b, "cat /file /etc/hostname");
            assert_eq!(seen.trim_end(), format!("one\n{}", self.b), "{after}");
            self.destroy(&self.b);
        } else {
            // An empty directory may be all that there is so far.
            let _ = host.rlxc("destroy", &["-n", &self.b]);
        }
        assert!(!host.has(&self.b), "{after}: something is left");
        assert_eq!(data(host), self.volumes, "{after}");
    }

    fn create(&self) {
        let args = self.host.create_args(&self.b);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let undo = || self.destroy(&self.b);
        self.each("create", &args, undo, |n| {
            self.is_whole_or_absent(&format!("create, kill {n}"));
        });
    }

    fn copy(&self, more: &[&str]) {
        let args = [&["-n", &self.base, "-N", &self.b][..], more].concat();
        let undo = || self.destroy(&self.b);
        self.each("copy", &args, undo, |n| {
            self.is_whole_or_absent(&format!("copy {more:?}, kill {n}"));
        });
    }

    fn snapshot(&self) {
        let host = &self.host;
        let all_gone = || drop(ok(&host.rlxc("snapshot", &["-n", &self.base, "-d", "ALL"])));
        self.each("snapshot", &["-n", &self.base], all_gone, |n| {
            let list = ok(&host.rlxc("snapshot", &["-n", &self.base, "-L"]));
            if let Some(line) = list.lines().find(|line| line.starts_with("snap")) {
                let timed =
                    line.starts_with("snap0 ") && line.ends_with(|c: char| c.is_ascii_digit());
                assert!(timed, "kill {n}: {list}");
                if host.kind == Kind::Dir {
                    assert_eq!(
                        host.sum(&format!("{}/snaps/snap0/rootfs", self.base)),
                        host.sum(&format!("{}/rootfs", self.base))
                    );
                } else if n % 4 == 0 {
                    ok(&host.rlxc(
                        "snapshot",
                        &["-n", &self.base, "-r", "snap0", "-N", &self.b],
                    ));
                    assert_eq!(host.inside(&self.b, "cat /file"), "one\n", "kill {n}");
                    self.destroy(&self.b);
                }
            }
            all_gone();
            assert_eq!(data(host), self.volumes, "snapshot, kill {n}");
        });
        // What a kill left takes no number for ever.
        ok(&host.rlxc("snapshot", &["-n", &self.base]));
        assert!(host.has(&format!("{}/snaps/snap0/ts", self.base)));
        all_gone();
    }

    fn restore(&self) {
        let host = &self.host;
        host.create(&self.r);
        host.inside(&self.r, "echo old > /state");
        ok(&host.rlxc("snapshot", &["-n", &self.r]));
        host.inside(&self.r, "echo new > /state");
        let volumes = data(host).len();
        let args = ["-n", &self.r, "-r", "snap0"];
        let renew = || drop(host.inside(&self.r, "echo new > /state"));
        self.each("snapshot", &args, renew, |n| {
            let state = host.inside(&self.r, "cat /state /file");
            let known = state == "old\none\n" || state == "new\none\n";
            assert!(known, "restore, kill {n}: {state}");
            for left in ["restore.new", "restore.journal"] {
                assert!(!host.has(&format!("{}/{left}", self.r)), "kill {n}: {left}");
            }
            assert_eq!(data(host).len(), volumes, "{:?}", data(host));
            renew();
        });
        ok(&host.rlxc("snapshot", &args));
        assert_eq!(host.inside(&self.r, "cat /state"), "old\n");
        self.destroy(&self.r);
        assert_eq!(data(host), self.volumes, "restore");
    }

    fn rename(&self) {
        let host = &self.host;
        host.create(&self.b);
        host.inside(&self.b, "echo kept > /state");
        let (mut now, mut next) = (&self.b, &self.c);
        let back = || drop(ok(&host.rlxc("copy", &["-n", &self.c, "-R", "-N", &self.b])));
        self.each("copy", &["-n", &self.b, "-R", "-N", &self.c], back, |n| {
            let (old, new) = (self.is_defined(now), self.is_defined(next));
            assert!(old != new, "rename, kill {n}: {now} {old}, {next} {new}");
            if new {
                std::mem::swap(&mut now, &mut next);
            }
            assert_eq!(host.inside(now, "cat /state"), "kept\n");
            assert!(!host.has(&format!("{now}/rename.journal")));
            if now == &self.c {
                back();
                std::mem::swap(&mut now, &mut next);
            }
        });
        self.destroy(&self.b);
        assert_eq!(data(host), self.volumes, "rename");
    }

    fn ends(&self) {
        let host = &self.host;
        let share: &[&str] = match host.kind {
            Kind::Dir | Kind::Loop => &[],
            _ => &["-s"],
        };
        let args = [&["-n", &self.base, "-N", &self.b][..], share].concat();
        let copy = || drop(ok(&host.rlxc("copy", &args)));
        copy();
        self.each("destroy", &["-n", &self.b], copy, |n| {
            let second = host.rlxc("destroy", &["-n", &self.b]);
            let gone = second.status.success() || said(&second).contains("not defined");
            assert!(gone, "destroy, kill {n}: {}", said(&second));
            assert!(!host.has(&self.b), "destroy, kill {n}: something is left");
            assert_eq!(data(host), self.volumes, "destroy, kill {n}");
            copy();
        });
        self.destroy(&self.b);
    }
}

/// The volumes, without the snapshots of data sets: one whose clone went just before the kill is left, and goes with the
/// next copy of its name or with what it was taken of.
fn data(host: &Host) -> Vec<String> {
    let mut all = host.volumes();
    all.retain(|name| !name.contains('@'));
    all
}

fn every_operation_is_killed(kind: Kind, kills: u32) {
    let Some(scene) = Scene::new(kind, kills) else {
        return;
    };
    let host = &scene.host;
    let sum = || match kind {
        Kind::Dir => host.sum(&format!("{}/rootfs", scene.base)),
        _ => Default::default(),
    };
    let before = sum();
    scene.create();
    scene.copy(&[]);
    if kind != Kind::Loop {
        scene.copy(&["-s"]);
    }
    assert_eq!(sum(), before, "the original has changed");
    scene.snapshot();
    scene.restore();
    scene.rename();
    scene.ends();
    assert_eq!(sum(), before, "the original has changed");
    assert_eq!(
        host.inside(&scene.base, "cat /file /etc/hostname"),
        format!("one\n{}\n", scene.base)
    );
    scene.destroy(&scene.base);
    let left = ok(&host.sh(&format!("ls -A {}", host.lxcpath().display())));
    assert_eq!(left, "");
    assert!(host.volumes().is_empty(), "{:?}", host.volumes());
}

#[test]
fn directories_survive_kills() {
    every_operation_is_killed(Kind::Dir, 20);
}

#[test]
fn overlays_survive_kills() {
    every_operation_is_killed(Kind::Overlay, 20);
}

#[test]
fn subvolumes_survive_kills() {
    every_operation_is_killed(Kind::Btrfs, 20);
}

#[test]
fn images_survive_kills() {
    every_operation_is_killed(Kind::Loop, 20);
}

/// Each step takes the daemon's programs, and their time.
#[test]
fn zfs_data_sets_survive_kills() {
    every_operation_is_killed(Kind::Zfs, 5);
}

#[test]
fn logical_volumes_survive_kills() {
    every_operation_is_killed(Kind::Lvm, 5);
}
