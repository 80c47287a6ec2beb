//! Attaching to and controlling containers that we started, by us and by the installed LXC.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

use common::Container;
use nix::errno::Errno;
use rlxc_config::{IdKind, IdMap};
use rlxc_monitor::State;
use rlxc_monitor::protocol::ConsoleLogRequest;
use rlxc_runtime::attach::{AttachOptions, AttachTask, arguments, attach, flags};
use rlxc_runtime::control::{
    Outcome, Reception, freeze, reboot_wait, shutdown, stop, unfreeze, wait,
};
use rlxc_runtime::terminal::Pty;

fn pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap()
}

fn run(container: &Container, options: AttachOptions, argv: &[&str]) -> (i32, String) {
    let (read, write) = pipe();
    let options = AttachOptions {
        stdout: write.as_raw_fd(),
        ..options
    };
    let task = AttachTask::Exec(arguments(argv).unwrap());
    let attached = attach(
        &container.lxcpath,
        &container.name,
        &container.config,
        &options,
        task,
    );
    let attached = attached.unwrap_or_else(|e| panic!("{e}: {:?}\n{}", e.errno(), container.log()));
    drop(write);
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    (attached.wait().unwrap(), text)
}

fn output(container: &Container, argv: &[&str]) -> String {
    let (status, text) = run(container, AttachOptions::default(), argv);
    assert_eq!(status, 0, "{argv:?}: {text}");
    text
}

/// Whether the container has cgroups, without which it cannot be frozen.
fn has_cgroups(container: &Container) -> bool {
    let has = container.client().cgroups().is_ok();
    if !has {
        println!("skipped: cgroups that the container can be put in");
    }
    has
}

fn seconds(n: u64) -> Option<Duration> {
    Some(Duration::from_secs(n))
}

#[test]
fn we_attach_to_our_own_container() {
    need_root!();
    let mut container = Container::new("own");
    container.config.environment = vec![("FROM_CONFIG".into(), "1".into())].into();
    container.config.caps.drop = vec!["sys_time".into()];
    container.start().unwrap();
    assert_eq!(output(&container, &["hostname"]), "own\n");
    assert_eq!(output(&container, &["cat", "/proc/1/comm"]), "sleep\n");
    assert!(output(&container, &["env"]).contains("FROM_CONFIG=1\n"));
    let cgroups = output(&container, &["cat", "/proc/self/cgroup"]);
    for line in cgroups.lines() {
        let path = line.splitn(3, ':').nth(2).unwrap();
        assert!(
            path == "/" || path == "/.lxc",
            "outside of the container's cgroup: {line}"
        );
    }
    let bounding = |pid| {
        output(
            &container,
            &["grep", "CapBnd", &format!("/proc/{pid}/status")],
        )
    };
    assert_eq!(bounding("self"), bounding("1"));
    stop(&container.client(), Duration::from_secs(10)).unwrap();
    container.assert_clean();
}

#[test]
fn a_terminal_is_one_of_the_containers_devpts() {
    need_root!();
    let container = Container::new("ownpty");
    container.start().unwrap();
    let user = Pty::from_host().unwrap();
    let (read, write) = pipe();
    let options = AttachOptions {
        flags: flags::DEFAULT | flags::TERMINAL,
        stdin: user.pts.as_raw_fd(),
        stdout: write.as_raw_fd(),
        ..AttachOptions::default()
    };
    let task = AttachTask::Exec(arguments(&["sh", "-c", "tty; test -c $(tty) && exit 5"]).unwrap());
    let name = &container.name;
    let attached = attach(&container.lxcpath, name, &container.config, &options, task).unwrap();
    attached.show_terminal(&options).unwrap();
    assert_eq!(attached.wait().unwrap(), 5 << 8);
    drop(write);
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    assert!(text.starts_with("/dev/pts/"), "{text}");
}

