//! The same container started by Debian's LXC and by us sees the same, or the difference is explained in [`EXPLAINED`].
#![allow(clippy::unwrap_used, missing_docs)]

mod inside;

use std::collections::BTreeSet;
use std::fs;

use inside::World;

/// What the container writes down, in sections.
const LOOK: &str = r#"
s() { echo "== $1"; }
s mounts; cat /proc/self/mountinfo
s status; grep -E '^(Cap|Seccomp:|NoNewPrivs|Groups|Uid|Gid|SigBlk|SigIgn|SigCgt|Umask)' /proc/1/status
s limits; cat /proc/self/limits
s maps; cat /proc/self/uid_map; echo -; cat /proc/self/gid_map; cat /proc/self/setgroups
s dev; ls -ln /dev
s pts; ls -ln /dev/pts
s environment; env | sort
s cgroup; cat /proc/self/cgroup
s namespaces; for n in user mnt pid uts ipc net cgroup time; do readlink /proc/self/ns/$n; done
s fds; ls -l /proc/1/fd
s self; id; hostname; pwd; umask; cat /proc/1/comm /proc/1/oom_score_adj /proc/1/personality /proc/self/timens_offsets; echo pid $$
s sysctl; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax /proc/sys/kernel/domainname
s links; ls /sys/class/net
s calls; mknod /tmp/n c 1 3; rm -f /tmp/n; mount -t tmpfs none /mnt && umount /mnt; umount -f /nonexistent; chown 5 /tmp; chown 0 /tmp; hostname newname; hostname
"#;

