//! Sequences of calls over every key, from a fixed seed.

use crate::Step;

/// xorshift64*: the same sequences on every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

const ANY: &[&str] = &[
    "",
    "",
    "0",
    "1",
    "2",
    "-1",
    "abc",
    " 1",
    "1 ",
    "+1",
    "0x10",
    "010",
    "08",
    "4294967295",
    "4294967296",
    "99999999999999999999",
    "a b",
    "'quoted'",
    "\"",
    "x # y",
    "/a//b/./c/",
    "./x/",
    "../x",
    "/",
    ".",
    "none",
    "auto",
    "a=b=c",
    "\u{e9}",
    "unlimited",
    "up",
    "0X1F",
    " -5",
    "1\t",
    "\t7",
    "+",
    "0x",
    "1e3",
    "true",
    "~/x",
    "a,b,,c",
    "a:b:c:d",
    "%n",
    "\\",
    "''",
    "'\"mixed'",
    "2147483648",
    "-2147483649",
    "18446744073709551615",
    "18446744073709551616",
    "-18446744073709551615",
    "0xffffffffffffffff",
    "07777777777777777777777",
    "-0",
    "--1",
    "00",
    "0b1",
    "1_000",
    "root",
    "nobody",
    "  lead",
    "trail  ",
    "' a '",
    "\" a\"",
    "'a",
    "a'",
    "\"a'",
    "a\tb",
    "\t",
    "\u{a0}x",
    "\u{b}x",
    "'\"'",
    "=",
    "= a",
    "#",
    "# a",
];
/// Roots of trees: what is cleared here takes others with it.
const TREES: &[&str] = &[
    "lxc.net",
    "lxc.net.0",
    "lxc.net.1",
    "lxc.net.10",
    "lxc.hook",
    "lxc.cgroup2",
    "lxc.cgroup",
    "lxc.sysctl",
    "lxc.proc",
    "lxc.prlimit",
    "lxc.cap.drop",
    "lxc.environment",
    "lxc.mount.entry",
    "lxc.mount",
    "lxc.idmap",
    "lxc.namespace",
    "lxc.namespace.share",
    "lxc.log",
];
/// Numbers of networks as nobody writes them.
const INDICES: &[&str] = &[
    "2147483646",
    "2147483647",
    "4294967296",
    "18446744073709551616",
    " 0",
    "+1",
    "0x1",
    "0.",
    "00",
    "1a",
    "",
];
const BOOL: &[&str] = &["0", "1", "1", "", "2", "yes"];
const NUMBER: &[&str] = &["0", "7", "0x1f", "-3", "", "12k"];
const SIGNAL: &[&str] = &[
    "SIGTERM",
    "sigint",
    "SIGRTMIN+3",
    "SIGRTMAX-2",
    "SIGRTMIN+99",
    "TERM",
    "15",
    "0",
    "999",
    "SIGPOLL",
    "SIGUNUSED",
    "SIGIOT",
    "SIGCLD",
];
const PATH: &[&str] = &["/a/b", "/a//b/", "rel/x", "", "none"];
const SIZE: &[&str] = &[
    "auto",
    "1",
    "4096",
    "5000",
    "1M",
    "1MB",
    "3 mb",
    "2KB",
    "1GB",
    "1 XB",
    "12MBx",
    "-1",
    "99999999999GB",
];
const LINE: &[&str] = &["one", "two words", "", "three=3"];
const DIR: &[&str] = &["a/b", "a//b/", "/abs", "../up", "a/../b", "", "lxc"];
const CAPS: &[&str] = &[
    "mknod",
    "sys_admin net_raw",
    "5",
    "5 40",
    "41",
    "none",
    "none chown",
    "MKNOD",
    "cap_chown",
    "",
    "bogus",
    " chown  kill ",
];
const NS: &[&str] = &[
    "user",
    "mnt pid",
    "NET ipc",
    "time cgroup",
    "bogus",
    "",
    "user bogus",
];
const LIMIT: &[&str] = &[
    "1",
    "1:2",
    "1 : 2",
    "unlimited",
    "unlimited:5",
    "5:",
    ":5",
    "0x5",
    "-1",
    "a",
    "1:b",
    "",
    "1:2:3",
    "18446744073709551615",
    "18446744073709551616",
];
const OFFSET: &[&str] = &[
    "3s", "2h", "5m", "", "s", "3x", "3", "7ms", "8us", "9ns", "0s", "5 m", "-5s", "5 ms",
];
const IDMAP: &[&str] = &[
    "u 0 100000 65536",
    "g 0 100000 65536",
    "u\t5 6 7",
    "b 0 1 1",
    "u 0 1",
    "u 0 1 2 3",
    "x 0 1 2",
    "u a 1 2",
    "",
    "u 0 0x10 010",
    "u -1 0 1",
    "u 0 4294967296 1",
];
const MOUNT_AUTO: &[&str] = &[
    "proc",
    "proc:rw sys:ro",
    "sys",
    "cgroup",
    "cgroup:mixed",
    "cgroup-full:ro",
    "cgroup:rw:force",
    "cgroup2",
    "proc sys cgroup",
    "bogus",
    "proc bogus",
    "",
    "sys:mixed  cgroup-full",
    "shmounts:/a:/b",
];
const ARCH: &[&str] = &[
    "i686", "x86_64", "arm64", "x86", "ARM", "", "s390x", "linux32", "armhf", "riscv64",
];
const LEVEL: &[&str] = &[
    "INFO", "debug", "0", "8", "9", "", "bogus", "NOTICE", "Fatal", "5",
];
const SYSLOG: &[&str] = &["daemon", "local0", "LOCAL7", "local8", "user", ""];
const ENVIRONMENT: &[&str] = &["A=b", "A=", "=x", "PATH", "RLXC_NOT_SET", "", "A=b c=d"];
const FAMILY_VALUE: &[&str] = &["1", "2 3", "", "a:b", "deny a"];

