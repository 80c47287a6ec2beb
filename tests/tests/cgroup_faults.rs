//! What goes wrong with cgroups: leftovers, mounts that are read-only, strangers, bad names. It is
//! told, and nothing is left.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rlxc_tests::cgroups::mounts as hierarchies;
use rlxc_tests::{Actor, Place, ok, rootfs, said};

fn set_up() -> Option<Place> {
    let place = Place::new(Actor::Root)?;
    if hierarchies().is_empty() {
        rlxc_tests::skipped("mounted cgroups");
        return None;
    }
    assert!(rootfs::busybox(&place.path().join("root"), 0).is_ok());
    Some(place)
}

fn configure(place: &Place, name: &str, extra: &str) {
    let folder = place.path().join(name);
    let _ = std::fs::create_dir(&folder);
    let text = format!(
        "lxc.rootfs.path = dir:{}/root\nlxc.uts.name = {name}\nlxc.net.0.type = empty\n\
         lxc.tty.max = 0\nlxc.pty.max = 1\nlxc.apparmor.profile = unconfined\n\
         lxc.init.cmd = /bin/sleep 1000\n{extra}",
        place.path().display()
    );
    assert!(std::fs::write(folder.join("config"), text).is_ok());
}

fn limit(v1: &str) -> String {
    match Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        true => format!("lxc.cgroup2.{v1}\n"),
        false => format!("lxc.cgroup.{v1}\n"),
    }
}

/// The directories of a monitor or payload that the hierarchies have, without their mounts.
fn made(part: &str) -> Vec<String> {
    let all = hierarchies();
    let entries = all
        .iter()
        .flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten().flatten());
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.contains(part)).collect();
    names.sort();
    names.dedup();
    names
}

/// Directories like those that a client leaves which is killed while it waits for a monitor's end.
struct Leftover(Vec<PathBuf>);

impl Leftover {
    fn new(name: &str) -> Self {
        let dirs = hierarchies().into_iter().map(|dir| dir.join(name));
        let dirs: Vec<PathBuf> = dirs.collect();
        for dir in &dirs {
            assert!(std::fs::create_dir(dir).is_ok(), "{}", dir.display());
        }
        Self(dirs)
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        for dir in &self.0 {
            let _ = std::fs::remove_dir(dir);
        }
    }
}

#[test]
fn the_empty_cgroup_of_an_earlier_monitor_is_used_again_unless_a_namesake_runs() {
    let Some(place) = set_up() else { return };
    configure(&place, "cgf-left", "");
    let _left = Leftover::new("lxc.monitor.cgf-left");
    ok(&place.rlxc("start", &["-n", "cgf-left"]));
    assert_eq!(
        made("cgf-left"),
        ["lxc.monitor.cgf-left", "lxc.payload.cgf-left"]
    );
    // The same name below another lxcpath: the cgroups of the first are somebody's.
    let other = place.path().join("other");
    assert!(std::fs::create_dir(&other).is_ok());
    let config = place.path().join("cgf-left/config");
    let text = std::fs::read_to_string(config).unwrap_or_default();
    assert!(std::fs::create_dir(other.join("cgf-left")).is_ok());
    assert!(std::fs::write(other.join("cgf-left/config"), text).is_ok());
    let rlxc = |verb: &str, args: &[&str]| {
        let mut command = Command::new(rlxc_tests::bin_dir().join("rlxc"));
        command.arg(verb).arg("-P").arg(&other).args(args);
        rlxc_tests::run(command.stdin(std::process::Stdio::null()))
    };
    let second = rlxc("start", &["-n", "cgf-left"]);
    let seen = made("cgf-left");
    ok(&rlxc("stop", &["-k", "-n", "cgf-left"]));
    ok(&second);
    assert!(
        seen.contains(&"lxc.monitor.cgf-left-1".to_owned()),
        "{seen:?}"
    );
    ok(&place.rlxc("stop", &["-k", "-n", "cgf-left"]));
    assert_eq!(made("cgf-left"), Vec::<String>::new());
}

/// Runs a tool where every cgroup mount is read-only.
fn read_only(place: &Place, program: &str, first: &[&str], args: &[&str]) -> Output {
    let script = "for m in $(awk '/ - cgroup/ { print $5 }' /proc/self/mountinfo); do \
                  mount --bind $m $m && mount -o remount,bind,ro $m || exit 99; done; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]);
    command
        .arg(program)
        .args(first)
        .arg("-P")
        .arg(place.path())
        .args(args);
    rlxc_tests::run(command.stdin(std::process::Stdio::null()))
}

#[test]
fn on_read_only_mounts_it_runs_without_limits_or_names_what_cannot_be_set() {
    let Some(place) = set_up() else { return };
    let program = rlxc_tests::bin_dir().join("rlxc");
    let program = program.to_string_lossy();
    configure(&place, "cgf-ro", &limit("pids.max = 7"));
    let refused = read_only(&place, &program, &["start"], &["-n", "cgf-ro"]);
    let text = said(&refused);
    assert!(!refused.status.success(), "{text}");
    assert!(
        text.contains("pids.max") && text.contains("Read-only"),
        "{text}"
    );
    assert_eq!(made("cgf-ro"), Vec::<String>::new());
    configure(&place, "cgf-ro", "");
    ok(&read_only(&place, &program, &["start"], &["-n", "cgf-ro"]));
    assert_eq!(made("cgf-ro"), Vec::<String>::new());
    ok(&place.rlxc("stop", &["-k", "-n", "cgf-ro"]));
}

