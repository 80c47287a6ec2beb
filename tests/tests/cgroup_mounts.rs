//! Every value of `lxc.mount.auto = cgroup…`, with a cgroup namespace (as LXC mounts) and without.

use std::collections::BTreeSet;
use std::path::Path;

use rlxc_tests::{Actor, Place, ok, peer, rootfs};

fn unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

fn set_up() -> Option<Place> {
    let place = Place::new(Actor::Root)?;
    if !Path::new("/sys/fs/cgroup").exists() {
        rlxc_tests::skipped("mounted cgroups");
        return None;
    }
    let made = rootfs::busybox(&place.path().join("root"), 0);
    assert!(made.is_ok(), "{made:?}");
    Some(place)
}

fn configure(place: &Place, name: &str, extra: &str) {
    let folder = place.path().join(name);
    let _ = std::fs::create_dir(&folder);
    let text = format!(
        "lxc.rootfs.path = dir:{}/root\nlxc.uts.name = {name}\nlxc.net.0.type = empty\n\
         lxc.tty.max = 1\nlxc.pty.max = 1\nlxc.apparmor.profile = unconfined\n\
         lxc.init.cmd = /bin/sleep 1000\n{extra}",
        place.path().display()
    );
    assert!(std::fs::write(folder.join("config"), text).is_ok());
}

/// Root, target, ro or rw, and type of each mount at or below /sys/fs/cgroup.
fn mounts(table: &str) -> BTreeSet<String> {
    let shown = table.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, target, options) = (left.next()?, left.next()?, left.next()?);
        let kind = right.split(' ').next()?;
        target.starts_with("/sys/fs/cgroup").then(|| {
            let access = options.split(',').next().unwrap_or_default();
            format!("{root} {target} {access} {kind}")
        })
    });
    shown.collect()
}

fn table(place: &Place, name: &str) -> BTreeSet<String> {
    let pid = ok(&place.rlxc("info", &["-n", name, "-pH"]));
    mounts(&std::fs::read_to_string(format!("/proc/{}/mountinfo", pid.trim())).unwrap_or_default())
}

#[test]
fn with_a_namespace_the_mounts_are_those_that_lxc_makes() {
    let Some(place) = set_up() else { return };
    if !peer() {
        return;
    }
    for value in [
        "cgroup",
        "cgroup:mixed",
        "cgroup:force",
        "cgroup:ro:force",
        "cgroup:rw:force",
        "cgroup-full:mixed:force",
        "cgroup-full:ro:force",
    ] {
        let auto = format!("lxc.mount.auto = proc:mixed sys:mixed {value}\n");
        configure(&place, "cgm", &auto);
        ok(&place.lxc("start", &["-n", "cgm"]));
        let theirs = table(&place, "cgm");
        ok(&place.lxc("stop", &["-k", "-n", "cgm"]));
        ok(&place.rlxc("start", &["-n", "cgm"]));
        let ours = table(&place, "cgm");
        ok(&place.rlxc("stop", &["-k", "-n", "cgm"]));
        assert_eq!(ours, theirs, "{value}");
        assert_eq!(
            ours.is_empty(),
            !unified() && !value.contains("force"),
            "{value}"
        );
    }
}

/// Where `mkdir` succeeds inside: the top of a hierarchy, the container's own cgroup.
fn writable(place: &Place, name: &str) -> (bool, bool) {
    let own = format!("lxc.payload.{name}");
    let top = if unified() { "" } else { "/pids" };
    let test = |dir: &str| {
        let script = format!("cd /sys/fs/cgroup{dir} && mkdir t && rmdir t");
        let words = ["-n", name, "--", "/bin/sh", "-c", &script];
        place.rlxc("attach", &words).status.success()
    };
    (test(top), test(&format!("{top}/{own}")))
}

#[test]
fn without_a_namespace_the_own_cgroup_is_bound_in_and_the_rest_as_asked() {
    let Some(place) = set_up() else { return };
    // Value, whether the top is writable (with cgroup2 as a part, the tmpfs), whether the own cgroup is.
    for (value, top, own) in [
        ("cgroup:mixed", false, true),
        ("cgroup:ro", false, false),
        ("cgroup:rw", true, true),
        ("cgroup-full:mixed", false, true),
        ("cgroup-full:ro", false, false),
        ("cgroup-full:rw", true, true),
    ] {
        let auto =
            format!("lxc.namespace.keep = cgroup\nlxc.mount.auto = proc:mixed sys:mixed {value}\n");
        configure(&place, "cgn", &auto);
        ok(&place.rlxc("start", &["-n", "cgn"]));
        let seen = writable(&place, "cgn");
        let others = table(&place, "cgn").iter().any(|line| {
            line.starts_with("/ ") && (line.ends_with(" cgroup") || line.ends_with(" cgroup2"))
        });
        ok(&place.rlxc("stop", &["-k", "-n", "cgn"]));
        assert_eq!(seen, (top, own), "{value}");
        assert_eq!(
            others,
            value.contains("full"),
            "{value}: the whole tree is seen"
        );
    }
}

#[test]
fn cgroup2_alone_is_mounted_where_it_is_asked_for() {
    let Some(place) = set_up() else { return };
    let has_v2 = std::fs::read_to_string("/proc/self/mountinfo")
        .is_ok_and(|table| table.contains(" - cgroup2 "));
    if !has_v2 {
        rlxc_tests::skipped("a cgroup2 mount");
        return;
    }
    for (value, access) in [
        ("cgroup2:rw", "rw"),
        ("cgroup2:ro", "ro"),
        ("cgroup2", "rw"),
    ] {
        configure(
            &place,
            "cg2",
            &format!("lxc.mount.auto = sys:mixed {value}\n"),
        );
        ok(&place.rlxc("start", &["-n", "cg2"]));
        let seen = table(&place, "cg2");
        ok(&place.rlxc("stop", &["-k", "-n", "cg2"]));
        let line = format!("/lxc.payload.cg2 /sys/fs/cgroup {access} cgroup2");
        assert_eq!(seen, BTreeSet::from([line]), "{value}");
    }
}
