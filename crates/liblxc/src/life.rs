//! Start, stop and what lies between.

use std::ffi::{c_char, c_int};
use std::path::PathBuf;
use std::time::Duration;

use rlxc::{Error, Mode, Outcome, StartOptions, StateSet};

use crate::abi::{apart, call, has_config, lxc_container};
use crate::memory::{list, path, text};

/// LXC's timeouts: −1 for ever, 0 not at all, else seconds.
fn timeout(seconds: c_int) -> Option<Duration> {
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// What of the object a start needs beside the configuration.
struct Wishes {
    daemonize: bool,
    close_all_fds: bool,
    pid_file: Option<PathBuf>,
}

pub(crate) unsafe extern "C" fn start(
    c: *mut lxc_container,
    useinit: c_int,
    argv: *const *const c_char,
) -> bool {
    // SAFETY: by the header's contract; `pidfile` is NULL or a string.
    unsafe {
        let argv = list(argv);
        let wishes = call(c, None, |inner, c| {
            c.error_num = 1;
            Ok(Some(Wishes {
                daemonize: c.daemonize,
                close_all_fds: inner.close_all_fds,
                pid_file: path(c.pidfile),
            }))
        });
        let Some(wishes) = wishes else { return false };
        let options = StartOptions {
            argv,
            mode: if useinit != 0 {
                Mode::Execute
            } else {
                Mode::Start
            },
            daemonize: wishes.daemonize,
            pid_file: wishes.pid_file,
            close_all_fds: wishes.close_all_fds,
            ..crate::log::start_options()
        };
        let status = apart(c, None, true, |container| {
            Ok(Some(container.start(&options)?.status))
        });
        match status {
            // In the background it stays as it was set on the way in, as with LXC.
            Some(None) => true,
            Some(Some(status)) => call(c, false, |_, c| {
                c.error_num = status;
                Ok(true)
            }),
            None => call(c, false, |_, c| {
                // As it was set on the way in: programs exit with it.
                c.error_num = 1;
                Ok(false)
            }),
        }
    }
}

pub(crate) unsafe extern "C" fn stop(c: *mut lxc_container) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        apart(c, false, false, |container| match container.stop() {
            Err(error) if !error.is_not_running() => Err(error),
            _ => Ok(true),
        })
    }
}

pub(crate) unsafe extern "C" fn shutdown(c: *mut lxc_container, seconds: c_int) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        apart(c, false, true, |container| {
            match container.shutdown(timeout(seconds), |_| true) {
                Ok(outcome) => Ok(seconds == 0 || outcome == Outcome::Done),
                Err(error) if error.is_not_running() => Ok(true),
                Err(error) => Err(error),
            }
        })
    }
}

pub(crate) unsafe extern "C" fn reboot(c: *mut lxc_container) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        apart(c, false, true, |container| {
            container.reboot().map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn reboot2(c: *mut lxc_container, seconds: c_int) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        apart(c, false, true, |container| {
            let outcome = container.reboot_wait(timeout(seconds), |_| true)?;
            Ok(seconds == 0 || outcome == Outcome::Done)
        })
    }
}

pub(crate) unsafe extern "C" fn freeze(c: *mut lxc_container) -> bool {
    // SAFETY: by the header's contract.
    unsafe { freezer(c, |container| container.freeze(None)) }
}

pub(crate) unsafe extern "C" fn unfreeze(c: *mut lxc_container) -> bool {
    // SAFETY: by the header's contract.
    unsafe { freezer(c, |container| container.unfreeze(None)) }
}

/// # Safety
/// As [`apart`].
unsafe fn freezer(
    c: *mut lxc_container,
    job: impl FnOnce(&rlxc::Container) -> Result<(), Error>,
) -> bool {
    // SAFETY: by the caller's word.
    unsafe { has_config(c) && apart(c, false, false, |container| job(container).map(|()| true)) }
}

pub(crate) unsafe extern "C" fn wait(
    c: *mut lxc_container,
    states: *const c_char,
    seconds: c_int,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let Some(Ok(states)) = text(states).map(str::parse::<StateSet>) else {
            return false;
        };
        apart(c, false, false, |container| {
            let reached = container.wait(states, timeout(seconds))?;
            Ok(reached.is_some_and(|state| states.contains(state)))
        })
    }
}

pub(crate) unsafe extern "C" fn want_daemonize(c: *mut lxc_container, wanted: bool) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        call(c, false, |inner, c| {
            let there = inner.container.document.is_some();
            if there {
                c.daemonize = wanted;
            }
            Ok(there)
        })
    }
}

pub(crate) unsafe extern "C" fn want_close_all_fds(c: *mut lxc_container, wanted: bool) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        call(c, false, |inner, _| {
            let there = inner.container.document.is_some();
            if there {
                inner.close_all_fds = wanted;
            }
            Ok(there)
        })
    }
}

pub(crate) unsafe extern "C" fn set_timeout(c: *mut lxc_container, seconds: c_int) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        call(c, false, |inner, c| {
            if seconds < -1 || seconds == 0 {
                return Ok(false);
            }
            c.rcv_timeout = seconds.max(0);
            inner.container.set_timeout(timeout(seconds));
            Ok(true)
        })
    }
}