#[test]
fn values_names_and_controllers_that_cannot_be_are_named_and_leave_nothing() {
    let Some(place) = set_up() else { return };
    let cases = [
        (
            limit("pids.max = many"),
            &["pids.max", "many", "Invalid argument"][..],
        ),
        (limit("pids.nothing = 1"), &["pids.nothing"]),
        (limit("nosuch.limit = 1"), &["nosuch"]),
        (limit("../pids.max = 1"), &["pids.max"]),
        (limit("devices.allow = x 1:3 rwm"), &["x 1:3 rwm"]),
        ("lxc.cgroup.dir = ../out\n".to_owned(), &["../out"]),
        (
            "lxc.cgroup.dir.monitor = a/../../m\nlxc.cgroup.dir.container = cgf-c\n".to_owned(),
            &["a/../../m"],
        ),
    ];
    for (text, words) in cases {
        configure(&place, "cgf-bad", &text);
        let refused = place.rlxc("start", &["-n", "cgf-bad"]);
        let message = said(&refused);
        assert!(!refused.status.success(), "{text}: {message}");
        for word in words {
            assert!(message.contains(word), "{text}: {message}");
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while !made("cgf-").is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(made("cgf-bad"), Vec::<String>::new(), "{text}");
    }
}

/// A process of the host's, ended with the test.
struct Stranger(std::process::Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_moved_in_from_outside_outlives_the_container_and_does_not_hold_it_up() {
    let Some(place) = set_up() else { return };
    let log = place.path().join("guest.log");
    let lines = format!("lxc.log.file = {}\nlxc.log.level = WARN\n", log.display());
    configure(&place, "cgf-guest", &lines);
    ok(&place.rlxc("start", &["-n", "cgf-guest"]));
    let Ok(child) = Command::new("sleep").arg("1000").spawn() else {
        return;
    };
    let mut stranger = Stranger(child);
    let pid = stranger.0.id().to_string();
    for dir in hierarchies() {
        let file = dir.join("lxc.payload.cgf-guest/cgroup.procs");
        assert!(std::fs::write(file, &pid).is_ok());
    }
    let begin = Instant::now();
    ok(&place.rlxc("stop", &["-k", "-n", "cgf-guest"]));
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert!(stranger.0.try_wait().is_ok_and(|status| status.is_none()));
    let told = std::fs::read_to_string(&log).unwrap_or_default();
    assert!(told.contains(&pid), "{told}");
    // When it has gone, the next start has the name again.
    drop(stranger);
    ok(&place.rlxc("start", &["-n", "cgf-guest"]));
    assert_eq!(
        made("cgf-guest"),
        ["lxc.monitor.cgf-guest", "lxc.payload.cgf-guest"]
    );
    ok(&place.rlxc("stop", &["-k", "-n", "cgf-guest"]));
    assert_eq!(made("cgf-guest"), Vec::<String>::new());
}

#[test]
fn namesakes_that_start_at_once_get_cgroups_of_their_own() {
    const MANY: usize = 12;
    let Some(place) = set_up() else { return };
    configure(&place, "cgf-race", "");
    let config = place.path().join("cgf-race/config");
    let paths: Vec<PathBuf> = (0..MANY)
        .map(|number| place.path().join(format!("p{number}")))
        .collect();
    for path in &paths {
        assert!(std::fs::create_dir_all(path.join("cgf-race")).is_ok());
        assert!(std::fs::copy(&config, path.join("cgf-race/config")).is_ok());
    }
    let all = |verb: &str, more: &[&str]| -> Vec<Output> {
        std::thread::scope(|scope| {
            let running: Vec<_> = paths
                .iter()
                .map(|path| {
                    let mut command = Command::new(rlxc_tests::bin_dir().join("rlxc"));
                    command.arg(verb).arg("-P").arg(path);
                    command.args(["-n", "cgf-race"]).args(more);
                    command.stdin(std::process::Stdio::null());
                    scope.spawn(move || rlxc_tests::run(&mut command))
                })
                .collect();
            let ended = running.into_iter().filter_map(|thread| thread.join().ok());
            ended.collect()
        })
    };
    for _ in 0..2 {
        let started = all("start", &[]);
        let pids: Vec<String> = all("info", &["-pH"]).iter().map(ok).collect();
        let mut own: Vec<String> = Vec::new();
        for pid in &pids {
            let path = format!("/proc/{}/cgroup", pid.trim());
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let names = text.lines().filter_map(|line| line.rsplit('/').next());
            let mut names: Vec<String> = names
                .filter(|name| name.starts_with("lxc.payload.cgf-race"))
                .map(str::to_owned)
                .collect();
            names.dedup();
            // The same number in every hierarchy.
            assert_eq!(names.len(), 1, "{text}");
            own.append(&mut names);
        }
        own.sort();
        own.dedup();
        let stopped = all("stop", &["-k"]);
        for output in started.iter().chain(&stopped) {
            ok(output);
        }
        assert_eq!(own.len(), MANY, "{own:?}");
        assert_eq!(made("cgf-race"), Vec::<String>::new());
    }
}
