//! Opening and entering namespaces that exist already.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rlxc_config::{Namespace, NamespaceSet};

use crate::{Choice, Error, Result, ShareSource};

/// Opens what `choice` shares. A container's name is turned into its init's pid by `init_pid`, called with the lxcpath
/// (if one is given) and the name; `None` = not running.
///
/// # Errors
/// When a container does not run, a file cannot be opened or is another kind of namespace.
pub fn open_shared(
    choice: &Choice,
    mut init_pid: impl FnMut(Option<&Path>, &str) -> Option<i32>,
) -> Result<Vec<(Namespace, OwnedFd)>> {
    let mut open = Vec::with_capacity(choice.shared.len());
    for (&ns, source) in &choice.shared {
        let fd = match source {
            ShareSource::Path(path) => open_namespace(ns, path)?,
            ShareSource::Pid(pid) => open_of_pid(ns, *pid)?,
            ShareSource::Container { lxcpath, name } => {
                let pid =
                    init_pid(lxcpath.as_deref(), name).ok_or_else(|| Error::ShareNotRunning {
                        namespace: ns.name(),
                        container: name.clone(),
                    })?;
                open_of_pid(ns, pid)?
            }
        };
        open.push((ns, fd));
    }
    Ok(open)
}

/// Opens the namespace `ns` of a process.
///
/// # Errors
/// When the process is gone or may not be looked at.
pub fn open_of_pid(ns: Namespace, pid: i32) -> Result<OwnedFd> {
    open_namespace(ns, &PathBuf::from(format!("/proc/{pid}/ns/{}", ns.name())))
}

/// Opens a namespace file and makes sure that it is one of the kind `ns`.
///
/// # Errors
/// When it cannot be opened or is something else.
pub fn open_namespace(ns: Namespace, path: &Path) -> Result<OwnedFd> {
    let file = File::open(path).map_err(|source| Error::Open {
        path: path.into(),
        source,
    })?;
    match rlxc_sys::namespace::kind(file.as_fd()) {
        Ok(kind) if kind == ns.clone_flag() => Ok(file.into()),
        _ => Err(Error::WrongKind {
            path: path.into(),
            namespace: ns.name(),
        }),
    }
}

/// Enters each of `namespaces`: the user namespace first, so that the others are entered with its rights.
///
/// # Errors
/// The namespace at which it stopped.
pub fn enter(namespaces: &[(Namespace, OwnedFd)]) -> Result<()> {
    let (user, other): (Vec<_>, Vec<_>) = namespaces
        .iter()
        .partition(|(ns, _)| *ns == Namespace::User);
    for (ns, fd) in user.into_iter().chain(other) {
        rlxc_sys::namespace::setns(fd.as_fd(), ns.clone_flag()).map_err(|source| Error::Enter {
            namespace: ns.name(),
            source,
        })?;
    }
    Ok(())
}

/// Enters the namespaces `set` of the process behind `pidfd` in one step (kernel 5.8 or later).
///
/// # Errors
/// The errno of setns(2); `EINVAL` on older kernels, where [`enter`] works. No allocation happens here.
pub fn enter_by_pidfd(pidfd: BorrowedFd<'_>, set: NamespaceSet) -> io::Result<()> {
    rlxc_sys::namespace::setns(pidfd, set.0)
}

/// Whether the namespace `ns` of process `pid` is the caller's own too.
///
/// # Errors
/// When either cannot be looked at.
pub fn is_own(ns: Namespace, pid: i32) -> io::Result<bool> {
    let link = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/{}", ns.name()));
    Ok(link("self")? == link(&pid.to_string())?)
}
