//! The same container started by Debian's LXC and by us sees the same, or the difference is explained in [`EXPLAINED`].
#![allow(clippy::unwrap_used, missing_docs)]

mod inside;

use std::collections::BTreeSet;
use std::fs;

use std::path::PathBuf;

use inside::World;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

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
s fds; for n in 0 1 2; do readlink /proc/1/fd/$n; done
s self; id; hostname; pwd; umask; cat /proc/1/comm /proc/1/oom_score_adj /proc/1/personality /proc/self/timens_offsets; echo pid $$
s sysctl; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax /proc/sys/kernel/domainname
s links; ls /sys/class/net
s session; cut -d' ' -f5-8 /proc/1/stat
s devices; for d in null full zero random urandom tty; do test -c /dev/$d || echo no $d; done
test -c /dev/full && echo x >/dev/full; for d in zero random urandom; do test -c /dev/$d && head -c2 /dev/$d | wc -c; done; test -c /dev/tty && : </dev/tty
s written; echo 1 >/proc/sys/kernel/domainname; echo 1 >/sys/kernel/uevent_seqnum; touch /sys/x /proc/x /x && rm /x; : >/proc/sysrq-trigger
s privileges; unshare -n true && echo net; unshare -U true && echo user; chroot / true && echo chroot; renice -n -1 $$ && echo nice
ulimit -n 5000; ulimit -n; insmod /nothing.ko; dmesg 2>&1 | head -n1 | tr -d '0-9[]' | cut -c1-9; mount -o remount,rw /proc/sys; mount -t proc p /mnt && umount /mnt
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
    (
        "entry-rbind",
        "lxc.mount.auto = proc\nlxc.mount.entry = @tree@ mnt none rbind,create=dir 0 0",
    ),
    (
        "entry-rbind-ro",
        "lxc.mount.auto = proc\nlxc.mount.entry = @tree@ mnt none rbind,ro,nosuid,noexec 0 0",
    ),
    (
        "entry-relative",
        "lxc.mount.auto = proc\nlxc.mount.entry = etc mnt none bind,relative,ro 0 0",
    ),
    (
        "entry-absolute",
        "lxc.mount.auto = proc\nlxc.mount.entry = /usr/share/doc @rootfs@/mnt none bind 0 0",
    ),
    (
        "entry-remount",
        "lxc.mount.auto = proc\nlxc.mount.entry = tmpfs mnt tmpfs size=1m 0 0\nlxc.mount.entry = @tree@/below var none remount,bind,ro,nodev 0 0",
    ),
    (
        "entry-propagation",
        "lxc.mount.auto = proc\nlxc.mount.entry = @tree@ mnt none rbind,rslave 0 0\nlxc.mount.entry = t var tmpfs private 0 0\nlxc.mount.entry = t root tmpfs unbindable 0 0",
    ),
    (
        "entry-atime",
        "lxc.mount.auto = proc\nlxc.mount.entry = t mnt tmpfs noatime,nodiratime 0 0\nlxc.mount.entry = t var tmpfs strictatime 0 0\nlxc.mount.entry = @tree@/below root none bind,noatime 0 0",
    ),
    (
        "entry-keeps-flags",
        "lxc.mount.auto = proc\nlxc.mount.entry = @tree@/restricted mnt none bind 0 0\nlxc.mount.entry = @tree@/restricted var none bind,ro 0 0",
    ),
    (
        "entry-dev",
        "lxc.mount.auto = proc\nlxc.mount.entry = @tree@/restricted mnt none bind,dev 0 0",
    ),
    (
        "entry-escape",
        "lxc.mount.auto = proc\nlxc.mount.entry = tmpfs var/a\\040b tmpfs create=dir 0 0",
    ),
    (
        "entry-order",
        "lxc.mount.auto = proc\nlxc.mount.fstab = @fstab@\nlxc.mount.entry = second mnt tmpfs size=8k 0 0",
    ),
    (
        "entry-over-proc",
        "lxc.mount.auto = proc:rw\nlxc.mount.entry = tmpfs proc/fs tmpfs ro 0 0\nlxc.mount.entry = /dev/null proc/swaps none bind 0 0",
    ),
    (
        "entry-dev-shm",
        "lxc.mount.auto = proc\nlxc.mount.entry = tmpfs dev/shm tmpfs rw,nosuid,nodev,create=dir 0 0\nlxc.mount.entry = mqueue dev/mqueue mqueue rw,relatime,create=dir,optional 0 0",
    ),
    (
        "rootfs-ro",
        "lxc.mount.auto = proc\nlxc.rootfs.options = ro\nlxc.mount.entry = @out@ out none bind,rw 0 0",
    ),
    (
        "rootfs-flags",
        "lxc.mount.auto = proc\nlxc.rootfs.options = nosuid,nodev,noatime",
    ),
    ("cgroup", "lxc.mount.auto = proc cgroup"),
    ("cgroup-mixed", "lxc.mount.auto = proc sys cgroup:mixed"),
    ("cgroup-ro", "lxc.mount.auto = proc sys cgroup:ro"),
    ("cgroup-full", "lxc.mount.auto = proc sys cgroup-full:rw"),
    (
        "seccomp-v1",
        "lxc.mount.auto = proc\nlxc.seccomp.profile = @seccomp1@",
    ),
    (
        "seccomp-allowlist",
        "lxc.mount.auto = proc\nlxc.seccomp.profile = @allowlist@",
    ),
    (
        "prlimits",
        "lxc.mount.auto = proc\nlxc.prlimit.stack = 1000000:2000000\nlxc.prlimit.nproc = 1000\nlxc.prlimit.memlock = 65536\nlxc.prlimit.rtprio = 0\nlxc.prlimit.as = 4000000000:unlimited\nlxc.prlimit.msgqueue = 1",
    ),
    (
        "apparmor-nesting",
        "lxc.mount.auto = proc sys\nlxc.apparmor.allow_nesting = 1\nlxc.mount.entry = tmpfs mnt tmpfs defaults 0 0",
    ),
    (
        "console",
        "lxc.mount.auto = proc\nlxc.console.path =\nlxc.console.logfile = @log@\nlxc.pty.max = 10\nlxc.tty.max = 1\nlxc.tty.dir = lxc",
    ),
    (
        "keep-uts-ipc",
        "lxc.mount.auto = proc\nlxc.namespace.keep = uts ipc user",
    ),
    (
        "share-more",
        "lxc.mount.auto = proc\nlxc.namespace.share.uts = @pid@\nlxc.namespace.share.ipc = /proc/@pid@/ns/ipc\nlxc.namespace.share.net = @pid@",
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
        "idmap-ranges",
        "lxc.mount.auto = proc sys\nlxc.idmap = u 0 100000 10\nlxc.idmap = u 10 120000 1\nlxc.idmap = u 11 100011 1000\nlxc.idmap = g 0 100000 100\nlxc.idmap = g 500 100500 1",
    ),
    (
        "idmap-no-root",
        "lxc.mount.auto = proc\nlxc.init.uid = 1000\nlxc.init.gid = 1000\nlxc.idmap = u 1000 101000 1\nlxc.idmap = g 1000 101000 1",
    ),
    (
        "idmap-rootfs",
        "lxc.mount.auto = proc\nlxc.rootfs.options = idmap=container\nlxc.idmap = u 0 110000 50000\nlxc.idmap = g 0 110000 50000",
    ),
    (
        "idmap-entry",
        "lxc.mount.auto = proc\nlxc.mount.entry = @owned@ mnt none bind,idmap=container 0 0\nlxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536",
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

/// The maps of [`MAPPED`].
const IDMAP: &str = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536";

/// What a shell needs, and nothing that is newer than 2015.
const ALLOWLIST: &str = "2\nallowlist errno 38\n[all]\nread\nwrite\nopen\nopenat\nclose\nstat\nfstat\nlstat\npoll\nlseek\nmmap\n\
    mprotect\nmunmap\nbrk\nrt_sigaction\nrt_sigprocmask\nrt_sigreturn\nioctl\naccess\npipe\npipe2\ndup\ndup2\nfcntl\n\
    getpid\nsendmsg\nrecvmsg\nsendto\nrecvfrom\nsocket\nconnect\nclone\nfork\nvfork\nexecve\nexit\nexit_group\nwait4\n\
    waitid\nkill\nuname\ngetcwd\nchdir\nmkdir\nunlink\nunlinkat\nreadlink\nreadlinkat\nchmod\nfchmod\nchown\nfchown\nlchown\n\
    umask\ngetuid\ngetgid\nsetuid\nsetgid\ngeteuid\ngetegid\nsetpgid\ngetppid\ngetpgrp\nsetsid\ngetgroups\nsetgroups\n\
    setresuid\nsetresgid\nprctl\narch_prctl\ngetdents64\nset_tid_address\nset_robust_list\nprlimit64\ngetrlimit\n\
    setrlimit\nnewfstatat\nfaccessat\nfutex\nsigaltstack\nclock_gettime\ngettid\ntgkill\ngetrandom\nstatfs\npersonality\n\
    utimensat\nfchownat\ngettimeofday\ntime\nsysinfo\nwritev\nreadv\nsymlink\nrmdir\nppoll\n";

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
    ("idmap-no-root", "dev", "drw", "see above"),
    (
        "console",
        "dev",
        "crw",
        "7.0.0 and we set the console's mode, 5.0.2 leaves it executable",
    ),
    ("console", "pts", "crw", "see above"),
    (
        "console",
        "environment",
        "container_ttys=",
        "set whenever there are ttys; 5.0.2 lost it here",
    ),
    (
        "m-init-groups",
        "status",
        "Groups:",
        "5.0.2 leaves lxc.init.groups out with id maps",
    ),
    ("m-init-groups", "self", "uid=1000", "see above"),
    (
        "entry-atime",
        "mounts",
        "/ /root rw,",
        "5.0.2 passes over noatime of a bind mount",
    ),
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
const ONLY_OURS: &[&str] = &["tty-dir", "m-tty-dir", "common", "m-common"];

/// What the kernel or the id maps forbid: sysfs of a network namespace of others, maps without a user namespace, a
/// mount without the nodev, or with other access times than those, that are locked on it.
const NEITHER: &[&str] = &["m-net-none", "m-clone-few", "m-entry-dev", "m-rootfs-flags"];

/// The cases that are run a second time with id maps.
const MAPPED: &[&str] = &[
    "plain",
    "proc-sys",
    "sys-ro",
    "shmounts",
    "cap-keep",
    "seccomp-common",
    "prlimit",
    "no-autodev",
    "ttys",
    "tty-dir",
    "pty-max",
    "net-veth",
    "net-none",
    "clone-few",
    "share-net",
    "time",
    "sysctl",
    "init-ids",
    "init-groups",
    "entry-rbind-ro",
    "entry-propagation",
    "entry-atime",
    "entry-keeps-flags",
    "entry-dev",
    "entry-dev-shm",
    "rootfs-ro",
    "rootfs-flags",
    "cgroup-mixed",
    "seccomp-allowlist",
    "console",
];

/// Files that the cases refer to.
struct Place {
    tree: PathBuf,
}

impl Place {
    fn new(world: &World) -> Self {
        let file = |name: &str, text: &str| fs::write(world.lxcpath.join(name), text).unwrap();
        file("seccomp1", &version_1());
        file("allowlist", ALLOWLIST);
        file(
            "fstab",
            "# a comment\n\nfirst mnt tmpfs size=4k 0 0\n  third\tvar tmpfs\n",
        );
        let owned = world.lxcpath.join("owned");
        fs::create_dir_all(owned.join("dir")).unwrap();
        let tree = world.lxcpath.join("tree");
        for (name, flags) in [
            ("below", MsFlags::empty()),
            (
                "restricted",
                MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
            ),
        ] {
            fs::create_dir_all(tree.join(name)).unwrap();
            let tmpfs = Some("tmpfs");
            mount(tmpfs, &tree.join(name), tmpfs, flags, None::<&str>).unwrap();
        }
        Self { tree }
    }

    fn fill_in(&self, world: &World, name: &str, config: &str) -> String {
        let path = |name: &str| world.lxcpath.join(name).to_string_lossy().into_owned();
        config
            .replace("@tree@", &path("tree"))
            .replace("@owned@", &path("owned"))
            .replace("@fstab@", &path("fstab"))
            .replace("@seccomp1@", &path("seccomp1"))
            .replace("@allowlist@", &path("allowlist"))
            .replace("@log@", &path("console.log"))
            .replace("@rootfs@", &path(&format!("{name}/rootfs")))
            .replace("@out@", &path(&format!("{name}/rootfs/out")))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for name in ["below", "restricted"] {
            let _ = umount2(&self.tree.join(name), MntFlags::MNT_DETACH);
        }
    }
}

/// All calls that a machine has but mknod, by number.
fn version_1() -> String {
    let numbers = (0..470).filter(|number| ![133, 259].contains(number));
    let lines: Vec<String> = numbers.map(|number| number.to_string()).collect();
    format!("1\nallowlist\n{}\n", lines.join("\n"))
}

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
    let place = Place::new(&world);
    let only = std::env::var("RLXC_TEST_CASE").ok();
    let mut failures = Vec::new();
    let mapped = CASES.iter().filter(|(name, _)| MAPPED.contains(name));
    let mapped = mapped.map(|(name, config)| (format!("m-{name}"), format!("{config}\n{IDMAP}")));
    let plain = CASES
        .iter()
        .map(|(name, config)| ((*name).to_owned(), (*config).to_owned()));
    for (name, config) in plain
        .chain(mapped)
        .filter(|(name, _)| only.as_deref().is_none_or(|only| only == name))
    {
        let name = name.as_str();
        let config = place
            .fill_in(&world, name, &config)
            .replace("@seccomp@", &policy.to_string_lossy())
            .replace("@shared@", &shared.to_string_lossy())
            .replace("@pid@", &std::process::id().to_string());
        let owner = if config.contains("lxc.idmap") && !config.contains("options = idmap") {
            100_000
        } else {
            0
        };
        let inside = world.define(name, LOOK, &config, owner);
        let theirs = inside.by_lxc();
        let ours = inside.by_us();
        match (theirs, ours) {
            (Ok(theirs), Ok(ours)) => failures.extend(differences(name, &theirs, &ours)),
            (Err(_), Err(_)) if NEITHER.contains(&name) => {}
            (Err(a), Err(b)) => failures.push(format!("{name}: neither starts: {a}{b}")),
            (Err(_), Ok(_)) if ONLY_OURS.contains(&name) => {}
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
            "mounts" => mount_line(&words),
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
            "namespaces" => namespace(line),
            _ => words.join(" "),
        };
        lines.push((section.clone(), line));
    }
    lines
}

/// root, mount point, options, propagation, type, super options
fn mount_line(words: &[&str]) -> String {
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
            (*of == "*" || *of == case || case.strip_prefix("m-") == Some(*of))
                && part == section
                && line.starts_with(begin)
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
