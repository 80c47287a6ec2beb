//! The cgroup tree and its values, as LXC makes them and as we make them, for the same configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use rlxc_tests::cgroups::{self, mounts as hierarchies};
use rlxc_tests::{Actor, Place, ok, peer, rootfs, said};

/// Both tests look at the whole of what is below one cgroup.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// What a configuration is to show.
struct Case {
    name: &'static str,
    v1: &'static str,
    v2: &'static str,
}

const fn both(name: &'static str, text: &'static str) -> Case {
    let (v1, v2) = (text, text);
    Case { name, v1, v2 }
}

/// The device rules that LXC's own common.conf brings with it are cleared where a case sets its own.
const CASES: &[Case] = &[
    both("default", ""),
    Case {
        name: "memory",
        v1: "lxc.cgroup.memory.limit_in_bytes = 64M\nlxc.cgroup.memory.soft_limit_in_bytes = 32M\n",
        v2: "lxc.cgroup2.memory.max = 64M\nlxc.cgroup2.memory.high = 48M\nlxc.cgroup2.memory.low = 1M\n",
    },
    Case {
        name: "swap",
        v1: "lxc.cgroup.memory.memsw.limit_in_bytes = 96M\nlxc.cgroup.memory.limit_in_bytes = 64M\n",
        v2: "lxc.cgroup2.memory.swap.max = 32M\nlxc.cgroup2.memory.max = 64M\nlxc.cgroup2.memory.oom.group = 1\n",
    },
    Case {
        name: "pids",
        v1: "lxc.cgroup.pids.max = 42\n",
        v2: "lxc.cgroup2.pids.max = 42\n",
    },
    Case {
        name: "cpu",
        v1: "lxc.cgroup.cpu.shares = 512\nlxc.cgroup.cpu.cfs_period_us = 50000\nlxc.cgroup.cpu.cfs_quota_us = 25000\n",
        v2: "lxc.cgroup2.cpu.weight = 50\nlxc.cgroup2.cpu.max = 25000 50000\n",
    },
    Case {
        name: "cpuset",
        v1: "lxc.cgroup.cpuset.cpus = 0\nlxc.cgroup.cpuset.mems = 0\n",
        v2: "lxc.cgroup2.cpuset.cpus = 0\nlxc.cgroup2.cpuset.mems = 0\n",
    },
    Case {
        name: "io",
        v1: "lxc.cgroup.blkio.throttle.read_iops_device = 7:0 100\n",
        v2: "lxc.cgroup2.io.max = 7:0 rbps=1048576 wiops=120\n",
    },
    Case {
        name: "twice",
        v1: "lxc.cgroup.pids.max = 50\nlxc.cgroup.pids.max = 60\n",
        v2: "lxc.cgroup2.pids.max = 50\nlxc.cgroup2.pids.max = 60\nlxc.cgroup2.hugetlb.2MB.max = 4M\n",
    },
    Case {
        name: "allowlist",
        v1: "lxc.cgroup.devices.deny = a\nlxc.cgroup.devices.allow = c 1:3 rwm\nlxc.cgroup.devices.allow = c 1:5 r\nlxc.cgroup.devices.allow = c 136:* rwm\nlxc.cgroup.devices.allow = b *:* m\n",
        v2: "lxc.cgroup2.devices.deny = a\nlxc.cgroup2.devices.allow = c 1:3 rwm\nlxc.cgroup2.devices.allow = c 1:5 r\nlxc.cgroup2.devices.allow = c 136:* rwm\nlxc.cgroup2.devices.allow = b *:* m\n",
    },
    Case {
        name: "denylist",
        v1: "lxc.cgroup.devices.allow = a\nlxc.cgroup.devices.deny = c 1:5 rwm\nlxc.cgroup.devices.deny = c 1:7 w\nlxc.cgroup.devices.deny = b *:* m\n",
        v2: "lxc.cgroup2.devices.allow = a\nlxc.cgroup2.devices.deny = c 1:5 rwm\nlxc.cgroup2.devices.deny = c 1:7 w\nlxc.cgroup2.devices.deny = b *:* m\n",
    },
    Case {
        name: "onlydeny",
        v1: "lxc.cgroup.devices.deny = c 1:5 rwm\nlxc.cgroup.devices.deny = c 1:8 w\n",
        v2: "lxc.cgroup2.devices.deny = c 1:5 rwm\nlxc.cgroup2.devices.deny = c 1:8 w\n",
    },
    Case {
        name: "onlyallow",
        v1: "lxc.cgroup.devices.allow = c 1:5 rwm\n",
        v2: "lxc.cgroup2.devices.allow = c 1:5 rwm\nlxc.cgroup2.devices.allow = c 136:* rwm\n",
    },
    Case {
        name: "overlap",
        v1: "lxc.cgroup.devices.deny = a\nlxc.cgroup.devices.allow = c *:* rwm\nlxc.cgroup.devices.deny = c 1:5 w\nlxc.cgroup.devices.allow = c 1:5 rwm\n",
        v2: "lxc.cgroup2.devices.deny = a\nlxc.cgroup2.devices.allow = c *:* rwm\nlxc.cgroup2.devices.allow = c 1:5 r\nlxc.cgroup2.devices.allow = b 7:* m\n",
    },
    both("dir", "lxc.cgroup.dir = rlxc-cg-tree/deep\n"),
    both(
        "split",
        "lxc.cgroup.dir.monitor = rlxc-cg-tree/m\nlxc.cgroup.dir.container = rlxc-cg-tree/c\n",
    ),
    both(
        "inner",
        "lxc.cgroup.dir.monitor = rlxc-cg-tree/m\nlxc.cgroup.dir.container = rlxc-cg-tree/c\nlxc.cgroup.dir.container.inner = in\n",
    ),
    Case {
        name: "innerlim",
        v1: "lxc.cgroup.dir.monitor = rlxc-cg-tree/m\nlxc.cgroup.dir.container = rlxc-cg-tree/c\nlxc.cgroup.dir.container.inner = in\nlxc.cgroup.dir.monitor.pivot = rlxc-cg-tree/p\nlxc.cgroup.pids.max = 77\n",
        v2: "lxc.cgroup.dir.monitor = rlxc-cg-tree/m\nlxc.cgroup.dir.container = rlxc-cg-tree/c\nlxc.cgroup.dir.container.inner = in\nlxc.cgroup.dir.monitor.pivot = rlxc-cg-tree/p\nlxc.cgroup2.pids.max = 77\n",
    },
    both("relative", "lxc.cgroup.relative = 1\n"),
    both(
        "deep",
        "lxc.cgroup.dir = rlxc-cg-tree/a/b/\nlxc.cgroup.relative = 1\n",
    ),
    both("inneronly", "lxc.cgroup.dir.container.inner = in\n"),
    both(
        "innerdir",
        "lxc.cgroup.dir = rlxc-cg-tree/d\nlxc.cgroup.dir.container.inner = in\n",
    ),
    both(
        "twodirs",
        "lxc.cgroup.dir = rlxc-cg-tree/d\nlxc.cgroup.dir.monitor = rlxc-cg-tree/m\nlxc.cgroup.dir.container = rlxc-cg-tree/c\n",
    ),
    both("half", "lxc.cgroup.dir.container = rlxc-cg-tree/c\n"),
    Case {
        name: "devpath",
        v1: "lxc.cgroup.devices.deny = a\nlxc.cgroup.devices.allow = /dev/null rwm\nlxc.cgroup.devices.allow = /dev/zero r\nlxc.cgroup.devices.allow = c 136:* rwm\n",
        v2: "lxc.cgroup2.devices.deny = a\nlxc.cgroup2.devices.allow = /dev/null rwm\nlxc.cgroup2.devices.allow = /dev/zero r\nlxc.cgroup2.devices.allow = c 136:* rwm\n",
    },
    Case {
        name: "many",
        v1: "lxc.cgroup.memory.swappiness = 10\nlxc.cgroup.memory.oom_control = 1\nlxc.cgroup.cpuset.cpus = 0-1\nlxc.cgroup.cpuset.cpu_exclusive = 0\nlxc.cgroup.freezer.state = THAWED\nlxc.cgroup.pids.max = max\nlxc.cgroup.blkio.throttle.write_bps_device = 7:0 2097152\n",
        v2: "lxc.cgroup2.memory.min = 1M\nlxc.cgroup2.cpuset.cpus = 0-1\nlxc.cgroup2.cgroup.max.descendants = 50\nlxc.cgroup2.cgroup.max.depth = 7\nlxc.cgroup2.pids.max = max\nlxc.cgroup2.cpu.weight.nice = 5\nlxc.cgroup2.io.weight = 200\n",
    },
    Case {
        name: "nosuch",
        v1: "lxc.cgroup.nosuch.limit = 1\n",
        v2: "lxc.cgroup2.nosuch.limit = 1\n",
    },
    Case {
        name: "memsw",
        v1: "lxc.cgroup.memory.memsw.limit_in_bytes = 96M\n",
        v2: "lxc.cgroup2.memory.swap.high = 96M\n",
    },
    both("idmapped", "IDMAP"),
    Case {
        name: "idlimit",
        v1: "IDMAPlxc.cgroup.dir = rlxc-cg-tree\nlxc.cgroup.pids.max = 77\n",
        v2: "IDMAPlxc.cgroup.dir = rlxc-cg-tree\nlxc.cgroup2.pids.max = 77\n",
    },
    Case {
        name: "other",
        v1: "lxc.cgroup2.pids.max = 5\n",
        v2: "lxc.cgroup.pids.max = 5\n",
    },
    Case {
        name: "unknown",
        v1: "lxc.cgroup.pids.nothing = 1\n",
        v2: "lxc.cgroup2.pids.nothing = 1\n",
    },
    Case {
        name: "refused",
        v1: "lxc.cgroup.pids.max = many\n",
        v2: "lxc.cgroup2.pids.max = many\n",
    },
];

