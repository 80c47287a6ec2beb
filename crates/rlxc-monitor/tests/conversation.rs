//! Our client and our server talk to each other; hostile clients talk to our server.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Monitor, Order};
use nix::errno::Errno;
use proptest::prelude::*;
use rlxc_monitor::protocol::{ConsoleLogRequest, DeviceRule, StateWish};
use rlxc_monitor::server::Listener;
use rlxc_monitor::{Client, Error, State, StateSet, active_containers, socket_name};

fn raw(client: &Client) -> UnixStream {
    let name = socket_name(client.lxcpath(), client.name());
    let stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    stream
}

#[test]
fn every_simple_question_gets_its_answer() {
    let monitor = Monitor::start("simple");
    let client = &monitor.client;
    assert_eq!(client.state().unwrap(), State::Running);
    assert_eq!(client.init_pid().unwrap(), std::process::id() as i32);
    assert_eq!(client.clone_flags().unwrap(), 0x2c02_0000);
    assert_eq!(client.monitor_name().unwrap(), client.name());
    assert_eq!(client.monitor_lxcpath().unwrap(), "/rlxc-monitor-test");
    assert_eq!(client.cgroup(None).unwrap(), "/lxc.payload.x");
    assert_eq!(
        client.limit_cgroup(Some("none")).unwrap_err().errno(),
        Some(Errno::ENOENT)
    );
    assert_eq!(client.config_item("lxc.arch").unwrap().unwrap(), "x86_64");
    assert_eq!(client.config_item("lxc.nope").unwrap(), None);
    assert_eq!(client.cgroups().unwrap().dirs.len(), 10);
    client.init_pidfd().unwrap();
    client.cgroup_fd("freezer", true).unwrap();
    let refused = |result: Option<Error>| result.and_then(|e| e.errno());
    assert_eq!(
        refused(client.cgroup_fd("cpu", false).err()),
        Some(Errno::ENOENT)
    );
    assert_eq!(refused(client.devpts_fd().err()), Some(Errno::EBADF));
    assert_eq!(refused(client.cgroup2_fd().err()), Some(Errno::EINVAL));
    assert_eq!(refused(client.systemd_scope().err()), Some(Errno::EINVAL));
    assert!(client.may_control());
    let rule = |major| DeviceRule {
        kind: b'c',
        major,
        minor: 3,
        access: *b"rw\0\0",
        allow: 1,
    };
    client.add_device_rule(&rule(1)).unwrap();
    assert!(client.add_device_rule(&rule(2)).is_err());
}

#[test]
fn a_second_monitor_of_the_same_container_is_told_so() {
    let monitor = Monitor::start("second");
    let error = Listener::bind(monitor.client.lxcpath(), monitor.client.name()).unwrap_err();
    assert!(matches!(error, Error::AlreadyRunning { .. }));
}

#[test]
fn running_containers_are_found_under_plain_and_hashed_names() {
    let lxcpath = format!("/rlxc-monitor-active-{}", std::process::id());
    let long = "n".repeat(120);
    let _plain = Monitor::start_named(Path::new(&lxcpath), "c1");
    let _hashed = Monitor::start_named(Path::new(&lxcpath), &long);
    assert_eq!(
        active_containers(Path::new(&lxcpath)).unwrap(),
        ["c1".to_owned(), long]
    );
}

#[test]
fn an_absent_monitor_means_stopped() {
    let client = Client::new("/rlxc-monitor-test", "nobody");
    assert_eq!(client.state().unwrap(), State::Stopped);
    assert!(client.init_pid().unwrap_err().is_not_running());
    client.stop().unwrap();
    assert!(client.may_control());
}

#[test]
fn a_console_log_of_megabytes_arrives_whole_though_the_client_is_slow() {
    let monitor = Monitor::start("log");
    let request = ConsoleLogRequest {
        read: true,
        ..ConsoleLogRequest::default()
    };
    assert_eq!(
        monitor.client.console_log(&request).unwrap().len(),
        3_000_000
    );
    let empty = monitor.client.console_log(&request).unwrap_err();
    assert_eq!(empty.errno(), Some(Errno::ENODATA));
}