/// Key, values made for it.
const KEYS: &[(&str, &[&str])] = &[
    ("lxc.arch", ARCH),
    ("lxc.apparmor.profile", LINE),
    ("lxc.apparmor.allow_incomplete", BOOL),
    ("lxc.apparmor.allow_nesting", BOOL),
    ("lxc.apparmor.raw", LINE),
    ("lxc.autodev.tmpfs.size", NUMBER),
    ("lxc.autodev", BOOL),
    ("lxc.cap.drop", CAPS),
    ("lxc.cap.keep", CAPS),
    ("lxc.cgroup2", &["", "x"]),
    ("lxc.cgroup2.memory.max", FAMILY_VALUE),
    ("lxc.cgroup2.devices.deny", FAMILY_VALUE),
    ("lxc.cgroup2.", FAMILY_VALUE),
    ("lxc.cgroup.dir.monitor.pivot", DIR),
    ("lxc.cgroup.dir.monitor", DIR),
    ("lxc.cgroup.dir.container.inner", DIR),
    ("lxc.cgroup.dir.container", DIR),
    ("lxc.cgroup.dir", DIR),
    ("lxc.cgroup.relative", BOOL),
    ("lxc.cgroup.memory.limit_in_bytes", FAMILY_VALUE),
    ("lxc.cgroup.cpuset.cpus", FAMILY_VALUE),
    ("lxc.console.buffer.size", SIZE),
    ("lxc.console.logfile", PATH),
    ("lxc.console.path", PATH),
    ("lxc.console.rotate", BOOL),
    ("lxc.console.size", SIZE),
    ("lxc.sched.core", BOOL),
    ("lxc.environment", ENVIRONMENT),
    ("lxc.ephemeral", BOOL),
    ("lxc.execute.cmd", LINE),
    ("lxc.group", LINE),
    ("lxc.hook.autodev", LINE),
    ("lxc.hook.clone", LINE),
    ("lxc.hook.destroy", LINE),
    ("lxc.hook.mount", LINE),
    ("lxc.hook.post-stop", LINE),
    ("lxc.hook.pre-mount", LINE),
    ("lxc.hook.pre-start", LINE),
    ("lxc.hook.start", LINE),
    ("lxc.hook.start-host", LINE),
    ("lxc.hook.stop", LINE),
    ("lxc.hook.version", BOOL),
    ("lxc.hook", &["", "x"]),
    ("lxc.idmap", IDMAP),
    (
        "lxc.include",
        &[
            "one.conf",
            "inc.d",
            "inc.d/",
            "missing.conf",
            "missing.d/",
            "bad.conf",
            "",
        ],
    ),
    ("lxc.init.cmd", LINE),
    ("lxc.init.gid", NUMBER),
    (
        "lxc.init.groups",
        &["1", "1,2", "1, 2", "", "a", "1,,2", "1,a", "-1"],
    ),
    ("lxc.init.uid", NUMBER),
    ("lxc.init.cwd", PATH),
    ("lxc.keyring.session", BOOL),
    ("lxc.log.level", LEVEL),
    ("lxc.log.syslog", SYSLOG),
    ("lxc.monitor.unshare", BOOL),
    ("lxc.monitor.signal.pdeath", SIGNAL),
    ("lxc.mount.auto", MOUNT_AUTO),
    ("lxc.mount.entry", LINE),
    ("lxc.mount.fstab", PATH),
    ("lxc.namespace.clone", NS),
    ("lxc.namespace.keep", NS),
    ("lxc.namespace.share.net", PATH),
    ("lxc.namespace.share.user", PATH),
    ("lxc.namespace.share.bogus", PATH),
    ("lxc.time.offset.boot", OFFSET),
    ("lxc.time.offset.monotonic", OFFSET),
    ("lxc.net", &["", "x"]),
    ("lxc.no_new_privs", BOOL),
    ("lxc.prlimit", &["", "1"]),
    ("lxc.prlimit.nofile", LIMIT),
    ("lxc.prlimit.core", LIMIT),
    ("lxc.pty.max", NUMBER),
    ("lxc.rootfs.managed", BOOL),
    ("lxc.rootfs.mount", PATH),
    (
        "lxc.rootfs.options",
        &[
            "ro",
            "ro,foo=bar",
            "create=dir",
            "optional",
            "idmap=container",
            "idmap=/missing",
            "relative",
            "",
        ],
    ),
    (
        "lxc.rootfs.path",
        &[
            "/a//b",
            "dir:/x/",
            "overlay:/a:/b",
            "zfs:pool/x",
            "dir:",
            ":x",
            "",
            "a:b:c",
        ],
    ),
    ("lxc.seccomp.allow_nesting", BOOL),
    ("lxc.seccomp.notify.cookie", LINE),
    (
        "lxc.seccomp.notify.proxy",
        &["unix:/x", "unix:@abc", "tcp:1", "unix:", ""],
    ),
    ("lxc.seccomp.profile", PATH),
    ("lxc.selinux.context.keyring", LINE),
    ("lxc.selinux.context", LINE),
    ("lxc.signal.halt", SIGNAL),
    ("lxc.signal.reboot", SIGNAL),
    ("lxc.signal.stop", SIGNAL),
    ("lxc.start.auto", BOOL),
    ("lxc.start.delay", NUMBER),
    ("lxc.start.order", NUMBER),
    ("lxc.tty.dir", LINE),
    ("lxc.tty.max", NUMBER),
    ("lxc.uts.name", LINE),
    ("lxc.sysctl", &["", "1"]),
    ("lxc.sysctl.net.core.somaxconn", FAMILY_VALUE),
    ("lxc.sysctl.kernel.msgmax", FAMILY_VALUE),
    ("lxc.proc", &["", "1"]),
    ("lxc.proc.oom_score_adj", FAMILY_VALUE),
    ("lxc.procx", FAMILY_VALUE),
    ("lxc.prlimit.", FAMILY_VALUE),
    ("lxc.prlimitx", FAMILY_VALUE),
    ("lxc.sysctl.", FAMILY_VALUE),
    ("lxc.sysctlx", FAMILY_VALUE),
    ("lxc.proc.", FAMILY_VALUE),
    ("lxc.cgroup2x", FAMILY_VALUE),
    ("lxc.cgroup2.a.b.c", FAMILY_VALUE),
    ("lxc.namespace.share.", PATH),
    ("lxc.net.", LINE),
    ("lxc.", LINE),
    ("lxc.uts", LINE),
    ("lxc.UTS.name", LINE),
    ("lxc.uts.name.x", LINE),
    ("lxc.hook.bogus", LINE),
    ("lxc.nope", LINE),
    ("lxc.netx", LINE),
    ("lxc.network.type", LINE),
];

