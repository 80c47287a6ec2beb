//! The same commands to LXC's tools and to ours: the same files, modes, configurations and lists of dependence.

use std::collections::BTreeMap;

use rlxc_tests::{ok, peer, run};

use crate::host::{Host, Kind};

/// Everything below the lxcpath but what is in the root file systems.
fn tree(host: &Host) -> BTreeMap<String, String> {
    let script = format!(
        "cd {}; find . -mindepth 1 -not -path '*/rootfs/*' -not -path '*/overlay/work*' -not -path '*/overlay/delta/*' \
         -printf '%p %y %m\\n'",
        host.lxcpath().display()
    );
    let list = ok(&host.sh(&script));
    let mut all = BTreeMap::new();
    for line in list.lines() {
        let mut words = line.trim_start_matches("./").split(' ');
        let path = words.next().unwrap().to_owned();
        let mut text = words.collect::<Vec<_>>().join(" ");
        let name = path.rsplit('/').next().unwrap();
        if name == "config" {
            text.push('\n');
            text.push_str(&host.config(path.trim_end_matches("/config")));
        }
        if matches!(name, "lxc_snapshots" | "lxc_rdepends" | "comment") {
            let shown = ok(&run(host.command("cat").arg(host.lxcpath().join(&path))));
            text.push('\n');
            text.push_str(&shown.replace(&host.lxcpath().display().to_string(), "PATH"));
        }
        all.insert(path, text);
    }
    all
}

/// Runs the same steps on both sides; after each the trees must be the same.
fn compare(kind: Kind, steps: &[&[&str]]) {
    if !peer() {
        return;
    }
    let (Some(ours), Some(theirs)) = (Host::new(kind), Host::new(kind)) else {
        return;
    };
    for (host, of_lxc) in [(&ours, false), (&theirs, true)] {
        let args = host.create_args("a");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        ok(&match of_lxc {
            true => host.lxc("create", &args),
            false => host.rlxc("create", &args),
        });
    }
    assert_eq!(tree(&ours), tree(&theirs), "create");
    for step in steps {
        let (verb, args) = step.split_first().unwrap();
        let (us, them) = match *verb {
            "sh" => {
                let script = |host: &Host| format!("cd {}; {}", host.lxcpath().display(), args[0]);
                (ours.sh(&script(&ours)), theirs.sh(&script(&theirs)))
            }
            _ => {
                let (us, them) = (placed(&ours, args), placed(&theirs, args));
                fn words(all: &[String]) -> Vec<&str> {
                    all.iter().map(String::as_str).collect()
                }
                (
                    ours.rlxc(verb, &words(&us)),
                    theirs.lxc(verb, &words(&them)),
                )
            }
        };
        assert_eq!(
            us.status.success(),
            them.status.success(),
            "{step:?}: {}\n{}",
            rlxc_tests::said(&us),
            rlxc_tests::said(&them)
        );
        assert_eq!(tree(&ours), tree(&theirs), "{kind:?} {step:?}");
    }
}

/// `@` stands for the place of the test.
fn placed(host: &Host, args: &[&str]) -> Vec<String> {
    let top = host.path("").display().to_string();
    args.iter().map(|word| word.replace('@', &top)).collect()
}

const COMMENT: &str = "/etc/hostname";

#[test]
fn what_is_created_is_what_lxc_creates() {
    for kind in [Kind::Dir, Kind::Btrfs] {
        let create = ["create", "-f", "@empty.conf", "-t", "@template", "-n"];
        let none = ["create", "-f", "@empty.conf", "-t", "none", "-n"];
        let with = |first: &[&'static str], more: &[&'static str]| [first, more].concat();
        let steps = [
            with(&create, &["plain"]),
            with(&create, &["best", "-B", "best"]),
            with(&create, &["none", "-B", "none"]),
            with(&create, &["dir", "-B", "dir", "--dir", "@c/in-dir"]),
            with(
                &create,
                &["size", "-B", "loop", "--fssize", "40M", "--fstype", "ext3"],
            ),
            with(&create, &["unknown", "-B", "floppy"]),
            with(&create, &["plain"]),
            with(&none, &["empty"]),
            with(&none, &["empty"]),
            with(&["create", "-n", "absent", "-t"], &["/no/such/template"]),
            with(&["create", "-n", "failing", "-t"], &["/bin/false"]),
            vec!["destroy", "-n", "dir"],
            vec!["destroy", "-n", "empty"],
        ];
        let steps: Vec<&[&str]> = steps.iter().map(Vec::as_slice).collect();
        compare(kind, &steps);
    }
}

