//! Attaching the rootfs and making it `/`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{fchdir, pivot_root};
use rlxc_sys::mount::{self, MountAttr};

use super::Result;
use crate::error::{Context, StartError};
use crate::plan::Plan;
use crate::root::Root;

/// Keeps mounts made here from reaching the host.
pub(crate) fn make_slave() -> Result<()> {
    let flags = MsFlags::MS_SLAVE | MsFlags::MS_REC;
    let made = mount(None::<&str>, "/", None::<&str>, flags, None::<&str>);
    made.at("mount namespace", "/").map_err(|error| match made {
        // Nor could it be pivoted away from.
        Err(nix::errno::Errno::EINVAL) => error.remedy(
            "the root directory of this process is not a mount point, as after a chroot: bind that directory on itself \
             (mount --bind DIR DIR) before the chroot",
        ),
        _ => error,
    })
}

/// Attaches the rootfs at `lxc.rootfs.mount`; without one the host's tree is the root.
pub(super) fn attach(
    plan: &Plan,
    source: &crate::rootfs::Source,
    tree: Option<OwnedFd>,
) -> Result<Root> {
    let step = "rootfs";
    let Some(rootfs) = &plan.rootfs else {
        return Root::open_host(Path::new("/")).at(step, "/");
    };
    source.mount(rootfs, tree)?;
    Root::open_host(&rootfs.mount).at_path(step, &rootfs.mount)
}

/// Makes the rootfs the root of this mount namespace and detaches the old one.
pub(super) fn pivot(plan: &Plan, root: &Root) -> Result<()> {
    let step = "pivot_root";
    let Some(rootfs) = &plan.rootfs else {
        return Ok(());
    };
    let path = &rootfs.mount;
    // A mount on top of the rootfs would make us pivot below what the mounts above show.
    let now = Root::open_host(path).at_path(step, path)?;
    let id = |fd: &Root| nix::sys::stat::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    if id(&now) != id(root) {
        return Err(StartError::new(
            step,
            path.display(),
            "a mount entry or hook has mounted over the rootfs",
        ));
    }
    let old = nix::fcntl::open(
        "/",
        OFlag::O_PATH | OFlag::O_CLOEXEC,
        nix::sys::stat::Mode::empty(),
    )
    .at(step, "/")?;
    fchdir(root).at_path(step, path)?;
    match pivot_root(".", ".") {
        Ok(()) => {
            // The old root now lies on top of the new one.
            fchdir(&old).at(step, "/")?;
            make_dot_slave()?;
            umount2(".", MntFlags::MNT_DETACH).at(step, "the old root")?;
        }
        // The host's root is a ramfs, which cannot be pivoted away from.
        Err(nix::errno::Errno::EINVAL) => move_root()?,
        Err(errno) => return Err(errno).at_path(step, path),
    }
    nix::unistd::chdir("/").at(step, "/")?;
    share_root()
}

/// The container's mounts are shared among its own mount namespaces, as an init expects it.
fn share_root() -> Result<()> {
    let (flags, none) = (MsFlags::MS_SHARED | MsFlags::MS_REC, None::<&str>);
    mount(none, "/", none, flags, none).at("pivot_root", "shared mounts")
}

fn make_dot_slave() -> Result<()> {
    let attr = MountAttr {
        propagation: nix::mount::MsFlags::MS_SLAVE.bits(),
        ..MountAttr::default()
    };
    let here = nix::fcntl::open(
        ".",
        OFlag::O_PATH | OFlag::O_CLOEXEC,
        nix::sys::stat::Mode::empty(),
    )
    .at("pivot_root", ".")?;
    mount::set_attr(here.as_fd(), true, &attr).at("pivot_root", "the old root")
}

fn move_root() -> Result<()> {
    let step = "move of the root";
    let none = None::<&str>;
    mount(Some("."), "/", none, MsFlags::MS_MOVE, none).at(step, "/")?;
    nix::unistd::chroot(".").at(step, ".")
}
