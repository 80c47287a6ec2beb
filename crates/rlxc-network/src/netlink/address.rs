//! Addresses of links.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::Netlink;
use super::wire::{self, Message, flag};
use crate::error::Result;

const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;

/// How far an address reaches (rtnetlink(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Scope {
    Universe,
    Site,
    Link,
    Host,
    Other(u8),
}

impl From<u8> for Scope {
    fn from(value: u8) -> Self {
        match value {
            0 => Self::Universe,
            200 => Self::Site,
            253 => Self::Link,
            254 => Self::Host,
            other => Self::Other(other),
        }
    }
}

/// One address of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Index of the link
    pub link: u32,
    /// The address
    pub address: IpAddr,
    /// Length of the network part
    pub prefix: u8,
    /// Reach
    pub scope: Scope,
    /// The name an IPv4 address goes by: its link's, or one of its own (`eth0:1`)
    pub label: Option<String>,
}

/// The `AF_*` number and bytes of an address.
pub(crate) fn raw(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(a) => (2, a.octets().to_vec()),
        IpAddr::V6(a) => (10, a.octets().to_vec()),
    }
}

/// The address in `bytes` (4 or 16 of them).
pub(crate) fn from_raw(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(bytes)
        .ok()
        .map(|octets| Ipv6Addr::from(octets).into())
}

fn ifaddr(family: u8, prefix: u8, link: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[0] = family;
    bytes[1] = prefix;
    bytes[4..].copy_from_slice(&link.to_ne_bytes());
    bytes
}

/// The request that adds an address to link `index` called `name`.
pub(crate) fn add(
    index: u32,
    name: &str,
    address: IpAddr,
    prefix: u8,
    broadcast: Option<Ipv4Addr>,
) -> Message {
    let (family, bytes) = raw(address);
    let what = format!("add the address {address}/{prefix} to \"{name}\"");
    Message::new(RTM_NEWADDR, flag::CREATE | flag::EXCL, what)
        .fixed(&ifaddr(family, prefix, index))
        .bytes(IFA_LOCAL, &bytes)
        .bytes(IFA_ADDRESS, &bytes)
        .maybe(broadcast, |m, b| m.bytes(IFA_BROADCAST, &b.octets()))
}

fn parse(kind: u16, body: &[u8]) -> Option<Address> {
    if kind != RTM_NEWADDR {
        return None;
    }
    let (mut local, mut address, mut label) = (None, None, None);
    for (kind, value) in wire::attributes(body.get(8..)?) {
        match kind {
            IFA_LOCAL => local = from_raw(value),
            IFA_ADDRESS => address = from_raw(value),
            IFA_LABEL => label = Some(wire::text(value)),
            _ => {}
        }
    }
    Some(Address {
        link: wire::read_u32(body, 4)?,
        // On a point-to-point link IFA_ADDRESS is the other end.
        address: local.or(address)?,
        prefix: *body.get(1)?,
        scope: Scope::from(*body.get(3)?),
        label,
    })
}

impl Netlink {
    /// Adds an address to link `index` called `name`.
    ///
    /// # Errors
    /// As [`Netlink::request`]; EEXIST if the link has it.
    pub fn add_address(
        &mut self,
        index: u32,
        name: &str,
        address: IpAddr,
        prefix: u8,
    ) -> Result<()> {
        self.request(add(index, name, address, prefix, None))
    }

    /// All addresses of the namespace, in the kernel's order.
    ///
    /// # Errors
    /// As [`Netlink::request`].
    pub fn addresses(&mut self) -> Result<Vec<Address>> {
        let ask = Message::new(RTM_GETADDR, 0, "list the addresses").fixed(&ifaddr(0, 0, 0));
        self.query(ask, true, parse)
    }
}