/// Counters and commands: not what a configuration sets.
const MOVING: &[&str] = &[
    "cgroup.procs",
    "cgroup.threads",
    "tasks",
    "usage",
    "failcnt",
    "pressure",
    "peak",
    "event_control",
    "force_empty",
    "memory_pressure",
    "numa_stat",
];

fn unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// Every directory of the case with owner, mode and the files that can be set: below the cgroup of
/// pid 1, or below the test's own (`lxc.cgroup.relative`), wherever these are.
fn picture(name: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for root in hierarchies() {
        walk(&root, name, &mut all);
    }
    all
}

fn walk(dir: &Path, name: &str, all: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        let shown = path.to_string_lossy().into_owned();
        if shown.contains(name) || shown.contains("rlxc-cg-tree") {
            all.insert(shown, describe(&path));
        }
        walk(&path, name, all);
    }
}

fn describe(dir: &Path) -> String {
    let owner = |path: &Path| {
        path.symlink_metadata().map_or_else(
            |_| "gone".to_owned(),
            |m| format!("{}:{} {:o}", m.uid(), m.gid(), m.mode() & 0o7777),
        )
    };
    let mut text = owner(dir);
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    for file in files {
        let path = dir.join(&file);
        let _ = write!(text, "\n  {file} {}", owner(&path));
        let settable = path
            .symlink_metadata()
            .is_ok_and(|m| m.mode() & 0o222 != 0 && m.mode() & 0o444 != 0);
        let moving = MOVING.iter().any(|part| file.contains(part));
        if (settable && !moving) || file == "devices.list" {
            let value = std::fs::read_to_string(&path).unwrap_or_else(|e| e.kind().to_string());
            let _ = write!(text, " = {}", value.trim_end().replace('\n', " | "));
        }
    }
    text
}

