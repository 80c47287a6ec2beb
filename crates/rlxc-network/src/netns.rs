//! Doing something in another network namespace.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sched::{CloneFlags, setns};

use crate::error::{Error, Result};

/// Runs `work` on a thread of its own that has entered the network namespace `netns`.
///
/// A thread has its own network namespace, so this is safe in a program with many threads, and
/// the calling thread never leaves its own namespace. What `work` opens (a [`crate::Netlink`])
/// goes on working in that namespace afterwards.
///
/// # Errors
/// [`Error::Enter`] (EPERM: the namespace belongs to a user namespace the caller has no
/// CAP_SYS_ADMIN in), and what `work` returns.
///
/// # References
/// setns(2), network_namespaces(7).
pub fn run_in<T: Send>(
    netns: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let thread = |_: &()| {
        setns(netns, CloneFlags::CLONE_NEWNET).map_err(|source| Error::Enter {
            namespace: "of the container".into(),
            source,
        })?;
        work()
    };
    std::thread::scope(|scope| {
        let handle = std::thread::Builder::new()
            .name("netns".into())
            .stack_size(256 * 1024)
            .spawn_scoped(scope, move || thread(&()))
            .map_err(|source| Error::Spawn {
                program: "a thread".into(),
                source,
            })?;
        handle.join().unwrap_or_else(|_| {
            Err(Error::Unsupported(
                "the thread in the other network namespace panicked".into(),
            ))
        })
    })
}

/// Opens the network namespace of process `pid`.
///
/// # Errors
/// [`Error::File`].
pub fn of_pid(pid: i32) -> Result<OwnedFd> {
    open(Path::new(&format!("/proc/{pid}/ns/net")))
}

/// Opens the calling thread's own network namespace.
///
/// # Errors
/// [`Error::File`].
pub fn own() -> Result<OwnedFd> {
    open(Path::new("/proc/thread-self/ns/net"))
}

fn open(path: &Path) -> Result<OwnedFd> {
    File::open(path)
        .map(OwnedFd::from)
        .map_err(|source| Error::File {
            op: "open",
            path: path.to_owned(),
            source,
        })
}

/// A netlink socket that works in the namespace `netns`.
///
/// # Errors
/// As [`run_in`].
pub fn netlink_in(netns: impl AsFd) -> Result<crate::Netlink> {
    run_in(netns.as_fd(), crate::Netlink::open)
}
