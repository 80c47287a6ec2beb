//! Hooks and network scripts see the same whether Debian's LXC or we run them: order, arguments, environment, working
//! directory, capabilities, namespaces; and their failure has the same consequences.
#![allow(clippy::unwrap_used, missing_docs)]

mod inside;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use inside::{Inside, World};

/// Writes down what a hook is given.
const HOOK: &str = r#"#!/bin/sh
trace=$1; shift
{
echo "== $LXC_HOOK_TYPE"
echo "arguments $*"
env | grep -E '^(LXC_|OUTER|INNER)' | sort
echo "cwd $(pwd), umask $(umask), uid $(id -u), gid $(id -g), stdin $(readlink /proc/self/fd/0)"
grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status
for n in user mnt pid uts ipc net cgroup time; do echo "$n $(readlink /proc/self/ns/$n)"; done
echo "host $(hostname)"
test -n "$LXC_ROOTFS_MOUNT" && test -e $LXC_ROOTFS_MOUNT/look && echo rootfs is mounted
test -e $LXC_ROOTFS_MOUNT/dev/null && echo /dev/null is there
} >> $trace 2>&1
test "$LXC_HOOK_TYPE" != "@failing@" && test "$3" != "@failing@"
"#;

const KINDS: [&str; 7] = [
    "pre-start",
    "pre-mount",
    "mount",
    "autodev",
    "start-host",
    "stop",
    "post-stop",
];

/// A container with every kind of hook and script, `failing` being the kind that fails.
fn define(world: &World, name: &str, version: u8, failing: &str, more: &str) -> Inside {
    let script = world.lxcpath.join(format!("{name}.sh"));
    fs::write(&script, HOOK.replace("@failing@", failing)).unwrap();
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let trace = world.lxcpath.join(format!("{name}.trace"));
    fs::write(&trace, "").unwrap();
    fs::set_permissions(&trace, PermissionsExt::from_mode(0o666)).unwrap();
    let (script, trace) = (script.display(), trace.display());
    let mut config = format!(
        "lxc.hook.version = {version}\nlxc.mount.auto = proc sys\nlxc.environment = INNER=1\nlxc.uts.name = inner\n\
         lxc.mount.entry = {trace} trace none bind,create=file 0 0\n\
         lxc.mount.entry = {script} hook none bind,create=file 0 0\n\
         lxc.net.0.type = empty\nlxc.net.0.flags = up\nlxc.net.0.script.up = {script} {trace}\n\
         lxc.net.1.type = veth\nlxc.net.1.script.up = {script} {trace}\nlxc.net.1.script.down = {script} {trace}\n\
         lxc.hook.start = /start\n{more}"
    );
    for kind in KINDS {
        config.push_str(&format!("lxc.hook.{kind} = {script} {trace} 'a word'\n"));
    }
    let look = "echo '== init' >> /trace; echo done";
    let owner = if more.contains("idmap") { 100_000 } else { 0 };
    let inside = world.define(name, look, &config, owner);
    // LXC takes the whole value of a start hook for a path, so it can have no arguments.
    let start = inside.rootfs.join("start");
    fs::write(&start, "#!/bin/sh\nexec /bin/sh /hook /trace \"$@\"\n").unwrap();
    fs::set_permissions(&start, PermissionsExt::from_mode(0o755)).unwrap();
    inside
}

/// The trace of a run, without what differs from run to run.
fn trace(
    world: &World,
    name: &str,
    run: impl FnOnce() -> Result<String, String>,
) -> (Vec<String>, bool) {
    let path = world.lxcpath.join(format!("{name}.trace"));
    fs::write(&path, "").unwrap();
    let succeeded = run().is_ok();
    let text = fs::read_to_string(&path).unwrap();
    let lines = text.lines().map(normalised).collect();
    (lines, succeeded)
}

/// LXC sets the variables of a network script in its own environment, where the hooks that run later find them.
fn without_leaks(lines: Vec<String>) -> Vec<String> {
    let mut of_network = false;
    let kept = lines.into_iter().filter(|line| {
        if line.starts_with("== ") {
            of_network = matches!(line.as_str(), "== up" | "== down");
        }
        let leak = ["LXC_NET_PARENT=", "LXC_NET_PEER=", "LXC_NET_TYPE="];
        of_network || !leak.iter().any(|name| line.starts_with(name))
    });
    kept.collect()
}

