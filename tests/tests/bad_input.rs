//! What cannot work ends with a message that names it, a status, and nothing left behind.

use std::process::Output;

use rlxc_tests::{Actor, Place, no_cgroup_left, ok, said};

#[track_caller]
fn fails_naming(output: &Output, words: &[&str]) {
    let text = said(output);
    assert!(!output.status.success(), "it succeeded: {text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

/// A container whose configuration is just this text.
fn written(place: &Place, name: &str, text: &str) {
    let folder = place.path().join(name);
    assert!(std::fs::create_dir_all(&folder).is_ok());
    assert!(std::fs::write(folder.join("config"), text).is_ok());
}

#[test]
fn faults_in_a_configuration_are_named_with_file_and_line() {
    let Some(place) = Place::new(Actor::own()) else {
        return;
    };
    for (name, text, words) in [
        (
            "unknown",
            "lxc.uts.name = a\nlxc.nosuch = 1\n",
            &["lxc.nosuch", "config:2"][..],
        ),
        ("value", "lxc.autodev = 7\n", &["lxc.autodev", "config:1"]),
        (
            "include",
            "lxc.include = /nonexistent/file\n",
            &["/nonexistent/file"],
        ),
    ] {
        written(&place, name, text);
        fails_naming(&place.rlxc("start", &["-n", name]), words);
    }
    let own = place.path().join("loop/config");
    written(
        &place,
        "loop",
        &format!("lxc.include = {}\n", own.display()),
    );
    fails_naming(&place.rlxc("start", &["-n", "loop"]), &["include"]);
}

#[test]
fn a_rootfs_that_is_none_is_named() {
    let Some(place) = Place::new(Actor::own()) else {
        return;
    };
    let file = place.path().join("file");
    assert!(std::fs::write(&file, "").is_ok());
    for (name, path) in [
        ("gone", "/nonexistent/rootfs".to_owned()),
        ("file-root", file.display().to_string()),
    ] {
        written(
            &place,
            name,
            &format!("lxc.rootfs.path = dir:{path}\nlxc.net.0.type = empty\n"),
        );
        fails_naming(&place.rlxc("start", &["-n", name]), &[&path]);
        no_cgroup_left(name);
    }
}

#[test]
fn an_init_that_cannot_run_is_named() {
    let Some(place) = Place::new(Actor::own()) else {
        return;
    };
    place.create("noinit", "lxc.init.cmd = /bin/nosuch\n");
    fails_naming(&place.rlxc("start", &["-n", "noinit"]), &["/bin/nosuch"]);
    no_cgroup_left("noinit");
    place.create("noexec", "lxc.init.cmd = /etc/passwd\n");
    fails_naming(&place.rlxc("start", &["-n", "noexec"]), &["/etc/passwd"]);
    assert_eq!(ok(&place.rlxc("ls", &["--running", "-1"])), "");
}

#[test]
fn names_that_are_no_names_are_refused() {
    let Some(place) = Place::new(Actor::own()) else {
        return;
    };
    let long = "n".repeat(300);
    for name in ["a/b", "..", long.as_str()] {
        for verb in ["start", "info", "stop", "destroy"] {
            let output = place.rlxc(verb, &["-n", name]);
            assert!(!output.status.success(), "{verb} {name}: {}", said(&output));
        }
    }
}

#[test]
fn a_second_start_says_that_the_container_runs() {
    let Some(place) = Place::new(Actor::own()) else {
        return;
    };
    place.create("twice", "");
    ok(&place.rlxc("start", &["-n", "twice"]));
    let again = place.rlxc("start", &["-n", "twice"]);
    assert!(
        again.status.success(),
        "LXC ends with status 0 here: {}",
        said(&again)
    );
    assert!(said(&again).contains("already running"), "{}", said(&again));
    ok(&place.rlxc("stop", &["-k", "-n", "twice"]));
}

#[test]
fn a_template_that_fails_leaves_nothing() {
    let Some(place) = Place::new(Actor::own()) else {
        return;
    };
    let template = place.path().join("fails");
    assert!(std::fs::write(&template, "#!/bin/sh\necho no luck >&2\nexit 3\n").is_ok());
    let _ = std::process::Command::new("chmod")
        .arg("+x")
        .arg(&template)
        .status();
    let config = place.path().join("half.conf");
    assert!(std::fs::write(&config, place.id_maps()).is_ok());
    let (path, config) = (template.display().to_string(), config.display().to_string());
    fails_naming(
        &place.rlxc("create", &["-n", "half", "-f", &config, "-t", &path]),
        &["fails"],
    );
    assert!(!place.path().join("half").exists());
}

#[test]
fn a_stuck_monitor_does_not_hang_the_lists() {
    let Some(place) = Place::new(Actor::own()) else {
        return;
    };
    place.create("stuck", "");
    ok(&place.rlxc("start", &["-n", "stuck"]));
    let title = format!("[lxc monitor] {} stuck", place.path().display());
    let pattern = title.replace('[', "\\[").replace(']', "\\]");
    let mut pids = std::process::Command::new("pgrep");
    pids.args(["-f", "-x"]).arg(pattern);
    let Ok(found) = pids.output() else {
        return rlxc_tests::skipped("pgrep (package procps)");
    };
    let pid = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    assert!(!pid.is_empty(), "the monitor has its title");
    let signal = |name: &str| {
        std::process::Command::new("kill")
            .args([name, &pid])
            .status()
    };
    assert!(signal("-STOP").is_ok());
    let begin = std::time::Instant::now();
    let seen = place.rlxc("info", &["-n", "stuck", "-s"]);
    let listed = place.rlxc("ls", &["-f"]);
    let took = begin.elapsed();
    assert!(signal("-CONT").is_ok());
    assert!(took.as_secs() < 20, "{took:?}");
    assert!(said(&seen).contains("responsive"), "{}", said(&seen));
    assert!(said(&listed).contains("stuck"), "{}", said(&listed));
    ok(&place.rlxc("stop", &["-k", "-n", "stuck"]));
}
