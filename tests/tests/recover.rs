//! A container whose monitor was killed, of root and of ordinary users: it gets a new monitor, or is cleaned away.

use std::process::Output;
use std::time::{Duration, Instant};

use rlxc_tests::{Actor, Place, ok, said as text};

/// The monitor's pid, by its title: a monitor that took over is not init's parent.
fn monitor_of(place: &Place, name: &str) -> i32 {
    let title = format!("[lxc monitor] {} {name}", place.path().display());
    let mut pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let found = pids.find(|entry| {
        std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).trim_end_matches('\0') == title)
    });
    let pid = found.and_then(|entry| entry.file_name().to_str()?.parse().ok());
    pid.unwrap_or(0)
}

fn said(place: &Place, verb: &str, args: &[&str]) -> String {
    let output = place.rlxc(verb, args);
    ok(&output);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn kill_monitor(place: &Place, name: &str) {
    let monitor = monitor_of(place, name);
    assert!(monitor > 1);
    let killed = std::process::Command::new("kill")
        .args(["-9", &monitor.to_string()])
        .status();
    assert!(killed.is_ok_and(|status| status.success()));
    let until = Instant::now() + Duration::from_secs(20);
    while said(place, "info", &["-n", name, "-s", "-H"]) != "STOPPED\n" {
        assert!(Instant::now() < until, "the monitor has not ended");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn recovers(actor: Actor) {
    let Some(place) = Place::new(actor) else {
        return;
    };
    place.create("one", "lxc.monitor.signal.pdeath = SIGCONT\n");
    ok(&place.rlxc("start", &["-n", "one"]));
    let init = said(&place, "info", &["-n", "one", "-p", "-H"]);
    for record in [true, false] {
        kill_monitor(&place, "one");
        if !record {
            remove_record(&place, "one");
        }
        let output: Output = place.rlxc("recover", &["-n", "one"]);
        ok(&output);
        assert!(
            text(&output).contains("has a monitor again"),
            "{}",
            text(&output)
        );
        assert_eq!(said(&place, "info", &["-n", "one", "-p", "-H"]), init);
        let inside = said(&place, "attach", &["-n", "one", "--", "/bin/hostname"]);
        assert_eq!(inside, "one\n");
        // LXC's tools see it too.
        let theirs = place.lxc("info", &["-n", "one", "-s", "-H"]);
        assert_eq!(
            String::from_utf8_lossy(&theirs.stdout),
            "RUNNING\n",
            "{}",
            text(&theirs)
        );
    }
    ok(&place.rlxc("stop", &["-n", "one", "-k"]));
    // What is left is killed when asked to.
    ok(&place.rlxc("start", &["-n", "one"]));
    let init = said(&place, "info", &["-n", "one", "-p", "-H"]);
    kill_monitor(&place, "one");
    let output = place.rlxc("recover", &["-n", "one", "--dry-run"]);
    ok(&output);
    assert!(text(&output).contains("processes: "), "{}", text(&output));
    ok(&place.rlxc("recover", &["-n", "one", "--yes"]));
    let process = std::path::Path::new("/proc")
        .join(init.trim())
        .join("root/bin");
    assert!(!process.exists(), "init ({}) lives", init.trim());
    let output = place.rlxc("recover", &["-n", "one"]);
    assert!(
        text(&output).contains("nothing is left"),
        "{}",
        text(&output)
    );
    ok(&place.rlxc("start", &["-n", "one"]));
    ok(&place.rlxc("stop", &["-n", "one", "-k"]));
}

/// The record that the monitor has kept: for root below /run, for users where their run-time directory is.
fn remove_record(place: &Place, name: &str) {
    let below = place
        .path()
        .strip_prefix("/")
        .unwrap_or(place.path())
        .join(name);
    let found = std::process::Command::new("find")
        .args(["/run", "/home", "/var/tmp", "/tmp", "-path"])
        .arg(format!("*/lxc/running/{}", below.display()))
        .arg("-delete")
        .stderr(std::process::Stdio::null())
        .status();
    assert!(found.is_ok());
}

#[test]
fn roots_container_gets_a_new_monitor_or_is_cleaned_away() {
    recovers(Actor::Root);
}

#[test]
fn a_users_container_gets_a_new_monitor_or_is_cleaned_away() {
    recovers(Actor::UserWithIds);
}

#[test]
fn a_container_with_one_id_gets_a_new_monitor_or_is_cleaned_away() {
    recovers(Actor::UserWithoutIds);
}