#[test]
fn in_a_user_namespace_of_ours_the_process_is_its_root() {
    need_root!();
    let mut container = Container::new("ownuser");
    let map = |kind| IdMap {
        kind,
        nsid: 0,
        hostid: 100_000,
        range: 65_536,
    };
    container.config.idmap = vec![map(IdKind::Uid), map(IdKind::Gid)];
    let rootfs = container.rootfs();
    let status = Command::new("chown")
        .args(["-R", "100000:100000", rootfs.to_str().unwrap()])
        .status();
    assert!(status.unwrap().success());
    if let Err(error) = container.start() {
        panic!("{error}\n{}", container.log());
    }
    assert_eq!(output(&container, &["id", "-u"]), "0\n");
    assert!(output(&container, &["cat", "/proc/self/uid_map"]).contains("100000"));
    let options = AttachOptions {
        uid: Some(7),
        gid: Some(8),
        ..AttachOptions::default()
    };
    let (_, ids) = run(&container, options, &["sh", "-c", "id -u; id -g"]);
    assert_eq!(ids, "7\n8\n");
}

#[test]
fn lxcs_own_tools_attach_to_ours_freeze_it_and_stop_it() {
    need_root!();
    let container = Container::new("theirs");
    container.start().unwrap();
    let dir = container.lxcpath.join(&container.name);
    let rootfs = container.rootfs();
    std::fs::write(
        dir.join("config"),
        format!(
            "lxc.rootfs.path = dir:{}\nlxc.uts.name = theirs\n",
            rootfs.display()
        ),
    )
    .unwrap();
    let lxc = |tool: &str, args: &[&str]| {
        let run = Command::new(tool)
            .args([
                "-P",
                container.lxcpath.to_str().unwrap(),
                "-n",
                &container.name,
            ])
            .args(args)
            .output();
        run.ok().map(|output| {
            let text = [output.stdout, output.stderr].concat();
            (
                output.status.code(),
                String::from_utf8_lossy(&text).into_owned(),
            )
        })
    };
    let Some(attached) = lxc("lxc-attach", &["--", "hostname"]) else {
        println!("skipped: lxc-attach (package lxc)");
        return;
    };
    assert_eq!(attached, (Some(0), "theirs\n".into()));
    assert_eq!(
        lxc("lxc-attach", &["--", "sh", "-c", "exit 9"]).unwrap().0,
        Some(9)
    );
    if has_cgroups(&container) {
        assert_eq!(lxc("lxc-freeze", &[]).unwrap(), (Some(0), String::new()));
        assert_eq!(container.client().state().unwrap(), State::Frozen);
        assert_eq!(lxc("lxc-unfreeze", &[]).unwrap(), (Some(0), String::new()));
        assert_eq!(container.client().state().unwrap(), State::Running);
    }
    assert_eq!(lxc("lxc-stop", &["-k"]).unwrap(), (Some(0), String::new()));
    assert_eq!(container.client().state().unwrap(), State::Stopped);
    container.assert_clean();
}

#[test]
fn freezing_waiting_and_shutting_down_work_on_our_own() {
    need_root!();
    let mut container = Container::new("ownctl");
    container.command(&[
        "/bin/sh",
        "-c",
        "trap 'exit 0' PWR; while true; do sleep 0.05; done",
    ]);
    container.start().unwrap();
    let client = container.client();
    if has_cgroups(&container) {
        freeze(&client, seconds(5)).unwrap_or_else(|e| panic!("{e}: {:?}", e.errno()));
        assert_eq!(client.state().unwrap(), State::Frozen);
        let frozen = State::Frozen.into();
        assert_eq!(
            wait(&client, frozen, seconds(1)).unwrap(),
            Some(State::Frozen)
        );
        unfreeze(&client, seconds(5)).unwrap();
        assert_eq!(client.state().unwrap(), State::Running);
    }
    std::thread::sleep(Duration::from_millis(100));
    let outcome = shutdown(&client, &container.config, seconds(10), |halt| {
        assert_eq!(halt.reception, Reception::Expected);
        true
    });
    assert_eq!(outcome.unwrap(), Outcome::Done);
    container.assert_clean();
}

