//! The conversation of the monitor with the container's first process while it is being set up.
//!
//! One SOCK_SEQPACKET pair carries whole JSON messages with descriptors. The child's end is
//! close-on-exec: its end of file after [`FromChild::Ready`] means that init has been executed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use rlxc_sys::socket;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::StartError;

const MESSAGE_MAX: usize = 128 * 1024;

/// From the monitor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToChild {
    /// The id maps are written; idmapped trees come as descriptors, the rootfs first if `rootfs`.
    Mapped { rootfs: bool },
    /// The cgroups are entered and the links are in the network namespace.
    Entered { inside: rlxc_network::Inside },
    /// The start-host hooks have run: execute.
    Go,
}

/// From the container's first process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromChild {
    /// The network namespace exists.
    Network,
    /// All is set up. The descriptors come in the order of this list's true and counted fields.
    Ready(Descriptors),
    /// A step failed.
    Failed(StartError),
}

/// Which descriptors come with [`FromChild::Ready`].
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Descriptors {
    pub(crate) console: bool,
    pub(crate) ttys: u32,
    pub(crate) devpts: bool,
    pub(crate) seccomp: bool,
}

/// One end of the pair.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

impl Channel {
    pub(crate) fn pair() -> Result<(Self, Self), Errno> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Self(a), Self(b)))
    }

    pub(crate) fn send(
        &self,
        message: &impl Serialize,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), Errno> {
        let bytes = serde_json::to_vec(message).map_err(|_| Errno::EINVAL)?;
        socket::send(self.0.as_fd(), &bytes, fds, false).map(drop)
    }

    /// The next message that is there; `None` at end of file.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> Result<Option<(T, Vec<OwnedFd>)>, Errno> {
        let mut buf = vec![0; MESSAGE_MAX];
        let received = match socket::receive(self.0.as_fd(), &mut buf) {
            Err(Errno::ECONNRESET) => return Ok(None),
            other => other?,
        };
        if received.len == 0 {
            return Ok(None);
        }
        let message = serde_json::from_slice(&buf[..received.len]).map_err(|_| Errno::EPROTO)?;
        Ok(Some((message, received.fds)))
    }

    /// Whether the other end is closed.
    pub(crate) fn is_hung_up(&self) -> bool {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
        let _ = poll(&mut fds, PollTimeout::ZERO);
        fds[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLHUP))
    }

    /// Waits for the next message.
    pub(crate) fn wait<T: DeserializeOwned>(&self) -> Result<Option<(T, Vec<OwnedFd>)>, Errno> {
        loop {
            let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
            match self.receive() {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                other => return other,
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn messages_carry_descriptors_and_end_of_file() {
        let (a, b) = Channel::pair().expect("a pair");
        let fd = std::fs::File::open("/dev/null").expect("a file");
        a.send(&ToChild::Mapped { rootfs: true }, &[fd.as_fd()])
            .expect("sent");
        let (message, fds) = b.wait::<ToChild>().expect("received").expect("a message");
        assert!(matches!(message, ToChild::Mapped { rootfs: true }));
        assert_eq!(fds.len(), 1);
        drop(a);
        assert!(b.wait::<ToChild>().expect("received").is_none());
    }
}