const PROBE: &str = "cd /dev; for d in null zero full random urandom tty; do \
    (: < $d) 2>&1; (: > $d) 2>&1; done; \
    for n in 'c 10 229' 'b 7 0' 'c 1 5' 'c 1 7'; do \
    mknod /tmp/node $n 2>&1 && (: < /tmp/node) 2>&1; rm -f /tmp/node; done; true";

/// One side: starts, looks, probes, stops, and waits until what is left does not change any more.
struct Seen {
    running: BTreeMap<String, String>,
    probed: String,
    left: Vec<String>,
    started: bool,
    said: String,
}

fn look(name: &str, run: impl Fn(&str, &[&str]) -> Output) -> Seen {
    let start = run("start", &["-n", name]);
    let started = start.status.success();
    let (mut running, mut probed) = (BTreeMap::new(), String::new());
    if started {
        running = picture(name);
        let probe = run("attach", &["-n", name, "--", "/bin/sh", "-c", PROBE]);
        // What the tool itself says of a /dev/null that is denied to it is not the container's.
        let said = said(&probe);
        let lines = said
            .lines()
            .filter(|line| !line.starts_with("lxc-attach: "));
        probed = lines.collect::<Vec<_>>().join("\n").trim_end().to_owned();
        ok(&run("stop", &["-k", "-n", name]));
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    let gone = |path: &String| !path.contains(&format!(".{name}"));
    let mut left: Vec<String> = picture(name).into_keys().collect();
    while !left.iter().all(gone) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
        left = picture(name).into_keys().collect();
    }
    // The last of the monitor's moves may still come.
    std::thread::sleep(Duration::from_millis(if unified() { 300 } else { 60 }));
    left = picture(name).into_keys().collect();
    clear(&left);
    // LXC gives up at once where its monitor's old cgroup is still busy, which happens now and then
    // (that of an earlier case may be among them). And its monitor leaves by way of a pivot cgroup
    // that stays; ours is often removed by who waits.
    let is_pivot = |path: &String| path.ends_with("/lxc.pivot") || path.ends_with("-tree/p");
    left.retain(|path| gone(path) && !path.contains(".cgt-") && !is_pivot(path));
    Seen {
        running,
        probed,
        left,
        started,
        said: said(&start),
    }
}

