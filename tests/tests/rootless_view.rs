//! The same container of an ordinary user, started by Debian's LXC and by us, sees the same.
#![allow(clippy::unwrap_used, missing_docs)]

mod inside;
mod view_cases;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use inside::World;
use rlxc_tests::{Actor, Place, said};
use view_cases::EXPLAINED;
use view_cases::compare::{Explained, LOOK, differences};

/// Cases: name, configuration.
const CASES: &[(&str, &str)] = &[
    ("plain", ""),
    ("proc-sys", "lxc.mount.auto = proc:mixed sys:mixed"),
    ("proc-rw", "lxc.mount.auto = proc:rw sys:rw"),
    ("cgroup", "lxc.mount.auto = proc sys:ro cgroup:mixed"),
    (
        "cap-drop",
        "lxc.mount.auto = proc\nlxc.cap.drop = sys_module sys_time mknod",
    ),
    (
        "cap-keep",
        "lxc.mount.auto = proc\nlxc.cap.keep = sys_admin chown kill setuid setgid",
    ),
    (
        "no-new-privs",
        "lxc.mount.auto = proc\nlxc.no_new_privs = 1",
    ),
    (
        "seccomp",
        "lxc.mount.auto = proc\nlxc.seccomp.profile = /usr/share/lxc/config/common.seccomp",
    ),
    (
        "prlimit",
        "lxc.mount.auto = proc\nlxc.prlimit.nofile = 100:200\nlxc.prlimit.core = 0",
    ),
    (
        "environment",
        "lxc.mount.auto = proc\nlxc.environment = A=1\nlxc.uts.name = some.name",
    ),
    ("no-autodev", "lxc.mount.auto = proc\nlxc.autodev = 0"),
    (
        "ttys",
        "lxc.mount.auto = proc\nlxc.tty.max = 2\nlxc.pty.max = 7",
    ),
    (
        "console",
        "lxc.mount.auto = proc\nlxc.console.path =\nlxc.pty.max = 16",
    ),
    ("net-none", "lxc.mount.auto = proc\nlxc.net.0.type = none"),
    (
        "clone-few",
        "lxc.mount.auto = proc\nlxc.namespace.clone = user mnt pid ipc",
    ),
    ("time", "lxc.mount.auto = proc\nlxc.time.offset.boot = 100s"),
    ("arch32", "lxc.mount.auto = proc\nlxc.arch = i686"),
    (
        "sysctl",
        "lxc.mount.auto = proc:rw\nlxc.sysctl.net.ipv4.ip_forward = 1",
    ),
    ("init-cwd", "lxc.mount.auto = proc\nlxc.init.cwd = /var"),
    (
        "init-ids",
        "lxc.mount.auto = proc\nlxc.init.uid = 1000\nlxc.init.gid = 1001",
    ),
    (
        "entry-bind",
        "lxc.mount.auto = proc\nlxc.mount.entry = /usr/share/doc mnt none ro,bind 0 0",
    ),
    (
        "entry-tmpfs",
        "lxc.mount.auto = proc\nlxc.mount.entry = tmpfs var/a tmpfs nosuid,size=64k,create=dir 0 0",
    ),
    (
        "entry-optional",
        "lxc.mount.auto = proc\nlxc.mount.entry = /nonexistent mnt none bind,optional 0 0",
    ),
    (
        "entry-dev",
        "lxc.mount.auto = proc\nlxc.mount.entry = /dev/null var/null none bind,create=file 0 0",
    ),
    (
        "rootfs-flags",
        "lxc.mount.auto = proc\nlxc.rootfs.options = nosuid,nodev",
    ),
    (
        "nesting",
        "lxc.mount.auto = proc sys\nlxc.apparmor.allow_nesting = 1",
    ),
];

/// Differences that are meant, besides those of the privileged ones.
const MORE: &[Explained] = &[
    (
        "cgroup",
        "mounts",
        "/ /sys ro,relatime",
        "5.0.2 makes the file system read-only, we the mount",
    ),
    (
        "nesting",
        "mounts",
        "/ /dev/.lxc/",
        "5.0.2 passes over them, since they are optional",
    ),
];

/// Cases that only we start.
const ONLY_OURS: &[&str] = &[];

fn compare(actor: Actor) {
    let missing = inside::missing().or((!inside::has_peer()).then_some("lxc-start (package lxc)"));
    if let Some(what) = missing {
        println!("skipped: {what} is missing");
        return;
    }
    let Some(place) = Place::new(actor) else {
        return;
    };
    let world = World {
        lxcpath: place.path().to_owned(),
    };
    let owner = fs::metadata(place.path()).unwrap();
    fs::create_dir(place.path().join("mnt")).unwrap();
    let only = std::env::var("RLXC_TEST_CASE").ok();
    let mut failures = Vec::new();
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    for (name, config) in CASES.iter().filter(|(name, _)| wanted(name)) {
        let config = format!("{}{config}", place.id_maps());
        let inside = world.define(name, LOOK, &config, place.first_id().unwrap());
        let folder = place.path().join(name);
        let user = (Some(owner.uid()), Some(owner.gid()));
        std::os::unix::fs::chown(&folder, user.0, user.1).unwrap();
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
        let out = inside.rootfs.join("out");
        let run = |by_lxc: bool| {
            fs::write(&out, "").unwrap();
            let words = ["-F", "-n", name];
            let output = match by_lxc {
                true => place.lxc("start", &words),
                false => place.rlxc("start", &words),
            };
            match inside.out() {
                empty if empty.is_empty() => Err(said(&output)),
                out => Ok(out),
            }
        };
        match (run(true), run(false)) {
            (Ok(theirs), Ok(ours)) => {
                failures.extend(differences(
                    name,
                    &theirs,
                    &ours,
                    &[EXPLAINED, MORE].concat(),
                ));
            }
            (Err(_), Ok(_)) if ONLY_OURS.contains(name) => {}
            (Err(a), Err(b)) => failures.push(format!("{name}: neither starts: {a}{b}")),
            (Err(why), Ok(_)) => failures.push(format!("{name}: only we start it: {why}")),
            (Ok(_), Err(why)) => failures.push(format!("{name}: only LXC starts it: {why}")),
        }
    }
    assert!(
        failures.is_empty(),
        "{} differences\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn a_users_container_sees_the_same_whoever_started_it() {
    compare(Actor::UserWithIds);
}