/// Cases: name, configuration.
const CASES: &[(&str, &str)] = &[
    ("plain", ""),
    ("proc-sys", "lxc.mount.auto = proc:mixed sys:mixed"),
    ("proc-rw", "lxc.mount.auto = proc:rw sys:rw"),
    ("sys-ro", "lxc.mount.auto = proc sys:ro"),
    ("shmounts", "lxc.mount.auto = proc sys shmounts:@shared@"),
    (
        "cap-drop",
        "lxc.mount.auto = proc sys\nlxc.cap.drop = sys_module sys_time mknod 40",
    ),
    (
        "cap-keep",
        "lxc.mount.auto = proc sys\nlxc.cap.keep = sys_admin chown kill",
    ),
    (
        "cap-keep-none",
        "lxc.mount.auto = proc sys\nlxc.cap.keep = none",
    ),
    (
        "cap-drop-net",
        "lxc.mount.auto = proc:mixed\nlxc.cap.drop = net_admin",
    ),
    (
        "no-new-privs",
        "lxc.mount.auto = proc\nlxc.no_new_privs = 1",
    ),
    (
        "seccomp-common",
        "lxc.mount.auto = proc\nlxc.seccomp.profile = /usr/share/lxc/config/common.seccomp",
    ),
    (
        "seccomp-errno",
        "lxc.mount.auto = proc\nlxc.seccomp.profile = @seccomp@",
    ),
    (
        "prlimit",
        "lxc.mount.auto = proc\nlxc.prlimit.nofile = 100:200\nlxc.prlimit.core = 0",
    ),
    (
        "environment",
        "lxc.mount.auto = proc\nlxc.environment = A=1\nlxc.environment = B=x y=z",
    ),
    ("uts", "lxc.mount.auto = proc\nlxc.uts.name = some.name"),
    ("no-autodev", "lxc.mount.auto = proc\nlxc.autodev = 0"),
    (
        "autodev-size",
        "lxc.mount.auto = proc\nlxc.autodev.tmpfs.size = 1000000",
    ),
    ("ttys", "lxc.mount.auto = proc\nlxc.tty.max = 3"),
    (
        "tty-dir",
        "lxc.mount.auto = proc\nlxc.tty.max = 2\nlxc.tty.dir = lxc",
    ),
    ("pty-max", "lxc.mount.auto = proc\nlxc.pty.max = 7"),
    (
        "net-empty",
        "lxc.mount.auto = proc sys\nlxc.net.0.type = empty",
    ),
    (
        "net-up",
        "lxc.mount.auto = proc sys\nlxc.net.0.type = empty\nlxc.net.0.flags = up",
    ),
    (
        "net-none",
        "lxc.mount.auto = proc sys:ro\nlxc.net.0.type = none",
    ),
    (
        "net-veth",
        "lxc.mount.auto = proc sys\nlxc.net.0.type = veth\nlxc.net.0.name = inner0",
    ),
    (
        "keep-net",
        "lxc.mount.auto = proc\nlxc.namespace.keep = net user",
    ),
    (
        "clone-few",
        "lxc.mount.auto = proc\nlxc.namespace.clone = mnt pid ipc uts",
    ),
    (
        "share-net",
        "lxc.mount.auto = proc\nlxc.namespace.share.net = @pid@",
    ),
    (
        "time",
        "lxc.mount.auto = proc\nlxc.time.offset.boot = 100s\nlxc.time.offset.monotonic = 50s",
    ),
    ("arch32", "lxc.mount.auto = proc\nlxc.arch = i686"),
    (
        "sysctl",
        "lxc.mount.auto = proc:rw\nlxc.sysctl.net.ipv4.ip_forward = 1\nlxc.sysctl.kernel.shmmax = 12345",
    ),
    (
        "procfs",
        "lxc.mount.auto = proc\nlxc.proc.oom_score_adj = 77",
    ),
    ("init-cwd", "lxc.mount.auto = proc\nlxc.init.cwd = /var"),
    (
        "init-ids",
        "lxc.mount.auto = proc\nlxc.init.uid = 1000\nlxc.init.gid = 1001",
    ),
    (
        "init-groups",
        "lxc.mount.auto = proc\nlxc.init.uid = 1000\nlxc.init.gid = 1001\nlxc.init.groups = 5,6",
    ),
    (
        "entry-bind",
        "lxc.mount.auto = proc\nlxc.mount.entry = /usr/share/doc mnt none ro,bind 0 0",
    ),
    (
        "entry-create",
        "lxc.mount.auto = proc\nlxc.mount.entry = tmpfs var/a/b tmpfs nosuid,nodev,mode=0700,size=64k,create=dir 0 0",
    ),
    (
        "entry-file",
        "lxc.mount.auto = proc\nlxc.mount.entry = /etc/hostname etc/a/name none bind,create=file,ro 0 0",
    ),
    (
        "entry-optional",
        "lxc.mount.auto = proc\nlxc.mount.entry = /nonexistent mnt none bind,optional 0 0",
    ),
    (
        "entry-shared",
        "lxc.mount.auto = proc\nlxc.mount.entry = tmpfs mnt tmpfs shared 0 0",
    ),
    ("keyring", "lxc.mount.auto = proc\nlxc.keyring.session = 1"),
    (
        "idmap",
        "lxc.mount.auto = proc sys\nlxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536",
    ),
    (
        "idmap-hole",
        "lxc.mount.auto = proc\nlxc.idmap = u 0 100000 1000\nlxc.idmap = u 1001 101001 100\nlxc.idmap = g 0 100000 65536",
    ),
    (
        "idmap-init",
        "lxc.mount.auto = proc sys\nlxc.init.uid = 10\nlxc.init.gid = 11\nlxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536",
    ),
    (
        "common",
        "lxc.include = /usr/share/lxc/config/common.conf\nlxc.cgroup.devices.allow =\nlxc.cgroup.devices.deny =\nlxc.hook.clone =",
    ),
];

const SECCOMP: &str = "2\ndenylist\nreject_force_umount\n[all]\nmknod errno 95\nmknodat errno 95\n\
                       sethostname errno 38 [1,7,SCMP_CMP_EQ]\n";

/// Differences that are meant: case (`*` = all), section, beginning of the lines, why.
const EXPLAINED: &[(&str, &str, &str, &str)] = &[
    (
        "*",
        "dev",
        "drw-r--r-- 0 0",
        "5.0.2 makes /dev/pts 0644; 7.0.0 and we 0755",
    ),
    ("*", "dev", "drwxr-xr-x 0 0  pts", "see above"),
    (
        "*",
        "mounts",
        "/sys /proc/sys ro,",
        "5.0.2 loses nosuid nodev noexec when it remounts /proc/sys read-only",
    ),
    (
        "sys-ro",
        "mounts",
        "/ /sys ro,relatime",
        "5.0.2 makes the file system read-only, we the mount",
    ),
    (
        "ttys",
        "mounts",
        " /dev/tty",
        "7.0.0 takes the ttys from the container's own devpts, 5.0.2 from the host's",
    ),
    ("ttys", "dev", "crw", "see above"),
    (
        "ttys",
        "environment",
        "container_ttys=",
        "set whenever there are ttys; 5.0.2 lost it here",
    ),
];

/// 5.0.2 makes lxc.tty.dir only along with a console, and fails without one.
const ONLY_OURS: &[&str] = &["tty-dir", "common"];

