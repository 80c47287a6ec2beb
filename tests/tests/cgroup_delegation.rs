//! Containers of an ordinary user: in cgroups that were delegated to that user, and in none.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use rlxc_tests::{Actor, Place, ok, rootfs, said};

/// A cgroup in each hierarchy that belongs to the user, removed with all below it at the end.
struct Delegated(Vec<PathBuf>);

impl Delegated {
    fn new(name: &str, uid: u32) -> Option<Self> {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let lines = table.lines().filter(|line| line.contains(" - cgroup"));
        let mounts = lines.filter_map(|line| line.split(' ').nth(4).map(PathBuf::from));
        let mut made = Self(Vec::new());
        for mount in mounts {
            let dir = mount.join(name);
            if std::fs::create_dir(&dir).is_err() {
                continue;
            }
            made.0.push(dir.clone());
            let unified = mount.join("cgroup.subtree_control");
            if let Ok(all) = std::fs::read_to_string(mount.join("cgroup.controllers")) {
                let on: Vec<String> = all.split_whitespace().map(|c| format!("+{c}")).collect();
                let _ = std::fs::write(&unified, on.join(" "));
            }
            for file in [
                "",
                "cgroup.procs",
                "tasks",
                "cgroup.threads",
                "cgroup.subtree_control",
            ] {
                let _ = chown(dir.join(file), Some(uid), Some(uid));
            }
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(value) = std::fs::read_to_string(mount.join(file)) {
                    let _ = std::fs::write(dir.join(file), value);
                }
            }
        }
        (!made.0.is_empty()).then_some(made)
    }

    /// A shell line that moves the shell into these cgroups, before it becomes the user.
    fn enter(&self) -> String {
        let lines = self.0.iter().map(|dir| {
            // After the first start here the cgroup hands its controllers down: no place for processes.
            format!(
                "{{ echo $$ > {0}/cgroup.procs || echo $$ > {0}/init/cgroup.procs; }} 2>/dev/null",
                dir.display()
            )
        });
        lines.collect::<Vec<_>>().join(" && ")
    }

    /// `rlxc VERB` by the user, from inside these cgroups.
    fn rlxc(&self, place: &Place, verb: &str, args: &[&str]) -> std::process::Output {
        let command = place.command(rlxc_tests::bin_dir().join("rlxc"));
        let own = command.get_args().map(|word| word.to_string_lossy());
        let path = place.path().to_string_lossy();
        let words = [command.get_program().to_string_lossy()].into_iter();
        let words = words.chain(own).chain([verb.into(), "-P".into(), path]);
        let words = words.chain(args.iter().map(|arg| (*arg).into()));
        let words: Vec<String> = words.map(|word| format!("'{word}'")).collect();
        let script = format!(
            "{}; export HOME=/home/rlxc-ids; exec {}",
            self.enter(),
            words.join(" ")
        );
        let mut shell = Command::new("sh");
        rlxc_tests::run(shell.args(["-c", &script]).env_remove("XDG_RUNTIME_DIR"))
    }

    fn containers(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for dir in &self.0 {
            find(dir, &mut found);
        }
        found
    }
}

