//! keyctl(2).

use std::io;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Joins a new anonymous session keyring and returns its serial number. Safe between fork and exec.
///
/// # Errors
/// `ENOSYS` without key management, `EPERM`/`EACCES` when a policy forbids it, `EDQUOT` when the quota is used up.
///
/// # References
/// keyctl(2), session-keyring(7)
pub fn join_new_session() -> io::Result<i32> {
    // SAFETY: a null name asks for an anonymous keyring; no memory is handed over.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    if rc < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(rc).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}
