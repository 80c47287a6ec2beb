//! What is lent to the running container, and its checkpoints.

use std::ffi::{c_char, c_int, c_ulong, c_void};
use std::path::Path;

use rlxc::Container;

use crate::abi::{apart, lxc_container};
use crate::memory::{path, text};

/// # Safety
/// As the functions of the header: a container of ours, strings or NULL.
unsafe fn device_node(
    c: *mut lxc_container,
    source: *const c_char,
    dest: *const c_char,
    change: impl FnOnce(&Container, &Path, Option<&Path>) -> rlxc::Result<()>,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let (Some(source), dest) = (path(source), path(dest)) else {
            return false;
        };
        apart(c, false, false, |container| {
            change(container, &source, dest.as_deref()).map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn add_device_node(
    c: *mut lxc_container,
    source: *const c_char,
    dest: *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe { device_node(c, source, dest, Container::add_device_node) }
}

pub(crate) unsafe extern "C" fn remove_device_node(
    c: *mut lxc_container,
    source: *const c_char,
    dest: *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe { device_node(c, source, dest, Container::remove_device_node) }
}

/// # Safety
/// As [`device_node`].
unsafe fn interface(
    c: *mut lxc_container,
    device: *const c_char,
    as_name: *const c_char,
    change: impl FnOnce(&Container, &str, Option<&str>) -> rlxc::Result<()>,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let (Some(device), as_name) = (text(device), text(as_name)) else {
            return false;
        };
        apart(c, false, false, |container| {
            change(container, device, as_name).map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn attach_interface(
    c: *mut lxc_container,
    device: *const c_char,
    inside: *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe { interface(c, device, inside, Container::attach_interface) }
}

pub(crate) unsafe extern "C" fn detach_interface(
    c: *mut lxc_container,
    device: *const c_char,
    outside: *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe { interface(c, device, outside, Container::detach_interface) }
}

pub(crate) unsafe extern "C" fn mount(
    c: *mut lxc_container,
    source: *const c_char,
    target: *const c_char,
    fstype: *const c_char,
    flags: c_ulong,
    data: *const c_void,
    _api: *const c_int,
) -> c_int {
    // SAFETY: by the header's contract: `data` is NULL or a string. The version is not looked at,
    // as with LXC: LXD hands over a structure of zeros.
    unsafe {
        let Some(target) = path(target) else {
            return -libc::EINVAL;
        };
        let (source, fstype, data) = (path(source), text(fstype), text(data.cast()));
        apart(c, -libc::EINVAL, true, |container| {
            if !has_shared_mounts(container) {
                return Ok(-libc::EINVAL);
            }
            container
                .inject_mount(source.as_deref(), &target, fstype, flags, data)
                .map(|()| 0)
        })
    }
}

/// Whether the container was given a directory for mounts; LXC needs it to mount into it.
fn has_shared_mounts(container: &Container) -> bool {
    container
        .config()
        .is_ok_and(|config| config.mounts.auto.shmounts.is_some())
}

pub(crate) unsafe extern "C" fn umount(
    c: *mut lxc_container,
    target: *const c_char,
    flags: c_ulong,
    _api: *const c_int,
) -> c_int {
    // SAFETY: by the header's contract.
    unsafe {
        let Some(target) = path(target) else {
            return -libc::EINVAL;
        };
        let Ok(flags) = c_int::try_from(flags) else {
            return -libc::EINVAL;
        };
        apart(c, -1, false, |container| {
            container.inject_umount(&target, flags).map(|()| 0)
        })
    }
}
