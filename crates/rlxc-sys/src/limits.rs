//! prlimit(2) and core scheduling cookies.

use std::io;

/// `RLIM_INFINITY`
pub const UNLIMITED: u64 = u64::MAX;

/// Sets the limit `resource` (RLIMIT_*) of a process; 0 = the caller. Safe between fork and exec.
///
/// # Errors
/// `EPERM` when the hard limit would grow without CAP_SYS_RESOURCE, `EINVAL` for an unknown resource or soft > hard,
/// `ESRCH`.
///
/// # References
/// prlimit(2)
pub fn set_limit(pid: i32, resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let new = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: `new` lives over the call; no old value is asked for.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            pid,
            resource,
            &raw const new,
            std::ptr::null_mut::<libc::rlimit64>(),
        )
    };
    if rc < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The limit `resource` of a process as (soft, hard); 0 = the caller.
///
/// # Errors
/// `EINVAL`, `ESRCH`, `EPERM`.
///
/// # References
/// prlimit(2)
pub fn limit(pid: i32, resource: u32) -> io::Result<(u64, u64)> {
    let mut old = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `old` lives over the call and has the kernel's layout.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            pid,
            resource,
            std::ptr::null::<libc::rlimit64>(),
            &raw mut old,
        )
    };
    if rc < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok((old.rlim_cur, old.rlim_max))
    }
}

const PR_SCHED_CORE: libc::c_int = 62;
const PR_SCHED_CORE_GET: libc::c_ulong = 0;
const PR_SCHED_CORE_CREATE: libc::c_ulong = 1;
const PR_SCHED_CORE_SHARE_FROM: libc::c_ulong = 3;

/// How far [`core_sched_create`] reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreScope {
    /// One thread
    Thread = 0,
    /// Every thread of the process
    ThreadGroup = 1,
    /// Every process of the process group
    ProcessGroup = 2,
}

/// Gives a process (0 = the caller) a new core scheduling cookie.
///
/// # Errors
/// `EINVAL` on kernels without it, `ENODEV` when SMT is off, `EPERM`, `ESRCH`.
///
/// # References
/// prctl(2) PR_SCHED_CORE, Documentation/admin-guide/hw-vuln/core-scheduling.rst
pub fn core_sched_create(pid: i32, scope: CoreScope) -> io::Result<()> {
    core_sched(PR_SCHED_CORE_CREATE, pid, scope as libc::c_ulong, 0)
}

/// Takes over the core scheduling cookie of `pid`.
///
/// # Errors
/// As [`core_sched_create`].
///
/// # References
/// prctl(2) PR_SCHED_CORE
pub fn core_sched_share_from(pid: i32) -> io::Result<()> {
    core_sched(
        PR_SCHED_CORE_SHARE_FROM,
        pid,
        CoreScope::Thread as libc::c_ulong,
        0,
    )
}

/// The core scheduling cookie of `pid`'s thread; 0 = none.
///
/// # Errors
/// As [`core_sched_create`].
///
/// # References
/// prctl(2) PR_SCHED_CORE
pub fn core_sched_cookie(pid: i32) -> io::Result<u64> {
    let mut cookie = 0u64;
    let address = (&raw mut cookie) as libc::c_ulong;
    core_sched(
        PR_SCHED_CORE_GET,
        pid,
        CoreScope::Thread as libc::c_ulong,
        address,
    )?;
    Ok(cookie)
}

fn core_sched(
    command: libc::c_ulong,
    pid: i32,
    scope: libc::c_ulong,
    address: libc::c_ulong,
) -> io::Result<()> {
    // SAFETY: the address is 0 or that of a u64 which lives over the call (PR_SCHED_CORE_GET writes it).
    let rc = unsafe { libc::syscall(libc::SYS_prctl, PR_SCHED_CORE, command, pid, scope, address) };
    if rc < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
