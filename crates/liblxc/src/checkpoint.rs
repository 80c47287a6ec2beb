//! Checkpoint, restore and migrate.

use std::ffi::{c_char, c_int, c_uint};

use rlxc::{Migrate, MigrateOptions};

use crate::abi::{apart, lxc_container};
use crate::memory::{path, text};

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
        apart(c, false, true, |container| {
            container.migrate(Migrate::Dump, &options).map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn restore(
    c: *mut lxc_container,
    directory: *const c_char,
    verbose: bool,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let Some(directory) = path(directory) else {
            return false;
        };
        let options = MigrateOptions {
            directory,
            verbose,
            log: crate::log::start_options(),
            ..MigrateOptions::default()
        };
        apart(c, false, true, |container| {
            container.restore(&options).map(|_| true)
        })
    }
}

/// `struct migrate_opts`. Its truth values are bytes here: a caller may leave what a command does not look
/// at as it happens to be.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct MigrateOpts {
    directory: *const c_char,
    verbose: u8,
    stop: u8,
    predump_dir: *const c_char,
    pageserver_address: *const c_char,
    pageserver_port: *const c_char,
    preserves_inodes: u8,
    action_script: *const c_char,
    disable_skip_in_flight: u8,
    ghost_limit: u64,
    features_to_check: u64,
}

const _: () = assert!(size_of::<MigrateOpts>() == 80);

/// The caller's structure in the size of ours: missing members are zero, and unknown ones must be.
///
/// # Safety
/// `options` has `size` bytes.
unsafe fn known(options: *const MigrateOpts, size: usize) -> Result<MigrateOpts, c_int> {
    let ours = size_of::<MigrateOpts>();
    // SAFETY: all zeros is valid for pointers and numbers; what is read is there by the
    // caller's word.
    unsafe {
        let bytes = options.cast::<u8>();
        let beyond = ours..size.max(ours);
        if beyond.into_iter().any(|at| *bytes.add(at) != 0) {
            return Err(-libc::E2BIG);
        }
        let mut given = std::mem::zeroed::<MigrateOpts>();
        std::ptr::copy_nonoverlapping(bytes, (&raw mut given).cast(), size.min(ours));
        Ok(given)
    }
}

pub(crate) unsafe extern "C" fn migrate(
    c: *mut lxc_container,
    command: c_uint,
    options: *mut MigrateOpts,
    size: c_uint,
) -> c_int {
    const RESTORE: c_uint = 2;
    const FEATURE_CHECK: c_uint = 3;
    if c.is_null() || options.is_null() {
        return -libc::EINVAL;
    }
    // SAFETY: not NULL and of the size that the caller says.
    let given = match unsafe { known(options, size as usize) } {
        Ok(given) => given,
        Err(errno) => return errno,
    };
    // SAFETY: by the header's contract.
    unsafe {
        let action = match command {
            0 => Migrate::PreDump,
            1 => Migrate::Dump,
            RESTORE => Migrate::Dump,
            FEATURE_CHECK => {
                let wanted = given.features_to_check;
                let found = apart(c, None, false, |_| Ok(Some(rlxc::criu_features(wanted)?)));
                let Some(found) = found else { return 1 };
                // Where the caller's structure has the member, it says what is there.
                let member = std::mem::offset_of!(MigrateOpts, features_to_check);
                if size as usize >= member + size_of::<u64>() {
                    (*options).features_to_check = found;
                }
                return c_int::from(found != wanted);
            }
            _ => return -libc::EINVAL,
        };
        let Some(directory) = path(given.directory) else {
            return -libc::EINVAL;
        };
        let server = (text(given.pageserver_address), text(given.pageserver_port));
        let options = MigrateOptions {
            directory,
            verbose: given.verbose != 0,
            stop: given.stop != 0,
            predump_dir: path(given.predump_dir),
            page_server: match server {
                (Some(address), Some(port)) => Some((address.to_owned(), port.to_owned())),
                _ => None,
            },
            action_script: path(given.action_script),
            ghost_limit: given.ghost_limit,
            preserves_inodes: given.preserves_inodes != 0,
            skip_in_flight: given.disable_skip_in_flight == 0,
            foreground: false,
            log: crate::log::start_options(),
        };
        apart(c, 1, true, |container| {
            if container.is_running() == (command == RESTORE) {
                return Ok(-1);
            }
            match command {
                RESTORE => container.restore(&options).map(drop)?,
                _ => container.migrate(action, &options)?,
            }
            Ok(0)
        })
    }
}