fn clear(left: &[String]) {
    for path in left.iter().rev() {
        let _ = std::fs::remove_dir(path);
    }
}

/// The first range of root, which LXC insists on where newuidmap is installed.
fn id_maps() -> Option<(u32, String)> {
    let text = std::fs::read_to_string("/etc/subuid").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("root:"))?;
    let first = line.split(':').next()?.parse().ok()?;
    let maps = format!("lxc.idmap = u 0 {first} 65536\nlxc.idmap = g 0 {first} 65536\n");
    Some((first, maps))
}

fn config(place: &Place, case: &Case, maps: &str) -> String {
    let name = format!("cgt-{}", case.name);
    let text = if unified() { case.v2 } else { case.v1 };
    let mapped = text.starts_with("IDMAP");
    let clear = if text.contains("devices.") {
        "lxc.cgroup.devices.allow =\nlxc.cgroup.devices.deny =\nlxc.cgroup2.devices.allow =\nlxc.cgroup2.devices.deny =\n"
    } else {
        ""
    };
    let base = if mapped {
        "lxc.include = /usr/share/lxc/config/userns.conf\n"
    } else {
        ""
    };
    let rootfs = if mapped { "mapped" } else { "plain" };
    let text = text.replace("IDMAP", maps);
    let folder = place.path().join(&name);
    assert!(std::fs::create_dir(&folder).is_ok());
    let config = format!(
        "lxc.include = /usr/share/lxc/config/common.conf\n{base}{clear}lxc.net.0.type = empty\n\
         lxc.rootfs.path = dir:{}/{rootfs}\nlxc.uts.name = {name}\nlxc.tty.max = 1\nlxc.pty.max = 1\n\
         lxc.apparmor.profile = unconfined\nlxc.init.cmd = /bin/sleep 1000\n{text}",
        place.path().display()
    );
    assert!(std::fs::write(folder.join("config"), config).is_ok());
    name
}