fn find(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if entry.file_name().to_string_lossy().contains("lxc.payload") {
                found.push(entry.path());
            }
            find(&entry.path(), found);
        }
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for dir in &self.0 {
            // A failed test leaves its containers running.
            let mut processes = Command::new("sh");
            let script = "kill -9 $(find \"$0\" -name cgroup.procs -exec cat {} +) 2>/dev/null";
            let _ = processes.args(["-c", script]).arg(dir).status();
            let mut find = Command::new("find");
            find.arg(dir).args(["-depth", "-type", "d", "-delete"]);
            for _ in 0..100 {
                if find.status().is_ok_and(|status| status.success()) && !dir.exists() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
}

fn configure(place: &Place, name: &str, extra: &str) {
    let folder = place.path().join(name);
    assert!(std::fs::create_dir(&folder).is_ok());
    let root = place.path().join(format!("{name}-root"));
    assert!(rootfs::busybox(&root, 1_200_000).is_ok());
    let text = format!(
        "lxc.rootfs.path = dir:{}\nlxc.uts.name = {name}\nlxc.net.0.type = empty\n\
         lxc.tty.max = 0\nlxc.pty.max = 1\nlxc.apparmor.profile = unconfined\n\
         lxc.idmap = u 0 1200000 65536\nlxc.idmap = g 0 1200000 65536\n\
         lxc.init.cmd = /bin/sleep 1000\n{extra}",
        root.display()
    );
    assert!(std::fs::write(folder.join("config"), text).is_ok());
    for path in [folder.clone(), folder.join("config")] {
        let owner = std::fs::metadata(place.path()).map(|m| (m.uid(), m.gid()));
        let Ok((uid, gid)) = owner else { return };
        assert!(chown(path, Some(uid), Some(gid)).is_ok());
    }
}

fn uid_of(place: &Place) -> u32 {
    std::fs::metadata(place.path()).map_or(0, |m| m.uid())
}

#[test]
fn in_a_delegated_subtree_it_is_limited_owned_by_its_root_and_removed() {
    if !rlxc_tests::root_for("a cgroup is delegated") {
        return;
    }
    let Some(place) = Place::new(Actor::UserWithIds) else {
        return;
    };
    let uid = uid_of(&place);
    let Some(delegated) = Delegated::new("rlxc-cg-deleg", uid) else {
        rlxc_tests::skipped("mounted cgroups");
        return;
    };
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let limit = if unified {
        "lxc.cgroup2.pids.max = 33\n"
    } else {
        "lxc.cgroup.pids.max = 33\n"
    };
    let mounts = "lxc.mount.auto = proc:mixed cgroup:rw:force\n";
    configure(&place, "deleg", &format!("{mounts}{limit}"));
    let started = delegated.rlxc(&place, "start", &["-n", "deleg"]);
    ok(&started);
    let made = delegated.containers();
    assert!(!made.is_empty(), "{}", said(&started));
    let mut limited = false;
    for dir in &made {
        let meta = std::fs::metadata(dir);
        let owner = meta.map(|m| (m.uid(), m.gid(), m.mode() & 0o777)).ok();
        assert_eq!(owner, Some((uid, 1_200_000, 0o775)), "{}", dir.display());
        limited |= std::fs::read_to_string(dir.join("pids.max")).is_ok_and(|v| v.trim() == "33");
    }
    assert!(limited, "pids.max in {made:?}");
    // Its own root makes cgroups below, which the user removes with the rest.
    let inside = "cd /sys/fs/cgroup; [ -d pids ] && cd pids; mkdir mine mine/deeper && echo made";
    let words = ["-n", "deleg", "--", "/bin/sh", "-c", inside];
    assert_eq!(ok(&place.rlxc("attach", &words)).trim(), "made");
    // It bites.
    let crowd = "n=0; while [ $n -lt 60 ]; do sleep 2 & n=$((n+1)); done";
    let words = ["-n", "deleg", "--", "/bin/sh", "-c", crowd];
    let crowd = said(&delegated.rlxc(&place, "attach", &words));
    assert!(crowd.contains("fork"), "{crowd}");
    // A second container from the same place is beside the first, and not deeper.
    configure(&place, "deleg2", limit);
    ok(&delegated.rlxc(&place, "start", &["-n", "deleg2"]));
    let depth = |name: &str| {
        let all = delegated.containers();
        let found = all.iter().find(|dir| dir.ends_with(name));
        found.map(|dir| dir.components().count())
    };
    let (first, second) = (depth("lxc.payload.deleg"), depth("lxc.payload.deleg2"));
    assert!(first.is_some() && first == second, "{first:?} {second:?}");
    for name in ["deleg", "deleg2"] {
        ok(&place.rlxc("stop", &["-k", "-n", name]));
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while !delegated.containers().is_empty() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(delegated.containers(), Vec::<PathBuf>::new());
}

/// Here cgroup2 is one hierarchy of many; with it alone mounted the layout is a pure one, though with
/// few controllers.
#[test]
fn a_caller_in_the_way_of_its_own_cgroup2_is_moved_aside_and_limited() {
    let Some(place) = Place::new(Actor::UserWithIds) else {
        return;
    };
    let Some(delegated) = Delegated::new("rlxc-cg-aside", uid_of(&place)) else {
        rlxc_tests::skipped("mounted cgroups");
        return;
    };
    let limit = |dir: &PathBuf| {
        let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut names = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let is_limit = |name: &String| {
            name == "pids.max" || name.starts_with("hugetlb.") && name.ends_with("B.max")
        };
        let has_v2 = dir.join("cgroup.controllers").exists();
        names.find(is_limit).filter(|_| has_v2)
    };
    let found = delegated.0.iter().find_map(|dir| Some((dir, limit(dir)?)));
    let Some((dir, file)) = found else {
        rlxc_tests::skipped("a cgroup2 with the controller pids or hugetlb");
        return;
    };
    // Whole pages of each size.
    let value = if file == "pids.max" {
        "33"
    } else {
        "1073741824"
    };
    configure(&place, "aside", &format!("lxc.cgroup2.{file} = {value}\n"));
    let command = place.command("sh");
    // Processes of the user alone: one of root's among them must not be moved to another cpuset.
    let user = format!(
        "{} start -P {} -n aside && cat /proc/self/cgroup && sed s/^/controllers:/ cgroup.subtree_control",
        rlxc_tests::bin_dir().join("rlxc").display(),
        place.path().display()
    );
    let script = "umount -R -l /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && \
                  cd /sys/fs/cgroup/rlxc-cg-aside && echo $$ > cgroup.procs && \
                  export HOME=/home/rlxc-ids && exec \"$@\"";
    let mut outer = Command::new("unshare");
    outer.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]);
    outer.arg(command.get_program()).args(command.get_args());
    outer.args(["-c", &user]);
    outer.env_remove("XDG_RUNTIME_DIR");
    let started = rlxc_tests::run(outer.stdin(std::process::Stdio::null()));
    let text = ok(&started);
    let payload = dir.join("lxc.payload.aside");
    let limit = std::fs::read_to_string(payload.join(&file)).unwrap_or_default();
    let monitor = std::fs::read_to_string(dir.join("lxc.monitor.aside/cgroup.procs"));
    ok(&place.rlxc("stop", &["-k", "-n", "aside"]));
    assert_eq!(limit.trim(), value, "{}: {text}", payload.display());
    assert!(monitor.is_ok_and(|pids| pids.lines().count() == 1));
    assert!(text.contains("0::/rlxc-cg-aside/init"), "{text}");
    let controller = file.split('.').next().unwrap_or_default();
    let mut lines = text.lines();
    let on = lines.find_map(|line| line.strip_prefix("controllers:"));
    assert!(
        on.is_some_and(|on| on.split(' ').any(|c| c == controller)),
        "{text}"
    );
}

