//! What is lent to the running container, and its checkpoints.

use std::ffi::{c_char, c_int, c_uint, c_ulong, c_void};

use rlxc::{Migrate, MigrateOptions};

use crate::abi::{call, lxc_container};
use crate::memory::{path, text};

pub(crate) unsafe extern "C" fn add_device_node(
    c: *mut lxc_container,
    source: *const c_char,
    dest: *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let (Some(source), dest) = (path(source), path(dest)) else {
            return false;
        };
        call(c, false, |inner, _| {
            inner
                .container
                .add_device_node(&source, dest.as_deref())
                .map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn remove_device_node(
    c: *mut lxc_container,
    source: *const c_char,
    dest: *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let (Some(source), dest) = (path(source), path(dest)) else {
            return false;
        };
        call(c, false, |inner, _| {
            inner
                .container
                .remove_device_node(&source, dest.as_deref())
                .map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn attach_interface(
    c: *mut lxc_container,
    device: *const c_char,
    inside: *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let (Some(device), inside) = (text(device), text(inside)) else {
            return false;
        };
        call(c, false, |inner, _| {
            inner
                .container
                .attach_interface(device, inside)
                .map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn detach_interface(
    c: *mut lxc_container,
    device: *const c_char,
    outside: *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let (Some(device), outside) = (text(device), text(outside)) else {
            return false;
        };
        call(c, false, |inner, _| {
            inner
                .container
                .detach_interface(device, outside)
                .map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn mount(
    c: *mut lxc_container,
    source: *const c_char,
    target: *const c_char,
    fstype: *const c_char,
    flags: c_ulong,
    data: *const c_void,
    api: *const c_int,
) -> c_int {
    const API_V1: c_int = 1;
    // SAFETY: by the header's contract: `api` is NULL or a version, `data` NULL or a string.
    unsafe {
        let Some(target) = path(target) else {
            return -libc::EINVAL;
        };
        if api.is_null() || *api != API_V1 {
            return -libc::EINVAL;
        }
        let (source, fstype, data) = (path(source), text(fstype), text(data.cast()));
        call(c, -1, |inner, _| {
            let container = &inner.container;
            container
                .inject_mount(source.as_deref(), &target, fstype, flags, data)
                .map(|()| 0)
        })
    }
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
        call(c, -1, |inner, _| {
            inner.container.inject_umount(&target, flags).map(|()| 0)
        })
    }
}

pub(crate) unsafe extern "C" fn checkpoint(
    c: *mut lxc_container,
    directory: *const c_char,
    stop: bool,
    verbose: bool,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let Some(directory) = path(directory) else {
            return false;
        };
        let options = MigrateOptions {
            directory,
            stop,
            verbose,
            ..MigrateOptions::default()
        };
        call(c, false, |inner, _| {
            inner
                .container
                .migrate(Migrate::Dump, &options)
                .map(|()| true)
        })
    }
}

/// Restoring is not built yet; the caller is told so and nothing is touched.
pub(crate) unsafe extern "C" fn restore(
    c: *mut lxc_container,
    _directory: *const c_char,
    _verbose: bool,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe { call(c, false, |_, c| Ok(refuse_restore(c))) }
}

fn refuse_restore(c: &mut lxc_container) -> bool {
    crate::memory::release(c.error_string);
    c.error_string = crate::memory::give(b"this version cannot restore a checkpoint");
    c.error_num = libc::ENOSYS;
    false
}

/// `struct migrate_opts`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct MigrateOpts {
    directory: *const c_char,
    verbose: bool,
    stop: bool,
    predump_dir: *const c_char,
    pageserver_address: *const c_char,
    pageserver_port: *const c_char,
    preserves_inodes: bool,
    action_script: *const c_char,
    disable_skip_in_flight: bool,
    ghost_limit: u64,
    features_to_check: u64,
}

const _: () = assert!(size_of::<MigrateOpts>() == 80);

pub(crate) unsafe extern "C" fn migrate(
    c: *mut lxc_container,
    command: c_uint,
    options: *const MigrateOpts,
    size: c_uint,
) -> c_int {
    if options.is_null() || size as usize != size_of::<MigrateOpts>() {
        return -libc::EINVAL;
    }
    // SAFETY: not NULL and of the size that the caller says.
    let given = unsafe { *options };
    let action = match command {
        0 => Migrate::PreDump,
        1 => Migrate::Dump,
        // SAFETY: by the header's contract.
        2 => return unsafe { call(c, -1, |_, c| Ok(if refuse_restore(c) { 0 } else { -1 })) },
        _ => return -libc::EINVAL,
    };
    // SAFETY: by the header's contract.
    unsafe {
        let Some(directory) = path(given.directory) else {
            return -libc::EINVAL;
        };
        let server = (text(given.pageserver_address), text(given.pageserver_port));
        let options = MigrateOptions {
            directory,
            verbose: given.verbose,
            stop: given.stop,
            predump_dir: path(given.predump_dir),
            page_server: match server {
                (Some(address), Some(port)) => Some((address.to_owned(), port.to_owned())),
                _ => None,
            },
            action_script: path(given.action_script),
            ghost_limit: given.ghost_limit,
        };
        call(c, -1, |inner, _| {
            inner.container.migrate(action, &options).map(|()| 0)
        })
    }
}
