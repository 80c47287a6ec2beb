//! One `lxc.mount.entry` or fstab line.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use rlxc_config::{CreateTarget, MountEntry};
use rlxc_sys::mount::{self, MountAttr, attr, attrs_of_flags};

use super::Result;
use crate::error::{Context, StartError};
use crate::plan::Plan;
use crate::root::{Root, fd_path};

/// Mounts `entry`; a failing optional one is only logged.
pub(super) fn mount(
    root: &Root,
    plan: &Plan,
    origin: &str,
    entry: &MountEntry,
    tree: Option<OwnedFd>,
) -> Result<()> {
    match try_mount(root, plan, origin, entry, tree) {
        Err(error) if entry.optional => {
            tracing::info!("optional mount left out: {error}");
            Ok(())
        }
        other => other,
    }
}

fn try_mount(
    root: &Root,
    plan: &Plan,
    origin: &str,
    entry: &MountEntry,
    tree: Option<OwnedFd>,
) -> Result<()> {
    let about = format!("{} on /{} ({origin})", entry.source, entry.target);
    if entry.fstype.starts_with("overlay") {
        make_overlay_dirs(plan, entry)?;
    }
    let target = target(root, entry).at("mount entry", &about).map_err(|error| {
        if entry.create.is_none() && error.errno == Some(nix::errno::Errno::ENOENT as i32) {
            error.remedy("make the mount point in the rootfs, or add create=dir or create=file to the options")
        } else {
            error
        }
    })?;
    let flags = MsFlags::from_bits_retain(entry.flags);
    let mounted = if let Some(tree) = tree {
        attach_bind(tree, &target, entry).at("mount entry", &about)?
    } else if flags.contains(MsFlags::MS_MOVE) {
        let tree = source(root, entry, 0).at("mount entry", &about)?;
        mount::attach(&tree, &target).at("mount entry", &about)?;
        tree
    } else if flags.contains(MsFlags::MS_BIND) {
        let mut how = mount::OPEN_TREE_CLONE;
        if flags.contains(MsFlags::MS_REC) {
            how |= mount::AT_RECURSIVE;
        }
        let tree = source(root, entry, how).at("mount entry", &about)?;
        attach_bind(tree, &target, entry).at("mount entry", &about)?
    } else if entry.propagation != 0 && (entry.fstype.is_empty() || entry.fstype == "none") {
        target
    } else {
        new_fs(&target, entry).at("mount entry", &about)?;
        root.path_fd(&entry.target).at("mount entry", &about)?
    };
    set_propagation(&mounted, entry).at("mount entry", &about)
}

fn target(root: &Root, entry: &MountEntry) -> std::io::Result<OwnedFd> {
    match entry.create {
        Some(CreateTarget::Dir) => root.make_dirs(&entry.target),
        Some(CreateTarget::File) => root.make_file(&entry.target, 0),
        None => root.path_fd(&entry.target),
    }
}

/// Opens the source as a mount; below the rootfs with `relative`.
fn source(root: &Root, entry: &MountEntry, flags: u32) -> std::io::Result<OwnedFd> {
    if entry.relative {
        let fd = root.path_fd(entry.source.trim_start_matches('/'))?;
        return mount::open_tree(fd.as_fd(), Path::new(""), flags | mount::AT_EMPTY_PATH);
    }
    mount::open_tree_at(Path::new(&entry.source), flags)
}

fn attach_bind(tree: OwnedFd, target: &OwnedFd, entry: &MountEntry) -> std::io::Result<OwnedFd> {
    let change = bind_attrs(entry);
    if change.set != 0 || change.clear != 0 {
        match mount::set_attr(&tree, false, &change) {
            // In a user namespace the way of noting access times is locked. LXC leaves it, too.
            Err(error) if is_refused(&error) && change.set & attr::ATIME_MASK != 0 => {
                tracing::info!("/{}: the access time options are left out", entry.target);
                let change = MountAttr {
                    set: change.set & !attr::ATIME_MASK,
                    clear: change.clear & !attr::ATIME_MASK,
                    ..MountAttr::default()
                };
                mount::set_attr(&tree, false, &change)?;
            }
            other => other?,
        }
    }
    mount::attach(&tree, target)?;
    Ok(tree)
}

fn is_refused(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

/// A copy keeps the restrictions of the mount it comes from; the entry's own are added.
fn bind_attrs(entry: &MountEntry) -> MountAttr<'static> {
    let set = attrs_of_flags(entry.flags);
    let mut clear = 0;
    if set & attr::ATIME_MASK != 0 {
        clear |= attr::ATIME_MASK;
    }
    if entry.dev {
        clear |= attr::NODEV;
    }
    MountAttr {
        set,
        clear,
        ..MountAttr::default()
    }
}

/// A new file system. By mount(2) on the descriptor's path: it takes any data as it is.
fn new_fs(target: &OwnedFd, entry: &MountEntry) -> std::io::Result<()> {
    let data = Some(entry.data.as_str()).filter(|data| !data.is_empty());
    Ok(nix::mount::mount(
        Some(entry.source.as_str()),
        &fd_path(target),
        Some(entry.fstype.as_str()),
        // LXC mounts an entry with `remount` anew, too.
        MsFlags::from_bits_retain(entry.flags) - MsFlags::MS_REMOUNT,
        data,
    )?)
}

fn set_propagation(mounted: &OwnedFd, entry: &MountEntry) -> std::io::Result<()> {
    let recursive = entry.propagation & MsFlags::MS_REC.bits() != 0;
    let propagation = entry.propagation & !MsFlags::MS_REC.bits();
    if propagation == 0 {
        return Ok(());
    }
    let change = MountAttr {
        propagation,
        ..MountAttr::default()
    };
    mount::set_attr(mounted, recursive, &change)
}

/// Upper and work directories below the container's directory are made when missing.
fn make_overlay_dirs(plan: &Plan, entry: &MountEntry) -> Result<()> {
    let own = plan.lxcpath.join(&plan.name);
    for option in entry.data.split(',') {
        let dir = option
            .strip_prefix("upperdir=")
            .or_else(|| option.strip_prefix("workdir="));
        let Some(dir) = dir.map(PathBuf::from) else {
            continue;
        };
        if plan.rootfs.is_some() && !dir.starts_with(&own) {
            continue;
        }
        match std::fs::create_dir_all(&dir) {
            Ok(()) => {}
            Err(error) => {
                return Err(StartError::from_error("mount entry", dir.display(), &error));
            }
        }
    }
    Ok(())
}
