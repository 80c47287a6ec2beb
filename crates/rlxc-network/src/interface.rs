//! An interface of a running container, and its addresses.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::netlink::Statistics;

/// An interface of a running container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Name in the container
    pub name: String,
    /// Index in the container; 0 where the namespace could not be entered
    pub index: u32,
    /// Set up
    pub up: bool,
    /// MAC address, empty if none (or not known)
    pub mac: String,
    /// MTU in bytes, 0 where not known
    pub mtu: u32,
    /// Counters
    pub statistics: Statistics,
    /// Addresses
    pub addresses: Vec<InterfaceAddress>,
}

/// An address of an [`Interface`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceAddress {
    /// The address
    pub address: IpAddr,
    /// Length of the network part
    pub prefix: u8,
    /// `sin6_scope_id` as getifaddrs(3) gives it: the interface's index for link-local IPv6
    /// addresses, else 0
    pub scope_id: u32,
    /// The name of its own (`eth0:1`) that getifaddrs(3) gives it in place of the interface's
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

pub(crate) fn with_scope(address: IpAddr, prefix: u8, link: u32) -> InterfaceAddress {
    let local = matches!(address, IpAddr::V6(a) if a.is_unicast_link_local());
    InterfaceAddress {
        address,
        prefix,
        scope_id: if local { link } else { 0 },
        label: None,
    }
}