const IPV4: &[&str] = &[
    "10.0.3.2",
    "10.0.3.200",
    "10.0.3.130/24",
    "10.0.3.2/31",
    "10.0.3.2/24 10.0.3.255",
    "10.0.3.2/24  10.0.3.255",
    "10.0.3.2/24 x",
    "10.0.3.2/",
    "10.0.3.2/0",
    "10.0.3.2/ 8",
    "10.0.3.2/+8",
    "010.0.3.2/8",
    "10.0.3.2/8/9",
    "1.2.3.4/33",
    "x",
    "1.2.3/8",
    "",
];
const IPV6: &[&str] = &[
    "fc00::1/",
    "fc00::1/0",
    "fc00::1/200",
    "fc00::1/x",
    "FC00::1",
    "::ffff:1.2.3.4",
    "fc00::1",
    "fc00::1/48",
    "::1/128",
    "fc00::g",
    "",
];
const MODE: &[&str] = &[
    "bridge", "private", "vepa", "passthru", "router", "l2", "l3", "l3s", "bogus", "",
];

const NET: &[(&str, &[&str])] = &[
    (
        "type",
        &[
            "veth", "veth", "macvlan", "ipvlan", "vlan", "phys", "none", "empty", "",
        ],
    ),
    ("flags", &["up", "down", ""]),
    ("hwaddr", &["00:16:3e:xx:xx:xx", "00:16:3e:01:02:03", ""]),
    ("link", &["lxcbr0", "a-very-long-interface-name", ""]),
    ("l2proxy", BOOL),
    ("mtu", &["1500", "x", ""]),
    ("name", &["eth0", "a-very-long-interface-name", ""]),
    ("ipv4.address", IPV4),
    ("ipv4.gateway", &["10.0.3.1", "auto", "dev", "x", ""]),
    ("ipv6.address", IPV6),
    ("ipv6.gateway", &["fc00::1", "auto", "dev", "x", ""]),
    ("script.up", LINE),
    ("script.down", LINE),
    ("macvlan.mode", MODE),
    ("ipvlan.mode", MODE),
    ("ipvlan.isolation", MODE),
    ("vlan.id", &["5", "65535", "65536", "x", "0x10", ""]),
    ("veth.mode", MODE),
    ("veth.pair", &["vethx", "a-very-long-interface-name", ""]),
    ("veth.n_rxqueues", NUMBER),
    ("veth.n_txqueues", NUMBER),
    (
        "veth.ipv4.route",
        &["10.0.0.0/8", "10.0.0.1", "1.2.3.4/33", "x/1", ""],
    ),
    ("veth.ipv6.route", &["fc00::/8", "fc00::1", "x/1", ""]),
    ("veth.vlan.id", &["1", "4094", "4095", "none", "x", ""]),
    (
        "veth.vlan.tagged.id",
        &["1", "4094", "4095", "none", "x", ""],
    ),
    ("bogus", LINE),
];

