//! Signal dispositions of the whole process.

use std::mem::zeroed;

use nix::errno::Errno;

/// Whether this process ignores a signal: what nohup(1) runs, and a script's background jobs, do so from the start.
pub fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: all zeros is a valid sigaction; without a new action the present one is only told.
    unsafe {
        let mut now = zeroed::<libc::sigaction>();
        libc::sigaction(signal, std::ptr::null(), &raw mut now) == 0
            && now.sa_sigaction == libc::SIG_IGN
    }
}

/// Gives every signal its default action: for a program that is nobody's background job.
pub fn default_all() {
    // By the kernel's call: the C library keeps two signals to itself, which it has what it spawns ignore. All zeros is
    // SIG_DFL without flags, whatever the machine's layout is.
    let action = [0_u64; 8];
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the kernel reads no more than the action, which is longer than any layout of it; it refuses SIGKILL
        // and SIGSTOP, and nothing is lost.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                action.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
    }
}

/// A signal with its handler, flags and mask.
type Disposition = (libc::c_int, libc::sighandler_t, libc::c_int, libc::sigset_t);

/// Keeps SIGINT and SIGQUIT from this process until it is dropped: they are for the child that
/// shares its terminal.
#[derive(Debug)]
pub struct IgnoredInterrupts {
    before: [Disposition; 2],
}

impl IgnoredInterrupts {
    /// Ignores both from now on.
    ///
    /// # Errors
    /// As sigaction(2).
    pub fn new() -> Result<Self, Errno> {
        Ok(Self {
            before: [ignore(libc::SIGINT)?, ignore(libc::SIGQUIT)?],
        })
    }
}

fn ignore(signal: libc::c_int) -> Result<Disposition, Errno> {
    // SAFETY: all zeros is a valid sigaction; both live through the call, and SIG_IGN is no function.
    unsafe {
        let mut new = zeroed::<libc::sigaction>();
        let mut old = zeroed::<libc::sigaction>();
        new.sa_sigaction = libc::SIG_IGN;
        Errno::result(libc::sigaction(signal, &raw const new, &raw mut old))?;
        Ok((signal, old.sa_sigaction, old.sa_flags, old.sa_mask))
    }
}

impl Drop for IgnoredInterrupts {
    fn drop(&mut self) {
        for (signal, handler, flags, mask) in self.before {
            // SAFETY: this is the disposition that was in force before, handler included; only the
            // C library's own restorer is left out, which it sets anew.
            unsafe {
                let mut old = zeroed::<libc::sigaction>();
                old.sa_sigaction = handler;
                old.sa_flags = flags;
                old.sa_mask = mask;
                libc::sigaction(signal, &raw const old, std::ptr::null_mut());
            }
        }
    }
}
