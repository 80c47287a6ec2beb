//! Starting another program with exactly the descriptors that it is to have.
//!
//! # References
//! posix_spawn(3).

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Starts `program` with exactly the descriptors 0 to 2 and `inherit` surviving the exec.
///
/// `inherit` keep their numbers. Nothing is allocated between the clone and the exec, and other
/// threads' forks never see them without close-on-exec. All signals are unblocked and at their
/// default action in the new process. Returns its pid; the caller waits for it.
///
/// # Errors
/// As posix_spawn(3).
pub fn spawn(
    program: &CStr,
    argv: &[CString],
    env: &[CString],
    inherit: &[BorrowedFd<'_>],
) -> io::Result<i32> {
    let pointers = |list: &[CString]| -> Vec<*mut libc::c_char> {
        list.iter()
            .map(|text| text.as_ptr().cast_mut())
            .chain(std::iter::once(std::ptr::null_mut()))
            .collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    let fail = |ret: i32| match ret {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    };
    let mut actions = std::mem::MaybeUninit::uninit();
    // SAFETY: initialises `actions`.
    fail(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
    let mut attrs = std::mem::MaybeUninit::uninit();
    // SAFETY: initialises `attrs`.
    fail(unsafe { libc::posix_spawnattr_init(attrs.as_mut_ptr()) })?;
    let mut pid = 0;
    // SAFETY: `actions` and `attrs` are initialised above and destroyed at the end; all lists are
    // NULL-terminated arrays of NUL-terminated strings that live over the call.
    let result = unsafe {
        let mut empty: libc::sigset_t = std::mem::zeroed();
        let mut full: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut empty);
        libc::sigfillset(&raw mut full);
        libc::posix_spawnattr_setsigmask(attrs.as_mut_ptr(), &raw const empty);
        libc::posix_spawnattr_setsigdefault(attrs.as_mut_ptr(), &raw const full);
        let flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        libc::posix_spawnattr_setflags(attrs.as_mut_ptr(), flags as libc::c_short);
        let mut added = Ok(());
        for fd in inherit {
            // A duplicate onto itself clears close-on-exec, in the child only.
            added = added.and(fail(libc::posix_spawn_file_actions_adddup2(
                actions.as_mut_ptr(),
                fd.as_raw_fd(),
                fd.as_raw_fd(),
            )));
        }
        let spawned = added.and_then(|()| {
            fail(libc::posix_spawn(
                &raw mut pid,
                program.as_ptr(),
                actions.as_ptr(),
                attrs.as_ptr(),
                argv.as_ptr(),
                env.as_ptr(),
            ))
        });
        libc::posix_spawn_file_actions_destroy(actions.as_mut_ptr());
        libc::posix_spawnattr_destroy(attrs.as_mut_ptr());
        spawned
    };
    result.map(|()| pid)
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, OwnedFd};

    use super::super::{pidfd_open, wait_status};
    use super::*;

    #[test]
    fn spawn_gives_exactly_the_asked_descriptors() -> io::Result<()> {
        let file: OwnedFd = std::fs::File::open("/dev/null")?.into();
        let kept = file.as_raw_fd();
        let script = format!("test -e /proc/self/fd/{kept}");
        let argv = [c"sh".into(), c"-c".into(), CString::new(script)?];
        for (inherit, expected) in [(vec![file.as_fd()], 0), (vec![], 1 << 8)] {
            let pid = spawn(c"/bin/sh", &argv, &[], &inherit)?;
            assert_eq!(wait_status(pidfd_open(pid)?)?, expected);
        }
        Ok(())
    }

    #[test]
    fn spawn_reports_a_missing_program() {
        let error = spawn(c"/no/such/program", &[c"x".into()], &[], &[]).err();
        assert_eq!(error.and_then(|e| e.raw_os_error()), Some(libc::ENOENT));
    }

    #[test]
    fn a_signal_is_told_from_a_code() -> io::Result<()> {
        let argv = [c"sh".into(), c"-c".into(), c"kill -9 $$".into()];
        let pid = spawn(c"/bin/sh", &argv, &[], &[])?;
        assert_eq!(wait_status(pidfd_open(pid)?)?, libc::SIGKILL);
        Ok(())
    }
}
