//! seccomp(2): loading filters, and user notification.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_ulong, c_void};

/// One instruction of classic BPF, in the kernel's layout.
pub type Instruction = libc::sock_filter;

const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;
const SECCOMP_GET_ACTION_AVAIL: libc::c_uint = 2;
const SECCOMP_GET_NOTIF_SIZES: libc::c_uint = 3;
const SECCOMP_FILTER_FLAG_NEW_LISTENER: c_ulong = 1 << 3;

const SECCOMP_IOCTL_NOTIF_RECV: c_ulong = 0xc050_2100;
const SECCOMP_IOCTL_NOTIF_SEND: c_ulong = 0xc018_2101;
const SECCOMP_IOCTL_NOTIF_ID_VALID: c_ulong = 0x4008_2102;

/// Kernel sizes of `seccomp_notif`, `seccomp_notif_resp` and `seccomp_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotifySizes {
    /// `struct seccomp_notif`
    pub notification: u16,
    /// `struct seccomp_notif_resp`
    pub response: u16,
    /// `struct seccomp_data`
    pub data: u16,
}

/// Loads `program` on the calling thread. Neither `no_new_privs` is set nor anything allocated: usable after fork.
///
/// With `listener` the program's user notifications arrive at the returned descriptor (close-on-exec).
///
/// # Errors
/// `EACCES` without CAP_SYS_ADMIN and without `no_new_privs`; `EINVAL` for a bad program or an unknown action;
/// `EBUSY` when there is a listener already; `ENOMEM` when all filters together are too long.
///
/// # References
/// seccomp(2)
pub fn load(program: &[Instruction], listener: bool) -> io::Result<Option<OwnedFd>> {
    let len =
        u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let fprog = libc::sock_fprog {
        len,
        filter: program.as_ptr().cast_mut(),
    };
    let flags = if listener {
        SECCOMP_FILTER_FLAG_NEW_LISTENER
    } else {
        0
    };
    // SAFETY: `fprog` and the instructions it points at live over the call; the kernel only reads them.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const fprog,
        )
    };
    if rc < 0 {
        return Err(io::Error::last_os_error());
    }
    if !listener {
        return Ok(None);
    }
    let fd = RawFd::try_from(rc).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Whether the kernel knows the action (SECCOMP_RET_*).
#[must_use]
pub fn action_available(action: u32) -> bool {
    // SAFETY: the operation reads one u32.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SECCOMP_GET_ACTION_AVAIL,
            0 as c_ulong,
            &raw const action,
        )
    };
    rc == 0
}

/// The sizes of the running kernel's notification structures.
///
/// # Errors
/// `EINVAL` on kernels before 5.0.
///
/// # References
/// seccomp(2)
pub fn notify_sizes() -> io::Result<NotifySizes> {
    let mut sizes = [0u16; 3];
    // SAFETY: the operation writes three u16, which `sizes` holds.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SECCOMP_GET_NOTIF_SIZES,
            0 as c_ulong,
            sizes.as_mut_ptr(),
        )
    };
    if rc < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(NotifySizes {
        notification: sizes[0],
        response: sizes[1],
        data: sizes[2],
    })
}

/// Receives one notification into `buffer` (zeroed first), which must have the kernel's `seccomp_notif` size or more.
///
/// # Errors
/// `ENOENT` when the caller was killed meanwhile, `EINTR`, `EINVAL` for a buffer that is too small.
///
/// # References
/// seccomp_unotify(2)
pub fn notify_receive(listener: BorrowedFd<'_>, buffer: &mut [u64]) -> io::Result<()> {
    let sizes = notify_sizes()?;
    if std::mem::size_of_val(buffer) < usize::from(sizes.notification) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    buffer.fill(0);
    // The buffer is 8-aligned, zeroed as the kernel asks, and at least as long as what is written.
    ioctl(
        listener,
        SECCOMP_IOCTL_NOTIF_RECV,
        buffer.as_mut_ptr().cast(),
    )
}

/// Answers a notification with a whole `seccomp_notif_resp`.
///
/// # Errors
/// `ENOENT` when the caller is gone, `EINPROGRESS`, `EINVAL` for a buffer that is too small.
///
/// # References
/// seccomp_unotify(2)
pub fn notify_send(listener: BorrowedFd<'_>, response: &mut [u64]) -> io::Result<()> {
    let sizes = notify_sizes()?;
    if std::mem::size_of_val(response) < usize::from(sizes.response) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    ioctl(
        listener,
        SECCOMP_IOCTL_NOTIF_SEND,
        response.as_mut_ptr().cast(),
    )
}

/// Whether the notification `id` is still waited for (its process was not replaced by another of the same pid).
#[must_use]
pub fn notify_id_valid(listener: BorrowedFd<'_>, id: u64) -> bool {
    let mut id = id;
    ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, (&raw mut id).cast()).is_ok()
}

fn ioctl(fd: BorrowedFd<'_>, request: c_ulong, argument: *mut c_void) -> io::Result<()> {
    // SAFETY: private; every caller passes memory of the request's size.
    let rc = unsafe { libc::ioctl(fd.as_raw_fd(), request, argument) };
    if rc < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
