//! C programs for every function: good case, bad case, threads, memory.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use common::{Place, compile, dropped_in, here, lacks, pass_on_skips, sandboxed, text};
use rlxc_tests::cgroups::Left;

const NEEDS: [(&str, &str); 2] = [("/usr/bin/gcc", "gcc"), ("/bin/busybox", "busybox-static")];

fn template() -> PathBuf {
    here().join("../../templates/lxc-busybox")
}

/// Runs the program with template and lxcpath; `before` are words before its name.
fn passes(name: &str, drop: &Place, program: &Path, before: &[&str]) {
    let lxcpath = Place::new(name);
    let mut command = match before.split_first() {
        None => sandboxed(drop, program),
        Some((first, rest)) => {
            let mut command = sandboxed(drop, first);
            command.args(rest).arg(program);
            command
        }
    };
    // A run with the sanitizer ends with an error when memory was lost.
    command.env("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0");
    let output = command
        .arg(template())
        .arg(lxcpath.path())
        .output()
        .unwrap();
    let said = text(&output);
    pass_on_skips(&said);
    assert!(output.status.success(), "{}: {said}", output.status);
    let counted = said.lines().find(|line| line.contains(" checks, "));
    println!("{}", counted.unwrap_or_default());
    assert!(
        counted.is_some_and(|line| line.ends_with(", 0 failures")),
        "{said}"
    );
}

/// The sanitizer's allocator serves the library as well: what either forgets or frees twice is found.
const SANITIZED: [&str; 2] = ["-fsanitize=address", "-fno-omit-frame-pointer"];

#[test]
fn what_needs_no_running_container_answers_as_lxc_does() {
    if lacks(true, &NEEDS) {
        return;
    }
    let drop = dropped_in("offline");
    let program = compile("offline.c", &drop, &SANITIZED);
    passes("offline", &drop, &program, &[]);
    // The same program on Debian's library: what is expected of us is what LXC does.
    if lacks(
        true,
        &[("/usr/lib/x86_64-linux-gnu/liblxc.so.1", "liblxc1")],
    ) {
        return;
    }
    let program = compile("offline.c", &drop, &[]);
    passes(
        "offline-lxc",
        &drop,
        &program,
        &["env", "LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu"],
    );
}

/// The containers that `flows.c` starts.
const FLOWS: [&str; 9] = [
    "attach",
    "mixed",
    "proc",
    "askers",
    "terminals",
    "short",
    "cgroup",
    "files",
    "forked",
];

#[test]
fn whole_flows_go_as_they_go_with_lxc() {
    if lacks(true, &NEEDS) {
        return;
    }
    let drop = dropped_in("flows");
    let program = compile("flows.c", &drop, &[]);
    let run = |library: &Path| {
        let output = sandboxed(&drop, "env")
            .arg(format!("LD_LIBRARY_PATH={}", library.display()))
            .arg(&program)
            .arg(template())
            .output()
            .unwrap();
        let said = text(&output);
        assert!(
            said.contains(", 0 failures"),
            "{}: {said}",
            library.display()
        );
    };
    let debian = Path::new("/usr/lib/x86_64-linux-gnu");
    let theirs = debian.join("liblxc.so.1");
    let theirs = theirs.exists();
    let _left: Vec<Left> = FLOWS
        .map(|name| Left::of(format!("rlxc-lib-{name}")))
        .into();
    std::thread::scope(|scope| {
        scope.spawn(|| run(drop.path()));
        // What is expected of us is what LXC does.
        match theirs {
            true => run(debian),
            false => println!(
                "skipped: {}/liblxc.so.1 (package liblxc1)",
                debian.display()
            ),
        }
    });
}

#[test]
fn every_function_serves_a_container_from_create_to_destroy() {
    if lacks(true, &NEEDS) {
        return;
    }
    let drop = dropped_in("life");
    let program = compile("life.c", &drop, &SANITIZED);
    passes("life", &drop, &program, &[]);
}

#[test]
fn a_proxy_that_speaks_as_incus_does_is_asked_and_its_answers_are_heeded() {
    if lacks(true, &NEEDS) {
        return;
    }
    let drop = dropped_in("proxy");
    let _left = Left::of("rlxc-lib-proxy");
    let program = compile("proxy.c", &drop, &[]);
    passes("proxy", &drop, &program, &[]);
    // What the proxy expects is what it gets from Debian's library.
    if lacks(
        true,
        &[("/usr/lib/x86_64-linux-gnu/liblxc.so.1", "liblxc1")],
    ) {
        return;
    }
    let debian = ["env", "LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu"];
    passes("proxy-lxc", &drop, &program, &debian);
}

#[test]
fn an_object_answers_as_lxcs_does_when_destroyed_after_fork_and_to_two_threads() {
    if lacks(true, &NEEDS) {
        return;
    }
    let drop = dropped_in("misuse");
    let _left = Left::of("rlxc-lib-misuse");
    let answers = |name: &str, flags: &[&str], library: &Path| {
        let program = compile("misuse.c", &drop, flags);
        let lxcpath = Place::new(name);
        let output = sandboxed(&drop, "env")
            .arg(format!("LD_LIBRARY_PATH={}", library.display()))
            .arg(&program)
            .arg(template())
            .arg(lxcpath.path())
            .output()
            .unwrap();
        let said = text(&output);
        assert!(output.status.success(), "{}: {said}", output.status);
        let answers = String::from_utf8_lossy(&output.stdout);
        let answers = answers.replace(&*lxcpath.path().to_string_lossy(), "LXCPATH");
        answers
            .lines()
            .filter(|line| !line.starts_with("misuse:"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let ours = answers("misuse-aa", &SANITIZED, drop.path());
    let debian = Path::new("/usr/lib/x86_64-linux-gnu");
    if lacks(
        true,
        &[("/usr/lib/x86_64-linux-gnu/liblxc.so.1", "liblxc1")],
    ) {
        return;
    }
    assert_eq!(ours, answers("misuse-bb", &[], debian));
}

#[test]
fn eight_threads_start_containers_and_others_share_an_object() {
    if lacks(true, &NEEDS) {
        return;
    }
    let drop = dropped_in("threads");
    let program = compile("threads.c", &drop, &[]);
    passes("threads", &drop, &program, &[]);
}

#[test]
fn valgrind_finds_no_fault_in_the_calls() {
    if lacks(true, &NEEDS) || lacks(true, &[("/usr/bin/valgrind", "valgrind")]) {
        return;
    }
    let drop = dropped_in("valgrind");
    let valgrind = [
        "valgrind",
        "-q",
        "--leak-check=full",
        "--show-leak-kinds=definite,indirect",
        "--errors-for-leak-kinds=definite,indirect",
        "--error-exitcode=9",
    ];
    let program = compile("offline.c", &drop, &[]);
    passes("valgrind", &drop, &program, &valgrind);
}

#[test]
fn a_library_that_is_dropped_in_alone_is_its_own_monitor_and_worker() {
    if lacks(true, &NEEDS) {
        return;
    }
    let drop = dropped_in("alone");
    let program = compile("alone.c", &drop, &[]);
    let lxcpath = Place::new("alone");
    for program in ["rlxc-monitor", "rlxc-worker"] {
        std::fs::remove_file(drop.join(program)).unwrap();
    }
    // The mapped root has to get there.
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(lxcpath.path(), mode).unwrap();
    let output = sandboxed(&drop, &program)
        .arg(template())
        .arg(lxcpath.path())
        .output()
        .unwrap();
    let said = text(&output);
    assert!(said.contains(", 0 failures"), "{said}");
}
