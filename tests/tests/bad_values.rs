//! Every malformed value is an error with its place in the file, before anything of the container exists.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;

use rlxc_tests::{Actor, Place, no_cgroup_left, said};

const NAME: &str = "badvalues";

/// Lines of a configuration, the last of which is at fault; the fault's column in it; words of the message.
const FAULTS: &[(&str, usize, &str)] = &[
    // id maps
    ("lxc.idmap = u 0 100000", 13, "RANGE is missing"),
    ("lxc.idmap = u 0 100000 x", 24, "lxc.idmap"),
    ("lxc.idmap = b 0 100000 5", 13, "lxc.idmap"),
    (
        "lxc.idmap = u 0 100000 5\nlxc.idmap = u 3 200000 5",
        13,
        "overlap",
    ),
    (
        "lxc.idmap = u 0 100000 5\nlxc.idmap = u 9 100003 5",
        13,
        "overlap",
    ),
    ("lxc.idmap = u 0 100000 65536", 1, "lxc.idmap = g"),
    ("lxc.init.uid = -1", 16, "lxc.init.uid"),
    ("lxc.init.groups = 5,x", 21, "lxc.init.groups"),
    // mounts
    ("lxc.mount.entry = foo", 19, "TARGET is missing"),
    ("lxc.mount.entry = foo bar", 19, "TYPE is missing"),
    (
        "lxc.mount.entry = / mnt none bind,create=link 0 0",
        30,
        "create=dir or create=file",
    ),
    (
        "lxc.mount.entry = / mnt none bind,idmap=some 0 0",
        30,
        "idmap=container or idmap=/PATH",
    ),
    ("lxc.mount.entry = / ../../mnt none bind 0 0", 21, "rootfs"),
    ("lxc.mount.auto = proc:half", 18, "lxc.mount.auto"),
    ("lxc.mount.auto = shmounts:", 18, "lxc.mount.auto"),
    ("lxc.rootfs.options = create=dir", 22, "lxc.rootfs.options"),
    ("lxc.rootfs.options = idmap=/nonexistent", 22, "idmap"),
    // signals
    ("lxc.signal.halt = SIGNONE", 19, "signal"),
    ("lxc.signal.stop = TERM", 19, "signal"),
    ("lxc.signal.reboot = SIGRTMIN+99", 21, "signal"),
    ("lxc.monitor.signal.pdeath = SIGFOO", 29, "signal"),
    ("lxc.monitor.signal.pdeath = 999", 29, "no signal 999"),
    // policies
    ("lxc.cap.drop = sys_nothing", 16, "capability"),
    ("lxc.cap.keep = 99", 16, "capability"),
    (
        "lxc.cap.keep = chown\nlxc.cap.drop = mknod",
        16,
        "only one of",
    ),
    ("lxc.seccomp.notify.proxy = tcp:x", 28, "unix:/PATH"),
    (
        "lxc.seccomp.allow_nesting = 2",
        29,
        "lxc.seccomp.allow_nesting",
    ),
    ("lxc.no_new_privs = yes", 20, "lxc.no_new_privs"),
    (
        "lxc.apparmor.allow_nesting = 5",
        30,
        "lxc.apparmor.allow_nesting",
    ),
    ("lxc.arch = pdp11", 12, "lxc.arch"),
    // limits
    ("lxc.prlimit.nofile = many", 22, "lxc.prlimit.nofile"),
    (
        "lxc.prlimit.nofile = 10:5",
        22,
        "soft limit is above the hard one",
    ),
    ("lxc.prlimit.bogus = 1", 1, "bogus"),
    ("lxc.sched.core = 2", 18, "lxc.sched.core"),
    // namespaces
    ("lxc.namespace.clone = moon", 23, "user, mnt, pid"),
    (
        "lxc.namespace.keep = net\nlxc.namespace.clone = mnt",
        23,
        "only one of",
    ),
    ("lxc.namespace.share.moon = 1", 1, "unknown key"),
    ("lxc.time.offset.boot = 5", 24, "unit"),
    ("lxc.time.offset.monotonic = 5 parsec", 29, "unit"),
    (
        "lxc.time.offset.boot = 99999999999999999999s",
        24,
        "64 bits",
    ),
    // the rest
    ("lxc.hook.version = 3", 20, "0 or 1"),
    ("lxc.hook.nothing = /x", 1, "unknown key"),
    ("lxc.environment = NEVER_SET_ANYWHERE", 19, "NAME=VALUE"),
    (
        "lxc.uts.name = aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg",
        16,
        "64 bytes",
    ),
    ("lxc.tty.max = -1", 15, "lxc.tty.max"),
    ("lxc.pty.max = many", 15, "lxc.pty.max"),
    (
        "lxc.console.buffer.size = big",
        28,
        "lxc.console.buffer.size",
    ),
    ("lxc.keyring.session = 2", 23, "lxc.keyring.session"),
];

