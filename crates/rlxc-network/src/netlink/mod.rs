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

use netlink_sys::{Socket, SocketAddr, protocols};
use nix::errno::Errno;

use crate::error::{Error, Result};
use wire::{Reply, flag};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// A netlink socket. It belongs to the network namespace its thread was in when it was opened,
/// and keeps working there after the thread has left.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
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
        let mut socket = Socket::new(protocol).map_err(Error::Open)?;
        socket.bind_auto().map_err(Error::Open)?;
        socket
            .connect(&SocketAddr::new(0, 0))
            .map_err(Error::Open)?;
        // Both only improve what errors and dumps say; kernels before 4.12 and 4.20 lack them.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_netlink_get_strict_chk(true);
        Ok(Self {
            socket,
            sequence: 0,
        })
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
        self.socket.send(&bytes, 0).map_err(exchange)?;
        let mut results: Vec<Option<Result<()>>> = names.iter().map(|_| None).collect();
        while results.iter().any(Option::is_none) {
            let (datagram, _) = self.socket.recv_from_full().map_err(exchange)?;
            for reply in wire::replies(&datagram) {
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

    /// Sends a request and gathers the messages that answer it (a dump, or one message).
    ///
    /// # Errors
    /// As [`Netlink::request`].
    pub(crate) fn query<T>(
        &mut self,
        message: Message,
        dump: bool,
        mut each: impl FnMut(u16, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>> {
        self.sequence = self.sequence.wrapping_add(1);
        let what = message.what().to_owned();
        let extra = if dump { flag::DUMP } else { flag::ACK };
        let bytes = message.finish(self.sequence, extra);
        let exchange = |source| Error::Exchange {
            what: what.clone(),
            source,
        };
        self.socket.send(&bytes, 0).map_err(exchange)?;
        let mut found = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full().map_err(exchange)?;
            for reply in wire::replies(&datagram).filter(|r| r.sequence == self.sequence) {
                match reply.kind {
                    NLMSG_ERROR => {
                        acknowledgement(&reply, &what)?;
                        return Ok(found);
                    }
                    NLMSG_DONE => return Ok(found),
                    kind => found.extend(each(kind, reply.body)),
                }
            }
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
