//! Containers in a container of ours: ours and LXC's, privileged and with id maps within id maps.
#![allow(clippy::unwrap_used, missing_docs)]

mod inside;

use std::fs;
use std::path::Path;
use std::process::Command;

use inside::World;
use rlxc_config::Document;
use rlxc_runtime::{HostFacts, Mode, Plan, PlanInput, start};

const LOOK: &str = "id -u; hostname; cat /proc/self/uid_map; cat /proc/1/cgroup; echo done";

/// The outer container's program: its own sysfs, cgroups and /run, then both inner containers by both runtimes.
const OUTER: &str = r#"
exec >@out@ 2>&1
mount -t tmpfs t /run && mount -t sysfs s /sys && mount -t tmpfs t /sys/fs/cgroup
for c in $(grep -v '^0' /proc/self/cgroup | cut -d: -f2); do
  mkdir -p /sys/fs/cgroup/${c#name=} && mount -t cgroup -o $c c /sys/fs/cgroup/${c#name=}
done
mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 c /sys/fs/cgroup/unified
cat /proc/self/uid_map
for inner in @inner@; do
  for start in "@rlxc@ start" lxc-start; do
    : >@lxcpath@/$inner/rootfs/out
    echo "== $inner by $start"
    timeout -k 1 30 $start -F -P @lxcpath@ -n $inner </dev/null
    echo "status $?"; cat @lxcpath@/$inner/rootfs/out
  done
done
"#;

/// What each run of an inner container has to show.
fn sections(text: &str) -> Vec<(String, String)> {
    text.split("== ")
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
        .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
        .collect()
}

fn rlxc() -> Option<std::path::PathBuf> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "-q", "--workspace", "--bins"])
        .status();
    let path = rlxc_tests::bin_dir().join("rlxc");
    (built.is_ok_and(|status| status.success()) && path.exists()).then_some(path)
}

/// Starts the outer container on the host's own tree and returns what it wrote.
fn outer(world: &World, name: &str, maps: &str, inner: &[&str], rlxc: &Path) -> String {
    let out = world.lxcpath.join(format!("{name}.out"));
    fs::write(&out, "").unwrap();
    fs::set_permissions(&out, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let script = world.lxcpath.join(format!("{name}.sh"));
    let text = OUTER
        .replace("@out@", &out.to_string_lossy())
        .replace("@lxcpath@", &world.lxcpath.to_string_lossy())
        .replace("@rlxc@", &rlxc.to_string_lossy())
        .replace("@inner@", &inner.join(" "));
    fs::write(&script, text).unwrap();
    let mut document = Document::new();
    let config = format!(
        "lxc.uts.name = outer\nlxc.net.0.type = empty\nlxc.mount.auto = proc:rw\nlxc.console.path = none\n\
         lxc.autodev = 0\nlxc.apparmor.profile = unconfined\n{maps}"
    );
    for line in config.lines() {
        let (key, value) = line.split_once(" = ").unwrap();
        document.set(key, value).unwrap();
    }
    let input = PlanInput {
        name,
        lxcpath: &world.lxcpath,
        config: document.config(),
        argv: vec!["/bin/sh".into(), script.to_string_lossy().into_owned()],
        mode: Mode::Start,
        daemonize: false,
    };
    let mut plan = Plan::compute(input, &HostFacts::detect()).unwrap();
    plan.close_all_fds = true;
    start(&plan).unwrap();
    fs::read_to_string(out).unwrap()
}

#[test]
fn containers_of_ours_and_of_lxc_run_in_a_container_of_ours() {
    let missing = inside::missing().or((!inside::has_peer()).then_some("lxc-start (package lxc)"));
    if let Some(what) = missing {
        println!("skipped: {what} is missing");
        return;
    }
    let Some(rlxc) = rlxc() else {
        println!("skipped: the program rlxc is missing");
        return;
    };
    let world = World::new("nested");
    let own = |name: &str, owner: u32| {
        // The directory of a container whose ids are mapped once more belongs to the outer root.
        let dir = world.lxcpath.join(name);
        for path in [dir.clone(), dir.join("config")] {
            std::os::unix::fs::chown(path, Some(owner), Some(owner)).unwrap();
        }
    };
    let common = "lxc.mount.auto = proc:rw\nlxc.net.0.type = empty\nlxc.uts.name = innermost";
    world.define("plain", LOOK, common, 0);
    world.define("inmap", LOOK, common, 100_000);
    own("inmap", 100_000);
    let again = format!("{common}\nlxc.idmap = u 0 1000 5000\nlxc.idmap = g 0 1000 5000");
    world.define("twice", LOOK, &again, 101_000);
    own("twice", 100_000);
    let maps = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536";
    for (name, maps, inner, ids) in [
        ("outer", "", &["plain"][..], &["0 0 4294967295"][..]),
        (
            "mapped",
            maps,
            &["inmap", "twice"],
            &["0 100000 65536", "0 1000 5000"],
        ),
    ] {
        let text = outer(&world, name, maps, inner, &rlxc);
        let sections = sections(&text);
        assert_eq!(sections.len(), 2 * inner.len(), "{text}");
        for (number, (run, out)) in sections.iter().enumerate() {
            let words: Vec<&str> = out.split_whitespace().collect();
            let wanted = ["status 0", "innermost", ids[number / 2], "done"];
            for wanted in wanted {
                let found = words.join(" ").contains(wanted);
                assert!(found, "{run}: {wanted} is not in\n{out}");
            }
        }
    }
}

/// A host on a ramfs: pivot_root(2) says EINVAL there, as the outer container's filter does here.
#[test]
fn where_the_root_cannot_be_pivoted_away_from_it_is_moved() {
    if let Some(what) = inside::missing() {
        println!("skipped: {what} is missing");
        return;
    }
    let Some(rlxc) = rlxc() else {
        println!("skipped: the program rlxc is missing");
        return;
    };
    let world = World::new("moved");
    let policy = world.lxcpath.join("policy");
    fs::write(&policy, "2\ndenylist\n[all]\npivot_root errno 22\n").unwrap();
    let look = "hostname; ls /; mount -t tmpfs t /mnt && echo mounts; \
                mkdir -p /esc; chroot /esc /nothing; cd ../../../..; ls -d look; cat /proc/self/mountinfo; echo done";
    let config = "lxc.mount.auto = proc:rw\nlxc.net.0.type = empty\nlxc.uts.name = innermost";
    world.define("inner", look, config, 0);
    let filter = format!("lxc.seccomp.profile = {}", policy.display());
    let text = outer(&world, "outer", &filter, &["inner"], &rlxc);
    let (_, ours) = sections(&text).swap_remove(0);
    for line in ["status 0", "innermost", "mounts", "look", "done"] {
        assert!(ours.lines().any(|found| found == line), "{line}: {ours}");
    }
    assert!(
        !ours.lines().any(|line| line == "usr"),
        "the host's tree: {ours}"
    );
}
