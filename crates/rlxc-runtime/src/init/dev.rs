//! Device nodes and links in /dev, and a boot id of the container's own.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, fstat, major, makedev, minor, mknodat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use rlxc_sys::mount::{self, MountAttr, attr};

use super::{Result, Setup};
use crate::error::{Context, StartError};
use crate::plan::Device;
use crate::root::Root;

/// The nodes of `lxc.autodev`.
pub(super) fn nodes(setup: &Setup<'_>) -> Result<()> {
    if setup.plan.devices.is_empty() {
        return Ok(());
    }
    let dev = setup.root.below("dev").at("devices", "/dev")?;
    // mknodat applies the umask.
    let umask = nix::sys::stat::umask(Mode::empty());
    let made = setup
        .plan
        .devices
        .iter()
        .try_for_each(|device| node(&dev, device));
    nix::sys::stat::umask(umask);
    made
}

fn node(dev: &Root, device: &Device) -> Result<()> {
    let about = format!("/dev/{}", device.name);
    let number = makedev(device.major.into(), device.minor.into());
    let mode = Mode::from_bits_truncate(device.mode);
    match mknodat(dev, device.name.as_str(), SFlag::S_IFCHR, mode, number) {
        // A node on a file system of a user namespace cannot be opened: bound instead.
        Ok(())
            if dev
                .open(
                    &device.name,
                    OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK,
                )
                .err()
                .and_then(|error| error.raw_os_error())
                == Some(Errno::EACCES as i32) =>
        {
            let _ = unlinkat(dev, device.name.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        Ok(()) => return Ok(()),
        Err(Errno::EEXIST) => return Ok(()),
        Err(Errno::EPERM) => {}
        Err(errno) => return Err(errno).at("devices", about),
    }
    bind_node(dev, device, number).at("devices", about)
}

/// The host's node on an empty file. It is checked to be the device we mean.
fn bind_node(dev: &Root, device: &Device, number: u64) -> std::io::Result<()> {
    let host = Path::new("/dev").join(&device.name);
    let tree = mount::open_tree_at(&host, mount::OPEN_TREE_CLONE)?;
    let found = fstat(&tree)?;
    if found.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFCHR.bits() || found.st_rdev != number {
        let found = format!(
            "the host's node is {}:{}, not {}:{}",
            major(found.st_rdev),
            minor(found.st_rdev),
            device.major,
            device.minor
        );
        return Err(std::io::Error::other(found));
    }
    let target = dev.make_file(&device.name, 0)?;
    mount::attach(&tree, &target)
}

/// The links of the plan.
pub(super) fn links(setup: &Setup<'_>) -> Result<()> {
    for (name, target) in &setup.plan.links {
        match setup.root.link("dev", name, target) {
            Ok(()) => {}
            // A rootfs with a /dev of its own, possibly read-only or incomplete.
            Err(error) if !setup.plan.config.autodev.enabled => {
                tracing::info!("/dev/{name}: {error}");
            }
            Err(error) => {
                return Err(StartError::from_error(
                    "links",
                    format!("/dev/{name}"),
                    &error,
                ));
            }
        }
    }
    Ok(())
}

/// A file with a random UUID on the container's /dev, as a detached read-only mount.
///
/// Without a /dev of ours or without /proc there is nothing to do.
pub(super) fn prepare_boot_id(setup: &Setup<'_>) -> Option<OwnedFd> {
    if !setup.plan.config.autodev.enabled || setup.plan.rootfs.is_none() {
        return None;
    }
    match make_boot_id(&setup.root) {
        Ok(tree) => Some(tree),
        Err(error) => {
            tracing::info!("no boot id of its own: {error}");
            None
        }
    }
}

fn make_boot_id(root: &Root) -> std::io::Result<OwnedFd> {
    let mut uuid = String::new();
    File::open("/proc/sys/kernel/random/uuid")?.read_to_string(&mut uuid)?;
    let file = root.make_file("dev/.lxc-boot-id", 0o644)?;
    root.write("dev/.lxc-boot-id", uuid.as_bytes())?;
    let mode = Mode::from_bits_truncate(0o444);
    nix::sys::stat::fchmodat(
        nix::fcntl::AT_FDCWD,
        &crate::root::fd_path(&file),
        mode,
        nix::sys::stat::FchmodatFlags::FollowSymlink,
    )?;
    let tree = mount::clone_tree(&file, false)?;
    let change = MountAttr {
        set: attr::RDONLY | attr::NOSUID | attr::NOEXEC | attr::NODEV,
        ..MountAttr::default()
    };
    mount::set_attr(&tree, false, &change)?;
    Ok(tree)
}

/// Puts the boot id over the host's in the container's /proc.
pub(super) fn bind_boot_id(tree: Option<OwnedFd>) {
    let Some(tree) = tree else { return };
    let path = "proc/sys/kernel/random/boot_id";
    let bound = Root::open_host(Path::new("/"))
        .and_then(|root| root.path_fd(path))
        .and_then(|target| mount::attach(&tree, &target));
    if let Err(error) = bound {
        tracing::info!("/{path}: {error}");
    }
}
