//! What the children do. Everything here runs after fork(2) of a process with threads.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::{self, null, null_mut};

use nix::errno::Errno;

use super::task::{execute, shell};

use super::{AttachPlan, Callback, Groups, Ids, REPORT, Report, Seccomp, Step, Task};

unsafe extern "C" {
    static mut environ: *const *const c_char;
}

/// A step that failed.
pub(super) struct Failure(pub(super) Step, pub(super) Errno);

pub(super) type Done = Result<(), Failure>;

/// Turns a system call's −1 into the failure of `step`.
pub(super) fn check<T: PartialOrd + From<i8>>(step: Step, ret: T) -> Result<T, Failure> {
    match ret < T::from(0) {
        true => Err(Failure(step, Errno::last())),
        false => Ok(ret),
    }
}

pub(super) fn exit(status: c_int) -> ! {
    // SAFETY: _exit has no preconditions, runs no handlers and flushes nothing.
    unsafe { libc::_exit(status) }
}

fn close(fd: RawFd) {
    // SAFETY: this process's copy of a descriptor of ours, not used again.
    unsafe { libc::close(fd) };
}

fn tell(socket: RawFd, report: Report) -> Done {
    let bytes = report.encode();
    // SAFETY: the bytes live through the call.
    let sent = unsafe { libc::send(socket, bytes.as_ptr().cast(), REPORT, libc::MSG_NOSIGNAL) };
    check(Step::Wait, sent).map(drop)
}

/// The first child: enters the namespaces, clones the attached process, ends.
pub(super) fn transient(
    plan: &AttachPlan<'_>,
    socket: RawFd,
    own: &[RawFd],
    mask: &libc::sigset_t,
) -> ! {
    let mut pid = 0;
    for fd in own {
        close(*fd);
    }
    let entered = enter_cgroups(plan).and_then(|()| enter(plan, socket));
    match entered.and_then(|()| clone_sibling()) {
        Ok(0) => attached(plan, socket, mask),
        Ok(child) => {
            pid = child;
        }
        Err(Failure(step, errno)) => {
            let _ = tell(socket, Report::Failed(step, errno));
        }
    }
    if pid > 0 {
        let _ = tell(socket, Report::Pid(pid));
    }
    exit(0)
}

/// Enters the v1 cgroups while still on the host: no descriptor of a cgroup may be seen in the
/// container (CVE-2016-8649).
fn enter_cgroups(plan: &AttachPlan<'_>) -> Done {
    for file in &plan.tasks {
        // SAFETY: one byte is read, from a string that lives for ever.
        let ret = unsafe { libc::write(file.as_raw_fd(), c"0".as_ptr().cast(), 1) };
        check(Step::EnterCgroups, ret)?;
        close(file.as_raw_fd());
    }
    Ok(())
}

fn enter(plan: &AttachPlan<'_>, socket: RawFd) -> Done {
    if plan.wait_early {
        hear(socket)?;
    }
    // We are a copy of a process of the host: nobody inside may look into our memory.
    // SAFETY: PR_SET_DUMPABLE takes integers.
    check(Step::Dumpable, unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0)
    })?;
    close_hosts(plan, &[socket, plan.pidfd.as_raw_fd()])?;
    leave_terminal(plan);
    if plan.namespaces != 0 {
        let fd = plan.pidfd.as_raw_fd();
        // SAFETY: setns takes a descriptor and a mask.
        let ret = unsafe { libc::setns(fd, plan.namespaces) };
        check(Step::EnterNamespaces, ret)?;
    }
    close(plan.pidfd.as_raw_fd());
    if let Some(directory) = &plan.directory {
        change_directory(directory);
    }
    if !plan.wait_early {
        hear(socket)?;
    }
    Ok(())
}

/// Gives up the caller's controlling terminal where the process gets none: as /dev/tty it would be at hand inside, to be
/// read and typed into (CVE-2016-10124). Session and process group stay, so that an interrupt typed by the caller still
/// comes through.
fn leave_terminal(plan: &AttachPlan<'_>) {
    // SAFETY: plain calls on descriptors that stay open, on a structure of our own and on a literal path.
    unsafe {
        let mut settings = zeroed::<libc::termios>();
        let shown = |fd: RawFd| libc::tcgetattr(fd, &raw mut settings) == 0;
        if plan.terminal.is_some() || plan.stdio.into_iter().any(shown) {
            return;
        }
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        let fd = libc::open(c"/dev/tty".as_ptr(), flags);
        if fd >= 0 {
            libc::ioctl(fd, libc::TIOCNOTTY);
            libc::close(fd);
        }
    }
}