const PREFIXES: &[&str] = &[
    "",
    "lxc.apparmor",
    "lxc.cgroup",
    "lxc.selinux",
    "lxc.mount",
    "lxc.rootfs",
    "lxc.uts",
    "lxc.hook",
    "lxc.cap",
    "lxc.console",
    "lxc.environment",
    "lxc.seccomp",
    "lxc.signal",
    "lxc.start",
    "lxc.monitor",
    "lxc.keyring",
    "lxc.net",
    "lxc.net.0",
    "lxc.net.1",
    "lxc.net.9",
    "lxc.nope",
    "lxc.tty",
    "lxc.init",
    "lxc.log",
    "lxc",
    "lxc.",
    "lxc.net.",
    "lxc.net.0.type",
    "lxc.net.0.veth",
    "lxc.net.10",
    "lxc.net.007",
    "lxc.net.-1",
    "lxc.net.x",
    "lxc.cgroup2",
    "lxc.hook.start",
    "lxc.mount.auto",
    "lxc.namespace",
    "lxc.sysctl",
    "lxc.prlimit",
    "lxc.time",
    "lxc.group",
    "lxc.ephemeral",
];

fn key_and_value(random: &mut Random, focus: usize) -> (String, String) {
    let net = random.below(3) == 0;
    let (key, values) = if net {
        let (sub, values) = if random.below(4) == 0 {
            NET[0]
        } else {
            NET[random.below(NET.len())]
        };
        let indices = if random.below(8) == 0 { 7 } else { 3 };
        let index = match random.below(40) {
            0 => random.pick(INDICES),
            _ => ["0", "1", "0", "10", "007", "-1", "x"][random.below(indices)],
        };
        if random.below(24) == 0 {
            (format!("lxc.net.{index}"), &["", "x"][..])
        } else {
            (format!("lxc.net.{index}.{sub}"), values)
        }
    } else {
        // Neighbouring keys meet often in one sequence.
        let at = if random.below(2) == 0 {
            focus + random.below(4)
        } else {
            random.below(KEYS.len())
        };
        let (key, values) = KEYS[at % KEYS.len()];
        (key.to_owned(), values)
    };
    let value = if random.below(6) == 0 {
        random.pick(ANY)
    } else {
        random.pick(values)
    };
    match random.below(5) {
        0 => (key, mutated(random, value)),
        _ => (key, value.to_owned()),
    }
}

