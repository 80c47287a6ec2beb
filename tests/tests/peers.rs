//! LXC's own tools on containers that we started, and ours on containers that they started.

use rlxc_tests::{Actor, Place, ok, peer, said};

/// Lines that both sides must agree on: counters move between two calls.
fn steady(text: &str) -> Vec<String> {
    let moving = ["CPU use", "Memory use", "KMem use", "BlkIO use"];
    text.lines()
        // Lines of pressure are ours alone.
        .filter(|line| !moving.iter().any(|m| line.starts_with(m)) && !line.contains(" pressure: "))
        .map(str::to_owned)
        .collect()
}

fn both_agree(place: &Place, name: &str) {
    let ours = ok(&place.rlxc("info", &["-n", name]));
    let theirs = ok(&place.lxc("info", &["-n", name]));
    assert_eq!(steady(&ours), steady(&theirs));
    for columns in [
        &["-f"][..],
        &["-1"],
        &["--running"],
        &["-f", "-F", "NAME,STATE,PID,IPV4,UNPRIVILEGED"],
    ] {
        assert_eq!(
            ok(&place.rlxc("ls", columns)),
            ok(&place.lxc("ls", columns))
        );
    }
    let look = [
        "-n",
        name,
        "--",
        "/bin/sh",
        "-c",
        "hostname; cat /proc/1/comm; pwd; id",
    ];
    assert_eq!(
        ok(&place.rlxc("attach", &look)),
        ok(&place.lxc("attach", &look))
    );
}

#[test]
fn lxc_tools_drive_a_container_that_rlxc_started() {
    let Some(place) = Place::new(Actor::Root) else {
        return;
    };
    if !peer() {
        return;
    }
    place.create("ours", "");
    ok(&place.rlxc("start", &["-n", "ours"]));
    both_agree(&place, "ours");
    ok(&place.lxc("wait", &["-n", "ours", "-s", "RUNNING", "-t", "5"]));
    ok(&place.lxc("freeze", &["-n", "ours"]));
    assert!(ok(&place.lxc("info", &["-n", "ours", "-s"])).contains("FROZEN"));
    assert!(ok(&place.rlxc("info", &["-n", "ours", "-s"])).contains("FROZEN"));
    ok(&place.lxc("unfreeze", &["-n", "ours"]));
    let failed = place.lxc("attach", &["-n", "ours", "--", "/bin/sh", "-c", "exit 9"]);
    assert_eq!(failed.status.code(), Some(9), "{}", said(&failed));
    ok(&place.lxc("stop", &["-n", "ours", "-k"]));
    ok(&place.lxc("wait", &["-n", "ours", "-s", "STOPPED", "-t", "10"]));
}

#[test]
fn rlxc_drives_a_container_that_lxc_started() {
    let Some(place) = Place::new(Actor::Root) else {
        return;
    };
    if !peer() {
        return;
    }
    place.create("theirs", "");
    ok(&place.lxc("start", &["-n", "theirs"]));
    both_agree(&place, "theirs");
    ok(&place.rlxc("wait", &["-n", "theirs", "-s", "RUNNING", "-t", "5"]));
    ok(&place.rlxc("freeze", &["-n", "theirs"]));
    assert!(ok(&place.lxc("info", &["-n", "theirs", "-s"])).contains("FROZEN"));
    ok(&place.rlxc("unfreeze", &["-n", "theirs"]));
    ok(&place.rlxc("stop", &["-n", "theirs", "-k"]));
    ok(&place.rlxc("wait", &["-n", "theirs", "-s", "STOPPED", "-t", "10"]));
}