/// Closes what the process brings from the host and does not need any more, before anything in the
/// container can see it: from there `/proc/PID/fd` of this process may be opened (CVE-2016-8649). A
/// function of the caller may need any of them.
fn close_hosts(plan: &AttachPlan<'_>, needed: &[RawFd; 2]) -> Done {
    if matches!(plan.task, Task::Call(_)) {
        return Ok(());
    }
    let terminal = plan.terminal.map_or(-1, |(pts, _)| pts.as_raw_fd());
    let [input, output, errors] = plan.stdio;
    let [socket, pidfd] = *needed;
    let log = plan.log.unwrap_or(-1);
    close_all_but(&mut [input, output, errors, terminal, socket, pidfd, log])
}

/// Closes all descriptors above 2 but these. Closed, not marked close-on-exec: what the container
/// executes may be a link to /proc/self/fd/N, which must not lead to anything of the host
/// (CVE-2024-21626).
fn close_all_but(keep: &mut [RawFd]) -> Done {
    keep.sort_unstable();
    let mut first: c_uint = 3;
    let ends = keep.iter().map(|fd| c_uint::try_from(*fd).unwrap_or(0));
    for kept in ends.filter(|fd| *fd > 2).chain([c_uint::MAX]) {
        if kept > first {
            let last = if kept == c_uint::MAX { kept } else { kept - 1 };
            // SAFETY: close_range takes numbers; nothing that it closes is used again.
            let ret = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            check(Step::CloseFds, ret)?;
        }
        first = kept.saturating_add(1);
    }
    Ok(())
}

/// Enters a directory of the container. Where that fails, we stay: at the root of the mount namespace.
///
/// Magic links are refused: our descriptors are the host's, and a link to /proc/self/fd/N inside
/// would lead out of the container (CVE-2024-21626).
fn change_directory(directory: &CStr) {
    // SAFETY: all zeros is a valid open_how.
    let mut how = unsafe { zeroed::<libc::open_how>() };
    how.flags = (libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: the string is NUL-terminated, both live through the call; the descriptor is ours.
    unsafe {
        let fd = libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            directory.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        ) as RawFd;
        if fd >= 0 {
            libc::fchdir(fd);
            libc::close(fd);
        }
    }
}

/// Waits for the parent's word.
fn hear(socket: RawFd) -> Done {
    let mut byte = 0u8;
    loop {
        // SAFETY: one byte is written, to a place that lives through the call.
        let got = unsafe { libc::recv(socket, (&raw mut byte).cast(), 1, 0) };
        match got {
            1 => return Ok(()),
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Err(Failure(Step::Wait, Errno::last())),
            // The parent is gone.
            _ => exit(1),
        }
    }
}

/// Clones a sibling: the caller's parent becomes the new process's parent too.
fn clone_sibling() -> Result<i32, Failure> {
    const PR_GET_TID_ADDRESS: c_int = 40;
    let mut tid: *mut c_int = null_mut();
    let mut flags = c_ulong::from(libc::CLONE_PARENT as u32) | libc::SIGCHLD as c_ulong;
    // The C library keeps the thread's id in memory; let the kernel put the new one there.
    // SAFETY: PR_GET_TID_ADDRESS writes one pointer to a place that lives through the call.
    let known = unsafe { libc::prctl(PR_GET_TID_ADDRESS, &raw mut tid, 0, 0, 0) } == 0;
    if known && !tid.is_null() {
        flags |= (libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID) as c_ulong;
    }
    // SAFETY: `tid` is the address that the C library itself registered.
    let pid = unsafe { raw_clone(flags, tid) };
    Ok(check(Step::Clone, pid)? as i32)
}

