//! Limits bite: on the machine's own cgroups and, in the VM, on pure cgroup2 with every controller.
#![allow(missing_docs, clippy::unwrap_used)]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rlxc_cgroup::{Cgroups, Layout, Mode, Request};

const WAIT: Duration = Duration::from_secs(10);

/// One container's cgroups, removed when the test ends, however it ends.
struct Limited(Cgroups);

impl Limited {
    fn new(name: &str, v1: &[(&str, &str)], v2: &[(&str, &str)]) -> Option<Self> {
        let layout = Layout::detect().unwrap();
        if !nix::unistd::geteuid().is_root() || layout.mode == Mode::None {
            println!("skipped: root and mounted cgroups");
            return None;
        }
        let request = Request {
            name: format!("rlxc-cg-limit-{name}"),
            ..Request::default()
        };
        let mut made = Self(Cgroups::create_monitor(&layout, &request).unwrap());
        made.0.create_payload().unwrap();
        let own = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            let pairs = list.iter();
            pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        made.0.apply_limits(&own(v1), &own(v2)).unwrap();
        Some(made)
    }

    fn unified(&self) -> bool {
        self.0.mode == Mode::Unified
    }

    /// Runs a shell script inside.
    fn run(&self, script: &str) -> Output {
        let mut child = Command::new("bash")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        self.0.enter_payload(pid).unwrap();
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        child.wait_with_output().unwrap()
    }

    /// `key value` of a flat file.
    fn count(&self, file: &str, key: &str) -> u64 {
        let text = self.0.get(file).unwrap();
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse().ok())
            .unwrap_or(0)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        self.0.kill();
        let _ = self.0.destroy_payload(WAIT);
        let _ = self.0.remove_monitor(WAIT);
    }
}

#[test]
fn too_much_memory_is_killed() {
    let (v1, v2) = (
        [("memory.limit_in_bytes", "32M")],
        [("memory.max", "32M"), ("memory.swap.max", "0")],
    );
    let Some(limited) = Limited::new("memory", &v1, &v2) else {
        return;
    };
    // tail keeps a line in memory until it is complete.
    let output = limited.run("head -c 128M /dev/zero | tail -n 1 | wc -c");
    assert_ne!(String::from_utf8_lossy(&output.stdout).trim(), "134217728");
    let killed = match limited.unified() {
        true => limited.count("memory.events", "oom_kill"),
        false => limited.count("memory.oom_control", "oom_kill"),
    };
    assert!(killed > 0);
}

#[test]
fn one_process_too_many_is_refused() {
    let limits = [("pids.max", "4")];
    let Some(limited) = Limited::new("pids", &limits, &limits) else {
        return;
    };
    let output = limited.run("for i in 1 2 3 4 5 6 7 8; do sleep 0.5 & done; wait");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("fork"), "{said}");
    assert!(limited.count("pids.events", "max") > 0);
}

#[test]
fn a_share_of_a_cpu_throttles() {
    let (v1, v2) = (
        [("cpu.cfs_period_us", "50000"), ("cpu.cfs_quota_us", "5000")],
        [("cpu.max", "5000 50000")],
    );
    let Some(limited) = Limited::new("cpu", &v1, &v2) else {
        return;
    };
    limited.run("end=$((SECONDS + 2)); while [ $SECONDS -lt $end ]; do :; done");
    assert!(limited.count("cpu.stat", "nr_throttled") > 0);
    let used = Duration::from_nanos(limited.0.stats().cpu_ns.unwrap());
    assert!(
        used < Duration::from_millis(900),
        "{used:?} of 2 s at a tenth"
    );
}

#[test]
fn a_cpuset_leaves_one_cpu() {
    let limits = [("cpuset.cpus", "0"), ("cpuset.mems", "0")];
    let Some(limited) = Limited::new("cpuset", &limits, &limits) else {
        return;
    };
    let output = limited.run("nproc");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1");
}

