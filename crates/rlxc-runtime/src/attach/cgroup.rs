use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};
use rlxc_monitor::client::Cgroups;
use rlxc_monitor::{Client, Error as MonitorError};

use super::AttachError;
use super::target::Target;

/// How many leaves of a cgroup2 are tried.
const LEAVES: u32 = 1000;

/// Files `tasks` of the v1 cgroups, into which the first child moves itself without a grace period of
/// the kernel ([`rlxc_cgroup::Entrance`]). None for an ordinary user: what the kernel refuses is
/// tolerated there, which only the parent can tell.
pub(super) fn tasks(cgroups: Option<&rlxc_monitor::Result<Cgroups>>) -> Vec<OwnedFd> {
    let Some(Ok(cgroups)) = cgroups.filter(|_| nix::unistd::geteuid().is_root()) else {
        return Vec::new();
    };
    let v1 = cgroups.dirs.iter();
    let v1 = v1.filter(|dir| is_v2(dir.as_fd()) == Ok(false));
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let opened = v1.map(|dir| openat(dir, "tasks", flags, Mode::empty()));
    opened.collect::<nix::Result<_>>().unwrap_or_default()
}

fn is_v2(dir: BorrowedFd<'_>) -> nix::Result<bool> {
    Ok(fstatfs(dir)?.filesystem_type() == CGROUP2_SUPER_MAGIC)
}

/// Moves a process into the container's cgroups: into all, or those that it does not enter itself.
pub(super) fn enter(
    client: &Client,
    cgroups: &rlxc_monitor::Result<Cgroups>,
    target: &Target,
    pid: i32,
    only_v2: bool,
) -> Result<(), AttachError> {
    match cgroups {
        Ok(cgroups) => {
            let mut refused = false;
            for dir in &cgroups.dirs {
                if only_v2 && !is_v2(dir.as_fd()).unwrap_or(true) {
                    continue;
                }
                let mut entered = enter_dir(dir.as_fd(), pid);
                if is_refusal(&entered) && !refused {
                    refused = true;
                    if by_scope(client, pid) {
                        entered = enter_dir(dir.as_fd(), pid);
                    }
                }
                tolerate(entered).map_err(AttachError::call("enter a cgroup of the container"))?;
            }
            Ok(())
        }
        // A monitor that knows no cgroups or no such command: go where init is.
        Err(MonitorError::Refused { .. } | MonitorError::NotRunning { .. }) => {
            enter_like_init(target, pid)
        }
        Err(error) => Err(AttachError::Call {
            operation: "learn the container's cgroups",
            source: io::Error::other(error.to_string()),
        }),
    }
}

/// Has systemd move the process into the scope that the container is in: the kernel lets an ordinary
/// user move processes only below a cgroup that belongs to that user.
fn by_scope(client: &Client, pid: i32) -> bool {
    let Ok(unit) = client.systemd_scope() else {
        return false;
    };
    let worker = crate::locate::worker_program();
    match crate::scope::attach(&unit, worker.as_deref(), pid) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!("systemd does not move the process into {unit}: {error}");
            false
        }
    }
}

fn is_refusal(result: &io::Result<()>) -> bool {
    let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    result.as_ref().is_err_and(denied) && !nix::unistd::geteuid().is_root()
}

/// An ordinary user may not be allowed to move processes there from elsewhere (another session's
/// scope): the process then stays in the user's own cgroup, under the user's own limits.
fn tolerate(result: io::Result<()>) -> io::Result<()> {
    if let Err(error) = &result
        && is_refusal(&result)
    {
        tracing::warn!("the process stays outside of a cgroup of the container: {error}");
        return Ok(());
    }
    result
}

fn enter_dir(dir: BorrowedFd<'_>, pid: i32) -> io::Result<()> {
    let pid = pid.to_string();
    if !is_v2(dir)? {
        return write_pid(dir, "cgroup.procs", &pid);
    }
    // Processes may only be in leaves once controllers are handed down, so a leaf comes first.
    let leaf = |number: u32| match number {
        0 => ".lxc".to_owned(),
        number => format!(".lxc-{number}"),
    };
    for number in 0..LEAVES {
        let name = leaf(number);
        match mkdirat(dir, name.as_str(), Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {
                match write_pid(dir, &format!("{name}/cgroup.procs"), &pid) {
                    Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {}
                    Err(error) if number > 0 => return Err(error),
                    Ok(()) => return Ok(()),
                    Err(_) => {}
                }
            }
            Err(errno) if number > 0 => return Err(errno.into()),
            Err(_) => {}
        }
        if number == 0 {
            match write_pid(dir, "cgroup.procs", &pid) {
                Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {}
                other => return other,
            }
        }
    }
    Err(Errno::EBUSY.into())
}

fn write_pid(dir: BorrowedFd<'_>, file: &str, pid: &str) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let file = openat(dir, file, flags, Mode::empty())?;
    File::from(file).write_all(pid.as_bytes())
}

fn enter_like_init(target: &Target, pid: i32) -> Result<(), AttachError> {
    let path = target.proc("cgroup");
    let memberships = fs::read_to_string(&path).map_err(AttachError::path("read", &path))?;
    let table = Path::new("/proc/self/mountinfo");
    let mounts = fs::read_to_string(table).map_err(AttachError::path("read", table))?;
    for dir in directories(&memberships, &mounts) {
        let opened = OpenOptions::new().read(true).open(&dir);
        tolerate(opened.and_then(|dir| enter_dir(dir.as_fd(), pid)))
            .map_err(AttachError::path("enter the cgroup", dir))?;
    }
    Ok(())
}

/// The cgroup directories that `/proc/PID/cgroup` names, below the mounts of `mountinfo`.
fn directories(memberships: &str, mountinfo: &str) -> Vec<PathBuf> {
    let mounts: Vec<(&str, &str, &str)> = mountinfo.lines().filter_map(cgroup_mount).collect();
    let find = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let point = mounts.iter().find_map(|(point, fstype, options)| {
            let fits = match controllers {
                "" => *fstype == "cgroup2",
                wanted => {
                    *fstype == "cgroup"
                        && wanted
                            .split(',')
                            .all(|c| options.split(',').any(|option| option == c))
                }
            };
            fits.then_some(*point)
        })?;
        Some(Path::new(point).join(path.trim_start_matches('/')))
    };
    memberships.lines().filter_map(find).collect()
}

/// Mount point, type and super options of a line that mounts the root of a cgroup hierarchy.
fn cgroup_mount(line: &str) -> Option<(&str, &str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, point) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let fstype = after.next().filter(|t| t.starts_with("cgroup"))?;
    let options = after.nth(1)?;
    (root == "/").then_some((point, fstype, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_are_found_below_the_mounts_of_their_controllers() {
        let memberships = "3:cpu,cpuacct:/a/b\n2:name=systemd:/s\n1:pids:/p\n0::/u\n";
        let mountinfo = "\
30 24 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw
31 24 0:27 / /sys/fs/cgroup/systemd rw shared:10 - cgroup cgroup rw,xattr,name=systemd
32 24 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 24 0:29 /x /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
34 24 0:30 / /proc rw - proc proc rw
";
        assert_eq!(
            directories(memberships, mountinfo),
            [
                PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/a/b"),
                PathBuf::from("/sys/fs/cgroup/systemd/s"),
                PathBuf::from("/sys/fs/cgroup/unified/u"),
            ]
        );
    }
}
