//! Attaching to containers that the installed LXC has started.
#![allow(clippy::unwrap_used, unsafe_code)]

mod peer;

use std::ffi::{c_int, c_void};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use peer::{Peer, pipe};
use rlxc_config::{Config, Namespace};
use rlxc_runtime::attach::{
    AttachError, AttachOptions, AttachTask, Attached, Callback, EnvPolicy, arguments, attach, flags,
};
use rlxc_sys::tty::{WindowSize, set_window_size};

macro_rules! peer {
    ($test:literal) => {
        peer!($test, "")
    };
    ($test:literal, $extra:expr) => {
        match Peer::start($test, $extra) {
            Some(peer) => peer,
            None => return,
        }
    };
}

fn enter(peer: &Peer, options: &AttachOptions, task: AttachTask) -> Result<Attached, AttachError> {
    attach(&peer.lxcpath, &peer.name, &Config::default(), options, task)
}

#[test]
fn a_program_runs_inside_of_all_namespaces_and_cgroups() {
    let peer = peer!("inside");
    assert_eq!(peer.output(&["hostname"]), "peer\n");
    assert_eq!(peer.output(&["cat", "/proc/1/comm"]), "sleep\n");
    assert_eq!(peer.output(&["id", "-u"]), "0\n");
    let cgroups = peer.output(&["cat", "/proc/self/cgroup"]);
    for line in cgroups.lines() {
        let path = line.splitn(3, ':').nth(2).unwrap();
        assert!(
            path == "/" || path == "/.lxc",
            "outside of the container's cgroup: {line}"
        );
    }
    for namespace in Namespace::ALL {
        let file = format!("/proc/1/ns/{}", namespace.name());
        let own = format!("/proc/self/ns/{}", namespace.name());
        let both = peer.output(&["sh", "-c", &format!("readlink {file}; readlink {own}")]);
        let lines: Vec<_> = both.lines().collect();
        assert_eq!(lines[0], lines[1], "{}", namespace.name());
    }
}

#[test]
fn exit_codes_and_signals_come_back_unchanged() {
    let peer = peer!("codes");
    let status = |argv: &[&str]| {
        let (_keep, quiet) = pipe();
        let options = AttachOptions {
            log: Some(quiet.as_raw_fd()),
            ..AttachOptions::default()
        };
        peer.run(options, argv).0
    };
    assert_eq!(status(&["true"]), 0);
    assert_eq!(status(&["sh", "-c", "exit 77"]), 77 << 8);
    assert_eq!(status(&["sh", "-c", "kill -9 $$"]), 9);
    assert_eq!(status(&["/no/such/program"]), 127 << 8);
    assert_eq!(status(&["no-such-program"]), 127 << 8);
    assert_eq!(status(&["/tmp/not-executable"]), 126 << 8);
    assert_eq!(status(&["/tmp"]), 126 << 8);
    assert_eq!(peer.output(&["/tmp/script", "arg"]), "script arg\n");
}

#[test]
fn why_a_program_could_not_be_executed_is_reported() {
    let peer = peer!("why");
    let (read, log) = pipe();
    let options = AttachOptions {
        log: Some(log.as_raw_fd()),
        ..AttachOptions::default()
    };
    peer.run(options, &["/no/such/program"]);
    drop(log);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(read), &mut text).unwrap();
    assert_eq!(
        text,
        "rlxc: cannot execute /no/such/program: No such file or directory\n"
    );
}

#[test]
fn ids_groups_environment_and_directory_are_as_asked() {
    let peer = peer!("asked");
    let options = AttachOptions {
        flags: flags::DEFAULT | flags::SETGROUPS | flags::NO_NEW_PRIVS,
        uid: Some(1000),
        gid: Some(1001),
        groups: Some(vec![5, 6]),
        env_policy: EnvPolicy::Clear,
        extra_env: vec!["X=y z".into()],
        initial_cwd: Some("/tmp".into()),
        ..AttachOptions::default()
    };
    let script = "id -u; id -g; grep Groups /proc/self/status; pwd; grep NoNewPrivs /proc/self/status; ulimit -n; cat /proc/self/oom_score_adj; env";
    let config = Config {
        environment: vec![("FROM_CONFIG".into(), "1".into())].into(),
        prlimits: vec![("nofile".into(), Some(77), Some(78))].into(),
        procfs: vec![("oom_score_adj".into(), "123".into())].into(),
        ..Config::default()
    };
    let (status, text) = peer.run_with(&config, options, &["sh", "-c", script]);
    assert_eq!(status, 0);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..7],
        [
            "1000",
            "1001",
            "Groups:\t5 6 ",
            "/tmp",
            "NoNewPrivs:\t1",
            "77",
            "123"
        ]
    );
    for variable in ["X=y z", "FROM_CONFIG=1", "container=lxc"] {
        assert!(lines.contains(&variable), "{variable}: {text}");
    }
    assert!(!text.contains("CARGO"));
}

