//! What an attached process sees: Debian's lxc-attach and ours, with the same words, in the same container.
#![allow(clippy::unwrap_used, missing_docs)]

mod inside;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use inside::World;
use rlxc_monitor::Client;

const LOOK: &str = r#"
echo "id $(id)"
grep -E '^(Cap|Seccomp:|NoNewPrivs|Groups|Uid|Gid|SigBlk|SigIgn|Umask)' /proc/self/status
for n in user mnt pid uts ipc net cgroup time; do echo "$n $(readlink /proc/self/ns/$n)"; done
env | grep -vE '^(_|SHLVL|PWD|OLDPWD)=' | sort
echo "cwd $(pwd)"; cat /proc/self/personality /proc/self/cgroup; hostname
grep -c . /proc/self/mountinfo; ls /sys/class/net 2>&1
for fd in 0 1 2; do readlink /proc/self/fd/$fd | sed 's/[0-9]*//g'; done
mknod /tmp/n c 1 3 && rm /tmp/n; cat /proc/self/limits | grep -E 'open files|core'
cat /proc/self/oom_score_adj
"#;

/// Words before `--`, and environment of the caller.
const CASES: &[&str] = &[
    "",
    "--clear-env",
    "--clear-env --keep-var KEPT",
    "--keep-env --set-var SET=1",
    "--clear-env -v A=b -v C=d",
    "-u 7",
    "-g 8",
    "-u 7 -g 8",
    "-e",
    "--elevated-privileges=CAP",
    "--elevated-privileges=CGROUP|LSM",
    "-s NETWORK",
    "-s NETWORK|UTSNAME",
    "-s MOUNT|PID",
    "-s PID -R",
    "-e -s NETWORK -R",
    "-a i686",
    "-a x86_64",
];

/// Differences that are meant: container, beginning of the line, why.
const EXPLAINED: &[(&str, &str, &str)] = &[
    (
        "other",
        "id ",
        "7.0.0 and we attach as init's user, 5.0.2 as root",
    ),
    ("other", "Uid:", "see above"),
    ("other", "Gid:", "see above"),
    ("other", "CapPrm:", "see above"),
    ("other", "CapEff:", "see above"),
];

fn tool(world: &World) -> Option<PathBuf> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "-q", "--workspace", "--bins"])
        .status();
    let program = rlxc_tests::bin_dir().join("rlxc");
    if !built.is_ok_and(|status| status.success()) || !program.exists() {
        return None;
    }
    let tool = world.lxcpath.join("lxc-attach");
    symlink(program, &tool).unwrap();
    Some(tool)
}

fn look(tool: &Path, world: &World, name: &str, words: &str) -> Vec<String> {
    let mut command = Command::new(tool);
    command.arg("-P").arg(&world.lxcpath).args(["-n", name]);
    command
        .args(words.split_whitespace())
        .args(["--", "/bin/sh", "-c", LOOK]);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("KEPT", "k")
        .env("OTHER", "o");
    command.current_dir("/tmp").stdin(Stdio::null());
    let output = command.output().unwrap();
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    lines.push(format!("status {:?}", output.status.code()));
    if lines.len() < 5 {
        lines.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    lines
}

/// What only one of the two sees.
fn differences(ours: &Path, world: &World, name: &str, words: &str) -> Vec<String> {
    let theirs = look(Path::new("/usr/bin/lxc-attach"), world, name, words);
    let ours = look(ours, world, name, words);
    let set = |lines: &[String]| lines.iter().cloned().collect::<BTreeSet<_>>();
    let (their_set, our_set) = (set(&theirs), set(&ours));
    let explained = |line: &&String| {
        EXPLAINED
            .iter()
            .any(|(of, begin, _)| *of == name && line.starts_with(begin))
    };
    let mut failures = Vec::new();
    for (side, lines, other) in [("LXC", &theirs, &our_set), ("we", &ours, &their_set)] {
        let only = lines
            .iter()
            .filter(|line| !other.contains(*line) && !explained(line));
        failures.extend(only.map(|line| format!("{name} {words:?}: only {side}: {line}")));
    }
    failures
}

#[test]
fn attached_processes_see_the_same() {
    let missing = inside::missing().or((!inside::has_peer()).then_some("lxc-attach (package lxc)"));
    if let Some(what) = missing {
        println!("skipped: {what} is missing");
        return;
    }
    let world = World::new("attach-view");
    let Some(ours) = tool(&world) else {
        println!("skipped: the program rlxc is missing");
        return;
    };
    let policy = world.lxcpath.join("policy");
    fs::write(
        &policy,
        "2\ndenylist\n[all]\nmknod errno 95\nmknodat errno 95\n",
    )
    .unwrap();
    let common = format!(
        "lxc.mount.auto = proc sys\nlxc.net.0.type = empty\nlxc.uts.name = inside\nlxc.environment = FROM=config\n\
         lxc.seccomp.profile = {}\nlxc.cap.drop = sys_time sys_module\nlxc.prlimit.core = 0\n",
        policy.display()
    );
    let maps = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";
    let mut failures = Vec::new();
    for (name, config, owner) in [
        ("plain", common.clone(), 0),
        (
            "nnp",
            format!("{common}lxc.no_new_privs = 1\nlxc.arch = i686\n"),
            0,
        ),
        ("mapped", format!("{common}{maps}"), 100_000),
        (
            "other",
            format!("{common}{maps}lxc.init.uid = 5\nlxc.init.gid = 6\n"),
            100_000,
        ),
    ] {
        let inside = world.define(name, "while :; do sleep 1; done", &config, owner);
        inside.start(true).unwrap();
        for words in CASES {
            // What is seen of the host may change between the two looks.
            let found = (0..3)
                .map(|_| differences(&ours, &world, name, words))
                .find(Vec::is_empty);
            if found.is_none() {
                failures.extend(differences(&ours, &world, name, words));
            }
        }
        let _ = Client::new(&world.lxcpath, name).stop();
    }
    assert!(
        failures.is_empty(),
        "{} differences\n{}",
        failures.len(),
        failures.join("\n")
    );
}
