//! Starting, running and ending containers as root.
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

mod common;

use common::Container;
use rlxc_monitor::State;
use rlxc_runtime::Mode;

#[test]
fn a_container_starts_runs_and_stops() {
    need_root!();
    let container = Container::new("lifecycle");
    let started = container
        .start()
        .unwrap_or_else(|e| panic!("{e}\n{}", container.log()));
    let client = container.client();
    assert_eq!(client.state().expect("state"), State::Running);
    assert_eq!(client.init_pid().expect("pid"), started.init);
    assert!(started.timings.iter().any(|t| t.step == "clone"));
    let line = std::fs::read(format!("/proc/{}/cmdline", started.monitor)).expect("monitor");
    let line = String::from_utf8_lossy(&line).into_owned();
    assert!(line.starts_with("[lxc monitor] /tmp/"), "{line}");
    client.stop().expect("stop");
    container.assert_clean();
}

#[test]
fn the_tools_of_lxc_see_it() {
    need_root!();
    let container = Container::new("peer");
    let started = container.start().expect("start");
    let Ok(info) = std::process::Command::new("lxc-info")
        .arg("-P")
        .arg(&container.lxcpath)
        .args(["-n", &container.name, "-s", "-p", "-H"])
        .output()
    else {
        println!("skipped: lxc-info");
        return;
    };
    let text = String::from_utf8_lossy(&info.stdout).into_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(
        words,
        ["State:", "RUNNING", "PID:", &started.init.to_string()]
    );
}

#[test]
fn a_second_start_is_refused() {
    need_root!();
    let container = Container::new("second");
    container.start().expect("start");
    let error = container.start().expect_err("a second start");
    assert_eq!(error.step, "command socket");
    assert_eq!(container.client().state().expect("state"), State::Running);
}

#[test]
fn the_exit_status_is_reported() {
    need_root!();
    let mut container = Container::new("status");
    container.daemonize = false;
    container.command(&["/bin/sh", "-c", "exit 7"]);
    assert_eq!(container.start().expect("start").status, Some(7 << 8));
    container.mode = Mode::Execute;
    assert_eq!(container.start().expect("start").status, Some(7 << 8));
    container.command(&["sh", "-c", "kill -9 $$"]);
    assert_eq!(container.start().expect("start").status, Some(137 << 8));
    container.assert_clean();
}

#[test]
fn the_inside_is_a_container() {
    need_root!();
    let mut container = Container::new("inside");
    let text = container.output("echo $$; hostname; cat /proc/self/mountinfo; ls -l /dev; env");
    assert!(text.starts_with("1\ninside\n"), "{text}");
    for piece in [
        " / /dev rw",
        " /proc rw,nosuid,nodev,noexec",
        " /proc/sys ro,",
        " /proc/sys/net rw,",
        " /sys ro,",
        " /sys/devices/virtual/net rw,",
        " /dev/pts rw,nosuid,noexec",
        " /dev/console ",
        " /dev/tty2 ",
        " /dev/ptmx ",
        " /proc/sys/kernel/random/boot_id ro,",
        "container=lxc",
        "container_ttys=pts/1 pts/2",
        "fd -> /proc/self/fd",
    ] {
        assert!(text.contains(piece), "{piece} is missing in\n{text}");
    }
    let host = container.lxcpath.to_string_lossy().into_owned();
    assert_eq!(
        text.matches(&host).count(),
        1,
        "only the rootfs itself:\n{text}"
    );
}

#[test]
fn a_reboot_starts_it_again() {
    need_root!();
    let mut container = Container::new("reboot");
    container.command(&[
        "/bin/sh",
        "-c",
        "if test -e /again; then exec sleep 1000; fi; touch /again; exec reboot -f",
    ]);
    container.start().expect("start");
    for _ in 0..200 {
        let line = container
            .client()
            .init_pid()
            .ok()
            .and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok());
        if line.is_some_and(|line| line.starts_with("sleep")) {
            container.client().stop().expect("stop");
            container.assert_clean();
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("not started again\n{}", container.log());
}

/// `lxc.monitor.signal.pdeath`: what init gets when its monitor is killed; SIGKILL unless said otherwise.
#[test]
fn init_gets_the_configured_signal_when_its_monitor_dies() {
    need_root!();
    let script = "trap 'echo told > /told; exit' TERM; echo up > /up; while :; do sleep 0.05; done";
    for (signal, told, survives) in [(9, false, false), (15, true, false), (0, false, true)] {
        let mut container = Container::new("pdeath");
        container.config.monitor_signal_pdeath = Some(signal);
        container.command(&["/bin/sh", "-c", script]);
        let started = container.start().expect("a start");
        let file = |name: &str| container.rootfs().join(name);
        wait_until(|| file("up").exists());
        let kill = |pid, signal| {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
        };
        kill(started.monitor, nix::sys::signal::Signal::SIGKILL);
        wait_until(|| !runs(started.monitor));
        if survives {
            std::thread::sleep(std::time::Duration::from_millis(200));
            assert!(runs(started.init));
            kill(started.init, nix::sys::signal::Signal::SIGKILL);
        }
        wait_until(|| !runs(started.init));
        assert_eq!(file("told").exists(), told, "signal {signal}");
        // A monitor that is killed leaves its cgroups.
        rlxc_tests::cgroups::remove_left(&[&container.name]);
    }
}

/// Whether a process is there and no zombie.
fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

fn wait_until(done: impl Fn() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("10 seconds were not enough");
}