/// What numbers, words and paths are made of, and what separates them.
const LETTERS: &[&str] = &[
    " ", "  ", "\t", "0", "1", "7", "8", "9", "a", "f", "g", "x", "X", "-", "+", ".", "..", ":",
    "/", "//", ",", "=", "'", "\"", "#", "%", "%s", "\\", "@", "~", "*", "K", "B", "MB", "ms", "s",
    "none", "auto", "SIG", "0x", "u", "\u{e9}",
];
/// Lengths at which something ends: names of links and hosts, words, paths.
const LENGTHS: &[usize] = &[15, 16, 64, 65, 255, 256, 4095, 4096, 5000];

/// A value with one or two slips of the pen.
fn mutated(random: &mut Random, value: &str) -> String {
    let mut letters: Vec<String> = value.chars().map(String::from).collect();
    for _ in 0..=random.below(2) {
        let at = random.below(letters.len() + 1);
        match random.below(8) {
            0 | 1 => letters.insert(at, random.pick(LETTERS).to_owned()),
            2 if at < letters.len() => drop(letters.remove(at)),
            3 if at < letters.len() => letters[at] = random.pick(LETTERS).to_owned(),
            4 => letters.truncate(at),
            5 if at + 1 < letters.len() => letters.swap(at, at + 1),
            6 if at < letters.len() => letters[at] = letters[at].to_uppercase(),
            7 if random.below(4) == 0 => {
                let length = LENGTHS[random.below(LENGTHS.len())];
                letters = vec![letters.concat(), "a".repeat(length)];
                let whole = letters.concat();
                letters = vec![whole.chars().take(length).collect()];
            }
            _ => letters.extend_from_within(at..),
        }
    }
    letters.concat()
}

fn file(random: &mut Random, focus: usize) -> String {
    let mut text = String::new();
    for _ in 0..random.below(9) {
        let (key, value) = key_and_value(random, focus);
        let line = match random.below(14) {
            0 => format!("# {key} = {value}"),
            1 => "ignored line = 1".to_owned(),
            2 => "   ".to_owned(),
            3 => String::new(),
            4 => format!("\t {key}={value}  "),
            5 => format!("{key} = '{value}'"),
            6 => format!("{key}\t=\t\"{value}\""),
            7 if random.below(6) == 0 => key,
            _ => format!("{key} = {value}"),
        };
        text.push_str(&line);
        text.push_str(["\n", "\n", "\n", "\r\n", "\n\n"][random.below(5)]);
    }
    if random.below(4) == 0 && text.ends_with('\n') {
        text.pop();
    }
    text
}