/// Whether no hierarchy has a cgroup of the container.
fn nothing_left() -> bool {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    hierarchies.map(|entry| entry.path()).all(|path| {
        !path.join(format!("lxc.monitor.{NAME}")).exists()
            && !path.join(format!("lxc.payload.{NAME}")).exists()
    })
}

#[test]
fn every_malformed_value_is_told_with_its_place() {
    let Some(place) = Place::new(Actor::Root) else {
        return;
    };
    let folder = place.path().join(NAME);
    let rootfs = folder.join("rootfs");
    fs::create_dir_all(&rootfs).unwrap();
    let mut wrong = Vec::new();
    for (lines, column, words) in FAULTS {
        let text = format!("lxc.rootfs.path = dir:{}\n{lines}\n", rootfs.display());
        fs::write(folder.join("config"), text).unwrap();
        let output = place.rlxc("start", &["-n", NAME]);
        let said = said(&output);
        let at = format!("config:{}:{column}", 1 + lines.lines().count());
        if output.status.success() {
            let _ = place.rlxc("stop", &["-k", "-n", NAME]);
        }
        if output.status.success() || !said.contains(&at) || !said.contains(words) {
            wrong.push(format!("{lines}: wanted {at} and {words:?}:\n{said}"));
        }
        assert!(nothing_left(), "{lines}: {said}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Nothing was made in the rootfs either.
    assert_eq!(fs::read_dir(&rootfs).unwrap().count(), 0);
}

/// A policy's own file, line and column.
#[test]
fn a_malformed_policy_is_told_with_its_place() {
    let Some(place) = Place::new(Actor::Root) else {
        return;
    };
    let folder = place.path().join("badpolicy");
    let rootfs = folder.join("rootfs");
    fs::create_dir_all(&rootfs).unwrap();
    let policy = place.path().join("policy");
    let config = format!(
        "lxc.rootfs.path = dir:{}\nlxc.seccomp.profile = {}\n",
        rootfs.display(),
        policy.display()
    );
    fs::write(folder.join("config"), config).unwrap();
    for (text, at) in [
        ("3\ndenylist\n", "policy:1:"),
        ("2\nnolist\n", "policy:2:"),
        ("2\ndenylist errno\n", "policy:2:"),
        ("2\ndenylist\n[moon]\n", "policy:3:"),
        ("2\ndenylist\nmknod errno\n", "policy:3:7"),
        ("2\ndenylist\nmknod errno 1 [0,1]\n", "policy:3:"),
        (
            "2\ndenylist\nmknod errno 1 [9,1,SCMP_CMP_EQ]\n",
            "policy:3:",
        ),
        (
            "2\ndenylist\nmknod errno 1 [0,x,SCMP_CMP_EQ]\n",
            "policy:3:",
        ),
        (
            "2\ndenylist\nmknod errno 1 [0,1,SCMP_CMP_ALMOST]\n",
            "policy:3:",
        ),
        ("2\ndenylist\nmknod allow\n", "policy:3:"),
        (
            "2\ndenylist\nmknod errno 1 [0,5,>=] [0,9,<=]\n",
            "policy:3:",
        ),
        (
            "2\ndenylist\nmknod errno 1 [0,1,==]\nmknod errno 2 [0,1,==]\n",
            "policy:4:",
        ),
        ("1\nallowlist\nread\n", "policy:3:"),
        ("1\ndenylist\n5\n", "policy:2:"),
        ("", "policy:1:"),
    ] {
        fs::write(&policy, text).unwrap();
        let output = place.rlxc("start", &["-n", "badpolicy"]);
        assert!(!output.status.success(), "{text:?}");
        assert!(said(&output).contains(at), "{text:?}: {}", said(&output));
        no_cgroup_left("badpolicy");
    }
}