/// clone(2) without CLONE_VM: like fork(2), but nothing of the C library's runs.
///
/// # Safety
/// The process must have one thread only. `tid` must be valid for CLONE_CHILD_SETTID and
/// CLONE_CHILD_CLEARTID if these are in `flags`.
pub(super) unsafe fn raw_clone(flags: c_ulong, tid: *mut c_int) -> c_long {
    let none = null_mut::<c_int>();
    // SAFETY: no CLONE_VM and no stack: the child goes on here, on a copy of this single-threaded
    // process. The order of the arguments differs between architectures.
    unsafe {
        #[cfg(target_arch = "s390x")]
        return libc::syscall(libc::SYS_clone, 0, flags, none, tid, 0);
        #[cfg(target_arch = "x86_64")]
        return libc::syscall(libc::SYS_clone, flags, 0, none, tid, 0);
        #[cfg(not(any(target_arch = "s390x", target_arch = "x86_64")))]
        return libc::syscall(libc::SYS_clone, flags, 0, none, 0, tid);
    }
}

/// The attached process.
fn attached(plan: &AttachPlan<'_>, socket: RawFd, mask: &libc::sigset_t) -> ! {
    if let Err(Failure(step, errno)) = set_up(plan, socket) {
        let _ = tell(socket, Report::Failed(step, errno));
        exit(255);
    }
    if tell(socket, Report::Ready).is_err() {
        exit(255);
    }
    // SAFETY: the socket is ours; the pointer array is NUL-terminated and lives as long as the
    // process; the mask was filled in by the parent.
    unsafe {
        libc::close(socket);
        environ = plan.environment.as_ptr();
        libc::sigprocmask(libc::SIG_SETMASK, mask, null_mut());
    }
    match &plan.task {
        Task::Exec(candidates) => execute(plan, candidates),
        Task::Shell => shell(plan),
        Task::Call(Callback { function, payload }) => {
            // SAFETY: who made the `Callback` vouched for this.
            exit(unsafe { function(*payload) } & 0xff)
        }
    }
}

fn set_up(plan: &AttachPlan<'_>, socket: RawFd) -> Done {
    share_core(plan)?;
    remount(plan)?;
    if let Some(domain) = plan.personality {
        // SAFETY: personality takes an integer.
        check(Step::Personality, unsafe {
            libc::personality(domain as c_ulong)
        })?;
    }
    drop_bounding(plan.drop_bounding)?;
    let attribute = match &plan.lsm_label {
        Some(_) => Some(receive_fd(socket)?),
        None => None,
    };
    if plan.terminal.is_none() && plan.stdio[0] > 0 {
        control_stdin(plan.stdio[0]);
    }
    set_groups(&plan.groups)?;
    if let Some(ids) = plan.setup_ids {
        set_ids(Step::SetupIds, ids)?;
    }
    if let (Some(attribute), Some(label)) = (attribute, &plan.lsm_label) {
        write_label(attribute, label)?;
    }
    if plan.no_new_privs {
        // SAFETY: PR_SET_NO_NEW_PRIVS takes integers.
        check(Step::NoNewPrivs, unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        })?;
    }
    stdio(plan)?;
    // Now, not right before the exec: a seccomp policy need not allow close_range(2).
    if !matches!(plan.task, Task::Call(_)) {
        close_all_but(&mut [socket, plan.log.unwrap_or(-1)])?;
    }
    if let Some(seccomp) = &plan.seccomp {
        load_filter(seccomp, socket)?;
    }
    set_ids(Step::Ids, plan.ids)
}

fn share_core(plan: &AttachPlan<'_>) -> Done {
    const PR_SCHED_CORE: c_int = 62;
    const PR_SCHED_CORE_SHARE_FROM: c_int = 3;
    if let Some(pid) = plan.share_core_of {
        // SAFETY: PR_SCHED_CORE_SHARE_FROM takes integers; 0 is PIDTYPE_PID.
        let ret = unsafe { libc::prctl(PR_SCHED_CORE, PR_SCHED_CORE_SHARE_FROM, pid, 0, 0) };
        check(Step::CoreScheduling, ret)?;
    }
    Ok(())
}