#[test]
fn tree_and_values_are_those_that_lxc_makes() {
    let _alone = ALONE.lock();
    let Some(place) = Place::new(Actor::Root) else {
        return;
    };
    if !peer() || hierarchies().is_empty() {
        return;
    }
    let made = rootfs::busybox(&place.path().join("plain"), 0);
    assert!(made.is_ok(), "{made:?}");
    let maps = id_maps();
    match &maps {
        Some((first, _)) => assert!(rootfs::busybox(&place.path().join("mapped"), *first).is_ok()),
        None => rlxc_tests::skipped("a range of root's in /etc/subuid"),
    }
    // The directories above the containers' stay, with LXC as with us.
    let _left = cgroups::Left::of("rlxc-cg-tree");
    let only = std::env::var("RLXC_CASE").ok();
    let mut different = String::new();
    for case in CASES {
        let mapped = case.v1.starts_with("IDMAP");
        if mapped && maps.is_none() || only.as_ref().is_some_and(|only| only != case.name) {
            continue;
        }
        let begin = Instant::now();
        let name = config(&place, case, maps.as_ref().map_or("", |(_, maps)| maps));
        let theirs = look(&name, |tool, args| place.lxc(tool, args));
        let ours = look(&name, |verb, args| place.rlxc(verb, args));
        compare(case.name, &theirs, &ours, &mut different);
        if std::env::var_os("RLXC_VM").is_some() {
            // Past the test harness: the VM is slow, and silence looks like a hang.
            let _ = writeln!(
                std::io::stderr(),
                "{}: {} ms{}",
                case.name,
                begin.elapsed().as_millis(),
                if different.contains(&format!("{}: ", case.name)) {
                    ", different"
                } else {
                    ""
                }
            );
        }
    }
    assert!(different.is_empty(), "{different}");
}

/// Case, lxc.conf, and what the container's configuration has more.
const GLOBAL: &[(&str, &str, &str)] = &[
    ("pattern", "lxc.cgroup.pattern = rlxc-cg-tree/%n\n", ""),
    ("pslash", "lxc.cgroup.pattern = rlxc-cg-tree/a-%n/\n", ""),
    ("ptwice", "lxc.cgroup.pattern = rlxc-cg-tree/%n/of-%n\n", ""),
    ("pnoname", "lxc.cgroup.pattern = rlxc-cg-tree/all\n", ""),
    (
        "pdir",
        "lxc.cgroup.pattern = rlxc-cg-tree/%n\n",
        "lxc.cgroup.dir = rlxc-cg-tree/d\n",
    ),
    (
        "pfixed",
        "lxc.cgroup.pattern = rlxc-cg-tree/%n\n",
        "lxc.cgroup.dir.monitor = rlxc-cg-tree/m\nlxc.cgroup.dir.container = rlxc-cg-tree/c\n",
    ),
    (
        "prelative",
        "lxc.cgroup.pattern = rlxc-cg-tree/%n\n",
        "lxc.cgroup.relative = 1\n",
    ),
    ("useone", "lxc.cgroup.use = pids\n", ""),
    (
        "usetwo",
        "lxc.cgroup.use = memory,pids\n",
        "lxc.cgroup.pids.max = 44\nlxc.cgroup2.pids.max = 44\n",
    ),
    (
        "uselost",
        "lxc.cgroup.use = memory\n",
        "lxc.cgroup.pids.max = 44\n",
    ),
    ("usenone", "lxc.cgroup.use = nosuch\n", ""),
    ("usemixed", "lxc.cgroup.use = pids,nosuch\n", ""),
    (
        "usedir",
        "lxc.cgroup.use = pids\n",
        "lxc.cgroup.dir = rlxc-cg-tree/u\n",
    ),
];