#[test]
fn a_tty_is_free_again_when_its_holder_is_gone() {
    let monitor = Monitor::start("tty");
    let tty = monitor.client.tty(-1).unwrap();
    assert_eq!(tty.number, 1);
    assert!(monitor.client.tty(-1).is_err());
    drop(tty);
    let until = Instant::now() + Duration::from_secs(5);
    while monitor.client.tty(1).is_err() {
        assert!(Instant::now() < until, "the tty never came back");
    }
}

#[test]
fn state_clients_are_told_and_kept_over_a_reboot_only_if_they_asked() {
    let mut monitor = Monitor::start("states");
    let watch = |states: StateSet, over_reboot| {
        let wish = StateWish {
            states,
            over_reboot,
        };
        monitor.client.watch(wish).unwrap()
    };
    let soon = || Some(Instant::now() + Duration::from_secs(5));
    assert_eq!(watch(State::Running.into(), false).unwrap(), State::Running);
    watch(State::Running.into(), true).unwrap_err();
    let frozen = watch(State::Frozen.into(), false).unwrap_err();
    let stopped = watch(State::Stopped.into(), false).unwrap_err();
    monitor.client.serve_state(State::Frozen).unwrap();
    assert_eq!(frozen.wait(soon()).unwrap(), Some(State::Frozen));
    assert_eq!(monitor.client.state().unwrap(), State::Frozen);
    let running = watch(State::Running.into(), true).unwrap_err();
    let aborting = watch(State::Aborting.into(), false).unwrap_err();
    monitor.order(Order::Announce(State::Stopped));
    assert_eq!(stopped.wait(soon()).unwrap(), Some(State::Stopped));
    monitor.order(Order::Reboot);
    assert_eq!(aborting.wait(soon()).unwrap(), Some(State::Stopped));
    let brief = Some(Instant::now() + Duration::from_millis(20));
    assert_eq!(running.wait(brief).unwrap(), None);
    monitor.order(Order::Announce(State::Thawed));
    monitor.order(Order::Announce(State::Running));
    assert_eq!(running.wait(soon()).unwrap(), Some(State::Running));
    monitor.end();
    assert_eq!(monitor.client.state().unwrap(), State::Stopped);
}

#[test]
fn an_answer_may_come_later_while_others_are_served() {
    let monitor = Monitor::start("later");
    let client = monitor.client.clone();
    let freezing = std::thread::spawn(move || client.freeze(-1));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(monitor.client.state().unwrap(), State::Running);
    monitor.order(Order::FinishFreeze);
    freezing.join().unwrap().unwrap();
}

