//! What a killed monitor leaves behind: processes, cgroups, links that went into the container.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rlxc_monitor::State;
use rlxc_network::{Context, Netlink, journal};

use crate::container::Container;
use crate::error::{Error, Result};

/// What is left of a container whose monitor was killed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Its processes: pid and name
    pub processes: Vec<(i32, String)>,
    /// Its cgroups, the deepest first
    pub cgroups: Vec<PathBuf>,
    /// Whether links have to be given back to the host
    pub links: bool,
    /// Whether it should have removed itself when it stopped (`lxc.ephemeral`)
    pub ephemeral: bool,
}

impl Leftovers {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How long killed processes may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

impl Container {
    /// Looks for what a killed monitor of this container left behind.
    ///
    /// Cgroups carry the container's name only: those that a living monitor of a container of the
    /// same name uses are not counted.
    ///
    /// # Errors
    /// [`Error::Running`] when its monitor answers; [`Error::Monitor`] when it is stuck.
    pub fn leftovers(&self) -> Result<Leftovers> {
        if self.state()? != State::Stopped {
            return Err(Error::Running {
                name: self.name().to_owned(),
            });
        }
        let used = cgroups_of_the_living(self.name());
        let (mut processes, mut cgroups) = orphans(self.name(), &used);
        // Where nothing is delegated a user's container has no cgroup: then its record tells, else its root.
        if processes.is_empty() {
            let init = self.init_on_record().or_else(|| self.init_by_root());
            processes.extend(init.map(|pid| (pid, comm_of(pid))));
        }
        cgroups.extend(empty_cgroups(self.name(), &used));
        let mut cgroups: Vec<PathBuf> = cgroups.into_iter().collect();
        cgroups.sort_by_key(|dir| std::cmp::Reverse(dir.components().count()));
        let ephemeral = self.config().is_ok_and(|config| config.ephemeral);
        let context = Context::new(self.name(), self.lxcpath());
        Ok(Leftovers {
            processes,
            cgroups,
            links: journal::is_kept(&context),
            ephemeral,
        })
    }

    /// Gives the host back what a killed monitor of this container has lent it, if it is stopped; a
    /// glance at a path when there is nothing.
    pub fn take_back_links(&self) {
        let context = Context::new(self.name(), self.lxcpath());
        if !context.privileged || !journal::is_kept(&context) {
            return;
        }
        if !matches!(self.state(), Ok(State::Stopped)) || self.outlived_its_monitor() {
            return;
        }
        match Netlink::open() {
            Ok(mut netlink) => {
                for error in journal::recover(&mut netlink, &context) {
                    tracing::warn!("network: {error}");
                }
            }
            Err(error) => tracing::warn!("network: {error}"),
        }
    }

    /// Whether init is known to run on without a monitor: then the links are still its.
    fn outlived_its_monitor(&self) -> bool {
        self.init_on_record().is_some()
    }

    /// Init, if the monitor that is gone has told of it and it runs on.
    fn init_on_record(&self) -> Option<i32> {
        let record = rlxc_runtime::adopt::load(self.lxcpath(), self.name());
        let (facts, _) = record.ok()??;
        facts.check().ok().map(|()| facts.init)
    }

    /// The first process of a pid namespace whose root is the container's root file system, a directory.
    fn init_by_root(&self) -> Option<i32> {
        let rootfs = &self.config().ok()?.rootfs;
        let path = rootfs.path.as_deref()?;
        let path = path.strip_prefix("dir:").unwrap_or(path);
        let own = std::fs::metadata(path)
            .ok()
            .filter(std::fs::Metadata::is_dir)?;
        // The host's own root is nobody's.
        let host = std::fs::metadata("/").ok()?;
        if (own.dev(), own.ino()) == (host.dev(), host.ino()) {
            return None;
        }
        let is_init = |pid: &i32| {
            std::fs::metadata(format!("/proc/{pid}/root/."))
                .is_ok_and(|root| (root.dev(), root.ino()) == (own.dev(), own.ino()))
                && crate::adopt::is_first(*pid)
        };
        processes().into_iter().map(|(pid, _)| pid).find(is_init)
    }

