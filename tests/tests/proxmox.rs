//! Proxmox VE's way with containers: a configuration of its shape, `lxc-start -F`, and its own words on
//! the command socket and to lxc-monitord, the same for our programs as for LXC's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rlxc_tests::rootfs::busybox;
use rlxc_tests::{bin_dir, is_root, peer, repository, run, said, skipped};

/// Sockets, events and containers of a run of its own, under the names that Proxmox knows.
const SET_UP: &str = r#"
set -e
for dir in /var/lib/lxc /var/log/lxc /run/lxc; do
    mkdir -p $dir
    mount -t tmpfs -o mode=755 rlxc-wire $dir
done
mkdir /var/lib/lxc/101
cp "$PLACE/config" /var/lib/lxc/101/config
exec "$@"
"#;

/// The folder of one run and the cgroups of its container.
struct Run {
    place: PathBuf,
    group: String,
}

impl Run {
    fn new(name: &str) -> Self {
        let group = format!("rlxc-wire-{name}-{}", std::process::id());
        let place = std::env::temp_dir().join(&group);
        assert!(std::fs::create_dir(&place).is_ok(), "{}", place.display());
        Self { place, group }
    }

    fn config(&self) -> String {
        let (group, rootfs) = (&self.group, self.place.join("rootfs"));
        format!(
            "lxc.cgroup.relative = 0\n\
             lxc.cgroup.dir.monitor = {group}/lxc.monitor/101\n\
             lxc.cgroup.dir.container = {group}/lxc/101\n\
             lxc.cgroup.dir.container.inner = ns\n\
             lxc.arch = amd64\n\
             lxc.monitor.unshare = 1\n\
             lxc.tty.max = 2\n\
             lxc.environment = TERM=linux\n\
             lxc.uts.name = wire\n\
             lxc.mount.auto = proc:mixed\n\
             lxc.net.0.type = empty\n\
             lxc.rootfs.path = {}\n\
             lxc.init.cmd = /bin/sleep 1000\n",
            rootfs.display()
        )
    }

    /// What the client learns from `programs`: lxc-start, lxc-stop, lxc-monitord.
    fn learned(&self, programs: [&Path; 3]) -> String {
        let rootfs = self.place.join("rootfs");
        assert!(busybox(&rootfs, 0).is_ok(), "{}", rootfs.display());
        let written = std::fs::write(self.place.join("config"), self.config());
        assert!(written.is_ok());
        let mut command = Command::new("unshare");
        command
            .args(["-m", "-n", "-p", "-f", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", SET_UP, "sh", "/usr/bin/perl"])
            .arg(repository().join("tests/clients/proxmox.pl"))
            .args(programs)
            .env("PLACE", &self.place);
        let output = run(&mut command);
        assert!(output.status.success(), "{}", said(&output));
        let said = String::from_utf8_lossy(&output.stdout);
        // Where the tests themselves are, is put by.
        let lines = said.lines().map(|line| {
            let parts = line.split_once("data '").zip(line.split_once(&self.group));
            match parts {
                Some(((before, _), (_, after))) => format!("{before}data 'GROUP{after}\n"),
                None => format!("{line}\n"),
            }
        });
        lines.collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.place);
        remove_groups(Path::new("/sys/fs/cgroup"), &self.group);
    }
}

/// Removes the cgroup of that name wherever it is: a hierarchy may begin at the test's own cgroup.
fn remove_groups(dir: &Path, name: &str) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        match entry.file_name() == *name {
            true => remove_tree(&entry.path()),
            false => remove_groups(&entry.path(), name),
        }
    }
}

/// Removes cgroups from the leaves up. Those of processes that were just killed are busy for a moment.
fn remove_tree(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    for _ in 0..20 {
        if std::fs::remove_dir(dir).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn its_requests_and_the_events_it_hears_are_answered_as_lxc_answers_them() {
    if !is_root() {
        return skipped("root (privileged containers)");
    }
    if !Path::new("/usr/bin/perl").exists() || !Path::new("/bin/busybox").exists() {
        return skipped("perl, busybox-static");
    }
    let rlxc = bin_dir().join("rlxc");
    if !rlxc.exists() {
        return skipped("rlxc's programs are not built");
    }
    let ours = Run::new("ours");
    let [start, stop] = ["lxc-start", "lxc-stop"].map(|name| {
        let link = ours.place.join(name);
        assert!(std::os::unix::fs::symlink(&rlxc, &link).is_ok(), "{name}");
        link
    });
    let learned = ours.learned([&start, &stop, &bin_dir().join("lxc-monitord")]);
    for line in [
        "state of 101: STARTING",
        "state of 101: RUNNING",
        "6 memory: ret 0, data 'GROUP/lxc/101/ns\\0'",
        "19 memory: ret 0, data 'GROUP/lxc/101\\0'",
        "the connection ends: yes",
        "state of 101: STOPPED",
        "state: not running",
        "lxc-monitord: 0",
    ] {
        assert!(
            learned.lines().any(|said| said == line),
            "{line}: {learned}"
        );
    }
    if !peer() {
        return;
    }
    let theirs = Run::new("theirs");
    let expected = theirs.learned([
        Path::new("/usr/bin/lxc-start"),
        Path::new("/usr/bin/lxc-stop"),
        Path::new("/usr/libexec/lxc/lxc-monitord"),
    ]);
    assert_eq!(learned, expected);
}
