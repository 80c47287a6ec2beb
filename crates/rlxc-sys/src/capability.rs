//! capget/capset and bounding/ambient sets by mask.
//!
//! A set is a `u64`, bit N = capability N. Nothing here allocates: it may run between fork and exec.

use std::io;

use libc::{c_int, c_long, c_ulong};

/// The three sets of capget(2), bit N = capability N.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    /// What is checked.
    pub effective: u64,
    /// What may be made effective.
    pub permitted: u64,
    /// What survives execve with a file's inheritable set.
    pub inheritable: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`
const VERSION_3: u32 = 0x2008_0522;

/// The capability sets of a process (0 = the calling thread).
///
/// # Errors
/// `ESRCH` when there is no such process.
///
/// # References
/// capget(2)
pub fn get(pid: i32) -> io::Result<Sets> {
    let header = Header {
        version: VERSION_3,
        pid,
    };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 writes two data structures, which `data` holds.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(Sets {
        effective: join(data[0].effective, data[1].effective),
        permitted: join(data[0].permitted, data[1].permitted),
        inheritable: join(data[0].inheritable, data[1].inheritable),
    })
}

/// Sets the calling thread's capability sets.
///
/// # Errors
/// `EPERM` when a set would grow beyond what capset(2) allows.
///
/// # References
/// capset(2)
pub fn set(sets: Sets) -> io::Result<()> {
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let half = |shift: u32| Data {
        effective: low32(sets.effective >> shift),
        permitted: low32(sets.permitted >> shift),
        inheritable: low32(sets.inheritable >> shift),
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads two data structures, which `data` holds.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })
}

/// The highest capability number this kernel knows (asked by PR_CAPBSET_READ, so no /proc is needed).
#[must_use]
pub fn last() -> u8 {
    let mut cap = 0u8;
    while cap < 63 && in_bounding(cap + 1).is_ok() {
        cap += 1;
    }
    cap
}

/// Whether `cap` is in the bounding set.
///
/// # Errors
/// `EINVAL` for a number the kernel does not know.
///
/// # References
/// prctl(2) PR_CAPBSET_READ
pub fn in_bounding(cap: u8) -> io::Result<bool> {
    prctl(libc::PR_CAPBSET_READ, cap.into(), 0).map(|rc| rc == 1)
}

/// The bounding set as a mask.
#[must_use]
pub fn bounding() -> u64 {
    (0..64u8)
        .take_while(|cap| in_bounding(*cap).is_ok())
        .fold(0, |mask, cap| {
            mask | u64::from(in_bounding(cap).unwrap_or(false)) << cap
        })
}

/// Drops each capability of `mask` from the bounding set; numbers the kernel does not know are passed over.
///
/// # Errors
/// `EPERM` without CAP_SETPCAP. A capability that is already gone is no error.
///
/// # References
/// prctl(2) PR_CAPBSET_DROP
pub fn drop_bounding(mask: u64) -> io::Result<()> {
    for cap in (0..64u8).filter(|cap| mask >> cap & 1 == 1) {
        if matches!(in_bounding(cap), Ok(true)) {
            prctl(libc::PR_CAPBSET_DROP, cap.into(), 0)?;
        }
    }
    Ok(())
}

/// Raises each capability of `mask` in the ambient set (it must be permitted and inheritable).
///
/// # Errors
/// `EPERM` when one is not permitted or not inheritable.
///
/// # References
/// prctl(2) PR_CAP_AMBIENT
pub fn raise_ambient(mask: u64) -> io::Result<()> {
    for cap in (0..64u64).filter(|cap| mask >> cap & 1 == 1) {
        prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_RAISE as c_ulong,
            cap,
        )?;
    }
    Ok(())
}

/// Empties the ambient set.
///
/// # Errors
/// `EINVAL` on kernels before 4.3.
///
/// # References
/// prctl(2) PR_CAP_AMBIENT
pub fn clear_ambient() -> io::Result<()> {
    prctl(
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong,
        0,
    )
    .map(drop)
}

/// Sets `no_new_privs` for the calling thread; there is no way back.
///
/// # Errors
/// `EINVAL` on kernels before 3.5.
///
/// # References
/// prctl(2) PR_SET_NO_NEW_PRIVS
pub fn set_no_new_privs() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// Whether `no_new_privs` is set for the calling thread.
#[must_use]
pub fn no_new_privs() -> bool {
    prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0).is_ok_and(|rc| rc == 1)
}

/// Keeps the permitted set over the next change from uid 0 (`SECBIT_KEEP_CAPS`, cleared by execve).
///
/// # Errors
/// `EPERM` when the bit is locked.
///
/// # References
/// prctl(2) PR_SET_KEEPCAPS
pub fn set_keep_caps(keep: bool) -> io::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, keep.into(), 0).map(drop)
}

#[allow(clippy::cast_possible_truncation)]
fn low32(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

fn prctl(option: c_int, a: c_ulong, b: c_ulong) -> io::Result<c_long> {
    // SAFETY: every option used in this file takes integers only; unused arguments are 0 as it asks.
    let rc = unsafe { libc::syscall(libc::SYS_prctl, option, a, b, 0 as c_ulong, 0 as c_ulong) };
    check(rc)?;
    Ok(rc)
}

fn check(rc: c_long) -> io::Result<()> {
    if rc < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
