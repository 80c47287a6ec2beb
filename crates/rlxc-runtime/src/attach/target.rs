use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::unistd::geteuid;
use rlxc_config::Namespace;
use rlxc_monitor::{Client, Error as MonitorError};
use rlxc_sys::child::Ids;
use rlxc_sys::process::{pidfd_open, pidfd_send_signal};

use super::{AttachError, AttachOptions};

/// The container's init, and what entering it means.
#[derive(Debug)]
pub(super) struct Target {
    /// Init in our pid namespace
    pub pid: i32,
    /// Init's pidfd
    pub pidfd: OwnedFd,
    /// CLONE_NEW* mask of what will be entered
    pub joined: u64,
    /// Init's capability bounding set
    pub bounding: u64,
    /// Whether init runs under no_new_privs
    pub no_new_privs: bool,
    /// Whether init runs under a seccomp filter
    pub filtered: bool,
    /// Init's execution domain, if we may know it
    pub domain: Option<u64>,
    /// The root of the user namespace, if one is entered
    pub setup_ids: Option<Ids>,
    /// Final ids
    pub ids: Ids,
}

struct Status {
    uid: u32,
    gid: u32,
    bounding: u64,
    no_new_privs: bool,
    filtered: bool,
}

impl Target {
    pub(super) fn find(
        client: &Client,
        pidfd: rlxc_monitor::Result<OwnedFd>,
        options: &AttachOptions,
    ) -> Result<Self, AttachError> {
        let (pid, pidfd) = init(client, pidfd)?;
        let status = Status::read(pid)?;
        let wanted = options.namespaces.unwrap_or(u64::MAX);
        let joined = differing(pid)? & wanted;
        let enters_user = joined & Namespace::User.clone_flag() != 0;
        let (init_ids, setup_ids) = match enters_user {
            true => user_namespace_ids(pid, &status)?,
            false => (own_ids(), None),
        };
        // Everything read by number belongs to init, unless it has died meanwhile.
        pidfd_send_signal(&pidfd, 0).map_err(AttachError::call("reach the container's init"))?;
        Ok(Self {
            pid,
            pidfd,
            joined,
            bounding: status.bounding,
            no_new_privs: status.no_new_privs,
            filtered: status.filtered,
            domain: domain_of(&pid.to_string()),
            setup_ids,
            ids: Ids {
                uid: options.uid.or(init_ids.uid),
                gid: options.gid.or(init_ids.gid),
            },
        })
    }

    /// Whether `namespace` will be entered.
    pub(super) fn joins(&self, namespace: Namespace) -> bool {
        self.joined & namespace.clone_flag() != 0
    }

    /// A path below init's directory in /proc.
    pub(super) fn proc(&self, what: &str) -> PathBuf {
        format!("/proc/{}/{what}", self.pid).into()
    }
}

/// Without a user namespace the process becomes root, or stays who the caller is.
fn own_ids() -> Ids {
    match geteuid().is_root() {
        true => Ids {
            uid: Some(0),
            gid: Some(0),
        },
        false => Ids::default(),
    }
}

/// The execution domain of a process, if we may know it.
pub(super) fn domain_of(pid: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/personality")).ok()?;
    u64::from_str_radix(text.trim(), 16).ok()
}

fn init(
    client: &Client,
    pidfd: rlxc_monitor::Result<OwnedFd>,
) -> Result<(i32, OwnedFd), AttachError> {
    match pidfd {
        Ok(pidfd) => Ok((pid_of(&pidfd)?, pidfd)),
        Err(MonitorError::Refused { .. }) => {
            let pid = client.init_pid()?;
            let pidfd = pidfd_open(pid).map_err(AttachError::call("open init's pidfd"))?;
            Ok((pid, pidfd))
        }
        Err(error) => Err(error.into()),
    }
}

fn pid_of(pidfd: &OwnedFd) -> Result<i32, AttachError> {
    let path = PathBuf::from(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()));
    let text = fs::read_to_string(&path).map_err(AttachError::path("read", &path))?;
    let pid = field(&text, "Pid:").and_then(|pid| pid.parse().ok());
    match pid {
        Some(pid) if pid > 0 => Ok(pid),
        // −1: it has ended; 0: it is not in our pid namespace.
        _ => Err(AttachError::Call {
            operation: "reach the container's init",
            source: Errno::ESRCH.into(),
        }),
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
}