#[test]
fn the_shell_is_that_of_the_containers_user() {
    let peer = peer!("shell");
    let (read, write) = pipe();
    let (input, keys) = pipe();
    nix::unistd::write(&keys, b"readlink /proc/$$/exe; echo $0\n").unwrap();
    drop(keys);
    let options = AttachOptions {
        uid: Some(1000),
        stdin: input.as_raw_fd(),
        stdout: write.as_raw_fd(),
        ..AttachOptions::default()
    };
    symlink("/bin/busybox", peer.rootfs().join("bin/ash")).unwrap();
    let attached = enter(&peer, &options, AttachTask::Shell).unwrap();
    drop((write, input));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(read), &mut text).unwrap();
    assert_eq!(attached.wait().unwrap(), 0);
    assert_eq!(text, "/bin/busybox\n/bin/ash\n");
}

#[test]
fn only_the_namespaces_asked_for_are_entered() {
    let peer = peer!("some");
    let options = AttachOptions {
        namespaces: Some(Namespace::Uts.clone_flag()),
        ..AttachOptions::default()
    };
    let (status, text) = peer.run(
        options,
        &[
            "/bin/sh",
            "-c",
            "cat /proc/sys/kernel/hostname; readlink /proc/self/ns/mnt",
        ],
    );
    let own = std::fs::read_link("/proc/self/ns/mnt").unwrap();
    assert_eq!((status, text), (0, format!("peer\n{}\n", own.display())));
    let options = AttachOptions {
        flags: flags::DEFAULT | flags::REMOUNT_PROC_SYS,
        namespaces: Some(Namespace::Pid.clone_flag()),
        ..AttachOptions::default()
    };
    let (status, text) = peer.run(options, &["cat", "/proc/1/comm"]);
    assert_eq!((status, text.as_str()), (0, "sleep\n"));
}

#[test]
fn capabilities_missing_from_init_are_dropped_unless_elevated() {
    let peer = peer!("caps", "lxc.cap.drop = sys_time mac_admin");
    let bounding = |flags| {
        let options = AttachOptions {
            flags,
            ..AttachOptions::default()
        };
        let (_, text) = peer.run(options, &["grep", "CapBnd", "/proc/self/status"]);
        u64::from_str_radix(text.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    let sys_time = 1 << 25;
    assert_eq!(bounding(flags::DEFAULT) & sys_time, 0);
    assert_ne!(
        bounding(flags::DEFAULT & !flags::DROP_CAPABILITIES) & sys_time,
        0
    );
}

#[test]
fn the_seccomp_policy_of_the_container_holds_unless_elevated() {
    let policy = format!("/tmp/rlxc-attach-policy-{}", std::process::id());
    std::fs::write(&policy, "2\ndenylist\n[all]\nsethostname errno 42\n").unwrap();
    let peer = peer!("seccomp", &format!("lxc.seccomp.profile = {policy}"));
    let script = "grep Seccomp: /proc/self/status; hostname other; hostname";
    let result = |flags| {
        let options = AttachOptions {
            flags,
            ..AttachOptions::default()
        };
        peer.run(options, &["sh", "-c", script]).1
    };
    assert_eq!(result(flags::DEFAULT), "Seccomp:\t2\npeer\n");
    let elevated = result(flags::DEFAULT & !flags::CONFINEMENT);
    assert_eq!(elevated, "Seccomp:\t0\nother\n");
    std::fs::remove_file(&policy).unwrap();
}

/// CVE-2016-8649, CVE-2024-21626: nothing of the host's descriptors is left inside.
#[test]
fn no_descriptor_of_the_host_reaches_the_container() {
    let peer = peer!("fds");
    let host: std::fs::File = std::fs::File::open("/").unwrap();
    rlxc_sys::exec::duplicate(host.as_raw_fd()).unwrap();
    let text = peer.output(&[
        "sh",
        "-c",
        "for fd in /proc/$$/fd/*; do readlink $fd; done; true",
    ]);
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.lines().all(|target| target != "/"), "{text}");
}

/// CVE-2024-21626: a directory inside that is a link to one of our descriptors.
#[test]
fn a_working_directory_cannot_lead_to_a_descriptor_of_the_host() {
    let peer = peer!("cwd");
    let host = std::fs::File::open("/usr").unwrap();
    let target = format!("/proc/self/fd/{}", host.as_raw_fd());
    symlink(&target, peer.rootfs().join("evil")).unwrap();
    for directory in ["/evil", &target] {
        let options = AttachOptions {
            initial_cwd: Some(directory.into()),
            ..AttachOptions::default()
        };
        let (status, text) = peer.run(options, &["sh", "-c", "pwd; ls bin/busybox"]);
        assert_eq!((status, text.as_str()), (0, "/\nbin/busybox\n"));
    }
    // And a program that is one.
    symlink(
        format!("/proc/self/fd/{}", host.as_raw_fd()),
        peer.rootfs().join("bin/evil"),
    )
    .unwrap();
    assert_eq!(
        peer.run(AttachOptions::default(), &["/bin/evil/bin/true"])
            .0,
        127 << 8
    );
}

#[test]
fn a_terminal_is_the_containers_own_with_the_callers_size() {
    let peer = peer!("tty");
    let user = rlxc_runtime::terminal::Pty::from_host().unwrap();
    let size = WindowSize {
        rows: 21,
        columns: 77,
    };
    set_window_size(user.ptx.as_fd(), size).unwrap();
    let mut screen = std::fs::File::from(user.ptx.try_clone().unwrap());
    let fd = user.pts.as_raw_fd();
    let (errors, stderr) = pipe();
    let options = AttachOptions {
        flags: flags::DEFAULT | flags::TERMINAL,
        stdin: fd,
        stdout: fd,
        stderr: stderr.as_raw_fd(),
        ..AttachOptions::default()
    };
    let script = "tty; sleep 0.2; stty size; echo direct >&2; seq 1 200000; exit 3";
    let task = AttachTask::Exec(arguments(&["sh", "-c", script]).unwrap());
    let attached = enter(&peer, &options, task).unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        while !text.ends_with(b"200000\r\n") {
            let mut piece = [0; 65536];
            let count = std::io::Read::read(&mut screen, &mut piece).unwrap();
            text.extend_from_slice(&piece[..count]);
        }
        String::from_utf8(text).unwrap()
    });
    attached.show_terminal(&options).unwrap();
    assert_eq!(attached.wait().unwrap(), 3 << 8);
    let text = reader.join().unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("/dev/pts/"), "{}", lines[0]);
    assert_eq!(lines[1], "21 77");
    assert_eq!(lines.len(), 200_002, "output was lost");
    // What is no terminal stays what it is.
    drop(stderr);
    let mut direct = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(errors), &mut direct).unwrap();
    assert_eq!(direct, "direct\n");
}

