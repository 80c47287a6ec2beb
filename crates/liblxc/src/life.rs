//! Start, stop and what lies between.

use std::ffi::{c_char, c_int};
use std::path::PathBuf;
use std::time::Duration;

use rlxc::monitor::State;
use rlxc::{Error, Mode, Outcome, StartOptions, StateSet};

use crate::abi::{Inner, call, lxc_container};
use crate::memory::{list, path, text};

/// LXC's timeouts: −1 for ever, 0 not at all, else seconds.
fn timeout(seconds: c_int) -> Option<Duration> {
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

fn begin(
    inner: &Inner,
    c: &mut lxc_container,
    useinit: bool,
    argv: Vec<String>,
) -> Result<bool, Error> {
    // SAFETY: the member is NULL or a string.
    let pid_file: Option<PathBuf> = unsafe { path(c.pidfile) };
    let mode = if useinit { Mode::Execute } else { Mode::Start };
    let options = StartOptions {
        argv,
        mode,
        daemonize: c.daemonize,
        pid_file,
        close_all_fds: inner.close_all_fds,
        ..StartOptions::default()
    };
    c.error_num = 1;
    let started = inner.container.start(&options)?;
    c.error_num = started.status.unwrap_or(0);
    Ok(true)
}

pub(crate) unsafe extern "C" fn start(
    c: *mut lxc_container,
    useinit: c_int,
    argv: *const *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let argv = list(argv);
        call(c, false, |inner, c| begin(inner, c, useinit != 0, argv))
    }
}

/// `startl(c, useinit, ...)`: a list of strings up to NULL. The callee of a C variadic call on
/// x86_64 and aarch64 finds integer arguments where those of a long parameter list are; reading
/// stops at the NULL, so no parameter behind it is looked at.
#[rustfmt::skip]
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe extern "C" fn startl(
    c: *mut lxc_container, useinit: c_int,
    a0: *const c_char, a1: *const c_char, a2: *const c_char, a3: *const c_char, a4: *const c_char,
    a5: *const c_char, a6: *const c_char, a7: *const c_char, a8: *const c_char, a9: *const c_char,
) -> bool {
    let words = [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, std::ptr::null()];
    // SAFETY: the array ends with NULL.
    unsafe { start(c, useinit, words.as_ptr()) }
}

pub(crate) unsafe extern "C" fn stop(c: *mut lxc_container) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        call(c, false, |inner, _| match inner.container.stop() {
            Err(error) if !error.is_not_running() => Err(error),
            _ => Ok(true),
        })
    }
}

pub(crate) unsafe extern "C" fn shutdown(c: *mut lxc_container, seconds: c_int) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        call(c, false, |inner, _| {
            match inner.container.shutdown(timeout(seconds), |_| true) {
                Ok(outcome) => Ok(seconds == 0 || outcome == Outcome::Done),
                Err(error) if error.is_not_running() => Ok(true),
                Err(error) => Err(error),
            }
        })
    }
}

pub(crate) unsafe extern "C" fn reboot(c: *mut lxc_container) -> bool {
    // SAFETY: by the header's contract.
    unsafe { call(c, false, |inner, _| inner.container.reboot().map(|()| true)) }
}

pub(crate) unsafe extern "C" fn reboot2(c: *mut lxc_container, seconds: c_int) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        call(c, false, |inner, _| {
            let outcome = inner.container.reboot_wait(timeout(seconds), |_| true)?;
            Ok(seconds == 0 || outcome == Outcome::Done)
        })
    }
}

pub(crate) unsafe extern "C" fn freeze(c: *mut lxc_container) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        call(c, false, |inner, _| {
            inner.container.freeze(None).map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn unfreeze(c: *mut lxc_container) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        call(c, false, |inner, _| {
            inner.container.unfreeze(None).map(|()| true)
        })
    }
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
        // Not under the lock: another thread may stop the container meanwhile.
        let place = call(c, None, |inner, _| {
            Ok(Some((
                inner.container.name().to_owned(),
                inner.container.lxcpath().to_owned(),
            )))
        });
        let Some((name, lxcpath)) = place else {
            return false;
        };
        let Ok(container) = rlxc::Container::without_config(&name, Some(&lxcpath)) else {
            return false;
        };
        let reached = container.wait(states, timeout(seconds));
        reached.is_ok_and(|state| state.is_some_and(|state: State| states.contains(state)))
    }
}

pub(crate) unsafe extern "C" fn want_daemonize(c: *mut lxc_container, wanted: bool) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        call(c, false, |inner, c| {
            c.daemonize = wanted;
            Ok(inner.container.document.is_some())
        })
    }
}

pub(crate) unsafe extern "C" fn want_close_all_fds(c: *mut lxc_container, wanted: bool) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        call(c, false, |inner, _| {
            inner.close_all_fds = wanted;
            Ok(inner.container.document.is_some())
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
