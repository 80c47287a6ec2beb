//! A synchronous rtnetlink socket: requests with acknowledgement, batches, dumps.

mod address;
mod link;
mod link_info;
mod neighbour;
mod route;
pub(crate) mod wire;
pub(crate) mod wireless;

pub(crate) use address::add as add_address;
pub use address::{Address, Scope};
pub(crate) use link::set_up as set_link_up;
pub(crate) use link::{Change, add_port_vlan, change, delete, delete_port_vlan, drop_altname};
pub use link::{LinkKind, NewLink, Target};
pub use link_info::{Link, Statistics};
pub use neighbour::Proxy;
pub use route::{Destination, Route};
pub use wire::Message;

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols};
use nix::errno::Errno;

use crate::error::{Error, Result};
use wire::{Reply, flag};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// More than the kernel puts into one datagram (32 KiB, for dumps).
const DATAGRAM: usize = 64 << 10;
/// So often a list is asked for again that changed while it was told.
const RETRIES: usize = 8;

/// A netlink socket. It belongs to the network namespace its thread was in when it was opened,
/// and keeps working there after the thread has left.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    /// Where answers are received
    buffer: Vec<u8>,
    /// Whether lists have been asked to be held to what was asked for
    strict: bool,
}

/// How the answer to a query ended.
enum Ended {
    Whole,
    /// Something changed meanwhile: entries may be missing or there twice.
    Interrupted,
}

impl Netlink {
    /// Opens a NETLINK_ROUTE socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open() -> Result<Self> {
        Self::open_protocol(protocols::NETLINK_ROUTE)
    }

    pub(crate) fn open_protocol(protocol: isize) -> Result<Self> {
        let socket = Socket::new(protocol).map_err(Error::Open)?;
        // Binds it, too.
        socket
            .connect(&SocketAddr::new(0, 0))
            .map_err(Error::Open)?;
        // Only improves what errors say; kernels before 4.12 lack it.
        let _ = socket.set_ext_ack(true);
        Ok(Self {
            socket,
            sequence: 0,
            buffer: Vec::new(),
            strict: false,
        })
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        uninterrupted(|| self.socket.send(bytes, 0)).map(drop)
    }

    /// The next datagram, which replaces the last one.
    fn receive(&mut self) -> io::Result<&[u8]> {
        self.buffer.clear();
        self.buffer.reserve(DATAGRAM);
        let (socket, buffer) = (&self.socket, &mut self.buffer);
        let length = uninterrupted(|| socket.recv(buffer, nix::libc::MSG_TRUNC))?;
        match self.buffer.get(..length) {
            Some(datagram) => Ok(datagram),
            None => Err(Errno::EMSGSIZE.into()),
        }
    }

    /// Sends one request and waits for its acknowledgement.
    ///
    /// # Errors
    /// [`Error::Kernel`] with the kernel's errno and words, [`Error::Exchange`].
    pub fn request(&mut self, message: Message) -> Result<()> {
        self.batch(vec![message]).map_err(|(_, error)| error)
    }

    /// Sends all requests at once; the kernel carries them out in order, the later ones also when
    /// an earlier one fails.
    ///
    /// # Errors
    /// The index and error of the first request that failed.
    pub fn batch(&mut self, messages: Vec<Message>) -> Result<(), (usize, Error)> {
        let results = self.batch_each(messages).map_err(|error| (0, error))?;
        match results
            .into_iter()
            .enumerate()
            .find_map(|(i, r)| r.err().map(|e| (i, e)))
        {
            Some(failed) => Err(failed),
            None => Ok(()),
        }
    }

    /// As [`Netlink::batch`], with the result of each request.
    ///
    /// # Errors
    /// [`Error::Exchange`] if the exchange itself failed.
    pub fn batch_each(&mut self, messages: Vec<Message>) -> Result<Vec<Result<()>>> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let first = self.sequence.wrapping_add(1);
        let names: Vec<String> = messages.iter().map(|m| m.what().to_owned()).collect();
        let mut bytes = Vec::new();
        for message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            bytes.extend(message.finish(self.sequence, flag::ACK));
        }
        let exchange = |source| Error::Exchange {
            what: names.join(", then "),
            source,
        };
        self.send(&bytes).map_err(exchange)?;
        let mut results: Vec<Option<Result<()>>> = names.iter().map(|_| None).collect();
        while results.iter().any(Option::is_none) {
            for reply in wire::replies(self.receive().map_err(exchange)?) {
                let slot = reply.sequence.wrapping_sub(first) as usize;
                if reply.kind == NLMSG_ERROR
                    && let Some(result) = results.get_mut(slot)
                {
                    *result = Some(acknowledgement(&reply, &names[slot]));
                }
            }
        }
        Ok(results.into_iter().flatten().collect())
    }

    /// Sends a request and gathers the messages that answer it (a dump, or one message). A dump of
    /// what changes meanwhile is asked for again.
    ///
    /// # Errors
    /// As [`Netlink::request`].
    pub(crate) fn query<T>(
        &mut self,
        message: Message,
        dump: bool,
        mut each: impl FnMut(u16, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>> {
        if dump && !self.strict {
            // Only improves what dumps say; kernels before 4.20 lack it.
            let _ = self.socket.set_netlink_get_strict_chk(true);
            self.strict = true;
        }
        let extra = if dump { flag::DUMP } else { flag::ACK };
        for _ in 0..RETRIES {
            let (found, ended) = self.exchange(message.clone(), extra, &mut each)?;
            if let Ended::Whole = ended {
                return Ok(found);
            }
        }
        // It never stops changing: what was told last is as good as anything.
        self.exchange(message, extra, each).map(|(found, _)| found)
    }

    /// One request with the messages that answer it.
    fn exchange<T>(
        &mut self,
        message: Message,
        extra: u16,
        mut each: impl FnMut(u16, &[u8]) -> Option<T>,
    ) -> Result<(Vec<T>, Ended)> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let what = message.what().to_owned();
        let bytes = message.finish(sequence, extra);
        let exchange = |source| Error::Exchange {
            what: what.clone(),
            source,
        };
        self.send(&bytes).map_err(exchange)?;
        let (mut found, mut ended) = (Vec::new(), Ended::Whole);
        loop {
            let datagram = self.receive().map_err(exchange)?;
            for reply in wire::replies(datagram).filter(|r| r.sequence == sequence) {
                if extra & flag::DUMP == flag::DUMP && reply.flags & flag::DUMP_INTERRUPTED != 0 {
                    ended = Ended::Interrupted;
                }
                match reply.kind {
                    // Both begin with an error number.
                    NLMSG_ERROR | NLMSG_DONE => {
                        return acknowledgement(&reply, &what).map(|()| (found, ended));
                    }
                    kind => found.extend(each(kind, reply.body)),
                }
            }
        }
    }

    /// Makes a link and returns it, where the kernel tells (6.2 and later).
    ///
    /// # Errors
    /// As [`Netlink::request`].
    pub(crate) fn create(&mut self, message: Message) -> Result<Option<Link>> {
        let (mut made, _) = self.exchange(message, flag::ACK | flag::ECHO, Link::parse)?;
        Ok(made.pop())
    }
}

