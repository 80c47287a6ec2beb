//! Processes: `clone3`, pidfds, spawning by descriptor, the process title.
//!
//! # References
//! clone(2), pidfd_open(2), pidfd_send_signal(2), waitid(2), posix_spawn(3), PR_SET_MM(2const).

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

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

/// Closes every descriptor above 2 that is not in `keep` (close_range(2)).
///
/// For programs at their start: nothing may own the descriptors that are closed.
///
/// # Errors
/// As close_range(2).
pub fn close_other_fds(keep: &[RawFd]) -> io::Result<()> {
    let mut keep: Vec<u32> = keep
        .iter()
        .filter_map(|fd| u32::try_from(*fd).ok())
        .collect();
    keep.sort_unstable();
    let mut first = 3_u32;
    for fd in keep.into_iter().filter(|fd| *fd >= 3).chain([u32::MAX]) {
        if fd > first {
            let last = if fd == u32::MAX { fd } else { fd - 1 };
            // SAFETY: by this function's contract nothing owns these descriptors.
            let ret = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            if ret < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = fd.saturating_add(1);
    }
    Ok(())
}

/// Closes every descriptor above 2 by close(2) alone, for a process under a seccomp policy.
///
/// For programs at their start: nothing may own the descriptors that are closed.
pub fn close_fds_one_by_one() {
    for fd in open_fds().unwrap_or_else(|_| (3..1024).collect()) {
        // SAFETY: by this function's contract nothing owns the descriptor.
        unsafe { libc::close(fd) };
    }
}

/// Sets close-on-exec on every descriptor above 2 (close_range(2)).
///
/// # Errors
/// As close_range(2).
pub fn cloexec_all_fds() -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: only integers are passed; no descriptor is closed now.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, CLOSE_RANGE_CLOEXEC) };
    if ret < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Puts /dev/null on the standard streams.
