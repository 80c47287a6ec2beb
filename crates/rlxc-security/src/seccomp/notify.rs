//! Forwarding seccomp notifications to `lxc.seccomp.notify.proxy`.
//!
//! [`Proxy`] is a state machine for an epoll loop: nothing blocks, one notification is under way at a time, and each
//! one is answered: by the proxy, or with ENOSYS when there is no proxy or it fails (LXC's rule).
//!
//! ```text
//!         listener readable              proxy's answer, its failure, or the deadline
//!  Idle ─────────────────────▶ Waiting ───────────────────────────────────────────────▶ Idle
//! ```

use std::fs::OpenOptions;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, recvmsg,
    sendmsg, socket,
};
use rlxc_sys::seccomp::{self, NotifySizes};

use crate::{Error, Result};

/// How long the proxy may think.
pub const TIMEOUT: Duration = Duration::from_secs(30);

const HEADER: usize = 32;

/// What a message carries besides the kernel's structures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The container's monitor
    pub monitor_pid: i32,
    /// The container's init
    pub init_pid: i32,
    /// Sizes of the kernel's structures
    pub sizes: NotifySizes,
    /// Length of the cookie at the end
    pub cookie_len: u64,
}

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The fixed part
    pub header: Header,
    /// `struct seccomp_notif`
    pub notification: Vec<u8>,
    /// `struct seccomp_notif_resp`
    pub response: Vec<u8>,
    /// `lxc.seccomp.notify.cookie`
    pub cookie: Vec<u8>,
}

impl Message {
    /// The bytes on the socket.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let header = &self.header;
        let mut bytes = Vec::with_capacity(
            HEADER + self.notification.len() + self.response.len() + self.cookie.len(),
        );
        bytes.extend(0u64.to_ne_bytes());
        bytes.extend(header.monitor_pid.to_ne_bytes());
        bytes.extend(header.init_pid.to_ne_bytes());
        for size in [
            header.sizes.notification,
            header.sizes.response,
            header.sizes.data,
            0,
        ] {
            bytes.extend(size.to_ne_bytes());
        }
        bytes.extend(header.cookie_len.to_ne_bytes());
        bytes.extend(&self.notification);
        bytes.extend(&self.response);
        bytes.extend(&self.cookie);
        bytes
    }

    /// Takes a message apart. The lengths it claims must be exactly those it has, but for the cookie: the proxies of
    /// Incus and LXD leave it out of their answers, though its length is still there.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let short = || {
            Error::ProxyAnswer(format!(
                "with a message of {} bytes, which is too short",
                bytes.len()
            ))
        };
        let (head, rest) = bytes.split_at_checked(HEADER).ok_or_else(short)?;
        let size = |at: usize| {
            head.get(at..at + 2)
                .and_then(|field| field.try_into().ok())
                .map_or(0, u16::from_ne_bytes)
        };
        let int = |at: usize| {
            head.get(at..at + 4)
                .and_then(|field| field.try_into().ok())
                .map_or(0, i32::from_ne_bytes)
        };
        let long = |at: usize| {
            head.get(at..at + 8)
                .and_then(|field| field.try_into().ok())
                .map_or(0, u64::from_ne_bytes)
        };
        let sizes = NotifySizes {
            notification: size(16),
            response: size(18),
            data: size(20),
        };
        let (notification, rest) = rest
            .split_at_checked(sizes.notification.into())
            .ok_or_else(short)?;
        let (response, cookie) = rest
            .split_at_checked(sizes.response.into())
            .ok_or_else(short)?;
        let cookie_len = long(24);
        if !cookie.is_empty() && u64::try_from(cookie.len()) != Ok(cookie_len) {
            return Err(Error::ProxyAnswer(
                "with a cookie of another length than it says".into(),
            ));
        }
        Ok(Self {
            header: Header {
                monitor_pid: int(8),
                init_pid: int(12),
                sizes,
                cookie_len,
            },
            notification: notification.to_vec(),
            response: response.to_vec(),
            cookie: cookie.to_vec(),
        })
    }

    /// The id in the response.
    #[must_use]
    pub fn response_id(&self) -> Option<u64> {
        self.response
            .get(..8)
            .and_then(|id| id.try_into().ok())
            .map(u64::from_ne_bytes)
    }
}

/// The proxy of one container.
#[derive(Debug)]
pub struct Proxy {
    listener: OwnedFd,
    address: Option<String>,
    cookie: Vec<u8>,
    monitor_pid: i32,
    init_pid: i32,
    sizes: NotifySizes,
    connection: Option<OwnedFd>,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    until: Instant,
}