unsafe extern "C" fn status_of_payload(payload: *mut c_void) -> c_int {
    // SAFETY: the test passes a pointer to an int.
    let number = unsafe { *payload.cast::<c_int>() };
    match std::path::Path::new("/bin/busybox").exists() {
        true => number,
        false => 1,
    }
}

#[test]
fn a_function_of_the_caller_runs_inside_and_gives_the_status() {
    let peer = peer!("call");
    let mut number: c_int = 42;
    // SAFETY: `number` outlives the child's copy of it.
    let callback = unsafe { Callback::new(status_of_payload, (&raw mut number).cast()) };
    let attached = enter(&peer, &AttachOptions::default(), AttachTask::Call(callback)).unwrap();
    assert_eq!(attached.wait().unwrap(), 42 << 8);
}

unsafe extern "C" fn dumpable(_payload: *mut c_void) -> c_int {
    // SAFETY: PR_GET_DUMPABLE takes integers.
    unsafe { nix::libc::prctl(nix::libc::PR_GET_DUMPABLE) }
}

/// CVE-2016-8649: until it executes something of the container's, nobody inside may trace the process.
#[test]
fn the_attaching_process_cannot_be_traced_from_inside() {
    let peer = peer!("dumpable");
    // SAFETY: the function takes any payload.
    let callback = unsafe { Callback::new(dumpable, std::ptr::null_mut()) };
    let task = AttachTask::Call(callback);
    let options = AttachOptions::default();
    let attached = enter(&peer, &options, task).unwrap();
    assert_eq!(attached.wait().unwrap(), 0);
}