/// One sequence; it begins with a load, since LXC has no configuration before that.
pub(crate) fn sequence(random: &mut Random) -> Vec<Step> {
    let focus = random.below(KEYS.len());
    let mut steps = vec![Step::Load(if random.below(3) == 0 {
        String::new()
    } else {
        file(random, focus)
    })];
    let saves = random.below(4) == 0;
    for _ in 0..2 + random.below(14) {
        let (key, value) = key_and_value(random, focus);
        if saves {
            steps.push(Step::Save);
        }
        let last = match random.below(21) {
            0 => Step::Load(file(random, focus)),
            1..=9 => {
                steps.push(Step::Set(key.clone(), value));
                Step::Get(key)
            }
            10..=13 => Step::Get(key),
            14 | 15 => {
                steps.push(Step::Clear(key.clone()));
                Step::Get(key)
            }
            16 => Step::Keys(random.pick(PREFIXES).to_owned()),
            17 => {
                let tree = random.pick(TREES).to_owned();
                steps.push(match random.below(2) {
                    0 => Step::Clear(tree.clone()),
                    _ => Step::Set(tree.clone(), String::new()),
                });
                Step::Get(match random.below(2) {
                    0 => tree,
                    _ => key,
                })
            }
            _ => Step::Save,
        };
        steps.push(last);
    }
    steps.push(Step::Save);
    steps
}

/// What random sequences have found, for ever.
pub(crate) fn found() -> Vec<Vec<Step>> {
    let set = |key: &str, value: &str| {
        let text = Step::Load(String::new());
        let (key, value) = (key.to_owned(), value.to_owned());
        vec![
            text,
            Step::Set(key.clone(), value),
            Step::Get(key),
            Step::Save,
        ]
    };
    let loaded = |text: &str, key: &str| {
        let text = Step::Load(text.to_owned());
        vec![text, Step::Get(key.to_owned()), Step::Save]
    };
    let long = |start: &str, length: usize| format!("{start}{}", "a".repeat(length - 1));
    vec![
        set("lxc.cgroup.dir", "a/1../b"),
        set("lxc.cgroup.dir.monitor", "a/..B/"),
        set("lxc.cgroup.dir.monitor.pivot", "a..b"),
        set("lxc.cgroup.dir.container.inner", "..a"),
        set("lxc.cgroup.dir.container.inner", "a/..b"),
        set("lxc.seccomp.notify.proxy", &long("unix:@", 107)),
        set("lxc.seccomp.notify.proxy", &long("unix:@", 108)),
        set("lxc.seccomp.notify.proxy", &long("unix:/", 107)),
        set("lxc.seccomp.notify.proxy", &long("unix:/", 108)),
        loaded(
            "lxc.net.1.ipv6.address = ::1/12828\r\nlxc.net.1.ipv6.address = ::1/4294967295\n",
            "lxc.net.1.ipv6.address",
        ),
        loaded(
            "lxc.net.1.ipv6.address = ::1/4294967296\n",
            "lxc.net.1.ipv6.address",
        ),
        set("lxc.rootfs.options", "create=didrir"),
        set("lxc.rootfs.options", "relativex"),
        set("lxc.rootfs.options", "x=create=dir"),
        set("lxc.rootfs.options", "idmap=container,idmap=/missing"),
        set("lxc.rootfs.options", "ro,xidmap=/missing"),
        set("lxc.init.groups", ","),
        loaded(
            "lxc.time.offset.boot = 5us\nlxc.time.offset.boot = 2s\nlxc.time.offset.boot = 0s\n",
            "lxc.time.offset.boot",
        ),
        set("lxc.time.offset.monotonic", "5  m"),
        set("lxc.time.offset.monotonic", "5 ms"),
        loaded(
            "lxc.log.level = 5\nlxc.log.level = 2147483648\n",
            "lxc.log.level",
        ),
        loaded("lxc.net. 0.hwaddr = 00:16:3e:xx:xx:xx\n", "lxc.net"),
        loaded("lxc.net.+1.hwaddr = 00:16:3e:xx:xx:xx\n", "lxc.net"),
    ]
}
