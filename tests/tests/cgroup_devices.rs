//! What a running container may do with devices, changed by both sides' tools: by v1's files, and in a
//! pure cgroup2 layout by the monitor's device program.

use rlxc_tests::{Actor, Place, ok, peer, rootfs, said};

const RULES: &[&str] = &[
    "deny = a",
    "allow = c 1:3 rwm",
    "allow = c 1:9 rwm",
    "allow = c 5:* rwm",
    "allow = c 136:* rwm",
];

/// Runs `device` with these words, by one side.
type Tool<'a> = &'a dyn Fn(&[&str]) -> std::process::Output;

fn set_up(name: &str, owner: u32) -> Option<Place> {
    let place = Place::new(Actor::Root)?;
    if rlxc_tests::cgroups::mounts().is_empty() {
        rlxc_tests::skipped("mounted cgroups");
        return None;
    }
    assert!(rootfs::busybox(&place.path().join("root"), owner).is_ok());
    let folder = place.path().join(name);
    assert!(std::fs::create_dir(&folder).is_ok());
    let maps = match owner {
        0 => String::new(),
        first => format!("lxc.idmap = u 0 {first} 65536\nlxc.idmap = g 0 {first} 65536\n"),
    };
    let rules: String = ["cgroup", "cgroup2"]
        .iter()
        .flat_map(|key| {
            RULES
                .iter()
                .map(move |rule| format!("lxc.{key}.devices.{rule}\n"))
        })
        .collect();
    let text = format!(
        "lxc.rootfs.path = dir:{}/root\nlxc.uts.name = {name}\nlxc.net.0.type = empty\n\
         lxc.tty.max = 0\nlxc.pty.max = 1\nlxc.apparmor.profile = unconfined\n{maps}{rules}\
         lxc.init.cmd = /bin/sleep 1000\n",
        place.path().display()
    );
    assert!(std::fs::write(folder.join("config"), text).is_ok());
    Some(place)
}

/// Whether a program inside opens the node.
fn opens(place: &Place, name: &str, node: &str) -> bool {
    let script = format!(": < {node}");
    let words = ["-n", name, "--", "/bin/sh", "-c", &script];
    place.rlxc("attach", &words).status.success()
}

/// Allowed and denied by a tool, with `/dev/full` (1:7) as the device.
///
/// The monitor of LXC 5.0.2 goes on allowing in a pure cgroup2 layout what it has once allowed:
/// `denies` leaves that out.
fn changes(
    place: &Place,
    name: &str,
    denies: bool,
    run: &dyn Fn(&str, &[&str]) -> std::process::Output,
) {
    let full = |wanted: bool, what: &str| {
        assert_eq!(opens(place, name, "/dev/full"), wanted, "{what}");
        assert!(opens(place, name, "/dev/null"), "{what}: /dev/null");
    };
    full(false, "before");
    ok(&run("cgroup", &["-n", name, "devices.allow", "c 1:7 r"]));
    full(true, "allowed");
    let script = ": > /dev/full";
    let words = ["-n", name, "--", "/bin/sh", "-c", script];
    assert!(!place.rlxc("attach", &words).status.success(), "only read");
    ok(&run("cgroup", &["-n", name, "devices.deny", "c 1:7 rwm"]));
    if denies {
        full(false, "denied");
    }
    for bad in ["c 1:7", "x 1:7 r", "c 1:7 q", ""] {
        let refused = run("cgroup", &["-n", name, "devices.allow", bad]);
        assert!(!refused.status.success(), "{bad}: {}", said(&refused));
    }
    full(!denies, "after bad rules");
}

#[test]
fn device_rules_of_a_running_container_are_changed_by_both_sides_tools() {
    let name = "cgd-live";
    let Some(place) = set_up(name, 0) else { return };
    ok(&place.rlxc("start", &["-n", name]));
    changes(&place, name, true, &|verb, args| place.rlxc(verb, args));
    let theirs = peer();
    if theirs {
        changes(&place, name, true, &|tool, args| place.lxc(tool, args));
    }
    // A device with its node.
    let tools: &[Tool<'_>] = &[&|args| place.rlxc("device", args), &|args| {
        place.lxc("device", args)
    }];
    for run in tools.iter().take(1 + usize::from(theirs)) {
        let remove = ["-n", name, "--", "/bin/rm", "-f", "/dev/full"];
        ok(&place.rlxc("attach", &remove));
        ok(&run(&["-n", name, "add", "/dev/full"]));
        assert!(opens(&place, name, "/dev/full"));
        ok(&run(&["-n", name, "del", "/dev/full"]));
        let make = ["-n", name, "--", "/bin/mknod", "/dev/full", "c", "1", "7"];
        assert!(!place.rlxc("attach", &make).status.success(), "mknod");
    }
    // `a` starts a new list.
    ok(&place.rlxc("cgroup", &["-n", name, "devices.allow", "a"]));
    let make = [
        "-n",
        name,
        "--",
        "/bin/sh",
        "-c",
        "mknod /tmp/full c 1 7 && : < /tmp/full",
    ];
    ok(&place.rlxc("attach", &make));
    ok(&place.rlxc("cgroup", &["-n", name, "devices.deny", "a"]));
    assert!(!opens(&place, name, "/dev/null"));
    ok(&place.rlxc("stop", &["-k", "-n", name]));
    // A start loads the configured rules anew.
    ok(&place.rlxc("start", &["-n", name]));
    assert!(opens(&place, name, "/dev/null") && !opens(&place, name, "/tmp/full"));
    ok(&place.rlxc("stop", &["-k", "-n", name]));
}

#[test]
fn what_lxc_started_takes_our_rules() {
    let name = "cgd-theirs";
    if !peer() {
        return;
    }
    let Some(place) = set_up(name, 0) else { return };
    ok(&place.lxc("start", &["-n", name]));
    let v1 = !std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    changes(&place, name, v1, &|verb, args| place.rlxc(verb, args));
    ok(&place.lxc("stop", &["-k", "-n", name]));
}

#[test]
fn a_container_with_mapped_ids_is_held_to_the_rules_of_the_root_that_started_it() {
    let name = "cgd-mapped";
    let Some(place) = set_up(name, 1_200_000) else {
        return;
    };
    // The root of the test may not have these ids in /etc/subuid: as root it needs no helper.
    ok(&place.rlxc("start", &["-n", name]));
    changes(&place, name, true, &|verb, args| place.rlxc(verb, args));
    ok(&place.rlxc("stop", &["-k", "-n", name]));
}