fn normalised(line: &str) -> String {
    let words: Vec<String> = line
        .split(' ')
        .map(|word| match word {
            // The names of host ends are random.
            _ if word.starts_with("veth") && word.len() > 4 => "vethXXXXXX".into(),
            _ if word.contains("/proc/") && word.contains("/fd/") => {
                word.split("/proc/").next().unwrap_or_default().to_owned() + "FD"
            }
            _ if word.starts_with("LXC_PID=") => "LXC_PID=N".into(),
            // Our runs log everything, LXC's only errors.
            _ if word.starts_with("LXC_LOG_LEVEL=") => "LXC_LOG_LEVEL=L".into(),
            _ if word.starts_with("LXC_NET_PEER=") => "LXC_NET_PEER=vethXXXXXX".into(),
            _ if word.contains(":[") => {
                let kind = word.split(':').next().unwrap_or_default();
                let own = fs::read_link(format!("/proc/self/ns/{kind}"));
                let hosts = own.is_ok_and(|own| own == Path::new(word));
                if hosts { "the host's" } else { "its own" }.to_owned()
            }
            _ => word.to_owned(),
        })
        .collect();
    let line = words.join(" ");
    // LXC leaves hooks the caller's standard input, we give them /dev/null.
    match line.split_once(", stdin") {
        Some((before, _)) => before.to_owned(),
        None => line,
    }
}

fn ready() -> bool {
    let missing = inside::missing().or((!inside::has_peer()).then_some("lxc-start (package lxc)"));
    if let Some(what) = missing {
        println!("skipped: {what} is missing");
    }
    missing.is_none()
}

#[test]
fn hooks_are_given_the_same_as_by_lxc() {
    if !ready() {
        return;
    }
    let world = World::new("hooks");
    let maps = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";
    let other = format!("{maps}lxc.init.uid = 1000\nlxc.init.gid = 1000\n");
    // Nobody in the container is root, and its hooks have their privileges all the same (ambient capabilities).
    let no_root = "lxc.init.uid = 1000\nlxc.init.gid = 1000\nlxc.idmap = u 1000 100000 1\nlxc.idmap = g 1000 100000 1\n";
    for (name, version, more) in [
        ("v0", 0, ""),
        ("v1", 1, ""),
        ("mapped", 1, maps),
        ("other", 1, &other),
        ("no-root", 1, no_root),
    ] {
        let inside = define(&world, name, version, "none", more);
        let (theirs, ok) = trace(&world, name, || inside.by_lxc());
        assert!(ok, "{theirs:#?}");
        let (ours, ok) = trace(&world, name, || inside.by_us());
        assert!(ok, "{}", inside.log());
        let theirs = without_leaks(theirs);
        // With id maps LXC is started in a mount namespace of its own. Where nobody is root, LXC's hooks have no
        // privileges.
        let meant = |line: &String| {
            let sets = ["CapInh", "CapPrm", "CapEff", "CapAmb"];
            line.starts_with("mnt ") && !more.is_empty()
                || name == "no-root" && sets.iter().any(|set| line.starts_with(set))
        };
        let without = |lines: Vec<String>| -> Vec<String> {
            lines.into_iter().filter(|line| !meant(line)).collect()
        };
        let (theirs, ours) = (without(theirs), without(ours));
        for (number, (their, our)) in theirs.iter().zip(&ours).enumerate() {
            let before = theirs[..number]
                .iter()
                .rfind(|line| line.starts_with("arguments"));
            assert_eq!(our, their, "{name}, after {before:?}");
        }
        assert_eq!(theirs.len(), ours.len(), "LXC {theirs:#?}\nwe {ours:#?}");
    }
}

/// Which hooks ran, and whether init did, when one of them fails.
#[test]
fn a_failing_hook_has_the_same_consequences_as_with_lxc() {
    if !ready() {
        return;
    }
    let world = World::new("failing-hooks");
    for kind in KINDS.into_iter().chain(["start", "up", "down"]) {
        let name = format!("f-{kind}");
        let inside = define(&world, &name, 1, kind, "");
        let ran = |lines: Vec<String>| -> Vec<String> {
            lines
                .into_iter()
                .filter(|line| line.starts_with("=="))
                .collect()
        };
        let theirs = ran(trace(&world, &name, || inside.by_lxc()).0);
        let mut ours = ran(trace(&world, &name, || inside.by_us()).0);
        if !ours.contains(&"== init".to_owned()) {
            // A script.up has its script.down also when the start fails; LXC leaves it out.
            ours.retain(|line| line != "== down");
        }
        assert_eq!(ours, theirs, "{kind} fails\n{}", inside.log());
    }
}
