//! What criu is told, and what becomes of what it makes, with a stand-in in its place; LXC's library under the
//! same program is what the arguments are compared with.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Place, compile, dropped_in, here, lacks, sandboxed, text};

/// What is the machine's or the run's is put by.
fn normal(words: &str, lxcpath: &Path) -> Vec<String> {
    let lxcpath = lxcpath.to_string_lossy();
    let mut normal: Vec<String> = Vec::new();
    for word in words.lines() {
        let word = word.replace(&*lxcpath, "LXCPATH").replace("//", "/");
        let before = normal.last().map_or("", String::as_str);
        let word = match before {
            "-t" => "PID".to_owned(),
            "--inherit-fd" => cut(&word, "fd[", "]"),
            "--external" if word.starts_with("tty[") => "TTY".to_owned(),
            "--external" if word.starts_with("veth[") => cut(&word, ":", "@"),
            "--ext-mount-map" if word.starts_with("console:") => "console:PTS".to_owned(),
            // At a restore LXC makes the container's cgroup below its monitor's.
            "--cgroup-root" => word.replace("lxc.monitor.rlxc-lib-migrate/", ""),
            _ => word,
        };
        normal.push(word);
    }
    // Other tests mount and unmount that hierarchy.
    while let Some(at) = normal.iter().position(|word| word.starts_with("hugetlb:")) {
        normal.drain(at - 1..=at);
    }
    // Beside a kernel without AppArmor LXC passes the profile on all the same, and criu refuses.
    while let Some(at) = normal.iter().position(|word| word == "--lsm-profile") {
        normal.drain(at..at + 2);
    }
    normal
        .into_iter()
        .map(|word| match word.split_once(":tty[") {
            Some((fd, _)) => format!("{fd}:TTY"),
            None => word,
        })
        .collect()
}

/// `word` without what lies between the two marks.
fn cut(word: &str, from: &str, to: &str) -> String {
    let start = word.find(from).map_or(0, |at| at + from.len());
    let end = word[start..].find(to).map_or(word.len(), |at| start + at);
    format!("{}*{}", &word[..start], &word[end..])
}

fn records(lxcpath: &Path) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for case in std::fs::read_dir(lxcpath.join("records")).unwrap() {
        let case = case.unwrap();
        for file in std::fs::read_dir(case.path()).unwrap() {
            let file = file.unwrap();
            let name = format!(
                "{}/{}",
                case.file_name().to_string_lossy(),
                file.file_name().to_string_lossy()
            );
            let words = std::fs::read_to_string(file.path()).unwrap();
            all.insert(name, normal(&words, lxcpath));
        }
    }
    all
}

#[test]
fn criu_is_told_what_lxc_tells_it_and_a_restored_container_is_taken_over() {
    let needs = [
        ("/usr/bin/gcc", "gcc"),
        ("/bin/busybox", "busybox-static"),
        ("/usr/lib/x86_64-linux-gnu/liblxc.so.1", "liblxc1"),
    ];
    if lacks(true, &needs) {
        return;
    }
    let drop = dropped_in("migrate");
    let program = compile("migrate.c", &drop, &[]);
    // For criu's place on PATH alone.
    let tools = Place::new("criu");
    let stand_in = compile("criu.c", &drop, &[]);
    std::fs::copy(stand_in, tools.join("criu")).unwrap();
    let path = format!(
        "{}:{}",
        tools.path().display(),
        std::env::var("PATH").unwrap()
    );
    let run = |name: &str, library: &Path| {
        let lxcpath = Place::new(name);
        let output = sandboxed(&drop, "env")
            .arg(format!("LD_LIBRARY_PATH={}", library.display()))
            .arg(&program)
            .arg(here().join("../../templates/lxc-busybox"))
            .arg(lxcpath.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        let said = text(&output);
        assert!(said.contains(", 0 failures"), "{name}: {said}");
        println!(
            "{}",
            said.lines().find(|line| line.contains("checks")).unwrap()
        );
        records(lxcpath.path())
    };
    // LXC's monitor leaves its cgroups when it is killed, or after a restore.
    let _left = rlxc_tests::cgroups::Left::of("rlxc-lib-migrate");
    let ours = run("migrate", drop.path());
    let theirs = run("migrate-lxc", Path::new("/usr/lib/x86_64-linux-gnu"));
    let mut compared = 0;
    for (name, words) in &theirs {
        assert_eq!(ours.get(name), Some(words), "{name}");
        compared += 1;
    }
    assert!(compared >= 7, "{theirs:?}");
    // Only ours restores a second time.
    let again = &ours["10-restore/restore"];
    assert!(
        again
            .windows(2)
            .any(|pair| pair == ["--action-script", "/bin/true"])
    );
    assert_eq!(ours["12-check/check"], ["check", "--feature", "lazy_pages"]);
}
