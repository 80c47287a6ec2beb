//! One container's whole life, for every kind of user.

use rlxc_tests::{Actor, Place, no_cgroup_left, ok, said};

fn whole_life(actor: Actor) {
    let Some(place) = Place::new(actor) else {
        return;
    };
    place.create("life", "");
    assert_eq!(ok(&place.rlxc("ls", &["--stopped", "-1"])).trim(), "life");
    ok(&place.rlxc("start", &["-n", "life"]));
    assert!(ok(&place.rlxc("info", &["-n", "life", "-s"])).contains("RUNNING"));
    let inside = "hostname; cat /proc/1/comm; test -e /proc/self/mounts && echo mounts; id -u";
    let seen = ok(&place.rlxc("attach", &["-n", "life", "--", "/bin/sh", "-c", inside]));
    assert_eq!(
        seen.lines().collect::<Vec<_>>(),
        ["life", "init", "mounts", "0"]
    );
    let status = place
        .rlxc("attach", &["-n", "life", "--", "/bin/sh", "-c", "exit 37"])
        .status;
    assert_eq!(status.code(), Some(37));
    ok(&place.rlxc("wait", &["-n", "life", "-s", "RUNNING", "-t", "5"]));
    ok(&place.rlxc("stop", &["-n", "life", "-t", "20"]));
    ok(&place.rlxc("wait", &["-n", "life", "-s", "STOPPED", "-t", "5"]));
    let second = place.rlxc("stop", &["-n", "life"]);
    assert_eq!(second.status.code(), Some(2), "{}", said(&second));
    ok(&place.rlxc("destroy", &["-n", "life"]));
    assert!(!place.path().join("life").exists());
}

#[test]
fn root_takes_a_container_through_its_life() {
    whole_life(Actor::Root);
}

#[test]
fn a_user_with_subordinate_ids_takes_a_container_through_its_life() {
    whole_life(Actor::UserWithIds);
}

#[test]
fn a_user_without_subordinate_ids_takes_a_container_through_its_life() {
    whole_life(Actor::UserWithoutIds);
}

#[test]
fn a_program_is_executed_and_its_status_returned() {
    for actor in [Actor::Root, Actor::UserWithIds, Actor::UserWithoutIds] {
        let Some(place) = Place::new(actor) else {
            continue;
        };
        place.create("app", "");
        let out = place.rlxc(
            "execute",
            &["-n", "app", "--", "/bin/sh", "-c", "hostname; exit 5"],
        );
        assert_eq!(out.status.code(), Some(5), "{}", said(&out));
        assert!(said(&out).contains("app"), "{}", said(&out));
    }
}

#[test]
fn a_reboot_from_inside_starts_the_container_again() {
    let Some(place) = Place::new(Actor::own()) else {
        return;
    };
    place.create("again", "");
    ok(&place.rlxc("start", &["-n", "again"]));
    let before = ok(&place.rlxc("info", &["-n", "again", "-p", "-H"]));
    ok(&place.rlxc("stop", &["-n", "again", "-r", "-t", "20"]));
    ok(&place.rlxc("wait", &["-n", "again", "-s", "RUNNING", "-t", "10"]));
    let after = ok(&place.rlxc("info", &["-n", "again", "-p", "-H"]));
    assert_ne!(before, after);
    ok(&place.rlxc("stop", &["-k", "-n", "again"]));
}

#[test]
fn a_frozen_container_is_listed_as_such_and_thawed() {
    let Some(place) = Place::new(Actor::Root) else {
        return;
    };
    place.create("cold", "");
    ok(&place.rlxc("start", &["-n", "cold"]));
    ok(&place.rlxc("freeze", &["-n", "cold"]));
    assert_eq!(ok(&place.rlxc("ls", &["--frozen", "-1"])).trim(), "cold");
    ok(&place.rlxc("unfreeze", &["-n", "cold"]));
    assert_eq!(ok(&place.rlxc("ls", &["--running", "-1"])).trim(), "cold");
    ok(&place.rlxc("stop", &["-k", "-n", "cold"]));
}

#[test]
fn whoever_ends_a_container_finds_its_cgroups_gone() {
    let Some(place) = Place::new(Actor::Root) else {
        return;
    };
    let name = "cgroups-gone";
    place.create(name, "");
    let start = || ok(&place.rlxc("start", &["-n", name]));
    // Our client removes the monitor's cgroups itself, LXC's leaves it to the monitor.
    start();
    ok(&place.rlxc("stop", &["-k", "-n", name]));
    no_cgroup_left(name);
    start();
    ok(&place.rlxc("stop", &["-n", name, "-t", "20"]));
    no_cgroup_left(name);
    ok(&place.rlxc("execute", &["-n", name, "--", "/bin/true"]));
    no_cgroup_left(name);
    if rlxc_tests::peer() {
        start();
        ok(&place.lxc("stop", &["-k", "-n", name]));
        no_cgroup_left(name);
    }
}

#[test]
fn whoever_hears_of_the_end_can_start_it_again_at_once() {
    let Some(place) = Place::new(Actor::own()) else {
        return;
    };
    let name = "at-once";
    place.create(name, "lxc.init.cmd = /bin/true\n");
    let wait = ["-n", name, "-s", "STOPPED", "-t", "10"];
    let pid_file = place.path().join("pid");
    for turn in 0..10 {
        let pid = pid_file.display().to_string();
        ok(&place.rlxc("start", &["-n", name, "-p", &pid]));
        match turn % 2 == 0 && rlxc_tests::peer() {
            true => ok(&place.lxc("wait", &wait)),
            false => ok(&place.rlxc("wait", &wait)),
        };
        assert!(!pid_file.exists(), "turn {turn}");
    }
}

#[test]
fn in_the_background_the_small_init_counts_as_the_container() {
    let Some(place) = Place::new(Actor::own()) else {
        return;
    };
    place.create("app", "");
    let missing = ["-n", "app", "--", "/bin/nosuch"];
    // LXC's lxc-execute -d says so too: its init runs, and ends with the command's failure.
    ok(&place.rlxc("execute", &[&["-d"][..], &missing].concat()));
    ok(&place.rlxc("wait", &["-n", "app", "-s", "STOPPED", "-t", "10"]));
    let failed = place.rlxc("execute", &missing);
    assert!(!failed.status.success());
    assert!(said(&failed).contains("/bin/nosuch"), "{}", said(&failed));
}
