//! Controlling containers that the installed LXC has started.
#![allow(clippy::unwrap_used)]

mod peer;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use peer::{Peer, pipe};
use rlxc_config::Config;
use rlxc_monitor::protocol::ConsoleLogRequest;
use rlxc_monitor::{Error, State, StateSet, active_containers};
use rlxc_runtime::control::{
    ConsoleOptions, ControlError, DeviceAccess, Outcome, Reception, change_device, console, freeze,
    processes, reboot_wait, shutdown, stop, unfreeze, wait,
};
use rlxc_runtime::terminal::{End, Pty};

fn seconds(n: u64) -> Option<Duration> {
    Some(Duration::from_secs(n))
}

/// A container whose init is a script.
fn with_init(test: &str, script: &str) -> Option<Peer> {
    let peer = Peer::define(test, "lxc.init.cmd = /bin/myinit")?;
    let init = peer.rootfs().join("bin/myinit");
    std::fs::write(
        &init,
        format!("#!/bin/sh\n{script}\nwhile true; do sleep 0.05; done\n"),
    )
    .unwrap();
    std::fs::set_permissions(&init, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let started = peer.lxc("lxc-start", &[]);
    if !started.0 {
        println!(
            "skipped: the installed LXC cannot start a container: {}",
            started.1
        );
        return None;
    }
    // Until the handler is in place.
    std::thread::sleep(Duration::from_millis(100));
    Some(peer)
}

#[test]
fn every_question_is_answered_like_by_lxcs_own_tools() {
    let extra = "lxc.console.buffer.size = 4096";
    let Some(peer) = Peer::start("questions", extra) else {
        return;
    };
    let client = peer.client();
    assert_eq!(client.state().unwrap(), State::Running);
    let (_, pid) = peer.lxc("lxc-info", &["-p", "-H"]);
    assert_eq!(client.init_pid().unwrap().to_string(), pid.trim());
    assert_eq!(
        active_containers(&peer.lxcpath).unwrap(),
        std::slice::from_ref(&peer.name)
    );
    assert_eq!(client.monitor_name().unwrap(), peer.name);
    assert_eq!(
        client.monitor_lxcpath().unwrap(),
        peer.lxcpath.to_str().unwrap()
    );
    assert_eq!(client.config_item("lxc.tty.max").unwrap().unwrap(), "2");
    assert_eq!(client.config_item("lxc.no.such").unwrap(), None);
    assert!(
        client
            .cgroup(Some("memory"))
            .unwrap()
            .contains("lxc.payload.rlxc-attach-")
    );
    assert!(
        client
            .limit_cgroup(Some("freezer"))
            .unwrap()
            .contains("lxc.payload.rlxc-attach-")
    );
    assert_eq!(
        client.cgroup(Some("no-such")).unwrap_err().errno(),
        Some(Errno::ENOENT)
    );
    assert_ne!(client.clone_flags().unwrap() & 0x2000_0000, 0);
    assert!(!client.cgroups().unwrap().dirs.is_empty());
    client.init_pidfd().unwrap();
    client.devpts_fd().unwrap();
    assert_eq!(
        client.seccomp_notify_fd().unwrap_err().errno(),
        Some(Errno::EBADF)
    );
    let request = ConsoleLogRequest {
        read: true,
        ..ConsoleLogRequest::default()
    };
    assert_eq!(
        client.console_log(&request).unwrap_err().errno(),
        Some(Errno::ENODATA)
    );
    assert!(client.may_control());
    assert!(
        processes(&client)
            .unwrap()
            .iter()
            .any(|(_, name)| name == "sleep")
    );
}

#[test]
fn freezing_and_thawing_is_seen_by_lxcs_own_tools() {
    let Some(peer) = Peer::start("freeze", "") else {
        return;
    };
    let client = peer.client();
    freeze(&client, seconds(5)).unwrap();
    freeze(&client, seconds(5)).unwrap();
    assert_eq!(client.state().unwrap(), State::Frozen);
    assert!(peer.lxc("lxc-info", &["-s"]).1.contains("FROZEN"));
    unfreeze(&client, seconds(5)).unwrap();
    assert!(peer.lxc("lxc-info", &["-s"]).1.contains("RUNNING"));
    assert!(peer.lxc("lxc-freeze", &[]).0);
    assert_eq!(client.state().unwrap(), State::Frozen);
    stop(&client, Duration::from_secs(10)).unwrap();
    assert_eq!(client.state().unwrap(), State::Stopped);
}

#[test]
fn a_shutdown_is_waited_for_and_an_ignored_signal_is_told_before() {
    let Some(peer) = with_init("shutdown", "trap 'exit 0' PWR") else {
        return;
    };
    let client = peer.client();
    let config = Config {
        signals: rlxc_config::Signals {
            halt: Some(10),
            ..Default::default()
        },
        ..Config::default()
    };
    // SIGUSR1 has no handler there, and init gets no default action.
    let outcome = shutdown(&client, &config, Some(Duration::from_millis(100)), |halt| {
        assert_eq!(halt.reception, Reception::Ignored);
        true
    });
    assert_eq!(outcome.unwrap(), Outcome::TimedOut);
    let outcome = shutdown(&client, &Config::default(), seconds(10), |halt| {
        assert_eq!((halt.signal, halt.reception), (30, Reception::Expected));
        true
    });
    assert_eq!(outcome.unwrap(), Outcome::Done);
    let outcome = shutdown(&client, &Config::default(), seconds(10), |_| true);
    assert_eq!(outcome.unwrap(), Outcome::Done);
}

#[test]
fn a_reboot_that_ends_in_a_stop_does_not_hang() {
    let Some(peer) = with_init("reboot", "trap 'exit 0' INT") else {
        return;
    };
    let error = reboot_wait(&peer.client(), &Config::default(), seconds(10), |_| true);
    assert!(
        matches!(error, Err(ControlError::TimedOut { .. })),
        "{error:?}"
    );
}

#[test]
fn waiting_sees_a_start_a_stop_and_the_end_of_the_time() {
    let Some(peer) = Peer::define("wait", "") else {
        return;
    };
    let client = peer.client();
    let running: StateSet = "RUNNING|FROZEN".parse().unwrap();
    assert_eq!(wait(&client, running, Some(Duration::ZERO)).unwrap(), None);
    let begun = Instant::now();
    assert_eq!(
        wait(&client, running, Some(Duration::from_millis(200))).unwrap(),
        None
    );
    assert!(begun.elapsed() < Duration::from_millis(400));
    let waiting = {
        let client = client.clone();
        std::thread::spawn(move || wait(&client, running, seconds(10)))
    };
    let started = peer.lxc("lxc-start", &[]);
    if !started.0 {
        println!(
            "skipped: the installed LXC cannot start a container: {}",
            started.1
        );
        return;
    }
    assert_eq!(waiting.join().unwrap().unwrap(), Some(State::Running));
    let stopping = {
        let client = client.clone();
        std::thread::spawn(move || wait(&client, State::Stopped.into(), None))
    };
    assert!(peer.lxc("lxc-stop", &["-k"]).0);
    assert_eq!(stopping.join().unwrap().unwrap(), Some(State::Stopped));
}

#[test]
fn a_stopped_monitor_is_called_unresponsive() {
    let Some(peer) = Peer::start("stuck", "") else {
        return;
    };
    let init = peer.client().init_pid().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{init}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    let monitor = nix::unistd::Pid::from_raw(parent.unwrap().trim().parse().unwrap());
    nix::sys::signal::kill(monitor, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let client = peer.client().with_deadline(Duration::from_millis(200));
    let state = client.state();
    nix::sys::signal::kill(monitor, nix::sys::signal::Signal::SIGCONT).unwrap();
    assert!(
        matches!(state, Err(Error::Unresponsive { .. })),
        "{state:?}"
    );
    assert_eq!(peer.client().state().unwrap(), State::Running);
}

#[test]
fn a_tty_is_shown_and_left_by_the_escape_sequence() {
    let Some(peer) = Peer::start("console", "") else {
        return;
    };
    let user = Pty::from_host().unwrap();
    let mut settings = tcgetattr(&user.pts).unwrap();
    cfmakeraw(&mut settings);
    tcsetattr(&user.pts, SetArg::TCSANOW, &settings).unwrap();
    let (screen, stdout) = pipe();
    let client = peer.client();
    let mut keys = File::from(user.ptx.try_clone().unwrap());
    let inside = peer.rootfs();
    let typist = std::thread::spawn(move || {
        let mut screen = File::from(screen);
        let mut seen = Vec::new();
        while !seen.windows(5).any(|w| w == b"ready") {
            let mut piece = [0; 64];
            let count = screen.read(&mut piece).unwrap();
            seen.extend_from_slice(&piece[..count]);
        }
        keys.write_all(b"typed\r\x01q").unwrap();
    });
    let options = ConsoleOptions {
        tty: 1,
        stdin: user.pts.as_fd(),
        stdout: stdout.as_fd(),
        escape: Some(1),
    };
    let mut reader = None;
    let end = console(&client, &options, |number| {
        assert_eq!(number, 1);
        assert_eq!(client.tty(1).unwrap_err().errno(), Some(Errno::EBUSY));
        let script = "echo ready > /dev/tty1; read line < /dev/tty1; echo $line > /tmp/line";
        reader = Some(
            std::process::Command::new("lxc-attach")
                .args([
                    "-P",
                    peer.lxcpath.to_str().unwrap(),
                    "-n",
                    &peer.name,
                    "--",
                    "sh",
                    "-c",
                    script,
                ])
                .spawn()
                .unwrap(),
        );
    });
    assert_eq!(end.unwrap(), End::Escaped);
    typist.join().unwrap();
    assert!(reader.unwrap().wait().unwrap().success());
    assert_eq!(
        std::fs::read_to_string(inside.join("tmp/line")).unwrap(),
        "typed\n"
    );
}

#[test]
fn devices_are_allowed_and_denied_while_it_runs() {
    let rules = "lxc.cgroup.devices.deny = a\nlxc.cgroup.devices.allow = c 1:3 rwm";
    let Some(peer) = Peer::start("devices", rules) else {
        return;
    };
    let client = peer.client();
    let full = DeviceAccess {
        block: false,
        major: Some(1),
        minor: Some(7),
        read: true,
        write: true,
        mknod: true,
    };
    match change_device(&client, full, true) {
        Err(ControlError::Monitor(error)) if error.errno() == Some(Errno::EINVAL) => {
            println!("skipped: no devices cgroup and no device program");
            return;
        }
        other => other.unwrap(),
    }
    let list = || peer.lxc("lxc-cgroup", &["devices.list"]).1;
    assert!(list().contains("c 1:7 rwm"), "{}", list());
    change_device(&client, full, false).unwrap();
    assert!(!list().contains("c 1:7"), "{}", list());
}
