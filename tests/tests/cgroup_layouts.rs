//! Cgroup layouts that this machine does not have: none, v1 alone, and in the VM v1 with controllers
//! mounted together. Each is made in a mount namespace of the run's own, for LXC and for us.

use std::process::{Command, Output};

use rlxc_tests::{Actor, Place, ok, peer, rootfs, said};

const NONE: &str = "umount -R -l /sys/fs/cgroup";

/// Here cgroup2 is one hierarchy beside v1's.
const LEGACY: &str = "umount -l /sys/fs/cgroup/unified";

/// In the VM, where all controllers are cgroup2's: they leave it when nobody uses them there, which
/// takes a moment.
const MADE: &str = "
for c in $(cat /sys/fs/cgroup/cgroup.subtree_control); do echo -$c > /sys/fs/cgroup/cgroup.subtree_control; done
umount -R -l /sys/fs/cgroup && mount -t tmpfs c /sys/fs/cgroup
made() {
  mkdir -p /sys/fs/cgroup/$1
  n=0
  until mount -t cgroup -o $2 c /sys/fs/cgroup/$1 2>/dev/null; do
    n=$((n+1)); [ $n -lt 100 ] || { echo no hierarchy of $2; exit 98; }; sleep 0.1
  done
}
made cpu,cpuacct cpu,cpuacct; made net_cls,net_prio net_cls,net_prio
made freezer freezer; made devices devices; made pids pids; made systemd none,name=systemd
ln -s cpu,cpuacct /sys/fs/cgroup/cpu; ln -s cpu,cpuacct /sys/fs/cgroup/cpuacct
";

