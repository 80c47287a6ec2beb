//! The attached process's task: executing a program or a shell. The rules of its parent module hold.

use std::ffi::{CStr, c_char, c_ulong};
use std::os::fd::RawFd;
use std::ptr::{null, null_mut};

use nix::errno::Errno;

use super::attached::{exit, raw_clone};
use super::shell::{Search, decimal};
use super::{AttachPlan, Candidates, Step};

/// Executes the first candidate that can be; the status is 126, 127 or 255 if none can.
pub(super) fn execute(plan: &AttachPlan<'_>, candidates: &Candidates) -> ! {
    let env = plan.environment.as_ptr();
    let mut worst = Errno::ENOENT;
    for path in &candidates.paths {
        // SAFETY: path, arguments and environment are NUL-terminated and live on.
        unsafe { libc::execve(path.as_ptr(), candidates.argv.as_ptr(), env) };
        match Errno::last() {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => worst = Errno::EACCES,
            Errno::ENOEXEC => {
                if let Some(slot) = candidates.script.get(1) {
                    slot.set(path.as_ptr());
                }
                // SAFETY: as above; a Cell has the layout of what it holds.
                unsafe {
                    libc::execve(c"/bin/sh".as_ptr(), candidates.script.as_ptr().cast(), env)
                };
                worst = Errno::ENOEXEC;
                break;
            }
            other => {
                worst = other;
                break;
            }
        }
    }
    let name = candidates.argv.strings().first().map_or(c"", |name| name);
    complain(plan, Step::Execute, name, worst);
    exit(match worst {
        Errno::EACCES | Errno::ENOEXEC => 126,
        Errno::ENOENT => 127,
        _ => 255,
    })
}

/// Executes the user's shell.
pub(super) fn shell(plan: &AttachPlan<'_>) -> ! {
    try_shell(plan.environment.as_ptr());
    complain(plan, Step::Execute, c"/bin/sh", Errno::last());
    exit(255)
}

/// Executes the shell of the process's user with `environment`; returns when even /bin/sh cannot be.
pub(super) fn try_shell(environment: *const *const c_char) {
    // SAFETY: getuid has no preconditions.
    let mut search = Search::new(unsafe { libc::getuid() });
    // SAFETY: the string is NUL-terminated.
    let file = unsafe { libc::open(c"/etc/passwd".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file >= 0 {
        feed(&mut search, file);
    }
    if search.shell().is_none() {
        ask_getent(&mut search, environment);
    }
    for shell in [search.shell(), Some(c"/bin/sh")].into_iter().flatten() {
        let argv = [shell.as_ptr(), null()];
        // SAFETY: the strings are NUL-terminated and live on; the list is the caller's.
        unsafe { libc::execve(shell.as_ptr(), argv.as_ptr(), environment) };
    }
}

/// Feeds a search from a descriptor, and closes it.
fn feed(search: &mut Search, fd: RawFd) {
    let mut buffer = [0u8; 4096];
    loop {
        // SAFETY: the buffer lives through the call.
        let got = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
        match usize::try_from(got) {
            Err(_) if Errno::last() == Errno::EINTR => {}
            Err(_) => break,
            Ok(0) => {
                search.end_of_line();
                break;
            }
            Ok(count) if search.feed(&buffer[..count]) => break,
            Ok(_) => {}
        }
    }
    // SAFETY: the descriptor is ours and not used again.
    unsafe { libc::close(fd) };
}

/// Asks the container's own `getent`, which knows users that no file holds.
fn ask_getent(search: &mut Search, environment: *const *const c_char) {
    // SAFETY: all strings are NUL-terminated and live through the calls; the child of the raw clone
    // runs on a copy of this single-threaded process and ends by exec or _exit.
    unsafe {
        let mut ends = [0; 2];
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) < 0 {
            return;
        }
        let pid = raw_clone(libc::SIGCHLD as c_ulong, null_mut());
        if pid == 0 {
            libc::dup2(ends[1], 1);
            let mut digits = [0; 11];
            let uid = decimal(libc::getuid(), &mut digits);
            let argv = [c"getent".as_ptr(), c"passwd".as_ptr(), uid, null()];
            for path in [c"/usr/bin/getent", c"/bin/getent"] {
                libc::execve(path.as_ptr(), argv.as_ptr(), environment);
            }
            libc::_exit(127);
        }
        libc::close(ends[1]);
        feed(search, ends[0]);
        if pid > 0 {
            libc::waitpid(pid as i32, null_mut(), 0);
        }
    }
}

/// Writes one line about a failure that the parent no longer waits for.
fn complain(plan: &AttachPlan<'_>, step: Step, object: &CStr, errno: Errno) {
    let parts: [&[u8]; 6] = [
        b"rlxc: cannot ",
        step.text().as_bytes(),
        b" ",
        object.to_bytes(),
        b": ",
        errno.desc().as_bytes(),
    ];
    let mut line = [0u8; 512];
    let mut used = 0;
    for byte in parts.into_iter().flatten().take(line.len() - 1) {
        line[used] = *byte;
        used += 1;
    }
    line[used] = b'\n';
    let fd = plan.log.unwrap_or(2);
    // SAFETY: the line lives through the call.
    unsafe { libc::write(fd, line.as_ptr().cast(), used + 1) };
}