fn remount(plan: &AttachPlan<'_>) -> Done {
    if !plan.remount_proc_sys {
        return Ok(());
    }
    let step = Step::RemountProcSys;
    let mount = |source: &CStr, target: &CStr, fstype: &CStr, flags| {
        // SAFETY: the strings are NUL-terminated and live through the call; data may be null.
        let ret = unsafe {
            libc::mount(
                source.as_ptr(),
                target.as_ptr(),
                fstype.as_ptr(),
                flags,
                null(),
            )
        };
        check(step, ret).map(drop)
    };
    // SAFETY: unshare takes a mask.
    check(step, unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount(c"none", c"/", c"none", libc::MS_SLAVE | libc::MS_REC)?;
    let safe = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    for (target, fstype) in [(c"/proc", c"proc"), (c"/sys", c"sysfs")] {
        // Nothing mounted there is fine.
        // SAFETY: the string is NUL-terminated and lives through the call.
        unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
        mount(c"none", target, fstype, safe)?;
    }
    Ok(())
}

fn drop_bounding(mask: u64) -> Done {
    for capability in (0..64).filter(|n| mask & (1u64 << n) != 0) {
        // SAFETY: PR_CAPBSET_DROP takes integers.
        let ret = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability as c_ulong, 0, 0, 0) };
        match (ret, Errno::last()) {
            (0.., _) => {}
            // Above the kernel's last capability.
            (_, Errno::EINVAL) => break,
            (_, errno) => return Err(Failure(Step::DropCapabilities, errno)),
        }
    }
    Ok(())
}

/// Makes the terminal on standard input the controlling one, as far as it is one and it can be.
fn control_stdin(fd: RawFd) {
    // SAFETY: plain calls on a descriptor that stays open.
    unsafe {
        let mut settings = zeroed::<libc::termios>();
        if libc::tcgetattr(fd, &raw mut settings) == 0 {
            libc::setsid();
            libc::ioctl(fd, libc::TIOCSCTTY, 0);
        }
    }
}

fn set_groups(groups: &Groups) -> Done {
    let (count, list) = match groups {
        Groups::Drop => (0, null()),
        Groups::Set(list) => (list.len(), list.as_ptr()),
    };
    // SAFETY: the list lives through the call. Not the C library's setgroups, which would signal
    // threads that do not exist here.
    let ret = unsafe { libc::syscall(libc::SYS_setgroups, count, list) };
    match groups {
        // Denied in a user namespace without setgroups; there is nothing to drop then either.
        Groups::Drop => Ok(()),
        Groups::Set(_) => check(Step::Groups, ret).map(drop),
    }
}