    /// Kills what runs, removes the cgroups, gives links back to the host under the names they
    /// had; an ephemeral container is destroyed. Returns what went wrong on the way.
    ///
    /// # Errors
    /// None of its own: everything is tried.
    pub fn clean_up(&mut self, left: &Leftovers) -> Vec<String> {
        let mut wrong = Vec::new();
        rlxc_runtime::adopt::forget(self.lxcpath(), self.name());
        // Held, so that virtual links in it outlive the processes.
        let netns = left.processes.iter().find_map(|(pid, _)| netns_of(*pid));
        for (pid, name) in &left.processes {
            if let Err(errno) = kill(Pid::from_raw(*pid), Signal::SIGKILL)
                && errno != nix::errno::Errno::ESRCH
            {
                wrong.push(format!("process {pid} ({name}) cannot be killed: {errno}"));
            }
        }
        let until = Instant::now() + PATIENCE;
        while left.cgroups.iter().any(|dir| !pids(dir).is_empty()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        rlxc_cgroup::Left::note(left.cgroups.clone()).remove(Duration::from_secs(2));
        let stay = left.cgroups.iter().filter(|dir| dir.exists());
        wrong.extend(stay.map(|dir| format!("{} cannot be removed", dir.display())));
        if left.links {
            let context = Context::new(self.name(), self.lxcpath());
            match Netlink::open() {
                Ok(mut netlink) => {
                    let errors = match &netns {
                        Some(netns) => journal::recover_from(&mut netlink, &context, netns.as_fd()),
                        None => journal::recover(&mut netlink, &context),
                    };
                    wrong.extend(errors.iter().map(ToString::to_string));
                }
                Err(error) => wrong.push(error.to_string()),
            }
        }
        if left.ephemeral
            && let Err(error) = self.destroy()
        {
            wrong.push(error.to_string());
        }
        wrong
    }
}

/// The network namespace of a process, if it is another than ours.
fn netns_of(pid: i32) -> Option<File> {
    let file = File::open(format!("/proc/{pid}/ns/net")).ok()?;
    let own = std::fs::metadata("/proc/self/ns/net").ok()?;
    (file.metadata().ok()?.ino() != own.ino()).then_some(file)
}

/// `lxc.payload.NAME`, `lxc.monitor.NAME`, and with the number that LXC appends when it is taken.
fn is_cgroup_of(name: &str, part: &str) -> bool {
    let rest = ["lxc.payload.", "lxc.monitor."]
        .iter()
        .find_map(|prefix| part.strip_prefix(prefix));
    let Some(rest) = rest.and_then(|rest| rest.strip_prefix(name)) else {
        return false;
    };
    rest.is_empty()
        || rest
            .strip_prefix('-')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Controllers and path of each line of /proc/PID/cgroup.
fn cgroups_of(pid: i32) -> Vec<(String, PathBuf)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let parse = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some((parts.next()?.to_owned(), PathBuf::from(parts.next()?)))
    };
    text.lines().filter_map(parse).collect()
}

/// The part of a cgroup path up to the container's own directory.
fn own_part(name: &str, path: &Path) -> Option<PathBuf> {
    let own = path.ancestors().find(|dir| {
        let last = dir.file_name().and_then(|last| last.to_str());
        last.is_some_and(|last| is_cgroup_of(name, last))
    });
    own.map(Path::to_owned)
}

/// Paths, below their hierarchies, that containers of that name use whose monitors live.
fn cgroups_of_the_living(name: &str) -> BTreeSet<PathBuf> {
    let mut used = BTreeSet::new();
    for (pid, title) in processes() {
        let Some(rest) = title.strip_prefix("[lxc monitor] ") else {
            continue;
        };
        let Some(lxcpath) = rest
            .trim_end()
            .strip_suffix(name)
            .and_then(|r| r.strip_suffix(' '))
        else {
            continue;
        };
        let client = rlxc_monitor::Client::new(lxcpath, name);
        let init = client.init_pid().ok();
        for pid in [Some(pid), init].into_iter().flatten() {
            let paths = cgroups_of(pid).into_iter();
            used.extend(paths.filter_map(|(_, path)| own_part(name, &path)));
        }
        // The other half of the pair: payload for monitor.
        let pairs: Vec<PathBuf> = used.iter().filter_map(|path| pair(path)).collect();
        used.extend(pairs);
    }
    used
}

fn pair(path: &Path) -> Option<PathBuf> {
    let last = path.file_name()?.to_str()?;
    let other = match last.strip_prefix("lxc.monitor.") {
        Some(rest) => format!("lxc.payload.{rest}"),
        None => format!("lxc.monitor.{}", last.strip_prefix("lxc.payload.")?),
    };
    Some(path.with_file_name(other))
}

/// The name of a process.
fn comm_of(pid: i32) -> String {
    let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    comm.trim_end().to_owned()
}

/// pid and command line of every process.
fn processes() -> Vec<(i32, String)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
        })
        .collect()
}