#[test]
fn a_container_sees_the_same_whoever_started_it() {
    if let Some(what) = inside::missing() {
        println!("skipped: {what} is missing");
        return;
    }
    if !inside::has_peer() {
        println!("skipped: lxc-start (package lxc) is missing");
        return;
    }
    let world = World::new("view");
    let policy = world.lxcpath.join("policy");
    fs::write(&policy, SECCOMP).unwrap();
    let shared = world.lxcpath.join("shared");
    fs::create_dir_all(&shared).unwrap();
    let only = std::env::var("RLXC_TEST_CASE").ok();
    let mut failures = Vec::new();
    for (name, config) in CASES
        .iter()
        .filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name))
    {
        let config = config
            .replace("@seccomp@", &policy.to_string_lossy())
            .replace("@shared@", &shared.to_string_lossy())
            .replace("@pid@", &std::process::id().to_string());
        let owner = if config.contains("lxc.idmap") {
            100_000
        } else {
            0
        };
        let inside = world.define(name, LOOK, &config, owner);
        let theirs = inside.by_lxc();
        let ours = inside.by_us();
        match (theirs, ours) {
            (Ok(theirs), Ok(ours)) => failures.extend(differences(name, &theirs, &ours)),
            (Err(a), Err(b)) => failures.push(format!("{name}: neither starts: {a}{b}")),
            (Err(_), Ok(_)) if ONLY_OURS.contains(name) => {}
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

/// (section, line) in a form that does not depend on ids and times.
fn normalised(text: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            name.clone_into(&mut section);
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let line = match section.as_str() {
            "mounts" => mount(&words),
            // mode, owner, group, numbers or size, and the name with a link's target; no time
            "dev" | "pts" if words.len() > 8 => {
                let size = if line.starts_with('c') {
                    [words[4], words[5]].join(" ")
                } else {
                    String::new()
                };
                let names = words
                    .iter()
                    .skip(words.len() - if line.contains("->") { 3 } else { 1 });
                format!(
                    "{} {} {} {size} {}",
                    words[0],
                    words[2],
                    words[3],
                    names.copied().collect::<Vec<_>>().join(" ")
                )
            }
            "dev" | "pts" => continue,
            "fds" => match words.last() {
                // The script itself and the test's own pipe.
                Some(target) if target.starts_with("/dev") => format!("-> {target}"),
                _ => continue,
            },
            "namespaces" => namespace(line),
            _ => words.join(" "),
        };
        lines.push((section.clone(), line));
    }
    lines
}

/// root, mount point, options, propagation, type, super options
fn mount(words: &[&str]) -> String {
    let Some(dash) = words.iter().position(|word| *word == "-") else {
        return words.join(" ");
    };
    let propagation: Vec<&str> = words[6..dash]
        .iter()
        .map(|tag| tag.split(':').next().unwrap_or_default())
        .collect();
    // A pts number and a boot id's file say nothing.
    let root = if words[dash + 1] == "devpts" {
        ""
    } else {
        words[3]
    };
    format!(
        "{root} {} {} {} {}",
        words[4],
        words[5],
        propagation.join(","),
        words[dash + 1..].join(" ")
    )
}

fn namespace(link: &str) -> String {
    let kind = link.split(':').next().unwrap_or_default();
    let host = fs::read_link(format!("/proc/self/ns/{kind}"))
        .map(|path| path.to_string_lossy().into_owned());
    format!(
        "{kind} {}",
        if host.is_ok_and(|host| host == link) {
            "the host's"
        } else {
            "its own"
        }
    )
}

fn differences(case: &str, theirs: &str, ours: &str) -> Vec<String> {
    let explained = |(section, line): &&(String, String)| {
        EXPLAINED.iter().any(|(of, part, begin, _)| {
            (*of == "*" || *of == case) && part == section && line.starts_with(begin)
        })
    };
    let (theirs, ours) = (normalised(theirs), normalised(ours));
    let set = |lines: &[(String, String)]| lines.iter().cloned().collect::<BTreeSet<_>>();
    let (their_set, our_set) = (set(&theirs), set(&ours));
    let only = |side: &str, lines: &[(String, String)], other: &BTreeSet<(String, String)>| {
        lines
            .iter()
            .filter(|line| !other.contains(*line) && !explained(line))
            .map(|(section, line)| format!("{case}: {section}: only {side}: {line}"))
            .collect::<Vec<_>>()
    };
    [
        only("LXC", &theirs, &our_set),
        only("we", &ours, &their_set),
    ]
    .concat()
}