#[test]
fn a_frozen_container_of_ours_can_be_stopped() {
    need_root!();
    let container = Container::new("ownfrozen");
    container.start().unwrap();
    if !has_cgroups(&container) {
        return;
    }
    let client = container.client();
    freeze(&client, seconds(5)).unwrap();
    stop(&client, Duration::from_secs(10)).unwrap();
    container.assert_clean();
}

#[test]
fn a_reboot_of_ours_is_waited_for() {
    need_root!();
    let mut container = Container::new("ownreboot");
    container.command(&[
        "/bin/sh",
        "-c",
        "trap 'exec busybox reboot -f' INT; while true; do sleep 0.05; done",
    ]);
    container.start().unwrap();
    let client = container.client();
    let first = client.init_pid().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let outcome = reboot_wait(&client, &container.config, seconds(10), |_| true);
    assert_eq!(outcome.unwrap(), Outcome::Done);
    assert_ne!(client.init_pid().unwrap(), first);
}

#[test]
fn the_console_of_ours_is_shown_and_logged() {
    need_root!();
    let mut container = Container::new("owncons");
    container.config.console.buffer_size = 4096;
    container.command(&[
        "/bin/sh",
        "-c",
        "exec <>/dev/console >&0 2>&1; stty raw -echo; echo boot; while read line; do echo got:$line; done; sleep 1000",
    ]);
    container.start().unwrap();
    let client = container.client();
    let tty = client.tty(0).unwrap();
    assert_eq!(client.tty(0).unwrap_err().errno(), Some(Errno::EBUSY));
    let mut terminal = File::from(tty.ptx.try_clone().unwrap());
    std::thread::sleep(Duration::from_millis(200));
    terminal.write_all(b"hello\n").unwrap();
    let mut seen = String::new();
    while !seen.contains("got:hello") {
        let mut polls = [nix::poll::PollFd::new(
            tty.ptx.as_fd(),
            nix::poll::PollFlags::POLLIN,
        )];
        let ready = nix::poll::poll(&mut polls, nix::poll::PollTimeout::from(5000u16)).unwrap();
        assert_eq!(ready, 1, "the console says nothing after {seen:?}");
        let mut piece = [0; 256];
        let count = terminal.read(&mut piece).unwrap();
        seen.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    let request = ConsoleLogRequest {
        read: true,
        ..ConsoleLogRequest::default()
    };
    let log = String::from_utf8(client.console_log(&request).unwrap()).unwrap();
    assert!(log.contains("boot") && log.contains("got:hello"), "{log:?}");
}

#[test]
fn lxcs_own_monitor_shows_the_life_of_ours() {
    need_root!();
    let mut container = Container::new("events");
    container.command(&["/bin/sh", "-c", "sleep 0.2; exit 3"]);
    let monitor = Command::new("lxc-monitor")
        .args([
            "-P",
            container.lxcpath.to_str().unwrap(),
            "-n",
            &container.name,
        ])
        .stdout(std::process::Stdio::piped())
        .spawn();
    let Ok(mut monitor) = monitor else {
        println!("skipped: lxc-monitor (package lxc)");
        return;
    };
    std::thread::sleep(Duration::from_millis(500));
    container.start().unwrap();
    wait(&container.client(), State::Stopped.into(), seconds(5)).unwrap();
    let lines = std::io::BufReader::new(monitor.stdout.take().unwrap());
    let lines: Vec<String> = std::io::BufRead::lines(lines)
        .take(5)
        .map(|line| line.unwrap().replace(&container.name, "c"))
        .collect();
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    rlxc_monitor::events::quit_monitord(&container.lxcpath).unwrap();
    let expected = [
        "'c' changed state to [STARTING]",
        "'c' changed state to [RUNNING]",
        "'c' exited with status [3]",
        "'c' changed state to [STOPPING]",
        "'c' changed state to [STOPPED]",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn lxcs_own_console_reaches_a_tty_of_ours() {
    need_root!();
    let mut container = Container::new("lxccons");
    container.command(&[
        "/bin/sh",
        "-c",
        "exec </dev/tty1 >/dev/tty1 2>&1; stty -echo; while read line; do echo got:$line; done",
    ]);
    container.start().unwrap();
    let config = format!("lxc.rootfs.path = dir:{}\n", container.rootfs().display());
    let dir = container.lxcpath.join(&container.name);
    std::fs::write(dir.join("config"), config).unwrap();
    let user = Pty::from_host().unwrap();
    let stdio = || std::process::Stdio::from(user.pts.try_clone().unwrap());
    let child = Command::new("setsid")
        .args(["-c", "lxc-console", "-t", "1"])
        .args([
            "-P",
            container.lxcpath.to_str().unwrap(),
            "-n",
            &container.name,
        ])
        .stdin(stdio())
        .stdout(stdio())
        .stderr(stdio())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: setsid (package util-linux)");
        return;
    };
    let mut screen = File::from(user.ptx.try_clone().unwrap());
    let mut seen = String::new();
    let mut until = |text: &str, screen: &mut File| {
        while !seen.contains(text) {
            let mut polls = [nix::poll::PollFd::new(
                screen.as_fd(),
                nix::poll::PollFlags::POLLIN,
            )];
            let ready = nix::poll::poll(&mut polls, nix::poll::PollTimeout::from(5000u16)).unwrap();
            assert_eq!(ready, 1, "nothing after {seen:?}");
            let mut piece = [0; 256];
            let count = screen.read(&mut piece).unwrap();
            seen.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
    };
    until("Connected to tty 1", &mut screen);
    // It sets its terminal to raw mode only now.
    std::thread::sleep(Duration::from_millis(200));
    screen.write_all(b"hello\r").unwrap();
    until("got:hello", &mut screen);
    screen.write_all(b"\x01q").unwrap();
    assert!(child.wait().unwrap().success());
    container.client().tty(1).unwrap();
}

/// Runs an ignored test of this program as an ordinary user.
fn as_user(test: &str) {
    let own = std::env::current_exe().unwrap();
    // The user may not be able to reach the build directory: everything is copied.
    let dir = format!("/tmp/rlxc-attach-bin-{}-{test}", std::process::id());
    std::fs::create_dir_all(&dir).unwrap();
    let copy = format!("{dir}/tests");
    std::fs::copy(&own, &copy).unwrap();
    let monitor = rlxc_runtime::monitor_program().unwrap();
    std::fs::copy(monitor, format!("{dir}/rlxc-monitor")).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", "4712", "--regid", "4712", "--clear-groups"])
        .args([&copy, "--ignored", "--exact", "--nocapture", test])
        .env("HOME", &dir)
        .env("RLXC_TEST_INNER", "1")
        .current_dir("/")
        .output()
        .unwrap();
    let _ = std::fs::remove_dir_all(&dir);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
fn a_user_attaches_to_a_container_of_a_single_id() {
    need_root!();
    as_user("inner_rootless");
}

#[test]
#[ignore = "run by a_user_attaches_to_a_container_of_a_single_id, as that user"]
fn inner_rootless() {
    if std::env::var_os("RLXC_TEST_INNER").is_none() {
        return;
    }
    let container = Container::new("rootless");
    if let Err(error) = container.start() {
        panic!("{error}\n{}", container.log());
    }
    assert_eq!(output(&container, &["id", "-u"]), "0\n");
    assert_eq!(output(&container, &["hostname"]), "rootless\n");
    assert!(output(&container, &["cat", "/proc/self/uid_map"]).contains("4712"));
    let client = container.client();
    assert!(client.may_control());
    stop(&client, Duration::from_secs(10)).unwrap();
    container.assert_clean();
}
