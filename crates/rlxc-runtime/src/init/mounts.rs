//! The mount steps of the plan.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use rlxc_sys::mount::{self, FsContext, MountAttr, attr};

use super::{Result, Setup, entries};
use crate::error::Context;
use crate::plan::{MountStep, Plan, SysMode};
use crate::root::{Root, fd_path};

pub(super) const NO_EXTRAS: u64 = attr::NOSUID | attr::NODEV | attr::NOEXEC;

/// All steps but the cgroup mounts, which need the cgroup namespace.
pub(super) fn all_but_cgroups(setup: &mut Setup<'_>) -> Result<()> {
    for step in &setup.plan.mounts {
        match step {
            MountStep::Dev { size } => dev(&setup.root, *size)?,
            MountStep::Proc { mixed, net } => proc(&setup.root, *mixed, *net)?,
            MountStep::Sys(mode) => sys(&setup.root, *mode)?,
            MountStep::Shared { host, container } => shared(&setup.root, host, container)?,
            MountStep::Entry { origin, entry } => {
                let tree = match entry.idmap {
                    Some(_) => setup.idmapped.pop_front(),
                    None => None,
                };
                entries::mount(&setup.root, setup.plan, origin, entry, tree)?;
            }
            MountStep::Cgroup { .. } => {}
        }
    }
    Ok(())
}

fn dev(root: &Root, size: u32) -> Result<()> {
    let step = "mount /dev";
    let context = FsContext::open("tmpfs")
        .and_then(|context| context.source("none"))
        .at(step, "tmpfs")?;
    for (key, value) in [("mode", "0755"), ("size", &size.to_string())] {
        context
            .set(key, value)
            .at(step, format!("lxc.autodev.tmpfs.size ({key}={value})"))?;
    }
    let tree = context.mount(0).at(step, "tmpfs")?;
    let target = root.make_dirs("dev").at(step, "/dev")?;
    mount::attach(&tree, &target).at(step, "/dev")?;
    Root::new(tree)
        .make_dirs("pts")
        .at(step, "/dev/pts")
        .map(drop)
}

/// A fresh mount of a kernel file system at a directory of the rootfs, made if it is missing; an
/// old mount there is taken away first.
pub(super) fn kernel_fs(root: &Root, fstype: &str, target: &str, attrs: u64) -> Result<Root> {
    let step = format!("mount /{target}");
    let tree = FsContext::open(fstype)
        .and_then(|context| context.source(fstype)?.mount(attrs))
        .at(&step, fstype)?;
    let mut fd = root.make_dirs(target).at(&step, format!("/{target}"))?;
    if is_mount_point(&fd) && umount2(&fd_path(&fd), MntFlags::MNT_DETACH).is_ok() {
        fd = root.make_dirs(target).at(&step, format!("/{target}"))?;
    }
    mount::attach(&tree, &fd).at(&step, format!("/{target}"))?;
    Ok(Root::new(tree))
}

/// Whether a descriptor is the root of a mount (statx(2), STATX_ATTR_MOUNT_ROOT).
fn is_mount_point(fd: &OwnedFd) -> bool {
    mount::is_mount_root(fd)
}

fn proc(root: &Root, mixed: bool, net: bool) -> Result<()> {
    let step = "mount /proc";
    let proc = kernel_fs(root, "proc", "proc", NO_EXTRAS)?;
    if !mixed {
        return Ok(());
    }
    let writable = if net {
        clone_below(&proc, "sys/net", step)?
    } else {
        None
    };
    read_only_on_itself(&proc, "sys", step)?;
    read_only_on_itself(&proc, "sysrq-trigger", step)?;
    if let Some(tree) = writable {
        let target = proc.path_fd("sys/net").at(step, "/proc/sys/net")?;
        mount::attach(&tree, &target).at(step, "/proc/sys/net")?;
    }
    Ok(())
}

fn sys(root: &Root, mode: SysMode) -> Result<()> {
    let step = "mount /sys";
    let attrs = match mode {
        SysMode::Rw => 0,
        // The read-only flag is added at the end, when nothing has to be found through it.
        SysMode::Ro => attr::RDONLY,
        SysMode::Mixed => NO_EXTRAS,
    };
    let sys = kernel_fs(root, "sysfs", "sys", attrs)?;
    if mode != SysMode::Mixed {
        return Ok(());
    }
    let net = clone_below(&sys, "devices/virtual/net", step)?;
    set_read_only(&sys, step, "/sys")?;
    if let Some(net) = net {
        let target = sys.path_fd("devices/virtual/net");
        let target = target.at(step, "/sys/devices/virtual/net")?;
        mount::attach(&net, &target).at(step, "/sys/devices/virtual/net")?;
    }
    Ok(())
}