#[test]
fn where_nothing_is_delegated_it_runs_without_limits_or_says_why_it_cannot() {
    if !rlxc_tests::root_for("a cgroup is delegated") {
        return;
    }
    let Some(place) = Place::new(Actor::UserWithIds) else {
        return;
    };
    configure(&place, "free", "");
    let started = place.rlxc("start", &["-n", "free"]);
    ok(&started);
    // What has no cgroup cannot be frozen: LXC's one line, or ours with the way out.
    let frozen = place.rlxc("freeze", &["-n", "free"]);
    let text = said(&frozen);
    assert_eq!(frozen.status.code(), Some(1), "{text}");
    assert!(
        text.contains("freezer") && text.contains("Delegate=yes"),
        "{text}"
    );
    if rlxc_tests::peer() {
        let theirs = place.lxc("freeze", &["-n", "free"]);
        assert_eq!(theirs.status.code(), Some(1), "{}", said(&theirs));
    }
    ok(&place.rlxc("stop", &["-k", "-n", "free"]));
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let limit = if unified {
        "lxc.cgroup2.pids.max = 5\n"
    } else {
        "lxc.cgroup.pids.max = 5\n"
    };
    configure(&place, "limited", limit);
    let refused = place.rlxc("start", &["-n", "limited"]);
    let text = said(&refused);
    assert!(!refused.status.success());
    assert!(
        text.contains("pids.max") && text.contains("delegated"),
        "{text}"
    );
}
