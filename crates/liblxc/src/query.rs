//! Questions to the running container.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::{BorrowedFd, IntoRawFd as _, OwnedFd};

use rlxc::monitor::protocol::ConsoleLogRequest;
use rlxc::runtime_control::ConsoleOptions;
use rlxc::{Container, Error, Family, State};

use crate::abi::{apart, lxc_container};
use crate::memory::{fill, give, give_list, text};

const STATES: [&CStr; 8] = [
    c"STOPPED",
    c"STARTING",
    c"RUNNING",
    c"STOPPING",
    c"ABORTING",
    c"FREEZING",
    c"FROZEN",
    c"THAWED",
];

/// A state's name that is never freed.
pub(crate) fn state_name(state: State) -> *const c_char {
    let name = STATES.get(state as usize);
    name.map_or(c"INVALID STATE".as_ptr(), |name| name.as_ptr())
}

pub(crate) unsafe extern "C" fn is_defined(c: *mut lxc_container) -> bool {
    // SAFETY: by the header's contract.
    unsafe { apart(c, false, false, |container| Ok(container.is_defined())) }
}

pub(crate) unsafe extern "C" fn state(c: *mut lxc_container) -> *const c_char {
    let unknown = if c.is_null() {
        std::ptr::null()
    } else {
        c"INVALID STATE".as_ptr()
    };
    // SAFETY: by the header's contract.
    unsafe {
        apart(c, unknown, false, |container| {
            container.state().map(state_name)
        })
    }
}

pub(crate) unsafe extern "C" fn is_running(c: *mut lxc_container) -> bool {
    // SAFETY: by the header's contract.
    unsafe { apart(c, false, false, |container| Ok(container.is_running())) }
}

pub(crate) unsafe extern "C" fn may_control(c: *mut lxc_container) -> bool {
    // SAFETY: by the header's contract.
    unsafe { apart(c, false, false, |container| Ok(container.may_control())) }
}

pub(crate) unsafe extern "C" fn init_pid(c: *mut lxc_container) -> libc::pid_t {
    // SAFETY: by the header's contract.
    unsafe {
        apart(c, -1, false, |container| {
            Ok(container.init_pid()?.unwrap_or(-1))
        })
    }
}

/// A descriptor, or a negative errno.
unsafe fn descriptor(
    c: *mut lxc_container,
    ask: impl FnOnce(&Container) -> Result<OwnedFd, Error>,
) -> c_int {
    // SAFETY: by the caller's word.
    unsafe {
        apart(c, -libc::EBADF, false, |container| match ask(container) {
            Ok(fd) => Ok(fd.into_raw_fd()),
            Err(error) => Ok(-error.errno().max(1)),
        })
    }
}

pub(crate) unsafe extern "C" fn init_pidfd(c: *mut lxc_container) -> c_int {
    // SAFETY: by the header's contract.
    unsafe { descriptor(c, |container| container.init_pidfd()) }
}

pub(crate) unsafe extern "C" fn devpts_fd(c: *mut lxc_container) -> c_int {
    // SAFETY: by the header's contract.
    unsafe { descriptor(c, |container| container.devpts_fd()) }
}

/// The listener of a container that this very process monitors: none, since the monitor is a
/// program of its own here; the running one is asked by [`seccomp_notify_fd_active`].
pub(crate) unsafe extern "C" fn seccomp_notify_fd(_c: *mut lxc_container) -> c_int {
    -libc::EBADF
}

pub(crate) unsafe extern "C" fn seccomp_notify_fd_active(c: *mut lxc_container) -> c_int {
    // SAFETY: by the header's contract.
    unsafe { descriptor(c, |container| container.seccomp_notify_fd_active()) }
}

pub(crate) unsafe extern "C" fn get_interfaces(c: *mut lxc_container) -> *mut *mut c_char {
    // SAFETY: by the header's contract.
    unsafe {
        apart(c, std::ptr::null_mut(), false, |container| {
            Ok(give_list(&container.interfaces()?))
        })
    }
}

