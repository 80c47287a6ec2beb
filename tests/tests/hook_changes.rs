//! Clone and destroy hooks: what they are given, in which order they run, and what their failure leaves, as with
//! LXC's lxc-copy and lxc-destroy.
#![allow(clippy::unwrap_used, missing_docs)]

mod inside;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use inside::World;

/// Writes down what a hook is given; the one whose word is `failing` fails.
const HOOK: &str = r#"#!/bin/sh
trace=$1; word=$2; shift 2
{
echo "== $word ${LXC_HOOK_TYPE-$3}"
echo "arguments $*"
env | grep -E '^(LXC_|OUTER|INNER)' | sort
echo "cwd $(pwd), umask $(umask), uid $(id -u), stdin $(readlink /proc/self/fd/0)"
for n in user pid net; do echo "$n $(readlink /proc/self/ns/$n)"; done
test -n "$LXC_ROOTFS_MOUNT" && test -e "$LXC_ROOTFS_MOUNT/look" && echo "rootfs is mounted"
test -e "@lxcpath@/copy/config" && echo "copy has a configuration"
test -e "@lxcpath@/copy/rootfs/look" && echo "copy has files"
test -e "@lxcpath@/source/rootfs/look" && echo "source has files"
test -e "@lxcpath@/copy/partial" && echo "copy is partial"
} >> $trace 2>&1
test $word != @failing@
"#;

/// Our program under LXC's names, or LXC's.
struct Tools(PathBuf);

impl Tools {
    fn run(&self, world: &World, tool: &str, words: &[&str]) -> bool {
        let mut command = Command::new(self.0.join(tool));
        command.arg("-P").arg(&world.lxcpath).args(words);
        command.env("OUTER", "1").current_dir("/");
        let output = rlxc_tests::run(command.stdin(std::process::Stdio::null()));
        output.status.success()
    }
}

/// A run's whole story: statuses, what is there, what the hooks said.
fn story(world: &World, tools: &Tools, version: u8, failing: &str, maps: &str) -> Vec<String> {
    for name in ["source", "copy"] {
        let _ = fs::remove_dir_all(world.lxcpath.join(name));
    }
    let script = world.lxcpath.join("hook");
    let text = HOOK.replace("@failing@", failing);
    let text = text.replace("@lxcpath@", &world.lxcpath.to_string_lossy());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let trace = world.lxcpath.join("trace");
    fs::write(&trace, "").unwrap();
    fs::set_permissions(&trace, PermissionsExt::from_mode(0o666)).unwrap();
    let mut config = format!(
        "lxc.hook.version = {version}\nlxc.environment = INNER=1\nlxc.uts.name = source\n{maps}"
    );
    for kind in ["clone", "destroy"] {
        for number in 1..4 {
            let (script, trace) = (script.display(), trace.display());
            config.push_str(&format!(
                "lxc.hook.{kind} = {script} {trace} {kind}{number}\n"
            ));
        }
    }
    let owner = if maps.is_empty() { 0 } else { 100_000 };
    world.define("source", "", &config, owner);
    let mut lines = Vec::new();
    for (tool, words) in [
        ("lxc-copy", &["-n", "source", "-N", "copy"][..]),
        ("lxc-destroy", &["-n", "copy"]),
        ("lxc-destroy", &["-n", "source"]),
    ] {
        lines.push(format!("{tool} succeeds {}", tools.run(world, tool, words)));
        for path in [
            "source",
            "source/config",
            "source/rootfs/look",
            "copy",
            "copy/config",
            "copy/rootfs/look",
        ] {
            lines.push(format!("{path} {}", world.lxcpath.join(path).exists()));
        }
        let text = fs::read_to_string(&trace).unwrap();
        fs::write(&trace, "").unwrap();
        lines.extend(text.lines().map(normalised));
    }
    lines
}

/// Lines that differ, and are meant to.
fn explained(line: &str, failing: &str) -> bool {
    // When the copy fails, and the destroy hooks run, LXC has that of the clone hooks in its environment.
    let path = failing.starts_with("clone") && line.starts_with("LXC_ROOTFS_PATH=");
    path || [
        // LXC sets it for the hooks of a start only.
        "LXC_HOOK_VERSION=",
        // Ours says so until the copy is whole.
        "copy is partial",
    ]
    .iter()
    .any(|begin| line.starts_with(begin))
}

/// Namespaces as the host's or others, standard input left out: LXC's is the caller's, ours /dev/null.
fn normalised(line: &str) -> String {
    if let Some((kind, link)) = line.split_once(' ')
        && link.contains(":[")
    {
        let own = fs::read_link(format!("/proc/self/ns/{kind}"));
        let hosts = own.is_ok_and(|own| own == Path::new(link));
        return format!("{kind} {}", if hosts { "the host's" } else { "its own" });
    }
    line.split(", stdin").next().unwrap_or_default().to_owned()
}

#[test]
fn clone_and_destroy_hooks_are_those_of_lxc() {
    let missing = inside::missing().or((!inside::has_peer()).then_some("lxc-copy (package lxc)"));
    if let Some(what) = missing {
        println!("skipped: {what} is missing");
        return;
    }
    let world = World::new("hook-changes");
    let ours = world.lxcpath.join("tools");
    fs::create_dir(&ours).unwrap();
    for tool in ["lxc-copy", "lxc-destroy"] {
        symlink(rlxc_tests::bin_dir().join("rlxc"), ours.join(tool)).unwrap();
    }
    let (ours, theirs) = (Tools(ours), Tools("/usr/bin".into()));
    let mut different = Vec::new();
    for version in [0, 1] {
        for failing in ["none", "clone1", "clone2", "destroy1", "destroy3"] {
            let lxc = story(&world, &theirs, version, failing, "");
            let rlxc = story(&world, &ours, version, failing, "");
            let without = |lines: Vec<String>| -> Vec<String> {
                lines
                    .into_iter()
                    .filter(|line| !explained(line, failing))
                    .collect()
            };
            let (lxc, rlxc) = (without(lxc), without(rlxc));
            if lxc != rlxc {
                let only = |these: &[String], others: &[String]| {
                    let only = these.iter().filter(|line| !others.contains(line));
                    only.cloned().collect::<Vec<_>>()
                };
                different.push(format!(
                    "version {version}, {failing} fails: only LXC {:#?}, only we {:#?}\nLXC {lxc:#?}\nwe {rlxc:#?}",
                    only(&lxc, &rlxc),
                    only(&rlxc, &lxc)
                ));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