impl Status {
    fn read(pid: i32) -> Result<Self, AttachError> {
        let path = PathBuf::from(format!("/proc/{pid}/status"));
        let text = fs::read_to_string(&path).map_err(AttachError::path("read", &path))?;
        let missing = |field| AttachError::Proc {
            path: path.clone(),
            field,
        };
        let number = |name| field(&text, name).and_then(|n| n.parse().ok());
        Ok(Self {
            uid: number("Uid:").ok_or_else(|| missing("Uid"))?,
            gid: number("Gid:").ok_or_else(|| missing("Gid"))?,
            bounding: field(&text, "CapBnd:")
                .and_then(|mask| u64::from_str_radix(mask, 16).ok())
                .ok_or_else(|| missing("CapBnd"))?,
            // Without these lines the kernel cannot tell: then it may be so.
            no_new_privs: field(&text, "NoNewPrivs:") != Some("0"),
            filtered: field(&text, "Seccomp:") != Some("0"),
        })
    }
}

/// CLONE_NEW* mask of the namespaces of `pid` that are not this thread's.
fn differing(pid: i32) -> Result<u64, AttachError> {
    let mut mask = 0;
    for namespace in Namespace::ALL {
        let path = PathBuf::from(format!("/proc/{pid}/ns/{}", namespace.name()));
        let theirs = match fs::metadata(&path) {
            Ok(meta) => meta,
            // The kernel has no such namespaces.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(AttachError::path("look at", &path)(error)),
        };
        let own = PathBuf::from(format!("/proc/thread-self/ns/{}", namespace.name()));
        let ours = fs::metadata(&own).map_err(AttachError::path("look at", &own))?;
        if (theirs.dev(), theirs.ino()) != (ours.dev(), ours.ino()) {
            mask |= namespace.clone_flag();
        }
    }
    Ok(mask)
}

/// Init's ids inside of its user namespace, and those to set up with: the root, or init's.
fn user_namespace_ids(pid: i32, status: &Status) -> Result<(Ids, Option<Ids>), AttachError> {
    let ids = |kind: &str, outside: u32| -> Result<(Option<u32>, Option<u32>), AttachError> {
        let path = PathBuf::from(format!("/proc/{pid}/{kind}_map"));
        let text = fs::read_to_string(&path).map_err(AttachError::path("read", &path))?;
        let map = parse_map(&text);
        let inside = to_inside(&map, outside);
        let root = map.iter().any(|(inside, _, _)| *inside == 0).then_some(0);
        Ok((inside.or(root), root.or(inside)))
    };
    let (uid, setup_uid) = ids("uid", status.uid)?;
    let (gid, setup_gid) = ids("gid", status.gid)?;
    let setup = Ids {
        uid: setup_uid,
        gid: setup_gid,
    };
    Ok((Ids { uid, gid }, Some(setup)))
}

fn parse_map(text: &str) -> Vec<(u32, u32, u32)> {
    text.lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(|n| n.parse().ok());
            Some((numbers.next()??, numbers.next()??, numbers.next()??))
        })
        .collect()
}

fn to_inside(map: &[(u32, u32, u32)], outside: u32) -> Option<u32> {
    map.iter().find_map(|(inside, start, count)| {
        let offset = outside.checked_sub(*start).filter(|o| o < count)?;
        inside.checked_add(offset)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_translated_by_the_map() {
        let map = parse_map("         0     100000      65536\n     70000       1000          1\n");
        assert_eq!(to_inside(&map, 100_000), Some(0));
        assert_eq!(to_inside(&map, 165_535), Some(65_535));
        assert_eq!(to_inside(&map, 165_536), None);
        assert_eq!(to_inside(&map, 1000), Some(70_000));
        assert_eq!(to_inside(&map, 0), None);
    }

    #[test]
    fn fields_are_found_by_name() {
        let text = "Name:\tx\nUid:\t7\t8\t8\t8\nCapBnd:\t000001ffffffffff\n";
        assert_eq!(field(text, "Uid:"), Some("7"));
        assert_eq!(field(text, "Gid:"), None);
    }
}