pub(crate) unsafe extern "C" fn get_ips(
    c: *mut lxc_container,
    interface: *const c_char,
    family: *const c_char,
    scope: c_int,
) -> *mut *mut c_char {
    let none = std::ptr::null_mut();
    // SAFETY: by the header's contract.
    unsafe {
        let interface = text(interface);
        let family = match text(family) {
            None => None,
            Some("inet") => Some(Family::Inet),
            Some("inet6") => Some(Family::Inet6),
            Some(_) => return none,
        };
        apart(c, none, false, |container| {
            let scope = u32::try_from(scope).unwrap_or(0);
            let ips = container.ips(interface, family, scope)?;
            Ok(if ips.is_empty() {
                none
            } else {
                give_list(&ips)
            })
        })
    }
}

pub(crate) unsafe extern "C" fn get_cgroup_item(
    c: *mut lxc_container,
    file: *const c_char,
    buffer: *mut c_char,
    size: c_int,
) -> c_int {
    // SAFETY: by the header's contract.
    unsafe {
        let Some(file) = text(file) else { return -1 };
        apart(c, -1, false, |container| {
            Ok(fill(&container.cgroup_item(file)?, buffer, size))
        })
    }
}

pub(crate) unsafe extern "C" fn set_cgroup_item(
    c: *mut lxc_container,
    file: *const c_char,
    value: *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let (Some(file), Some(value)) = (text(file), text(value)) else {
            return false;
        };
        apart(c, false, false, |container| {
            container.set_cgroup_item(file, value).map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn console_getfd(
    c: *mut lxc_container,
    number: *mut c_int,
    ptx: *mut c_int,
) -> c_int {
    if number.is_null() || ptx.is_null() {
        return -1;
    }
    // SAFETY: by the header's contract; the pointers are not NULL.
    unsafe {
        apart(c, -1, false, |container| {
            let tty = container.console_getfd(*number)?;
            *number = tty.number;
            *ptx = tty.ptx.into_raw_fd();
            Ok(tty.holder.into_raw_fd())
        })
    }
}

pub(crate) unsafe extern "C" fn console(
    c: *mut lxc_container,
    tty: c_int,
    stdin: c_int,
    stdout: c_int,
    _stderr: c_int,
    escape: c_int,
) -> c_int {
    if stdin < 0 || stdout < 0 {
        return -1;
    }
    // SAFETY: by the header's contract; the descriptors are open for the length of the call.
    unsafe {
        apart(c, -1, false, |container| {
            let options = ConsoleOptions {
                tty,
                stdin: BorrowedFd::borrow_raw(stdin),
                stdout: BorrowedFd::borrow_raw(stdout),
                escape: u8::try_from(escape).ok().filter(|key| *key != 0),
            };
            container.console(&options, |_| ()).map(|_| 0)
        })
    }
}

/// `struct lxc_console_log`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct ConsoleLog {
    clear: bool,
    read: bool,
    read_max: *mut u64,
    data: *mut c_char,
}

pub(crate) unsafe extern "C" fn console_log(c: *mut lxc_container, log: *mut ConsoleLog) -> c_int {
    if log.is_null() {
        return -libc::EINVAL;
    }
    // SAFETY: by the header's contract; `log` is not NULL.
    unsafe {
        let log = &mut *log;
        let read_max = if log.read_max.is_null() {
            0
        } else {
            *log.read_max
        };
        let request = ConsoleLogRequest {
            clear: log.clear,
            read: log.read,
            read_max,
            write_logfile: false,
        };
        apart(c, -libc::EINVAL, false, |container| {
            match container.console_log(&request) {
                Ok(bytes) => {
                    if log.read {
                        if !log.read_max.is_null() {
                            *log.read_max = bytes.len() as u64;
                        }
                        log.data = give(&bytes);
                    }
                    Ok(0)
                }
                Err(error) => Ok(-error.errno().max(1)),
            }
        })
    }
}

/// `lxc_get_wait_states`: the names by number; they are never freed.
pub(crate) fn wait_states() -> [*const c_char; 8] {
    STATES.map(CStr::as_ptr)
}

/// Keeps the payload type of callbacks in one place.
pub(crate) type Payload = *mut c_void;