#[test]
fn directories_are_kept_as_lxc_keeps_them() {
    compare(
        Kind::Dir,
        &[
            &["copy", "-n", "a", "-N", "full"],
            &["copy", "-n", "a", "-N", "named", "-K"],
            &["copy", "-n", "a", "-N", "snap", "-s"],
            &["copy", "-n", "snap", "-N", "snap2", "-s"],
            &["copy", "-n", "a", "-N", "over", "-s", "-B", "overlay"],
            &["snapshot", "-n", "a", "-c", COMMENT],
            &["snapshot", "-n", "snap"],
            &["copy", "-n", "full", "-R", "-N", "renamed"],
            &["copy", "-n", "a", "-R", "-N", "refused"],
            &["destroy", "-n", "a"],
            &["destroy", "-n", "snap2"],
            &["destroy", "-n", "over"],
            &["snapshot", "-n", "snap", "-d", "snap0"],
            &["destroy", "-n", "snap"],
            &["snapshot", "-n", "a", "-r", "snap0"],
            &["snapshot", "-n", "a", "-r", "snap0", "-N", "again"],
            &["snapshot", "-n", "a", "-d", "ALL"],
            &["destroy", "-n", "a"],
        ],
    );
}

/// Storage in a place of its own: what is restored lies where LXC puts it, and the old one is gone.
#[test]
fn directories_elsewhere_are_kept_as_lxc_keeps_them() {
    let own = "mv a/rootfs of-a; sed -i \"s,^lxc.rootfs.path.*,lxc.rootfs.path = dir:$(pwd)/of-a,\" a/config";
    let look = "ls -d of-a; cat a/rootfs/file";
    compare(
        Kind::Dir,
        &[
            &["sh", own],
            &["snapshot", "-n", "a"],
            &["copy", "-n", "a", "-N", "full"],
            &["snapshot", "-n", "a", "-r", "snap0"],
            &["sh", look],
            &["destroy", "-s", "-n", "a"],
            &["sh", "ls -d of-a"],
        ],
    );
}

/// An older LXC only counted the containers that rest on one.
#[test]
fn dependants_that_are_only_counted_are_kept_as_lxc_keeps_them() {
    compare(
        Kind::Dir,
        &[
            &["sh", "echo 2 > a/lxc_snapshots"],
            &["destroy", "-n", "a"],
            &["copy", "-n", "a", "-R", "-N", "renamed"],
            &["copy", "-n", "a", "-N", "snap", "-s"],
            &["destroy", "-n", "snap"],
            &["sh", "echo 1 > a/lxc_snapshots"],
            &["copy", "-n", "a", "-N", "snap", "-s"],
            &["sh", "echo 1 > a/lxc_snapshots"],
            &["destroy", "-n", "a"],
            &["destroy", "-n", "snap"],
            // It has counted down to 0; LXC takes that for somebody, too.
            &["sh", "rm a/lxc_snapshots"],
            &["destroy", "-n", "a"],
        ],
    );
}

#[test]
fn overlays_are_kept_as_lxc_keeps_them() {
    compare(
        Kind::Overlay,
        &[
            &["copy", "-n", "a", "-N", "snap", "-s"],
            &["copy", "-n", "snap", "-N", "snap2", "-s"],
            &["copy", "-n", "a", "-N", "flat", "-B", "dir"],
            &["snapshot", "-n", "a"],
            &["snapshot", "-n", "snap"],
            &["destroy", "-n", "a"],
            &["destroy", "-n", "snap2"],
            &["destroy", "-s", "-n", "snap"],
            &["destroy", "-n", "flat"],
        ],
    );
}

