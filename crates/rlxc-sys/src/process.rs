//! Processes: `clone3`, pidfds, signals of this process; spawning by descriptor, the process's own
//! descriptors and memory in rooms of their own.
//!
//! # References
//! clone(2), pidfd_open(2), pidfd_send_signal(2), waitid(2), sigtimedwait(2), prctl(2).

mod descriptors;
mod memory;
mod spawn;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

pub use descriptors::{
    adopt_fd, cloexec_all_fds, close_fds_one_by_one, close_other_fds, duplicate_above,
    is_directory_or_path, null_streams, open_fds, set_cloexec,
};
pub use memory::{
    own_object, prefer_small_heap, release_code_pages, release_free_memory, set_title,
};
pub use spawn::spawn;

/// The clone flags that libc types wrongly or lacks, as the kernel's 64-bit numbers.
pub mod flags {
    /// Return a pidfd of the child.
    pub const CLONE_PIDFD: u64 = 0x1000;
    /// The child becomes a sibling.
    pub const CLONE_PARENT: u64 = 0x8000;
    /// Handled signals get their default action in the child.
    pub const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    /// Put the child into a cgroup v2.
    pub const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
}

const _: () = assert!(flags::CLONE_INTO_CGROUP > u32::MAX as u64);

/// What [`clone3`] is asked for.
#[derive(Debug, Default)]
pub struct CloneArgs<'a> {
    /// `CLONE_NEW*` and [`flags`]; CLONE_PIDFD is always added.
    pub flags: u64,
    /// Directory of the cgroup v2 to be born in (adds CLONE_INTO_CGROUP).
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// Both sides of a successful [`clone3`].
#[derive(Debug)]
pub enum Cloned {
    /// In the child.
    Child,
    /// In the parent.
    Parent {
        /// The child's pid.
        pid: i32,
        /// A descriptor for the child.
        pidfd: OwnedFd,
    },
}