#[test]
fn a_denied_device_is_neither_made_nor_opened() {
    let Some(mut limited) = Limited::new("devices", &[], &[]) else {
        return;
    };
    let script = "mknod $PWD/limit-node c 1 5 && : < $PWD/limit-node; code=$?; rm -f $PWD/limit-node; exit $code";
    let script = format!("cd {}; {script}", std::env::temp_dir().display());
    assert!(limited.run(&script).status.success());
    let line = |key: &str, rule: &str| (key.to_owned(), rule.to_owned());
    let rules = [
        line("devices.deny", "a"),
        line("devices.allow", "c 1:3 rwm"),
    ];
    limited.0.attach_devices(&rules, &rules).unwrap();
    let refused = limited.run(&script);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("Operation not permitted"), "{said}");
    let programs = limited.0.device_programs().unwrap();
    assert_eq!(programs.len(), usize::from(limited.unified()));
    limited.0.add_device(true, "c 1:5 rwm").unwrap();
    assert!(limited.run(&script).status.success());
    let replaced = limited.0.device_programs().unwrap();
    assert_eq!(replaced.len(), programs.len());
    assert!(programs.is_empty() || programs != replaced);
    limited.0.add_device(false, "c 1:5 rwm").unwrap();
    assert!(!limited.run(&script).status.success());
    limited.0.add_device(true, "a").unwrap();
    assert!(limited.run(&script).status.success());
}

#[test]
fn block_io_is_slowed_down_to_the_limit() {
    if std::env::var_os("RLXC_VM").is_none() {
        println!("skipped: the VM: cargo xtask vm-test");
        return;
    }
    let file = std::env::temp_dir().join("rlxc-cg-limit.img");
    let image = std::fs::File::create(&file).unwrap();
    image.set_len(16 << 20).unwrap();
    let output = Command::new("losetup")
        .args(["-f", "--show"])
        .arg(&file)
        .output()
        .unwrap();
    let device = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    struct Loop(String, std::path::PathBuf);
    impl Drop for Loop {
        fn drop(&mut self) {
            let _ = Command::new("losetup").args(["-d", &self.0]).status();
            let _ = std::fs::remove_file(&self.1);
        }
    }
    let _loop = Loop(device.clone(), file);
    let number = std::os::unix::fs::MetadataExt::rdev(&std::fs::metadata(&device).unwrap());
    let number = format!(
        "{}:{}",
        nix::sys::stat::major(number),
        nix::sys::stat::minor(number)
    );
    let v1 = format!("{number} 1048576");
    let v2 = format!("{number} wbps=1048576");
    let Some(limited) = Limited::new(
        "io",
        &[("blkio.throttle.write_bps_device", &v1)],
        &[("io.max", &v2)],
    ) else {
        return;
    };
    let begin = Instant::now();
    let script = format!("dd if=/dev/zero of={device} bs=64k count=48 oflag=direct");
    assert!(limited.run(&script).status.success());
    let took = begin.elapsed();
    assert!(
        took > Duration::from_millis(1900),
        "3 MiB at 1 MiB/s took {took:?}"
    );
    assert!(limited.0.stats().io_write.unwrap() >= 3 << 20);
}

#[test]
fn pressure_is_told_where_the_kernel_measures_it() {
    let Some(limited) = Limited::new("psi", &[], &[]) else {
        return;
    };
    limited.run("for i in 1 2 3 4; do (for j in {1..20000}; do :; done) & done; wait");
    let stats = limited.0.stats();
    if stats.pressure.is_empty() {
        println!("skipped: pressure stall information (cgroup2 with CONFIG_PSI)");
        return;
    }
    assert!(stats.pressure.contains_key("cpu") && stats.pressure.contains_key("memory"));
    assert!(stats.pressure.values().all(|p| p.some.avg10 >= 0.0));
}

