//! The configuration's functions.

use std::ffi::{c_char, c_int};
use std::os::unix::ffi::OsStrExt as _;

use crate::abi::{apart, call, has_config, lxc_container};
use crate::memory::{fill, fill_whole, give, path, release, text};

pub(crate) unsafe extern "C" fn load_config(c: *mut lxc_container, file: *const c_char) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let file = path(file);
        call(c, false, |inner, _| {
            inner.container.load_config(file.as_deref()).map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn save_config(c: *mut lxc_container, file: *const c_char) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let file = path(file);
        call(c, false, |inner, _| {
            inner.container.save_config(file.as_deref()).map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn clear_config(c: *mut lxc_container) {
    // SAFETY: by the header's contract.
    unsafe {
        call(c, (), |inner, _| {
            inner.container.clear_config();
            Ok(())
        });
    }
}

pub(crate) unsafe extern "C" fn set_config_item(
    c: *mut lxc_container,
    key: *const c_char,
    value: *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let Some(key) = text(key) else { return false };
        let value = if value.is_null() {
            Some("")
        } else {
            text(value)
        };
        let Some(value) = value else { return false };
        call(c, false, |inner, _| {
            inner.container.set_item(key, value).map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn clear_config_item(
    c: *mut lxc_container,
    key: *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let Some(key) = text(key) else { return false };
        call(c, false, |inner, _| {
            inner.container.clear_item(key).map(|()| true)
        })
    }
}

/// Whether LXC copies the key's value whole or not at all; all others it prints, and cuts them.
fn is_text(key: &str) -> bool {
    matches!(
        key,
        "lxc.apparmor.profile"
            | "lxc.console.logfile"
            | "lxc.console.path"
            | "lxc.execute.cmd"
            | "lxc.init.cmd"
            | "lxc.init.cwd"
            | "lxc.log.file"
            | "lxc.log.level"
            | "lxc.log.syslog"
            | "lxc.mount.fstab"
            | "lxc.rootfs.mount"
            | "lxc.rootfs.options"
            | "lxc.rootfs.path"
            | "lxc.seccomp.notify.cookie"
            | "lxc.seccomp.notify.proxy"
            | "lxc.seccomp.profile"
            | "lxc.selinux.context"
            | "lxc.selinux.context.keyring"
            | "lxc.tty.dir"
            | "lxc.uts.name"
    )
}

pub(crate) unsafe extern "C" fn get_config_item(
    c: *mut lxc_container,
    key: *const c_char,
    buffer: *mut c_char,
    size: c_int,
) -> c_int {
    // SAFETY: by the header's contract.
    unsafe {
        let Some(key) = text(key) else { return -1 };
        call(c, -1, |inner, _| match inner.container.item(key) {
            Ok(value) if is_text(key) => Ok(fill_whole(&value, buffer, size)),
            Ok(value) => Ok(fill(&value, buffer, size)),
            Err(error) => Ok(-error.errno().max(1)),
        })
    }
}

pub(crate) unsafe extern "C" fn get_keys(
    c: *mut lxc_container,
    prefix: *const c_char,
    buffer: *mut c_char,
    size: c_int,
) -> c_int {
    // SAFETY: by the header's contract.
    unsafe {
        let prefix = text(prefix);
        call(c, -1, |inner, _| match inner.container.keys(prefix) {
            Ok(keys) => {
                let lines: String = keys.iter().map(|key| format!("{key}\n")).collect();
                Ok(fill(&lines, buffer, size))
            }
            Err(error) => Ok(-error.errno().max(1)),
        })
    }
}

pub(crate) unsafe extern "C" fn get_running_config_item(
    c: *mut lxc_container,
    key: *const c_char,
) -> *mut c_char {
    let none = std::ptr::null_mut();
    // SAFETY: by the header's contract.
    unsafe {
        let Some(key) = text(key) else { return none };
        if !has_config(c) {
            return none;
        }
        apart(c, none, false, |container| {
            let value = container.running_item(key)?;
            let value = value.filter(|value| !value.is_empty());
            Ok(value.map_or(none, |value| give(value.as_bytes())))
        })
    }
}

pub(crate) unsafe extern "C" fn config_file_name(c: *mut lxc_container) -> *mut c_char {
    // SAFETY: by the header's contract.
    unsafe {
        call(c, std::ptr::null_mut(), |inner, c| {
            // Programs that look into the structure may have freed the name.
            if c.configfile.is_null() {
                return Ok(std::ptr::null_mut());
            }
            Ok(give(inner.container.config_file().as_os_str().as_bytes()))
        })
    }
}

pub(crate) unsafe extern "C" fn get_config_path(c: *mut lxc_container) -> *const c_char {
    // SAFETY: by the header's contract.
    unsafe { call(c, std::ptr::null(), |_, c| Ok(c.config_path.cast_const())) }
}

pub(crate) unsafe extern "C" fn set_config_path(
    c: *mut lxc_container,
    lxcpath: *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let Some(lxcpath) = path(lxcpath) else {
            return false;
        };
        call(c, false, |inner, c| {
            inner.container.set_config_path(&lxcpath);
            release(c.config_path);
            release(c.configfile);
            c.config_path = give(inner.container.lxcpath().as_os_str().as_bytes());
            c.configfile = give(inner.container.config_file().as_os_str().as_bytes());
            Ok(true)
        })
    }
}