/// The kernel's `struct clone_args`.
#[repr(C)]
#[derive(Default)]
struct RawCloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// How many threads the calling process has.
///
/// # Errors
/// When /proc cannot be read.
pub fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Clones the calling process, like fork(2) with namespaces and a pidfd.
///
/// Refused in a process with threads: after a raw clone only the calling thread exists, and the
/// C library's locks stay as they were. Without /proc the caller is trusted.
///
/// # Errors
/// `EINVAL` (a process with threads), or as clone(2).
pub fn clone3(args: &CloneArgs<'_>) -> io::Result<Cloned> {
    if thread_count().is_ok_and(|count| count != 1) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut pidfd: RawFd = -1;
    let parent = args.flags & flags::CLONE_PARENT != 0;
    let raw = RawCloneArgs {
        flags: args.flags
            | flags::CLONE_PIDFD
            | args.cgroup.map_or(0, |_| flags::CLONE_INTO_CGROUP),
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: if parent { 0 } else { libc::SIGCHLD as u64 },
        cgroup: args
            .cgroup
            .map_or(0, |fd| u64::try_from(fd.as_raw_fd()).unwrap_or(0)),
        ..RawCloneArgs::default()
    };
    // SAFETY: no CLONE_VM, no new stack: the child runs on a copy of this address space, as after
    // fork(2); `raw` has the kernel's layout, and its size is passed. Single-threaded: checked above.
    let ret = unsafe { libc::syscall(libc::SYS_clone3, &raw const raw, size_of::<RawCloneArgs>()) };
    match ret {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent {
            pid: i32::try_from(pid).map_err(io::Error::other)?,
            // SAFETY: CLONE_PIDFD was asked for, so the kernel has stored a new descriptor here.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// Leaves at once, without running exit handlers or destructors (_exit(2)).
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(status) }
}

/// A descriptor for process `pid` (pidfd_open(2)).
///
/// # Errors
/// As pidfd_open(2).
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: only integers are passed.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just returned this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends `signal` to the process behind `pidfd`; 0 only tests (pidfd_send_signal(2)).
///
/// # Errors
/// As pidfd_send_signal(2).
pub fn pidfd_send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    // SAFETY: the siginfo pointer may be null.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if ret < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Reaps the child behind `pidfd` and returns its wait status as wait(2) encodes it
/// (`code << 8`, or the signal).
///
/// # Errors
/// As waitid(2).
pub fn wait_status(pidfd: impl AsFd) -> io::Result<i32> {
    loop {
        // SAFETY: an all-zero siginfo_t is valid, and the kernel fills it in.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `info` is valid for writing.
        let ret = unsafe {
            libc::waitid(
                libc::P_PIDFD,
                libc::id_t::try_from(pidfd.as_fd().as_raw_fd()).unwrap_or(0),
                &raw mut info,
                libc::WEXITED | libc::__WALL,
            )
        };
        if ret < 0 {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        }
        // SAFETY: waitid succeeded, so the SIGCHLD fields are the ones that are set.
        let status = unsafe { info.si_status() };
        return Ok(match info.si_code {
            libc::CLD_EXITED => (status & 0xff) << 8,
            libc::CLD_DUMPED => status | 0x80,
            _ => status,
        });
    }
}

/// The wait status of a process that is not our child and has ended, from the kernel's record of it
/// (Linux 6.15); `None` where the kernel does not tell, or not yet: it does when the process has
/// been reaped by its parent.
///
/// # Errors
/// As `ioctl(PIDFD_GET_INFO)`.
pub fn status_of_stranger(pidfd: impl AsFd) -> io::Result<Option<i32>> {
    const INFO_EXIT: u64 = 1 << 3;
    // _IOWR(0xff, 11, struct pidfd_info) in its first size of 64 bytes; the exit code is its last word.
    const GET_INFO: libc::c_ulong = (3 << 30) | (64 << 16) | (0xff << 8) | 11;
    let mut info = [0_u64; 8];
    info[0] = INFO_EXIT;
    // SAFETY: the kernel reads and writes the 64 bytes that the request's number names.
    let ret = unsafe { libc::ioctl(pidfd.as_fd().as_raw_fd(), GET_INFO, info.as_mut_ptr()) };
    if ret < 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            // Without this request, or without the record: the process is still to be reaped.
            Some(libc::ENOTTY | libc::EINVAL | libc::ESRCH) => Ok(None),
            _ => Err(error),
        };
    }
    let words = info[7].to_ne_bytes();
    let code = i32::from_ne_bytes([words[4], words[5], words[6], words[7]]);
    Ok((info[0] & INFO_EXIT != 0).then_some(code))
}

/// Takes one pending signal of a blocked `set`; `None` when `timeout` is over (sigtimedwait(2)).
///
/// # Errors
/// `EINTR`: a signal outside of the set was handled.
pub fn wait_signal(
    set: &nix::sys::signal::SigSet,
    timeout: Option<std::time::Duration>,
) -> io::Result<Option<i32>> {
    let spec = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let spec = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the set and the time are valid or null; no information is asked back.
    let signal = unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), spec) };
    if signal >= 0 {
        return Ok(Some(signal));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN) => Ok(None),
        _ => Err(error),
    }
}

/// Sets a signal to its default action (signal(2)).
///
/// # Errors
/// `EINVAL`: no such signal.
pub fn default_signal(signal: i32) -> io::Result<()> {
    // SAFETY: SIG_DFL is always a valid action.
    if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The signal that this process gets when its parent ends; 0: none (PR_SET_PDEATHSIG).
///
/// # Errors
/// `EINVAL`: no such signal.
pub fn set_death_signal(signal: i32) -> io::Result<()> {
    let signal = libc::c_ulong::try_from(signal).map_err(io::Error::other)?;
    // SAFETY: PR_SET_PDEATHSIG takes an integer.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The execution domain (personality(2)).
///
/// # Errors
/// As personality(2).
pub fn set_personality(persona: u32) -> io::Result<()> {
    // SAFETY: only an integer is passed.
    if unsafe { libc::personality(persona.into()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