fn set_ids(step: Step, ids: Ids) -> Done {
    // SAFETY: raw system calls on integers, for the reason given in `set_groups`.
    unsafe {
        if let Some(gid) = ids.gid {
            check(step, libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
        }
        if let Some(uid) = ids.uid {
            check(step, libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
        }
    }
    Ok(())
}

fn receive_fd(socket: RawFd) -> Result<RawFd, Failure> {
    let mut byte = 0u8;
    let mut space = [0u64; 4];
    let mut iov = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    // SAFETY: all zeros is a valid msghdr; what it points to lives through the call, and the
    // control buffer is aligned for a cmsghdr and large enough for one descriptor.
    unsafe {
        let mut message = zeroed::<libc::msghdr>();
        message.msg_iov = &raw mut iov;
        message.msg_iovlen = 1;
        message.msg_control = space.as_mut_ptr().cast();
        message.msg_controllen = size_of::<[u64; 4]>() as _;
        let got = libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC);
        check(Step::ReceiveLabel, got)?;
        let control = libc::CMSG_FIRSTHDR(&raw const message);
        if got == 0 || control.is_null() || (*control).cmsg_type != libc::SCM_RIGHTS {
            return Err(Failure(Step::ReceiveLabel, Errno::EBADF));
        }
        Ok(ptr::read_unaligned(libc::CMSG_DATA(control).cast()))
    }
}

fn write_label(attribute: RawFd, label: &[u8]) -> Done {
    // SAFETY: the label lives through the call; the descriptor is ours to close.
    unsafe {
        let written = libc::write(attribute, label.as_ptr().cast(), label.len());
        check(Step::WriteLabel, written)?;
        libc::close(attribute);
    }
    Ok(())
}

fn stdio(plan: &AttachPlan<'_>) -> Done {
    if let Some((terminal, replaces)) = plan.terminal {
        let fd = terminal.as_raw_fd();
        // SAFETY: plain calls on a descriptor that stays open.
        unsafe {
            libc::setsid();
            check(Step::Terminal, libc::ioctl(fd, libc::TIOCSCTTY, 0))?;
        }
        let mut from = plan.stdio;
        for (from, replace) in from.iter_mut().zip(replaces) {
            if replace {
                *from = fd;
            }
        }
        place(from)?;
        if fd > 2 {
            close(fd);
        }
    } else {
        place(plan.stdio)?;
    }
    for fd in 0..3 {
        give_away(fd, plan.ids);
    }
    Ok(())
}

/// Puts descriptors at 0, 1 and 2; they may be any of these already, in any order. One that is not open leaves what is
/// there: a caller may want nothing to be (as with LXC).
fn place(from: [RawFd; 3]) -> Done {
    let mut high = [-1; 3];
    for (high, fd) in high.iter_mut().zip(from) {
        // SAFETY: F_DUPFD_CLOEXEC takes a descriptor and a number.
        *high = match unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 10) } {
            -1 if Errno::last() == Errno::EBADF => -1,
            copy => check(Step::Stdio, copy)?,
        };
    }
    for (target, fd) in (0..).zip(high).filter(|(_, fd)| *fd >= 0) {
        // SAFETY: dup2 takes two numbers, and clears close-on-exec; the copy is ours to close.
        unsafe {
            check(Step::Stdio, libc::dup2(fd, target))?;
            libc::close(fd);
        }
    }
    for fd in from.into_iter().filter(|fd| *fd > 2) {
        // SAFETY: the original is not used again; a double close only gives EBADF here.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Gives one of stdio to the user that is to use it, so that /dev/stdout can be opened; /dev/null
/// stays. What cannot be given is left, as LXC does.
fn give_away(fd: RawFd, ids: Ids) {
    let (Some(uid), null_device) = (ids.uid, libc::makedev(1, 3)) else {
        return;
    };
    // SAFETY: fstat fills in a stat that lives through the call; fchown takes numbers.
    unsafe {
        let mut stat = zeroed::<libc::stat>();
        if libc::fstat(fd, &raw mut stat) == 0 && stat.st_rdev != null_device && stat.st_uid != uid
        {
            libc::fchown(fd, uid, u32::MAX);
        }
    }
}

fn load_filter(seccomp: &Seccomp, socket: RawFd) -> Done {
    const SECCOMP_SET_MODE_FILTER: c_long = 1;
    const NEW_LISTENER: u64 = 1 << 3;
    let program = libc::sock_fprog {
        len: seccomp.program.len() as u16,
        filter: seccomp.program.as_ptr().cast_mut(),
    };
    // SAFETY: the program lives through the call, and the kernel only reads it.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SECCOMP_SET_MODE_FILTER,
            seccomp.flags,
            &raw const program,
        )
    };
    check(Step::Seccomp, fd)?;
    if seccomp.flags & NEW_LISTENER == 0 {
        return Ok(());
    }
    send_fd(socket, fd as RawFd)
}

fn send_fd(socket: RawFd, fd: RawFd) -> Done {
    let mut bytes = Report::Listener.encode();
    let mut space = [0u64; 4];
    let mut iov = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: REPORT,
    };
    // SAFETY: as in `receive_fd`; CMSG_LEN of one descriptor fits in the control buffer.
    unsafe {
        let mut message = zeroed::<libc::msghdr>();
        message.msg_iov = &raw mut iov;
        message.msg_iovlen = 1;
        message.msg_control = space.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
        let control = libc::CMSG_FIRSTHDR(&raw const message);
        (*control).cmsg_level = libc::SOL_SOCKET;
        (*control).cmsg_type = libc::SCM_RIGHTS;
        (*control).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        ptr::write_unaligned(libc::CMSG_DATA(control).cast(), fd);
        let sent = libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL);
        libc::close(fd);
        check(Step::SendListener, sent)?;
    }
    Ok(())
}
