//! The program: status, signals, reaping.
#![allow(clippy::expect_used, missing_docs)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn init(script: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_lxc-init"))
        .args(["-n", "test", "--", "sh", "-c", script])
        .stderr(Stdio::null())
        .spawn()
        .expect("lxc-init")
}

#[test]
fn the_commands_status_is_its_own() {
    let code = |script| init(script).wait().expect("ended").code();
    assert_eq!(code("exit 4"), Some(4));
    assert_eq!(code("kill -9 $$"), Some(137));
}

#[test]
fn a_missing_command_is_127() {
    let status = Command::new(env!("CARGO_BIN_EXE_lxc-init"))
        .args(["-n", "test", "--", "/no/such/program"])
        .stderr(Stdio::null())
        .status();
    assert_eq!(status.expect("ended").code(), Some(127));
}

#[test]
fn a_term_signal_ends_the_command() {
    let mut child = init("sleep 100");
    std::thread::sleep(Duration::from_millis(200));
    let before = Instant::now();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("kill");
    let status = child.wait().expect("ended");
    assert_eq!(status.code(), Some(143));
    assert!(before.elapsed() < Duration::from_secs(10));
}

#[test]
fn other_signals_are_passed_on() {
    let mut child = init("trap 'exit 9' USR1; while :; do sleep 0.05; done");
    std::thread::sleep(Duration::from_millis(300));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGUSR1).expect("kill");
    assert_eq!(child.wait().expect("ended").code(), Some(9));
}