#[test]
fn subvolumes_are_kept_as_lxc_keeps_them() {
    compare(
        Kind::Btrfs,
        &[
            &["copy", "-n", "a", "-N", "full"],
            &["copy", "-n", "a", "-N", "snap", "-s"],
            &["snapshot", "-n", "a"],
            &["snapshot", "-n", "a", "-r", "snap0"],
            &["snapshot", "-n", "a", "-r", "snap0", "-N", "again"],
            &["copy", "-n", "full", "-R", "-N", "renamed"],
            &["destroy", "-n", "a"],
            &["destroy", "-s", "-n", "a"],
        ],
    );
}

#[test]
fn images_are_kept_as_lxc_keeps_them() {
    compare(
        Kind::Loop,
        &[
            &["copy", "-n", "a", "-N", "full"],
            &["copy", "-n", "a", "-N", "snap", "-s"],
            &["snapshot", "-n", "a"],
            &["snapshot", "-n", "a", "-r", "snap0"],
            &["copy", "-n", "a", "-N", "flat", "-B", "dir"],
            &["destroy", "-s", "-n", "a"],
        ],
    );
}

/// Ours on theirs, theirs on ours.
fn in_turn(kind: Kind) {
    if !peer() {
        return;
    }
    let Some(host) = Host::new(kind) else {
        return;
    };
    let args = host.create_args("theirs");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    ok(&host.lxc("create", &args));
    host.create("ours");
    assert_eq!(host.inside("theirs", "cat /file"), "one\n");
    for name in ["ours", "theirs"] {
        let of_lxc = format!("{name}-lxc");
        let of_rlxc = format!("{name}-rlxc");
        // LXC makes no full copies of overlays.
        let more: &[&str] = match kind {
            Kind::Overlay => &["-s"],
            _ => &[],
        };
        ok(&host.lxc("copy", &[&["-n", name, "-N", &of_lxc][..], more].concat()));
        ok(&host.rlxc("copy", &["-n", name, "-N", &of_rlxc]));
        // LXC asks for a thin snapshot without -kn, and then finds no device of a volume that stays inactive.
        if kind != Kind::Loop && kind != Kind::Lvm {
            shared_in_turn(&host, name);
        }
        // LXC takes no snapshots of logical volumes.
        let first = match kind {
            Kind::Lvm | Kind::LvmThick => 0,
            _ => {
                ok(&host.lxc("snapshot", &["-n", name]));
                1
            }
        };
        ok(&host.rlxc("snapshot", &["-n", name]));
        host.inside(name, "echo later > /file");
        ok(&host.rlxc("snapshot", &["-n", name, "-r", "snap0"]));
        assert_eq!(host.inside(name, "cat /file"), "one\n");
        host.inside(name, "echo later > /file");
        let last = format!("snap{first}");
        match kind {
            // With a volume it would destroy first what the snapshot rests on; an overlay that has copies it refuses.
            Kind::Lvm | Kind::LvmThick | Kind::Overlay => {
                ok(&host.rlxc("snapshot", &["-n", name, "-r", &last]))
            }
            _ => ok(&host.lxc("snapshot", &["-n", name, "-r", &last])),
        };
        assert_eq!(host.inside(name, "cat /file"), "one\n");
        // LXC starts what we made.
        let args = ["-n", &of_rlxc, "--", "/bin/busybox", "sleep", "100"];
        ok(&host.lxc("start", &args));
        ok(&host.lxc("stop", &["-k", "-n", &of_rlxc]));
        assert!(
            host.inside(&of_lxc, "cat /etc/hostname")
                .starts_with(&of_lxc)
        );
        ok(&host.rlxc("destroy", &["-n", &of_lxc]));
        ok(&host.lxc("destroy", &["-n", &of_rlxc]));
    }
    ok(&host.lxc("destroy", &["-s", "-n", "ours"]));
    ok(&host.rlxc("destroy", &["-s", "-n", "theirs"]));
    let left = ok(&host.sh(&format!("ls -A {}", host.lxcpath().display())));
    assert_eq!(left, "");
    assert!(host.volumes().is_empty(), "{:?}", host.volumes());
}

