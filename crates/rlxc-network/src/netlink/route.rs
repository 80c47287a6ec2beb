//! Routes of the main table.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::Netlink;
use super::address::{from_raw, raw};
use super::wire::{self, Message, flag};
use crate::error::Result;

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_TABLE: u16 = 15;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;

/// Where a route leads to: a network, or everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The network's address; the unspecified address with prefix 0 is the default route
    pub address: IpAddr,
    /// Length of the network part
    pub prefix: u8,
}

impl Destination {
    /// The default route of the family of `like`.
    pub fn default_of(like: IpAddr) -> Self {
        let address = match like {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        Self { address, prefix: 0 }
    }

    /// The one host `address`.
    pub fn host(address: IpAddr) -> Self {
        Self {
            address,
            prefix: if address.is_ipv4() { 32 } else { 128 },
        }
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.prefix == 0 {
            f.write_str("default")
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

/// A unicast route of the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where to
    pub to: Destination,
    /// By which neighbour
    pub gateway: Option<IpAddr>,
    /// By which link
    pub link: Option<u32>,
}

impl Route {
    fn put(&self, kind: u16, flags: u16, what: String) -> Message {
        let (family, destination) = raw(self.to.address);
        let scope = match (self.gateway, family) {
            (None, 2) if self.to.prefix > 0 => RT_SCOPE_LINK,
            _ => RT_SCOPE_UNIVERSE,
        };
        let mut fixed = [0; 12];
        fixed[0] = family;
        fixed[1] = self.to.prefix;
        fixed[4] = RT_TABLE_MAIN;
        if kind == RTM_NEWROUTE {
            fixed[5] = RTPROT_BOOT;
            fixed[6] = scope;
            fixed[7] = RTN_UNICAST;
        } else {
            fixed[6] = 255; // RT_SCOPE_NOWHERE: any
        }
        Message::new(kind, flags, what)
            .fixed(&fixed)
            .maybe((self.to.prefix > 0).then_some(destination), |m, d| {
                m.bytes(RTA_DST, &d)
            })
            .maybe(self.gateway, |m, g| m.bytes(RTA_GATEWAY, &raw(g).1))
            .maybe(self.link, |m, l| m.u32(RTA_OIF, l))
    }

    /// The request that adds this route.
    pub(crate) fn add(&self) -> Message {
        let by = self.gateway.map(|g| format!(" by {g}")).unwrap_or_default();
        let what = format!("add the route to {}{by}", self.to);
        self.put(RTM_NEWROUTE, flag::CREATE | flag::EXCL, what)
    }

    /// The request that removes this route.
    pub(crate) fn delete(&self) -> Message {
        self.put(RTM_DELROUTE, 0, format!("remove the route to {}", self.to))
    }

    fn parse(kind: u16, body: &[u8]) -> Option<Self> {
        if kind != RTM_NEWROUTE || *body.get(7)? != RTN_UNICAST {
            return None;
        }
        let mut table = u32::from(*body.get(4)?);
        let (mut to, mut gateway, mut link) = (None, None, None);
        for (kind, value) in wire::attributes(body.get(12..)?) {
            match kind {
                RTA_DST => to = from_raw(value),
                RTA_GATEWAY => gateway = from_raw(value),
                RTA_OIF => link = wire::read_u32(value, 0),
                RTA_TABLE => table = wire::read_u32(value, 0)?,
                _ => {}
            }
        }
        let any = if *body.first()? == 2 {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
        };
        (table == u32::from(RT_TABLE_MAIN)).then_some(Self {
            to: Destination {
                address: to.unwrap_or(any),
                prefix: *body.get(1)?,
            },
            gateway,
            link,
        })
    }
}

impl Netlink {
    /// The unicast routes of the main table, both families.
    ///
    /// # Errors
    /// As [`Netlink::request`].
    pub fn routes(&mut self) -> Result<Vec<Route>> {
        let mut fixed = [0; 12];
        let mut all = Vec::new();
        for family in [2, 10] {
            fixed[0] = family;
            let ask = Message::new(RTM_GETROUTE, 0, "list the routes").fixed(&fixed);
            all.extend(self.query(ask, true, Route::parse)?);
        }
        Ok(all)
    }
}
