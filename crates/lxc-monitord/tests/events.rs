//! The daemon between monitors and clients, ours and those of the installed LXC.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rlxc_monitor::State;
use rlxc_monitor::events::{
    Events, fifo_path, quit_monitord, send_exit_status, send_state, start_monitord,
};
use rlxc_monitor::protocol::Event;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_lxc-monitord"))
}

fn lxcpath(test: &str) -> PathBuf {
    let path = format!("/tmp/rlxc-attach-monitord-{test}-{}", std::process::id());
    std::fs::create_dir_all(&path).unwrap();
    path.into()
}

fn next(events: &mut Events) -> Event {
    let until = Some(Instant::now() + Duration::from_secs(5));
    events.next_until(until).unwrap().unwrap().1.event
}

fn wait_gone(path: &Path) {
    let until = Instant::now() + Duration::from_secs(5);
    while path.exists() {
        assert!(Instant::now() < until, "{} stays", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Removes what a test made, and the directories of its FIFO.
fn clean(lxcpath: &Path) {
    let fifo = fifo_path(lxcpath).unwrap();
    wait_gone(&fifo);
    let _ = std::fs::remove_dir(fifo.parent().unwrap());
    let _ = std::fs::remove_dir_all(lxcpath);
}

#[test]
fn events_reach_every_client_and_quit_ends_the_daemon() {
    let path = lxcpath("quit");
    assert!(Events::connect(&[&path]).is_err());
    assert!(!quit_monitord(&path).unwrap());
    send_state(&path, "nobody-listens", State::Running).unwrap();
    start_monitord(program(), &path).unwrap();
    // A second one leaves at once.
    start_monitord(program(), &path).unwrap();
    let mut one = Events::connect(&[&path]).unwrap();
    let mut two = Events::connect(&[&path]).unwrap();
    // Accepted before anything is sent.
    std::thread::sleep(Duration::from_millis(50));
    send_state(&path, "c1", State::Starting).unwrap();
    send_exit_status(&path, "c1", 256).unwrap();
    for events in [&mut one, &mut two] {
        assert_eq!(next(events), Event::State(State::Starting));
        assert_eq!(next(events), Event::ExitCode(256));
    }
    assert!(quit_monitord(&path).unwrap());
    let until = Some(Instant::now() + Duration::from_secs(5));
    assert_eq!(one.next_until(until).unwrap(), None);
    clean(&path);
}

#[test]
fn a_client_that_never_reads_is_dropped_and_others_get_all() {
    let path = lxcpath("slow");
    start_monitord(program(), &path).unwrap();
    let _never_reads = Events::connect(&[&path]).unwrap();
    let mut reads = Events::connect(&[&path]).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    for turn in 0..3000 {
        send_exit_status(&path, "c1", turn).unwrap();
        assert_eq!(next(&mut reads), Event::ExitCode(turn));
    }
    quit_monitord(&path).unwrap();
    clean(&path);
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lxc_monitor(path: &Path) -> Option<Killed> {
    let child = Command::new("lxc-monitor")
        .args(["-P", path.to_str().unwrap(), "-n", "c1"])
        .stdout(Stdio::piped())
        .spawn();
    match child {
        Ok(child) => Some(Killed(child)),
        Err(_) => {
            println!("skipped: lxc-monitor (package lxc)");
            None
        }
    }
}

#[test]
fn the_installed_lxc_monitor_listens_to_our_daemon() {
    let path = lxcpath("theirs");
    start_monitord(program(), &path).unwrap();
    let Some(mut monitor) = lxc_monitor(&path) else {
        return;
    };
    std::thread::sleep(Duration::from_millis(500));
    send_state(&path, "other", State::Running).unwrap();
    send_state(&path, "c1", State::Running).unwrap();
    send_exit_status(&path, "c1", 7 << 8).unwrap();
    let lines = BufReader::new(monitor.0.stdout.take().unwrap()).lines();
    let lines: Vec<String> = lines.take(2).map(|line| line.unwrap()).collect();
    assert_eq!(
        lines,
        [
            "'c1' changed state to [RUNNING]",
            "'c1' exited with status [7]"
        ]
    );
    quit_monitord(&path).unwrap();
    clean(&path);
}

#[test]
fn our_client_listens_to_the_installed_daemon() {
    let path = lxcpath("ours");
    // It starts its own daemon.
    let Some(_monitor) = lxc_monitor(&path) else {
        return;
    };
    std::thread::sleep(Duration::from_millis(500));
    let mut events = Events::connect(&[&path]).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    send_state(&path, "c1", State::Frozen).unwrap();
    assert_eq!(next(&mut events), Event::State(State::Frozen));
    assert!(quit_monitord(&path).unwrap());
    clean(&path);
}