#[test]
fn a_stuck_monitor_is_named_within_the_deadline() {
    let monitor = Monitor::start("stuck");
    monitor.order(Order::Hang(Duration::from_secs(1)));
    std::thread::sleep(Duration::from_millis(20));
    let begun = Instant::now();
    let quick = monitor
        .client
        .clone()
        .with_deadline(Duration::from_millis(100));
    let error = quick.state().unwrap_err();
    assert!(matches!(error, Error::Unresponsive { .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_millis(800));
}

#[test]
fn a_full_backlog_does_not_outlast_the_deadline() {
    let name = format!("full-{}", std::process::id());
    let lxcpath = Path::new("/rlxc-monitor-test");
    let _deaf = Listener::bind(lxcpath, &name).unwrap();
    let client = Client::new(lxcpath, &name).with_deadline(Duration::from_millis(300));
    let begun = Instant::now();
    let waiting: Vec<_> = (0..104)
        .map(|_| {
            let client = client.clone();
            std::thread::spawn(move || client.state())
        })
        .collect();
    for thread in waiting {
        let error = thread.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Unresponsive { .. }), "{error:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_stranger_on_the_socket_is_not_believed() {
    const INNER: &str = "RLXC_TEST_IMPOSTOR";
    let lxcpath = Path::new("/usr");
    if let Ok(name) = std::env::var(INNER) {
        let _monitor = Monitor::start_named(lxcpath, &name);
        println!("listening");
        std::io::stdin().read_exact(&mut [0]).unwrap();
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: root");
        return;
    }
    let name = format!("impostor-{}", std::process::id());
    let copy = format!("/tmp/rlxc-attach-{name}");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let child = std::process::Command::new("setpriv")
        .args([
            "--reuid",
            "4712",
            "--regid",
            "4712",
            "--clear-groups",
            &copy,
        ])
        .args([
            "--exact",
            "--nocapture",
            "a_stranger_on_the_socket_is_not_believed",
        ])
        .env(INNER, &name)
        .current_dir("/")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: setpriv (package util-linux)");
        return;
    };
    let client = Client::new(lxcpath, &name);
    let until = Instant::now() + Duration::from_secs(5);
    let error = loop {
        match client.init_pid() {
            Err(Error::NotRunning { .. }) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => break other,
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(&copy).unwrap();
    assert!(
        matches!(error, Err(Error::Impostor { uid: 4712, .. })),
        "{error:?}"
    );
}

#[test]
fn slow_and_silent_clients_do_not_keep_others_waiting() {
    let monitor = Monitor::start("slow");
    let silent: Vec<_> = (0..90).map(|_| raw(&monitor.client)).collect();
    let mut slow = raw(&monitor.client);
    for byte in [3i32.to_ne_bytes(), [0; 4], [0; 4]].concat() {
        slow.write_all(&[byte]).unwrap();
        assert_eq!(monitor.client.state().unwrap(), State::Running);
    }
    slow.write_all(&[0; 4]).unwrap();
    let mut answer = [0; 16];
    slow.read_exact(&mut answer).unwrap();
    assert_eq!(answer[8], 2);
    drop(silent);
}

/// LXC's hardening of its command socket (2026-08): callbacks trusted the length that the client names.
#[test]
fn unknown_commands_and_bad_lengths_are_refused() {
    let monitor = Monitor::start("bad");
    let ask = |command: i32, datalen: i32, payload: &[u8]| {
        let mut stream = raw(&monitor.client);
        let mut frame = [0; 16];
        frame[..4].copy_from_slice(&command.to_ne_bytes());
        frame[4..8].copy_from_slice(&datalen.to_ne_bytes());
        stream.write_all(&frame).unwrap();
        let _ = stream.write_all(payload);
        let mut answer = [0; 16];
        let got = stream.read_exact(&mut answer);
        got.ok()
            .map(|()| Errno::from_raw(-i32::from_ne_bytes(answer[..4].try_into().unwrap())))
    };
    assert_eq!(ask(27, 0, b""), Some(Errno::ENOSYS));
    assert_eq!(ask(-5, 0, b""), Some(Errno::ENOSYS));
    assert_eq!(ask(7, 8193, b""), None);
    assert_eq!(ask(7, -1, b""), None);
    assert_eq!(ask(7, 4, b"abcd"), Some(Errno::EINVAL));
    assert_eq!(ask(7, 4, b"a\0c\0"), Some(Errno::EINVAL));
    assert_eq!(ask(10, 3, b"abc"), Some(Errno::EINVAL));
    assert_eq!(ask(11, 3, b"abc"), Some(Errno::EINVAL));
    assert_eq!(ask(14, 3, b"abc"), Some(Errno::EINVAL));
    assert_eq!(ask(23, 3, b"abc"), Some(Errno::EINVAL));
    assert_eq!(ask(24, 80, &[b'x'; 80]), Some(Errno::EINVAL));
    assert_eq!(monitor.client.state().unwrap(), State::Running);
}

#[test]
fn the_server_outlives_any_bytes() {
    let monitor = Monitor::start("fuzz");
    let mut runner = proptest::test_runner::TestRunner::default();
    let frames = (
        prop_oneof![0i32..30, any::<i32>()],
        prop_oneof![0i32..100, any::<i32>()],
        any::<u64>(),
        prop::collection::vec(any::<u8>(), 0..200),
        0usize..216,
    );
    runner
        .run(&frames, |(command, datalen, data, payload, cut)| {
            let mut stream = raw(&monitor.client);
            let mut frame = [command.to_ne_bytes(), datalen.to_ne_bytes()].concat();
            frame.extend(data.to_ne_bytes());
            frame.extend(payload);
            frame.truncate(cut.max(1));
            let _ = stream.write_all(&frame);
            Ok(())
        })
        .unwrap();
    let state = monitor.client.state().unwrap();
    assert!(State::ALL.contains(&state));
}
