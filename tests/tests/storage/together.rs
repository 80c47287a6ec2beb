//! Several commands at the same time on the same containers: each takes its turn, and nothing is lost.

use std::process::Output;

use rlxc_tests::{bin_dir, ok, run, said};

use crate::host::{Host, Kind};

/// Runs commands at the same time, each for at most a minute.
fn together(host: &Host, commands: &[Vec<String>]) -> Vec<Output> {
    std::thread::scope(|scope| {
        let started: Vec<_> = commands
            .iter()
            .map(|words| {
                scope.spawn(move || {
                    let mut command = host.command("timeout");
                    command.arg("60").arg(bin_dir().join("rlxc")).arg(&words[0]);
                    command.arg("-P").arg(host.lxcpath()).args(&words[1..]);
                    run(&mut command)
                })
            })
            .collect();
        started.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn who_rests_on_a_container_is_known_however_many_come_and_go() {
    let Some(host) = Host::new(Kind::Dir) else {
        return;
    };
    host.create("a");
    let each = |verb: &str| -> Vec<Vec<String>> {
        (0..8)
            .map(|n| words(&verb.replace('#', &n.to_string())))
            .collect()
    };
    for output in together(&host, &each("copy -n a -N b# -s")) {
        ok(&output);
    }
    let list = format!("cat {}/a/lxc_snapshots", host.lxcpath().display());
    let text = ok(&host.sh(&list));
    assert_eq!(text.lines().filter(|line| line.starts_with('b')).count(), 8);
    // Half of them end while others come.
    let mut both = each("destroy -n b#");
    both.truncate(4);
    both.extend((0..4).map(|n| words(&format!("copy -n b{} -N c{n} -s", n + 4))));
    for output in together(&host, &both) {
        ok(&output);
    }
    let text = ok(&host.sh(&list));
    let mut names: Vec<&str> = text.lines().filter(|line| line.len() == 2).collect();
    names.sort_unstable();
    assert_eq!(names, ["b4", "b5", "b6", "b7", "c0", "c1", "c2", "c3"]);
    let ends: Vec<_> = (0..4).map(|n| words(&format!("destroy -n c{n}"))).collect();
    together(&host, &ends)
        .iter()
        .for_each(|output| drop(ok(output)));
    let ends: Vec<_> = (4..8).map(|n| words(&format!("destroy -n b{n}"))).collect();
    together(&host, &ends)
        .iter()
        .for_each(|output| drop(ok(output)));
    assert!(!host.has("a/lxc_snapshots"));
    ok(&host.rlxc("destroy", &["-n", "a"]));
}

#[test]
fn one_of_two_makes_a_container_and_nobody_waits_for_ever() {
    let Some(host) = Host::new(Kind::Dir) else {
        return;
    };
    host.create("a");
    host.create("b");
    for _ in 0..4 {
        // Each is the other's source and target.
        let crossed = together(&host, &[words("copy -n a -N b"), words("copy -n b -N a")]);
        for output in crossed {
            assert!(
                said(&output).contains("exists already"),
                "{}",
                said(&output)
            );
        }
        let same = together(&host, &[words("copy -n a -N c"), words("copy -n b -N c")]);
        let made = same.iter().filter(|output| output.status.success());
        assert_eq!(made.count(), 1, "{same:?}");
        assert_eq!(host.inside("c", "cat /file"), "one\n");
        let ends = together(&host, &[words("destroy -n c"), words("destroy -n c")]);
        assert!(
            ends.iter().any(|output| output.status.success()),
            "{ends:?}"
        );
        assert!(!host.has("c"));
        let renamed = together(
            &host,
            &[words("copy -n a -R -N c"), words("copy -n b -R -N c")],
        );
        let done = renamed.iter().filter(|output| output.status.success());
        assert_eq!(done.count(), 1, "{renamed:?}");
        let left = if host.has("a") { "b" } else { "a" };
        ok(&host.rlxc("copy", &["-n", "c", "-R", "-N", left]));
        let taken = together(&host, &[words("snapshot -n a"), words("snapshot -n a")]);
        taken.iter().for_each(|output| drop(ok(output)));
        assert!(host.has("a/snaps/snap0/ts") && host.has("a/snaps/snap1/ts"));
        ok(&host.rlxc("snapshot", &["-n", "a", "-d", "ALL"]));
    }
    for name in ["a", "b"] {
        ok(&host.rlxc("destroy", &["-n", name]));
    }
}