/// Again, when a signal came in between.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Reads `struct nlmsgerr` and the extended acknowledgement's text.
fn acknowledgement(reply: &Reply<'_>, what: &str) -> Result<()> {
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let code = wire::read_u32(reply.body, 0).unwrap_or(0).cast_signed();
    if code == 0 {
        return Ok(());
    }
    let message = (reply.flags & flag::ACK_TLVS != 0)
        .then(|| {
            // After the error: the request's header, or the whole request if not capped.
            let quoted = if reply.flags & flag::CAPPED != 0 {
                wire::HEADER
            } else {
                wire::read_u32(reply.body, 4).unwrap_or(0) as usize
            };
            let rest = reply.body.get(4 + quoted.next_multiple_of(4)..)?;
            wire::attributes(rest).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)
        })
        .flatten()
        .map(|(_, value)| wire::text(value));
    Err(Error::Kernel {
        what: what.to_owned(),
        message,
        source: Errno::from_raw(code.wrapping_neg()),
    })
}

/// The request that renames link `index` or sets its MAC address or MTU.
pub(crate) fn change_link(
    index: u32,
    name: Option<&str>,
    address: Option<[u8; 6]>,
    mtu: Option<u32>,
    called: &str,
) -> Message {
    let address = address.as_ref().map(<[u8; 6]>::as_slice);
    let what = format!("set name, MAC address and MTU of \"{called}\"");
    change(
        index,
        &Change {
            name,
            address,
            mtu,
            ..Change::default()
        },
        what,
    )
}
