//! The installed LXC's tools ask a monitor of ours.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Monitor, Order};
use rlxc_monitor::State;

struct Container {
    lxcpath: PathBuf,
    monitor: Monitor,
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.lxcpath);
    }
}

impl Container {
    /// A defined container that runs as far as anybody can tell by asking.
    fn new(test: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: root");
            return None;
        }
        if Command::new("lxc-info").arg("--version").output().is_err() {
            println!("skipped: lxc-info (package lxc)");
            return None;
        }
        let lxcpath = PathBuf::from(format!("/tmp/rlxc-attach-{test}-{}", std::process::id()));
        std::fs::create_dir_all(lxcpath.join("c/rootfs")).unwrap();
        let config = format!("lxc.rootfs.path = dir:{}/c/rootfs\n", lxcpath.display());
        std::fs::write(lxcpath.join("c/config"), config).unwrap();
        let monitor = Monitor::start_named(&lxcpath, "c");
        Some(Self { lxcpath, monitor })
    }

    fn command(&self, tool: &str, args: &[&str]) -> Command {
        let mut command = Command::new(tool);
        command.arg("-P").arg(&self.lxcpath).args(args);
        command.stdin(Stdio::null());
        command
    }

    fn output(&self, tool: &str, args: &[&str]) -> String {
        let output = self.command(tool, args).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).unwrap()
    }
}

#[test]
fn lxc_info_and_lxc_ls_see_state_pid_and_name() {
    let Some(container) = Container::new("info") else {
        return;
    };
    assert_eq!(
        container.output("lxc-info", &["-n", "c", "-s", "-H"]),
        "RUNNING\n"
    );
    let pid = std::process::id().to_string();
    assert_eq!(
        container.output("lxc-info", &["-n", "c", "-p", "-H"]),
        pid + "\n"
    );
    assert_eq!(container.output("lxc-ls", &["-1", "--running"]).trim(), "c");
    assert_eq!(container.output("lxc-ls", &["-1", "--stopped"]).trim(), "");
    container.monitor.order(Order::Announce(State::Frozen));
    assert_eq!(container.output("lxc-ls", &["-1", "--frozen"]).trim(), "c");
}

#[test]
fn lxc_wait_is_told_about_the_state() {
    let Some(container) = Container::new("lxcwait") else {
        return;
    };
    let wait = |states: &str| {
        let mut command = container.command("lxc-wait", &["-n", "c", "-t", "5", "-s", states]);
        command.spawn().unwrap()
    };
    assert!(wait("RUNNING").wait().unwrap().success());
    let mut frozen = wait("FROZEN|ABORTING");
    let mut stopped = wait("STOPPED");
    std::thread::sleep(Duration::from_millis(300));
    assert!(frozen.try_wait().unwrap().is_none());
    container.monitor.order(Order::Announce(State::Frozen));
    assert!(frozen.wait().unwrap().success());
    container.monitor.order(Order::Announce(State::Stopped));
    assert!(stopped.wait().unwrap().success());
}

#[test]
fn lxc_console_takes_a_tty_and_is_refused_a_taken_one() {
    let Some(container) = Container::new("lxcconsole") else {
        return;
    };
    let tty = container.monitor.client.tty(1).unwrap();
    let text = container.output("lxc-console", &["-n", "c", "-t", "1"]);
    assert!(text.contains("Denied access to tty"), "{text}");
    drop(tty);
}
