//! Moving bytes over abstract stream sockets with a deadline.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect as sys_connect, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;
use rlxc_sys::socket::{receive, send};

/// Connects to an abstract name. ETIMEDOUT when the listener's backlog stays full until then.
pub(crate) fn connect(name: &[u8], until: Instant) -> Result<OwnedFd, Errno> {
    let fd = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let address = UnixAddr::new_abstract(name)?;
    loop {
        let left = remaining(until)?;
        // connect(2) on a Unix socket waits for room in the backlog as long as SO_SNDTIMEO says.
        let micros = i64::try_from(left.as_micros()).unwrap_or(i64::MAX).max(1);
        let timeout = TimeVal::new(micros / 1_000_000, micros % 1_000_000);
        setsockopt(&fd, sockopt::SendTimeout, &timeout)?;
        match sys_connect(fd.as_raw_fd(), &address) {
            Ok(()) => return Ok(fd),
            Err(Errno::EINTR | Errno::EAGAIN) => continue,
            Err(errno) => return Err(errno),
        }
    }
}

/// Sends everything; descriptors and credentials go with the first byte.
pub(crate) fn send_all(
    socket: BorrowedFd<'_>,
    mut data: &[u8],
    mut fds: &[BorrowedFd<'_>],
    mut credentials: bool,
    until: Instant,
) -> Result<(), Errno> {
    while !data.is_empty() {
        match send(socket, data, fds, credentials) {
            Ok(sent) => {
                data = data.get(sent..).unwrap_or_default();
                fds = &[];
                credentials = false;
            }
            Err(Errno::EAGAIN) => wait(socket, PollFlags::POLLOUT, Some(until))?,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Fills `buf`; ECONNRESET when the peer hangs up before. Returns the descriptors that came along.
pub(crate) fn receive_all(
    socket: BorrowedFd<'_>,
    buf: &mut [u8],
    until: Instant,
) -> Result<Vec<OwnedFd>, Errno> {
    receive_until(socket, buf, Some(until))
}

pub(crate) fn receive_until(
    socket: BorrowedFd<'_>,
    mut buf: &mut [u8],
    until: Option<Instant>,
) -> Result<Vec<OwnedFd>, Errno> {
    let mut fds = Vec::new();
    while !buf.is_empty() {
        match receive(socket, buf) {
            Ok(received) if received.len == 0 => return Err(Errno::ECONNRESET),
            Ok(received) => {
                fds.extend(received.fds);
                buf = buf.get_mut(received.len..).unwrap_or_default();
            }
            Err(Errno::EAGAIN) => wait(socket, PollFlags::POLLIN, until)?,
            Err(errno) => return Err(errno),
        }
    }
    Ok(fds)
}

/// Waits for `events`, or for an error or hang-up; ETIMEDOUT at the deadline.
pub(crate) fn wait(
    fd: BorrowedFd<'_>,
    events: PollFlags,
    until: Option<Instant>,
) -> Result<(), Errno> {
    loop {
        let timeout = match until {
            None => PollTimeout::NONE,
            // Rounded up, or the last millisecond would be spent spinning.
            Some(until) => {
                let millis = remaining(until)?.as_micros().div_ceil(1000);
                PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(&mut [PollFd::new(fd.as_fd(), events)], timeout) {
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
}

fn remaining(until: Instant) -> Result<Duration, Errno> {
    match until.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(Errno::ETIMEDOUT),
        left => Ok(left),
    }
}