/// Configuration values that the kernel or we refuse: what is said, and that nothing is left.
#[test]
fn bad_input_is_named_with_file_value_and_errno() {
    use rlxc_cgroup::Error;
    let Some(mut limited) = Limited::new("bad", &[], &[]) else {
        return;
    };
    let set = |limited: &Limited, key: &str, value: &str| {
        let line = [(key.to_owned(), value.to_owned())];
        limited.0.apply_limits(&line, &line).unwrap_err()
    };
    let error = set(&limited, "pids.max", "many");
    assert!(error.to_string().contains("\"many\"") && error.to_string().contains("pids.max"));
    assert_eq!(error.errno(), Some(nix::errno::Errno::EINVAL as i32));
    let error = set(&limited, "pids.nothing", "1");
    assert_eq!(error.errno(), Some(nix::errno::Errno::ENOENT as i32));
    for key in [
        "nosuch.limit",
        "../pids.max",
        "pids.max/../../x",
        "/etc/passwd",
        "",
    ] {
        let error = set(&limited, key, "1");
        let named = matches!(
            error,
            Error::Controller(_) | Error::Name(_) | Error::Write { .. }
        );
        assert!(named, "{key}: {error}");
        if let Error::Write { path, .. } = &error {
            // In a pure cgroup2 layout every file belongs to the one directory.
            assert!(
                !path.exists() && path.starts_with("/sys/fs/cgroup"),
                "{key}: {error}"
            );
        }
    }
    for rule in [
        "x 1:3 rwm",
        "c 1:3",
        "c 1:3 rwx",
        "/dev/nothing-here rwm",
        "c a:b r",
    ] {
        let line = [("devices.allow".to_owned(), rule.to_owned())];
        assert!(limited.0.attach_devices(&line, &line).is_err(), "{rule}");
    }
    // The cgroup vanishes.
    limited.0.kill();
    for tree in &limited.0.trees {
        std::fs::remove_dir(tree.payload.as_ref().unwrap()).unwrap();
    }
    let error = limited.0.set("pids.max", "5").unwrap_err();
    assert_eq!(error.errno(), Some(nix::errno::Errno::ENOENT as i32));
    assert!(limited.0.freeze(Some(Duration::from_secs(1))).is_err());
    limited.0.destroy_payload(Duration::ZERO).unwrap();
}

#[test]
fn names_that_leave_the_tree_are_refused_and_leave_nothing() {
    let layout = Layout::detect().unwrap();
    if !nix::unistd::geteuid().is_root() || layout.mode == Mode::None {
        println!("skipped: root and mounted cgroups");
        return;
    }
    for dir in ["../x", "/x", "a/../../x", ""] {
        let request = Request {
            name: "rlxc-cg-limit-leave".to_owned(),
            dir: Some(dir.to_owned()),
            ..Request::default()
        };
        let made = Cgroups::create_monitor(&layout, &request);
        assert!(made.is_err(), "{dir:?}");
    }
    let request = Request {
        name: "rlxc-cg-limit-leave".to_owned(),
        use_controllers: vec!["nosuch".to_owned()],
        ..Request::default()
    };
    let error = Cgroups::create_monitor(&layout, &request).unwrap_err();
    assert!(error.to_string().contains("nosuch"));
}

/// A process that stays in a cgroup: the error names it, and a later try succeeds.
#[test]
fn a_busy_cgroup_is_named_after_the_wait_and_goes_later() {
    let Some(mut limited) = Limited::new("busy", &[], &[]) else {
        return;
    };
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    limited
        .0
        .enter_payload(i32::try_from(child.id()).unwrap())
        .unwrap();
    let trees = limited.0.trees.clone();
    let error = limited
        .0
        .destroy_payload(Duration::from_millis(50))
        .unwrap_err();
    assert!(error.to_string().contains("rlxc-cg-limit-busy"), "{error}");
    limited.0.trees = trees;
    child.kill().unwrap();
    child.wait().unwrap();
    limited.0.destroy_payload(WAIT).unwrap();
}