/// Gives the controllers back to cgroup2: a hierarchy with cgroups in it outlives its mount.
const UNDONE: &str = "
find /sys/fs/cgroup -mindepth 2 -depth -type d -name 'lxc.*' -exec rmdir {} + 2>/dev/null
umount -R /sys/fs/cgroup/* 2>/dev/null; umount -R -l /sys/fs/cgroup
";

const HYBRID: &str =
    "mkdir /sys/fs/cgroup/unified && mount -t cgroup2 c /sys/fs/cgroup/unified || exit 97\n";

/// A container's life, with what is to be seen of its cgroups.
const LIFE: &str = r#"
see() { find /sys/fs/cgroup -type d -name "*.$NAME*" 2>/dev/null | sort; }
$START -n $NAME || { echo "status $?"; exit; }
see
for dir in $(see | grep lxc.payload); do
  for file in pids.max cpu.shares devices.list; do
    [ ! -e $dir/$file ] || echo "$file $(cat $dir/$file)"
  done
  echo "$dir $(wc -l < $dir/cgroup.procs)"
done
$ATTACH -n $NAME -- /bin/cat /proc/self/cgroup /proc/1/cgroup | sort
$FREEZE -n $NAME && $INFO -n $NAME -s && $UNFREEZE -n $NAME && $INFO -n $NAME -s
$STOP -k -n $NAME; echo "stopped $?"
n=0; while see | grep -q . && [ $n -lt 50 ]; do n=$((n+1)); sleep 0.1; done
"#;

fn in_vm() -> bool {
    std::env::var_os("RLXC_VM").is_some()
}

fn set_up(name: &str, extra: &str) -> Option<Place> {
    let place = Place::new(Actor::Root)?;
    if rlxc_tests::cgroups::mounts().is_empty() {
        rlxc_tests::skipped("mounted cgroups");
        return None;
    }
    assert!(rootfs::busybox(&place.path().join("root"), 0).is_ok());
    configure(&place, name, extra);
    Some(place)
}

fn configure(place: &Place, name: &str, extra: &str) {
    let folder = place.path().join(name);
    let _ = std::fs::create_dir(&folder);
    let text = format!(
        "lxc.rootfs.path = dir:{}/root\nlxc.uts.name = {name}\nlxc.net.0.type = empty\n\
         lxc.tty.max = 0\nlxc.pty.max = 1\nlxc.apparmor.profile = unconfined\n\
         lxc.mount.auto = proc:mixed\nlxc.init.cmd = /bin/sleep 1000\n{extra}",
        place.path().display()
    );
    assert!(std::fs::write(folder.join("config"), text).is_ok());
}

/// Runs a script in a mount namespace with the layout that `layout` makes. `$START` and the like are
/// the tools of one side.
fn run(place: &Place, layout: &str, script: &str, name: &str, theirs: bool) -> Output {
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c"]);
    command.arg(format!("{layout}\n{script}"));
    command.env("NAME", name).stdin(std::process::Stdio::null());
    let (path, rlxc) = (place.path(), rlxc_tests::bin_dir().join("rlxc"));
    for verb in ["start", "attach", "freeze", "unfreeze", "info", "stop"] {
        let tool = match theirs {
            true => format!("/usr/bin/lxc-{verb} -P {}", path.display()),
            false => format!("{} {verb} -P {}", rlxc.display(), path.display()),
        };
        command.env(verb.to_uppercase(), tool);
    }
    rlxc_tests::run(&mut command)
}

#[test]
fn without_any_hierarchy_it_runs_and_says_what_cannot_be() {
    let name = "cgl-none";
    let Some(place) = set_up(name, "") else {
        return;
    };
    let script = "$START -n $NAME && $ATTACH -n $NAME -- /bin/hostname; $INFO -n $NAME; $FREEZE -n $NAME; \
                  echo \"frozen $?\"; $STOP -k -n $NAME; echo \"stopped $?\"";
    let seen = said(&run(&place, NONE, script, name, false));
    for wanted in [
        "cgl-none\n",
        "RUNNING",
        "no cgroup",
        "frozen 1",
        "stopped 0",
    ] {
        assert!(seen.contains(wanted), "{wanted}: {seen}");
    }
    configure(
        &place,
        name,
        "lxc.cgroup.pids.max = 5\nlxc.cgroup2.pids.max = 5\n",
    );
    let refused = said(&run(
        &place,
        NONE,
        "$START -n $NAME; echo \"status $?\"",
        name,
        false,
    ));
    assert!(
        refused.contains("status 1") && refused.contains("pids.max"),
        "{refused}"
    );
    assert_eq!(
        ok(&place.rlxc("info", &["-n", name, "-sH"])).trim(),
        "STOPPED"
    );
}

#[test]
fn v1_alone_and_beside_cgroup2_with_controllers_together_is_used_as_lxc_uses_it() {
    let name = "cgl-legacy";
    let limits = "lxc.cgroup.pids.max = 33\nlxc.cgroup.cpu.shares = 512\nlxc.cgroup.devices.deny = a\n\
                  lxc.cgroup.devices.allow = c 1:3 rwm\nlxc.cgroup2.pids.max = 44\n";
    let Some(place) = set_up(name, limits) else {
        return;
    };
    if !peer() {
        return;
    }
    let _left = rlxc_tests::cgroups::Left::of(name);
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let layouts = match (unified, in_vm()) {
        (false, _) => vec![LEGACY.to_owned()],
        (true, true) => vec![MADE.to_owned(), format!("{MADE}{HYBRID}")],
        (true, false) => return rlxc_tests::skipped("the VM: cargo xtask vm-test"),
    };
    for layout in layouts {
        let life = match in_vm() {
            true => format!("{LIFE}{UNDONE}"),
            false => LIFE.to_owned(),
        };
        let theirs = said(&run(&place, &layout, &life, name, true));
        // LXC leaves its monitor's cgroup now and then.
        rlxc_tests::cgroups::remove_left(&[name]);
        let ours = said(&run(&place, &layout, &life, name, false));
        for wanted in [
            "pids.max 33",
            "cpu.shares 512",
            "FROZEN",
            "RUNNING",
            "stopped 0",
        ] {
            assert!(ours.contains(wanted), "{wanted}: {ours}");
        }
        assert_eq!(ours, theirs);
    }
}
