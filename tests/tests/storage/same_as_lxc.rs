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
        let us = ours.rlxc(verb, args);
        let them = theirs.lxc(verb, args);
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

const COMMENT: &str = "/etc/hostname";

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
        ok(&host.lxc("copy", &["-n", name, "-N", &of_lxc]));
        ok(&host.rlxc("copy", &["-n", name, "-N", &of_rlxc]));
        ok(&host.lxc("snapshot", &["-n", name]));
        ok(&host.rlxc("snapshot", &["-n", name]));
        host.inside(name, "echo later > /file");
        ok(&host.rlxc("snapshot", &["-n", name, "-r", "snap0"]));
        assert_eq!(host.inside(name, "cat /file"), "one\n");
        host.inside(name, "echo later > /file");
        ok(&host.lxc("snapshot", &["-n", name, "-r", "snap1"]));
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
}

#[test]
fn directories_pass_between_lxc_and_us() {
    in_turn(Kind::Dir);
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
