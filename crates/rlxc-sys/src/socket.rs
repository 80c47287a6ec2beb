//! Messages with descriptors and credentials over Unix sockets (unix(7)), never blocking.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};

/// The kernel's bound on descriptors in one message (SCM_MAX_FD).
pub const MAX_FDS: usize = 253;

/// Who sent a message, as the kernel vouches for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// Process id in the receiver's pid namespace
    pub pid: i32,
    /// User id in the receiver's user namespace
    pub uid: u32,
    /// Group id in the receiver's user namespace
    pub gid: u32,
}

/// What [`receive`] got.
#[derive(Debug, Default)]
pub struct Received {
    /// Bytes written to the buffer; 0 = the peer closed
    pub len: usize,
    /// Descriptors that came along, close-on-exec
    pub fds: Vec<OwnedFd>,
    /// The sender, if the receiver asked for it by SO_PASSCRED
    pub credentials: Option<Credentials>,
}

/// Accepts a connection of a listening socket, non-blocking and close-on-exec.
///
/// # Errors
/// As accept4(2); EAGAIN when nobody waits and the listener does not block.
pub fn accept(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    use nix::sys::socket::{SockFlag, accept4};
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = accept4(listener.as_raw_fd(), flags)?;
    // SAFETY: accept4 has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Receives at most one message without waiting.
///
/// # Errors
/// EAGAIN when nothing is there; else as recvmsg(2).
pub fn receive(socket: BorrowedFd<'_>, buf: &mut [u8]) -> Result<Received, Errno> {
    let mut space = cmsg_space!([RawFd; MAX_FDS], libc::ucred);
    let mut iov = [IoSliceMut::new(buf)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = loop {
        match recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut iov, Some(&mut space), flags) {
            Err(Errno::EINTR) => continue,
            other => break other?,
        }
    };
    let mut received = Received {
        len: message.bytes,
        ..Received::default()
    };
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::ScmRights(fds) => {
                // SAFETY: the kernel has just installed these descriptors for us; nobody else owns them.
                let owned = fds
                    .into_iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
                received.fds.extend(owned);
            }
            ControlMessageOwned::ScmCredentials(cred) => {
                received.credentials = Some(Credentials {
                    pid: cred.pid(),
                    uid: cred.uid(),
                    gid: cred.gid(),
                });
            }
            _ => {}
        }
    }
    Ok(received)
}

/// Sends `data`, with `fds` and, if asked, the own real ids, without waiting and without SIGPIPE.
///
/// Returns how many bytes went out; descriptors and credentials go with the first of them.
///
/// # Errors
/// EAGAIN when the peer's buffer is full; else as sendmsg(2).
pub fn send(
    socket: BorrowedFd<'_>,
    data: &[u8],
    fds: &[BorrowedFd<'_>],
    credentials: bool,
) -> Result<usize, Errno> {
    if fds.len() > MAX_FDS {
        return Err(Errno::EINVAL);
    }
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let own = own_credentials();
    match send_once(socket, data, &raw, credentials.then_some(own)) {
        // Ids without a name in the peer's namespace cannot be claimed; the receiver's SO_PASSCRED
        // still tells it who we are.
        Err(Errno::EINVAL | Errno::EPERM) if credentials => send_once(socket, data, &raw, None),
        other => other,
    }
}

fn own_credentials() -> libc::ucred {
    libc::ucred {
        pid: nix::unistd::getpid().as_raw(),
        uid: nix::unistd::getuid().as_raw(),
        gid: nix::unistd::getgid().as_raw(),
    }
}

fn send_once(
    socket: BorrowedFd<'_>,
    data: &[u8],
    fds: &[RawFd],
    credentials: Option<libc::ucred>,
) -> Result<usize, Errno> {
    use nix::sys::socket::{ControlMessage, UnixCredentials, sendmsg};
    let credentials = credentials.map(UnixCredentials::from);
    let mut control = Vec::with_capacity(2);
    if !fds.is_empty() {
        control.push(ControlMessage::ScmRights(fds));
    }
    if let Some(cred) = &credentials {
        control.push(ControlMessage::ScmCredentials(cred));
    }
    let iov = [IoSlice::new(data)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    loop {
        match sendmsg::<UnixAddr>(socket.as_raw_fd(), &iov, &control, flags, None) {
            Err(Errno::EINTR) => continue,
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
    use std::os::fd::AsFd;

    #[test]
    fn descriptors_and_credentials_arrive_with_the_bytes() {
        let (a, b) = socketpair(
            AddressFamily::Unix,
            SockType::Stream,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .unwrap();
        setsockopt(&b, sockopt::PassCred, &true).unwrap();
        assert_eq!(receive(b.as_fd(), &mut [0; 4]).unwrap_err(), Errno::EAGAIN);
        assert_eq!(send(a.as_fd(), b"hello", &[a.as_fd(); 3], true), Ok(5));
        let mut buf = [0; 16];
        let got = receive(b.as_fd(), &mut buf).unwrap();
        assert_eq!((&buf[..got.len], got.fds.len()), (&b"hello"[..], 3));
        assert_eq!(got.credentials.unwrap().uid, nix::unistd::getuid().as_raw());
    }
}