/// A detached copy of a file or directory of a tree; `None` if it does not exist.
fn clone_below(tree: &Root, path: &str, step: &str) -> Result<Option<OwnedFd>> {
    let fd = match tree.path_fd(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.at(step, path)?,
    };
    mount::clone_tree(&fd, false).at(step, path).map(Some)
}

fn read_only_on_itself(tree: &Root, path: &str, step: &str) -> Result<()> {
    if let Some(copy) = clone_below(tree, path, step)? {
        set_read_only(&copy, step, path)?;
        let target = tree.path_fd(path).at(step, path)?;
        mount::attach(&copy, &target).at(step, path)?;
    }
    Ok(())
}

pub(super) fn set_read_only(mount: impl AsFd, step: &str, target: &str) -> Result<()> {
    let change = MountAttr {
        set: attr::RDONLY,
        ..MountAttr::default()
    };
    mount::set_attr(mount, false, &change).at(step, target)
}

/// `shmounts`: the host's directory stays a peer, so that mounts can be put in later.
fn shared(root: &Root, host: &str, container: &str) -> Result<()> {
    let step = "lxc.mount.auto shmounts";
    let tree = mount::open_tree_at(
        Path::new(host),
        mount::OPEN_TREE_CLONE | mount::AT_RECURSIVE,
    )
    .at(step, host)?;
    let target = root
        .make_dirs(container)
        .at(step, format!("/{container}"))?;
    mount::attach(&tree, &target).at(step, format!("/{container}"))
}

/// What can only be done when the rootfs is `/`: shared mounts become slaves.
pub(super) fn after_pivot(plan: &Plan) -> Result<()> {
    for step in &plan.mounts {
        if let MountStep::Shared { container, .. } = step {
            let name = "lxc.mount.auto shmounts";
            let root = Root::open_host(Path::new("/")).at(name, "/")?;
            let fd = root.path_fd(container).at(name, format!("/{container}"))?;
            let change = MountAttr {
                propagation: nix::mount::MsFlags::MS_SLAVE.bits(),
                ..MountAttr::default()
            };
            mount::set_attr(&fd, true, &change).at(name, format!("/{container}"))?;
        }
    }
    Ok(())
}

/// `lxc.sysctl.*`, written through a procfs of our own: the container's may be read-only or hidden.
pub(super) fn sysctls(plan: &Plan, proc: Option<&Root>) -> Result<()> {
    let (Some(proc), step) = (proc, "sysctl") else {
        return Ok(());
    };
    for (name, value) in &plan.config.sysctl {
        let path = format!("sys/{}", name.replace('.', "/"));
        proc.write(&path, value.as_bytes())
            .at(step, format!("lxc.sysctl.{name} = {value} (/proc/{path})"))?;
    }
    Ok(())
}

/// A procfs that no process of the container can have made or covered, for what is written after the pivot.
///
/// A detached one of the container's pid namespace; where the kernel refuses it in a user namespace, because no procfs
/// is to be seen whole there (mount_namespaces(7)), the one of the starter. Either is to be had only as long as the
/// starter's tree is `/`.
pub(super) fn own_proc() -> std::io::Result<Root> {
    match private_proc() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let proc = Root::open_host(Path::new("/proc"))?;
            let stat = nix::sys::statfs::fstatfs(&proc)?;
            if stat.filesystem_type() != nix::sys::statfs::PROC_SUPER_MAGIC {
                return Err(error);
            }
            Ok(proc)
        }
        other => other,
    }
}

/// A detached procfs that no process of the container can reach.
fn private_proc() -> std::io::Result<Root> {
    let tree = FsContext::open("proc")?.source("proc")?.mount(NO_EXTRAS)?;
    // The mount itself as a directory: what openat2 resolves from.
    let dir = nix::fcntl::openat(
        &tree,
        ".",
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        nix::sys::stat::Mode::empty(),
    )?;
    Ok(Root::new(dir))
}