/// Where the hierarchy of some controllers is mounted.
fn mount_of(controllers: &str) -> Option<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mounts").ok()?;
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let (place, kind, options) = (*words.get(1)?, *words.get(2)?, *words.get(3)?);
        let is = match kind {
            "cgroup2" => controllers.is_empty(),
            "cgroup" => {
                let has = |c: &str| options.split(',').any(|option| option == c);
                !controllers.is_empty() && controllers.split(',').all(has)
            }
            _ => false,
        };
        is.then(|| PathBuf::from(place))
    })
}

fn orphans(name: &str, used: &BTreeSet<PathBuf>) -> (Vec<(i32, String)>, BTreeSet<PathBuf>) {
    let (mut found, mut dirs) = (Vec::new(), BTreeSet::new());
    for (pid, _) in processes() {
        let mut is_one = false;
        for (controllers, path) in cgroups_of(pid) {
            let Some(own) = own_part(name, &path).filter(|own| !used.contains(own)) else {
                continue;
            };
            is_one = true;
            let below = own.strip_prefix("/").unwrap_or(&own);
            dirs.extend(mount_of(&controllers).map(|mount| mount.join(below)));
        }
        if is_one {
            found.push((pid, comm_of(pid)));
        }
    }
    (found, dirs)
}

/// Cgroups of that name without processes, where LXC makes them: below the root and below the
/// caller's own cgroup and those above it.
fn empty_cgroups(name: &str, used: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for (controllers, own) in cgroups_of(std::process::id() as i32) {
        let Some(mount) = mount_of(&controllers) else {
            continue;
        };
        for parent in own.ancestors() {
            let below = parent.strip_prefix("/").unwrap_or(parent);
            let entries = std::fs::read_dir(mount.join(below)).into_iter().flatten();
            for entry in entries.flatten() {
                let file = entry.file_name();
                let is_one = file.to_str().is_some_and(|file| is_cgroup_of(name, file));
                let path = parent.join(&file);
                if is_one && !used.contains(&path) && pids(&entry.path()).is_empty() {
                    found.insert(entry.path());
                }
            }
        }
    }
    found
}

fn pids(dir: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cgroups_of_the_very_name_are_the_containers() {
        for (part, is) in [
            ("lxc.payload.web", true),
            ("lxc.monitor.web", true),
            ("lxc.payload.web-3", true),
            ("lxc.payload.web2", false),
            ("lxc.payload.web-x", false),
            ("lxc.payload.web-", false),
            ("lxc.payload.my-web", false),
            ("web", false),
        ] {
            assert_eq!(is_cgroup_of("web", part), is, "{part}");
        }
        let path = Path::new("/user/lxc.payload.web/init.scope");
        assert_eq!(own_part("web", path), Some("/user/lxc.payload.web".into()));
        assert_eq!(
            pair(Path::new("/a/lxc.monitor.web-1")),
            Some("/a/lxc.payload.web-1".into())
        );
    }
}
