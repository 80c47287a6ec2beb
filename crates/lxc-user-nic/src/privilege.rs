//! Who asks, and whether the network namespace is theirs.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::unistd::{Group, Uid, User, getgid, getgroups, getresuid, setresuid};
use rlxc_network::Netlink;

use crate::usernet::Caller;

/// What every failure about the namespace says, so that the answer tells nothing about files or
/// processes of others.
pub(crate) const REFUSED: &str = "the network namespace cannot be used: it must exist and belong \
                                  to you";

/// The caller's names.
pub(crate) fn caller() -> Result<(Uid, Caller), String> {
    let uid = getresuid()
        .map_err(|e| format!("cannot read the user ids: {e}"))?
        .real;
    let user = User::from_uid(uid)
        .ok()
        .flatten()
        .ok_or_else(|| format!("the user id {uid} has no name"))?
        .name;
    let mut ids = getgroups().map_err(|e| format!("cannot read the groups: {e}"))?;
    ids.push(getgid());
    let groups = ids
        .into_iter()
        .filter_map(|gid| Group::from_gid(gid).ok().flatten());
    Ok((
        uid,
        Caller {
            user,
            groups: groups.map(|group| group.name).collect(),
        },
    ))
}

/// Does `work` with the caller's effective user id (and so without capabilities).
fn as_caller<T>(uid: Uid, work: impl FnOnce() -> T) -> Result<T, String> {
    let root = Uid::from_raw(0);
    setresuid(uid, uid, root).map_err(|e| format!("cannot take your user id: {e}"))?;
    let done = work();
    setresuid(uid, root, root).map_err(|e| format!("cannot become root again: {e}"))?;
    Ok(done)
}

/// Opens the namespace at `path` with the caller's rights and checks that they are privileged in
/// it. All failures give [`REFUSED`].
///
/// The check: a user who may not administer a namespace gets EPERM when deleting its `lo`, one
/// who may gets EOPNOTSUPP.
pub(crate) fn open_namespace(uid: Uid, path: &Path) -> Result<OwnedFd, String> {
    let refused = || REFUSED.to_owned();
    let open = || {
        let flags = nix::libc::O_CLOEXEC | nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
        File::options().read(true).custom_flags(flags).open(path)
    };
    let namespace = OwnedFd::from(as_caller(uid, open)?.map_err(|_| refused())?);
    // Also says that the file is a network namespace.
    let privileged = inside(&namespace, || {
        as_caller(uid, || {
            let mut netlink = Netlink::open()?;
            let lo = netlink.link("lo")?.map_or(1, |link| link.index);
            netlink.delete_link(lo, "lo")
        })
    })?
    .map_err(|_| refused())??;
    match privileged {
        Err(error) if error.errno() == Some(Errno::EOPNOTSUPP as i32) => Ok(namespace),
        _ => Err(refused()),
    }
}

type Entered<T> = Result<T, Errno>;

/// Does `work` in the namespace; the inner result is that of entering it.
pub(crate) fn inside<T>(
    namespace: &OwnedFd,
    work: impl FnOnce() -> T,
) -> Result<Entered<T>, String> {
    let own = File::open("/proc/self/ns/net")
        .map_err(|e| format!("cannot open the host's network namespace: {e}"))?;
    if let Err(errno) = setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET) {
        return Ok(Err(errno));
    }
    let done = work();
    setns(own.as_fd(), CloneFlags::CLONE_NEWNET)
        .map_err(|e| format!("cannot return to the host's network namespace: {e}"))?;
    Ok(Ok(done))
}