/// Runs a tool with an lxc.conf that only it sees.
fn with_conf(place: &Place, program: &str, first: &[&str], args: &[&str]) -> Output {
    let conf = place.path().join("etc");
    let script = "mount --bind \"$0\" /etc/lxc && exec \"$@\"";
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script]);
    command.arg(conf).arg(program).args(first).arg("-P");
    command.arg(place.path()).args(args);
    rlxc_tests::run(command.stdin(std::process::Stdio::null()))
}

#[test]
fn patterns_and_controllers_of_lxc_conf_make_the_tree_that_lxc_makes() {
    let _alone = ALONE.lock();
    let Some(place) = Place::new(Actor::Root) else {
        return;
    };
    if !peer() || hierarchies().is_empty() {
        return;
    }
    assert!(rootfs::busybox(&place.path().join("plain"), 0).is_ok());
    let conf = place.path().join("etc");
    assert!(std::fs::create_dir(&conf).is_ok() && std::fs::create_dir_all("/etc/lxc").is_ok());
    // The directories above the containers' stay, with LXC as with us.
    let _left = cgroups::Left::of("rlxc-cg-tree");
    let only = std::env::var("RLXC_CASE").ok();
    let mut different = String::new();
    for (name, global, text) in GLOBAL {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        assert!(std::fs::write(conf.join("lxc.conf"), global).is_ok());
        let case = both(name, text);
        let container = config(&place, &case, "");
        let theirs = look(&container, |tool, args| {
            with_conf(&place, &format!("/usr/bin/lxc-{tool}"), &[], args)
        });
        let program = rlxc_tests::bin_dir().join("rlxc");
        let ours = look(&container, |verb, args| {
            with_conf(&place, &program.to_string_lossy(), &[verb], args)
        });
        compare(name, &theirs, &ours, &mut different);
    }
    assert!(different.is_empty(), "{different}");
}

fn compare(case: &str, theirs: &Seen, ours: &Seen, out: &mut String) {
    if theirs.started != ours.started {
        let _ = writeln!(
            out,
            "{case}: started: LXC {}, rlxc {}\n{}{}",
            theirs.started, ours.started, theirs.said, ours.said
        );
        return;
    }
    let paths = theirs.running.keys().chain(ours.running.keys());
    let paths: std::collections::BTreeSet<&String> = paths.collect();
    for path in paths {
        match (theirs.running.get(path), ours.running.get(path)) {
            (Some(_), None) => {
                let _ = writeln!(out, "{case}: only LXC has {path}");
            }
            (None, Some(_)) => {
                let _ = writeln!(out, "{case}: only rlxc has {path}");
            }
            (Some(theirs), Some(ours)) => lines(case, path, theirs, ours, out),
            (None, None) => {}
        }
    }
    if theirs.left != ours.left {
        let _ = writeln!(
            out,
            "{case}: left: LXC {:#?}, rlxc {:#?}",
            theirs.left, ours.left
        );
    }
    lines(case, "probe", &theirs.probed, &ours.probed, out);
}

fn lines(case: &str, what: &str, theirs: &str, ours: &str, out: &mut String) {
    if theirs.lines().count() != ours.lines().count() {
        let _ = writeln!(out, "{case}: {what}:\n LXC {theirs}\n rlxc {ours}");
        return;
    }
    for (theirs, ours) in theirs.lines().zip(ours.lines()) {
        if theirs != ours {
            let _ = writeln!(out, "{case}: {what}: LXC '{theirs}', rlxc '{ours}'");
        }
    }
}