///
/// # Errors
/// As open(2) and dup2(2).
pub fn null_streams() -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let null = options.read(true).write(true).open("/dev/null")?;
    for stream in 0..3 {
        // SAFETY: dup2 replaces the stream in one step; the standard streams have no owner.
        if unsafe { libc::dup2(null.as_raw_fd(), stream) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The open descriptors above 2, in order.
///
/// # Errors
/// When /proc cannot be read.
pub fn open_fds() -> io::Result<Vec<RawFd>> {
    let mut fds: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    // The one that was used to read the list is closed again.
    fds.retain(|fd| {
        // SAFETY: F_GETFD only looks, also at a number that is not open.
        unsafe { libc::fcntl(*fd, libc::F_GETFD) >= 0 }
    });
    fds.sort_unstable();
    Ok(fds)
}

/// Whether a descriptor by its number lets its holder walk a tree: a directory or a bare path.
pub fn is_directory_or_path(fd: RawFd) -> bool {
    // SAFETY: F_GETFL only looks, also at a number that is not open.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    // SAFETY: an all-zero stat is valid, and the kernel fills it in.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is valid for writing.
    let known = unsafe { libc::fstat(fd, &raw mut stat) } == 0;
    flags & libc::O_PATH != 0 || !known || stat.st_mode & libc::S_IFMT == libc::S_IFDIR
}

/// Sets or clears close-on-exec of a descriptor by its number; nothing happens if it is not open.
pub fn set_cloexec(fd: RawFd, cloexec: bool) {
    let flag = if cloexec { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: F_SETFD takes an integer.
    unsafe {
        libc::fcntl(fd, libc::F_SETFD, flag);
    }
}

/// Takes ownership of an inherited descriptor whose number came by an argument; `None` if it is
/// not open. It is made close-on-exec.
///
/// Call it once a number: a second owner of the same descriptor would close it under the first.
pub fn adopt_fd(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_SETFD takes an integer; on a closed number it only fails.
    if fd < 0 || unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return None;
    }
    // SAFETY: the descriptor is open, and by this function's contract nothing else owns it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The kernel's `struct prctl_mm_map` (linux/prctl.h).
#[repr(C)]
struct MemoryMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// A close-on-exec duplicate with a number of at least `least` (F_DUPFD_CLOEXEC).
///
/// # Errors
/// As fcntl(2).
pub fn duplicate_above(fd: BorrowedFd<'_>, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer.
    let new = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) };
    if new < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// The file that this code was loaded from: the shared library, or the executable (dladdr(3)).
pub fn own_object() -> Option<std::path::PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: an all-zero Dl_info is valid, and dladdr fills it in.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    let here: fn() -> Option<std::path::PathBuf> = own_object;
    // SAFETY: any address may be asked for.
    if unsafe { libc::dladdr(here as *const libc::c_void, &raw mut info) } == 0
        || info.dli_fname.is_null()
    {
        return None;
    }
    // SAFETY: dladdr succeeded: a NUL-terminated string that lives as long as the object.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
    std::fs::canonicalize(path).ok()
}

/// Shows `title` as the command line of this process (`ps`), at most 2048 bytes of it.
///
/// # Errors
/// As prctl(2); needs a kernel with PR_SET_MM_MAP or CAP_SYS_RESOURCE for PR_SET_MM.
pub fn set_title(title: &CStr) -> io::Result<()> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let bad = || io::Error::from_raw_os_error(libc::EINVAL);
    let fields: Vec<u64> = stat
        .rsplit_once(") ")
        .ok_or_else(bad)?
        .1
        .split_ascii_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    // proc_pid_stat(5): the list begins with field 3.
    let field = |number: usize| fields.get(number - 3).copied().ok_or_else(bad);
    let bytes = title.to_bytes();
    let text = CString::new(&bytes[..bytes.len().min(2048)])?;
    let length = text.as_bytes_with_nul().len() as u64;
    let start = Box::leak(text.into_bytes_with_nul().into_boxed_slice()).as_ptr() as u64;
    // SAFETY: sbrk(0) only reports the end of the heap.
    let brk = unsafe { libc::sbrk(0) } as u64;
    let map = MemoryMap {
        start_code: field(26)?,
        end_code: field(27)?,
        start_stack: field(28)?,
        start_data: field(45)?,
        end_data: field(46)?,
        start_brk: field(47)?,
        brk,
        arg_start: start,
        arg_end: start + length,
        env_start: field(50)?,
        env_end: field(51)?,
        auxv: 0,
        auxv_size: 0,
        exe_fd: u32::MAX,
    };
    // SAFETY: `map` has the kernel's layout and holds this process's own addresses; the title is
    // leaked on purpose, so that it stays readable.
    let ret = unsafe {
        libc::prctl(
            libc::PR_SET_MM,
            libc::PR_SET_MM_MAP,
            (&raw const map) as libc::c_ulong,
            size_of::<MemoryMap>() as libc::c_ulong,
            0 as libc::c_ulong,
        )
    };
    if ret != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
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

/// Gives unused memory of the allocator back to the kernel (malloc_trim(3)).
pub fn release_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Drops this process's pages of program code: they are read from the page cache again when they
/// are needed, which a process that mostly sleeps seldom does (madvise(2)).
pub fn release_code_pages() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else {
        return;
    };
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (range, mode, path) = (fields.next(), fields.next(), fields.nth(3));
        // Only code of files: never written to, not even by relocations.
        if mode != Some("r-xp") || !path.is_some_and(|path| path.starts_with('/')) {
            continue;
        }
        let bounds = range.and_then(|range| range.split_once('-'));
        let number = |text: &str| usize::from_str_radix(text, 16).ok();
        if let Some((start, end)) = bounds.and_then(|(a, b)| Some((number(a)?, number(b)?))) {
            // SAFETY: a clean private mapping of a file: each page comes back with the same bytes.
            unsafe {
                libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
            }
        }
    }
}

/// Keeps the allocator from holding on to freed memory: large blocks are mapped and unmapped at
/// once, and the heap's top is trimmed early (mallopt(3)).
pub fn prefer_small_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: called with documented parameters.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 16 * 1024);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 16 * 1024);
        libc::mallopt(libc::M_TOP_PAD, 0);
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_closed_number_is_not_adopted() {
        assert!(adopt_fd(9999).is_none());
        assert!(adopt_fd(-1).is_none());
    }
}