impl Proxy {
    /// Takes over the notify descriptor. `address`: `lxc.seccomp.notify.proxy`, a path or `@NAME`; `None`: every
    /// notification is answered with ENOSYS.
    ///
    /// # Errors
    /// When the kernel knows no notifications.
    pub fn new(
        listener: OwnedFd,
        address: Option<String>,
        cookie: Option<&str>,
        monitor_pid: i32,
        init_pid: i32,
    ) -> Result<Self> {
        let sizes = seccomp::notify_sizes().map_err(|source| Error::Notify {
            step: "asking for the structures' sizes",
            source,
        })?;
        let cookie = cookie.unwrap_or_default().as_bytes().to_vec();
        Ok(Self {
            listener,
            address,
            cookie,
            monitor_pid,
            init_pid,
            sizes,
            connection: None,
            waiting: None,
        })
    }

    /// Connects to the proxy, if one is configured, before there is a notification.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect_now(&mut self) -> Result<()> {
        if self.address.is_some() {
            self.connection = Some(self.connect()?);
        }
        Ok(())
    }

    /// The notify descriptor; to be watched for reading while [`Self::wants_notification`].
    #[must_use]
    pub fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// The connection to the proxy, to be watched for reading while there is one. It may change with each call.
    #[must_use]
    pub fn connection(&self) -> Option<BorrowedFd<'_>> {
        self.connection.as_ref().map(AsFd::as_fd)
    }

    /// Whether a further notification would be taken.
    #[must_use]
    pub fn wants_notification(&self) -> bool {
        self.waiting.is_none()
    }

    /// When [`Self::on_deadline`] is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.until)
    }

    /// The listener is readable: takes a notification and forwards it.
    ///
    /// # Errors
    /// When the listener fails. A proxy that fails is logged and the task gets ENOSYS.
    pub fn on_listener(&mut self) -> Result<()> {
        if !self.wants_notification() {
            return Ok(());
        }
        let mut notification = vec![0u64; usize::from(self.sizes.notification).div_ceil(8)];
        match seccomp::notify_receive(self.listener.as_fd(), &mut notification) {
            Ok(()) => {}
            // The task died meanwhile, or a signal came: nothing is left to answer.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(nix::libc::ENOENT | nix::libc::EINTR)
                ) =>
            {
                return Ok(());
            }
            Err(source) => {
                return Err(Error::Notify {
                    step: "receiving",
                    source,
                });
            }
        }
        let id = notification.first().copied().unwrap_or(0);
        match self.forward(id, &notification) {
            Ok(()) => {
                self.waiting = Some(Waiting {
                    id,
                    until: Instant::now() + TIMEOUT,
                });
                Ok(())
            }
            Err(error) => self.give_up(id, &error),
        }
    }

    /// The connection is readable (or hung up): takes the proxy's answer and passes it on.
    ///
    /// # Errors
    /// When the answer cannot be passed to the kernel.
    pub fn on_connection(&mut self) -> Result<()> {
        let Some(Waiting { id, .. }) = self.waiting else {
            // Nothing was asked: whatever this is, a fresh connection is made for the next notification.
            self.connection = None;
            return Ok(());
        };
        let answer = match self.receive() {
            Ok(Some(answer)) => answer,
            Ok(None) => return Ok(()),
            Err(error) => return self.give_up(id, &error),
        };
        if answer.response_id() != Some(id) || answer.header.sizes != self.sizes {
            return self.give_up(id, &Error::ProxyAnswer("for another notification".into()));
        }
        self.waiting = None;
        self.respond(&answer.response)
    }

    /// The proxy took too long.
    ///
    /// # Errors
    /// When the task cannot be answered.
    pub fn on_deadline(&mut self) -> Result<()> {
        match &self.waiting {
            Some(waiting) if waiting.until <= Instant::now() => {
                let id = waiting.id;
                self.give_up(id, &Error::ProxyAnswer("not in time".into()))
            }
            _ => Ok(()),
        }
    }

    fn give_up(&mut self, id: u64, why: &Error) -> Result<()> {
        tracing::warn!(error = %why, "seccomp notification answered with ENOSYS");
        self.waiting = None;
        self.connection = None;
        let mut response = id.to_ne_bytes().to_vec();
        response.extend(0i64.to_ne_bytes());
        response.extend((-nix::libc::ENOSYS).to_ne_bytes());
        response.extend(0u32.to_ne_bytes());
        self.respond(&response)
    }

    fn respond(&self, response: &[u8]) -> Result<()> {
        let mut words = vec![
            0u64;
            usize::from(self.sizes.response)
                .max(response.len())
                .div_ceil(8)
        ];
        for (word, bytes) in words.iter_mut().zip(response.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(whole);
        }
        match seccomp::notify_send(self.listener.as_fd(), &mut words) {
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => Ok(()),
            result => result.map_err(|source| Error::Notify {
                step: "answering",
                source,
            }),
        }
    }

    fn forward(&mut self, id: u64, notification: &[u64]) -> Result<()> {
        let bytes: Vec<u8> = notification
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        let pid = bytes
            .get(8..12)
            .and_then(|pid| pid.try_into().ok())
            .map_or(0, i32::from_ne_bytes);
        let mut response = id.to_ne_bytes().to_vec();
        response.resize(self.sizes.response.into(), 0);
        let message = Message {
            header: Header {
                monitor_pid: self.monitor_pid,
                init_pid: self.init_pid,
                sizes: self.sizes,
                cookie_len: u64::try_from(self.cookie.len()).unwrap_or(0),
            },
            notification: bytes
                .into_iter()
                .take(self.sizes.notification.into())
                .collect(),
            response,
            cookie: self.cookie.clone(),
        };
        let open = |path: String, flags, write| {
            OpenOptions::new()
                .read(true)
                .write(write)
                .custom_flags(flags)
                .open(path)
                .map_err(|source| Error::Notify {
                    step: "opening the task's directory in /proc",
                    source,
                })
        };
        let directory = open(format!("/proc/{pid}"), nix::libc::O_DIRECTORY, false)?;
        let memory = open(format!("/proc/{pid}/mem"), 0, true)?;
        // The pid may have been given to another task between the notification and the two opens.
        if !seccomp::notify_id_valid(self.listener.as_fd(), id) {
            return Err(Error::ProxyAnswer("nothing: the task is gone".into()));
        }
        let descriptors = [
            directory.as_raw_fd(),
            memory.as_raw_fd(),
            self.listener.as_raw_fd(),
        ];
        self.send(&message.encode(), &descriptors)
    }

    /// Sends over the connection; a broken one is made anew once.
    fn send(&mut self, bytes: &[u8], descriptors: &[i32]) -> Result<()> {
        let mut last = None;
        for _ in 0..2 {
            let connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.connect()?,
            };
            let rights = [ControlMessage::ScmRights(descriptors)];
            let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
            match sendmsg::<UnixAddr>(
                connection.as_raw_fd(),
                &[IoSlice::new(bytes)],
                &rights,
                flags,
                None,
            ) {
                Ok(_) => {
                    self.connection = Some(connection);
                    return Ok(());
                }
                Err(errno) => last = Some(errno),
            }
        }
        let source: io::Error = last.unwrap_or(Errno::EPIPE).into();
        Err(Error::Notify {
            step: "sending to the proxy",
            source,
        })
    }

    fn connect(&self) -> Result<OwnedFd> {
        let address = self
            .address
            .as_deref()
            .ok_or_else(|| Error::ProxyAnswer("nothing: none is configured".into()))?;
        let failed = |errno: Errno| Error::ProxyConnect {
            address: address.to_owned(),
            source: errno.into(),
        };
        let target = match address.strip_prefix('@') {
            Some(name) => UnixAddr::new_abstract(name.as_bytes()),
            None => UnixAddr::new(address),
        }
        .map_err(failed)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).map_err(failed)?;
        connect(fd.as_raw_fd(), &target).map_err(failed)?;
        Ok(fd)
    }

    /// `None`: nothing has arrived.
    fn receive(&self) -> Result<Option<Message>> {
        let Some(connection) = &self.connection else {
            return Ok(None);
        };
        let size = HEADER
            + usize::from(self.sizes.notification)
            + usize::from(self.sizes.response)
            + self.cookie.len();
        // One byte more, to notice an answer that is too long.
        let mut bytes = vec![0; size + 1];
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg::<UnixAddr>(
            connection.as_raw_fd(),
            &mut buffers,
            None,
            MsgFlags::MSG_DONTWAIT,
        );
        let len = match received {
            Ok(message) => message.bytes,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(errno) => {
                return Err(Error::Notify {
                    step: "receiving from the proxy",
                    source: errno.into(),
                });
            }
        };
        if len == 0 {
            return Err(Error::ProxyAnswer("by hanging up".into()));
        }
        bytes.truncate(len);
        Message::decode(&bytes).map(Some)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn message() -> Message {
        Message {
            header: Header {
                monitor_pid: 7,
                init_pid: 9,
                sizes: NotifySizes {
                    notification: 80,
                    response: 24,
                    data: 64,
                },
                cookie_len: 3,
            },
            notification: (0..80).collect(),
            response: (100..124).collect(),
            cookie: b"abc".to_vec(),
        }
    }

    #[test]
    fn messages_have_lxcs_layout() {
        let bytes = message().encode();
        assert_eq!(bytes.len(), 32 + 80 + 24 + 3);
        assert_eq!(bytes[8], 7);
        assert_eq!(bytes[12], 9);
        assert_eq!(bytes[16..24], [80, 0, 24, 0, 64, 0, 0, 0]);
        assert_eq!(bytes[24], 3);
        assert_eq!(Message::decode(&bytes).unwrap(), message());
    }

    #[test]
    fn short_and_lying_messages_are_refused() {
        let bytes = message().encode();
        let without_cookie = bytes.len() - 3;
        for len in 0..bytes.len() {
            let decoded = Message::decode(&bytes[..len]);
            assert_eq!(decoded.is_ok(), len == without_cookie, "{len}");
        }
        let mut long = bytes.clone();
        long.push(0);
        assert!(Message::decode(&long).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Message::decode(&bytes);
        }
    }
}