/// CVE-2019-5736: what runs inside must not be able to write to the executable it came from.
#[test]
fn an_executable_that_reexecutes_itself_is_behind_a_read_only_mount() {
    const INNER: &str = "RLXC_TEST_INNER";
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: root");
        return;
    }
    let read_only = || {
        use nix::sys::statvfs::{FsFlags, statvfs};
        statvfs("/proc/self/exe")
            .unwrap()
            .flags()
            .contains(FsFlags::ST_RDONLY)
    };
    if std::env::var_os(INNER).is_some() {
        rlxc_runtime::attach::reexec_read_only().unwrap();
        // Once is enough.
        rlxc_runtime::attach::reexec_read_only().unwrap();
        assert!(read_only());
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("an_executable_that_reexecutes_itself_is_behind_a_read_only_mount")
        .env(INNER, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[test]
fn in_a_user_namespace_the_process_is_its_root() {
    let map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536";
    let Some(peer) = Peer::define("userns", map) else {
        return;
    };
    for entry in [
        "", "bin", "dev", "proc", "sys", "etc", "tmp", "root", "sbin", "run",
    ] {
        nix::unistd::chown(
            &peer.rootfs().join(entry),
            Some(100_000.into()),
            Some(100_000.into()),
        )
        .unwrap();
    }
    let started = peer.lxc("lxc-start", &[]);
    if !started.0 {
        println!(
            "skipped: the installed LXC cannot start an unprivileged container: {}",
            started.1
        );
        return;
    }
    assert_eq!(peer.output(&["id", "-u"]), "0\n");
    assert!(
        peer.output(&["cat", "/proc/self/uid_map"])
            .contains("100000")
    );
    assert_eq!(peer.output(&["touch", "/tmp/by-root"]), "");
    let options = AttachOptions {
        uid: Some(1000),
        gid: Some(1000),
        ..AttachOptions::default()
    };
    assert_eq!(peer.run(options, &["id", "-u"]), (0, "1000\n".into()));
}

#[test]
fn a_stopped_or_frozen_container_is_an_error_that_says_so() {
    let peer = peer!("frozen");
    let try_it = || {
        let task = AttachTask::Exec(arguments(&["true"]).unwrap());
        enter(&peer, &AttachOptions::default(), task)
    };
    assert!(peer.lxc("lxc-freeze", &[]).0);
    assert!(matches!(try_it().unwrap_err(), AttachError::Frozen { .. }));
    assert!(peer.lxc("lxc-unfreeze", &[]).0);
    try_it().unwrap().wait().unwrap();
    assert!(peer.lxc("lxc-stop", &["-k"]).0);
    assert_eq!(try_it().unwrap_err().errno(), Some(Errno::ECONNREFUSED));
}

/// A host with busy threads: forks must never inherit a lock that nobody will release.
#[test]
fn a_busy_host_with_many_threads_attaches_without_hanging() {
    let peer = peer!("stress");
    let stop = AtomicBool::new(false);
    let slowest = std::thread::scope(|scope| {
        for thread in 0..6 {
            let stop = &stop;
            scope.spawn(move || {
                let mut keep = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    keep.push(vec![thread as u8; 1 + keep.len() % 5000]);
                    if keep.len() > 1000 {
                        keep.clear();
                    }
                    let _ = nix::unistd::User::from_uid(0.into());
                    let _ = std::env::var("PATH");
                    tracing::info!(thread, "busy");
                }
            });
        }
        let mut slowest = Duration::ZERO;
        for turn in 0..150 {
            let begun = Instant::now();
            let options = AttachOptions {
                flags: flags::DEFAULT & !flags::MOVE_TO_CGROUP,
                ..AttachOptions::default()
            };
            let task = match turn % 3 {
                0 => AttachTask::Shell,
                _ => AttachTask::Exec(arguments(&["true"]).unwrap()),
            };
            let null = std::fs::File::open("/dev/null").unwrap();
            let options = AttachOptions {
                stdin: null.as_raw_fd(),
                ..options
            };
            let attached = enter(&peer, &options, task).unwrap();
            assert_eq!(attached.wait().unwrap(), 0);
            slowest = slowest.max(begun.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        slowest
    });
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    assert!(Path::new("/proc/self").exists());
}

unsafe extern "C" fn linger(_payload: *mut c_void) -> c_int {
    std::thread::sleep(Duration::from_secs(3));
    0
}

/// Each fork inherits what the other threads have open at that moment; none may wait for another.
#[test]
fn many_threads_attach_at_once_and_nothing_is_left() {
    // Descriptors and children are counted for a whole process: this test needs one of its own.
    const NAME: &str = "many_threads_attach_at_once_and_nothing_is_left";
    if std::env::var_os("RLXC_TEST_ALONE").is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        alone
            .args(["--exact", NAME, "--nocapture"])
            .env("RLXC_TEST_ALONE", "1");
        assert!(alone.status().unwrap().success());
        return;
    }
    let peer = peer!("threads");
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let options = AttachOptions {
        flags: flags::DEFAULT & !flags::MOVE_TO_CGROUP,
        ..AttachOptions::default()
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for turn in 0..20 {
                    // SAFETY: the function takes any payload.
                    let callback = unsafe { Callback::new(linger, std::ptr::null_mut()) };
                    let task = match turn {
                        0 => AttachTask::Call(callback),
                        _ => AttachTask::Exec(arguments(&["true"]).unwrap()),
                    };
                    let begun = Instant::now();
                    let attached = enter(&peer, &options, task).unwrap();
                    let took = begun.elapsed();
                    assert!(took < Duration::from_secs(2), "{took:?}");
                    assert_eq!(attached.wait().unwrap(), 0);
                }
            });
        }
    });
    assert_eq!(open(), before);
    let children = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    for thread in children {
        let list = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        assert_eq!(list.trim(), "", "children are left");
    }
}
