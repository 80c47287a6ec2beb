//! Terminal ioctls: pty peers, window size, controlling terminal (ioctl_tty(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// Size of a terminal's window in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines
    pub rows: u16,
    /// Columns
    pub columns: u16,
}

/// Unlocks the pts side of a ptx (unlockpt(3)).
///
/// # Errors
/// As ioctl TIOCSPTLCK.
pub fn unlock(ptx: BorrowedFd<'_>) -> Result<(), Errno> {
    let unlocked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int behind the pointer, which lives through the call.
    Errno::result(unsafe { libc::ioctl(ptx.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })?;
    Ok(())
}

/// Opens the pts side of a ptx without a path, so that no mount game can swap it.
///
/// # Errors
/// As ioctl TIOCGPTPEER.
pub fn peer(ptx: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes open flags by value and returns a new descriptor.
    let fd = Errno::result(unsafe { libc::ioctl(ptx.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The number of the pts in its devpts instance.
///
/// # Errors
/// As ioctl TIOCGPTN.
pub fn index(ptx: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut number: libc::c_uint = 0;
    // SAFETY: TIOCGPTN writes one unsigned int behind the pointer, which lives through the call.
    Errno::result(unsafe { libc::ioctl(ptx.as_raw_fd(), libc::TIOCGPTN, &raw mut number) })?;
    Ok(number)
}

/// The window size of a terminal.
///
/// # Errors
/// As ioctl TIOCGWINSZ; ENOTTY when it is none.
pub fn window_size(tty: BorrowedFd<'_>) -> Result<WindowSize, Errno> {
    let mut size = raw_size(WindowSize::default());
    // SAFETY: TIOCGWINSZ writes one winsize behind the pointer, which lives through the call.
    Errno::result(unsafe { libc::ioctl(tty.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    Ok(WindowSize {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

/// Sets the window size; the foreground process group gets SIGWINCH if it changed.
///
/// # Errors
/// As ioctl TIOCSWINSZ.
pub fn set_window_size(tty: BorrowedFd<'_>, size: WindowSize) -> Result<(), Errno> {
    let size = raw_size(size);
    // SAFETY: TIOCSWINSZ reads one winsize behind the pointer, which lives through the call.
    Errno::result(unsafe { libc::ioctl(tty.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) })?;
    Ok(())
}

fn raw_size(size: WindowSize) -> libc::winsize {
    libc::winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// Whether it is a terminal (isatty(3)).
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    io::IsTerminal::is_terminal(&fd)
}

/// Makes a terminal the controlling one of the calling session leader.
///
/// # Errors
/// As ioctl TIOCSCTTY.
pub fn set_controlling(tty: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: TIOCSCTTY takes an int by value.
    Errno::result(unsafe { libc::ioctl(tty.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0) })?;
    Ok(())
}