/// Each side makes a copy that shares, and the other one starts, copies and removes it.
fn shared_in_turn(host: &Host, name: &str) {
    ok(&host.lxc("copy", &["-n", name, "-N", "s-lxc", "-s"]));
    ok(&host.rlxc("copy", &["-n", name, "-N", "s-rlxc", "-s"]));
    assert_eq!(host.inside("s-lxc", "cat /file"), "one\n");
    host.inside("s-lxc", "echo changed > /file");
    let start = ["-n", "s-rlxc", "--", "/bin/busybox", "sleep", "100"];
    ok(&host.lxc("start", &start));
    ok(&host.lxc("stop", &["-k", "-n", "s-rlxc"]));
    assert_eq!(host.inside(name, "cat /file"), "one\n");
    // Neither side removes what the other's copy rests on.
    if matches!(host.kind, Kind::Dir | Kind::Overlay | Kind::LvmThick) {
        ok(&host.rlxc("destroy", &["-n", "s-lxc"]));
        assert!(!host.lxc("destroy", &["-n", name]).status.success());
        ok(&host.lxc("copy", &["-n", name, "-N", "s-lxc", "-s"]));
        ok(&host.lxc("destroy", &["-n", "s-rlxc"]));
        assert!(!host.rlxc("destroy", &["-n", name]).status.success());
        ok(&host.rlxc("copy", &["-n", name, "-N", "s-rlxc", "-s"]));
    }
    ok(&host.rlxc("destroy", &["-n", "s-lxc"]));
    ok(&host.lxc("destroy", &["-n", "s-rlxc"]));
}

#[test]
fn directories_pass_between_lxc_and_us() {
    in_turn(Kind::Dir);
}

#[test]
fn overlays_pass_between_lxc_and_us() {
    in_turn(Kind::Overlay);
}

#[test]
fn logical_volumes_in_a_thin_pool_pass_between_lxc_and_us() {
    in_turn(Kind::Lvm);
}

#[test]
fn logical_volumes_without_a_pool_pass_between_lxc_and_us() {
    in_turn(Kind::LvmThick);
}

#[test]
fn subvolumes_pass_between_lxc_and_us() {
    in_turn(Kind::Btrfs);
}

#[test]
fn images_pass_between_lxc_and_us() {
    in_turn(Kind::Loop);
}

#[test]
fn data_sets_that_we_made_are_removed_by_lxc() {
    if !peer() {
        return;
    }
    // LXC cannot mount what a FUSE daemon serves (each of its copies is mounted in the end, and removed when that fails);
    // what needs no mount works: listing, and removing copies, snapshots and containers.
    let Some(host) = Host::new(Kind::Zfs) else {
        return;
    };
    host.create("a");
    ok(&host.rlxc("copy", &["-n", "a", "-N", "b", "-s"]));
    // The daemon lets go of what was unmounted a moment later; LXC does not try again.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    ok(&host.lxc("destroy", &["-n", "b"]));
    ok(&host.rlxc("snapshot", &["-n", "a"]));
    let list = |of_lxc: bool| match of_lxc {
        true => ok(&host.lxc("snapshot", &["-n", "a", "-L"])),
        false => ok(&host.rlxc("snapshot", &["-n", "a", "-L"])),
    };
    assert_eq!(list(true), list(false));
    std::thread::sleep(std::time::Duration::from_millis(1500));
    ok(&host.lxc("snapshot", &["-n", "a", "-d", "snap0"]));
    ok(&host.lxc("destroy", &["-n", "a"]));
    let sets = ok(&host.sh(&format!("zfs list -H -t all -o name -r {}", host.pool())));
    assert_eq!(sets.lines().count(), 1, "{sets}");
}
