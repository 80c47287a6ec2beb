//! The container's side: what its first process does in its own network namespace.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nix::errno::Errno;
use rlxc_config::Ipv4Address;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::netlink::{Destination, Message, Netlink, Route};
use crate::netlink::{add_address, change_link, set_link_up};

/// The interface index of `lo`, in every network namespace.
const LOOPBACK: u32 = 1;

/// A default route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DefaultRoute {
    /// By this neighbour
    Gateway(IpAddr),
    /// To the link itself
    Device,
}

/// What is left to do for one nic once its link is in the container's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsideNic {
    /// N of lxc.net.N
    pub index: u32,
    /// The configuration's type name, for errors
    pub kind: String,
    /// The name the link has when it arrives
    pub arrives_as: String,
    /// Its interface index there, where the host knows it
    #[serde(default)]
    pub ifindex: Option<u32>,
    /// The name it shall have
    pub name: String,
    /// MAC address to set, where it could not be set before
    pub address: Option<[u8; 6]>,
    /// MTU to set, where it could not be set before
    pub mtu: Option<u32>,
    /// `lxc.net.N.flags = up`
    pub up: bool,
    /// IPv4 addresses
    pub ipv4: Vec<Ipv4Address>,
    /// IPv6 addresses with prefix
    pub ipv6: Vec<(std::net::Ipv6Addr, u8)>,
    /// IPv4 default route
    pub ipv4_gateway: Option<DefaultRoute>,
    /// IPv6 default route
    pub ipv6_gateway: Option<DefaultRoute>,
}

/// What [`setup_inside`] is told: the nics with a link, and whether `lo` is set up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inside {
    /// The nics that have a link, in order
    pub nics: Vec<InsideNic>,
    /// Whether `lo` is set up: when any nic has `flags = up`
    pub loopback_up: bool,
}

/// A link as it ended up in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// N of lxc.net.N
    pub index: u32,
    /// Name in the container
    pub name: String,
    /// Interface index in the container
    pub ifindex: u32,
}

/// Names, addresses and routes in the container: called by its first process in the container's
/// network namespace, after the monitor's [`crate::setup_host`] has moved the links in.
///
/// Everything is one batch of requests; the links are listed only where the host does not know the
/// interface index of one.
///
/// # Errors
/// The first request that failed, as one of its nic.
pub fn setup_inside(inside: &Inside) -> Result<Vec<Ready>> {
    if inside.nics.is_empty() && !inside.loopback_up {
        return Ok(Vec::new());
    }
    let mut netlink = Netlink::open()?;
    setup_with(&mut netlink, inside)
}

/// As [`setup_inside`], on a socket of the container's namespace.
///
/// # Errors
/// As [`setup_inside`].
pub fn setup_with(netlink: &mut Netlink, inside: &Inside) -> Result<Vec<Ready>> {
    let mut listed: Option<BTreeMap<String, u32>> = None;
    let mut requests: Vec<(Option<&InsideNic>, Message)> = Vec::new();
    if inside.loopback_up {
        // First, so that a nic's routes find it.
        requests.push((None, set_link_up(LOOPBACK, "lo")));
    }
    let mut ready = Vec::new();
    for nic in &inside.nics {
        let ifindex = match nic.ifindex {
            Some(ifindex) => ifindex,
            None => {
                let listed = match &mut listed {
                    Some(listed) => listed,
                    none => none.insert(by_name(netlink)?),
                };
                *listed
                    .get(&nic.arrives_as)
                    .ok_or_else(|| nic.has_vanished())?
            }
        };
        requests.extend(nic.requests(ifindex).map(|m| (Some(nic), m)));
        ready.push(Ready {
            index: nic.index,
            name: nic.name.clone(),
            ifindex,
        });
    }
    let (owners, messages): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
    netlink
        .batch(messages)
        .map_err(|(at, error)| match owners.get(at).copied().flatten() {
            Some(nic) if error.is(Errno::ENODEV) => nic.has_vanished(),
            Some(nic) => error.of_nic(nic.index, static_kind(&nic.kind)),
            None => error,
        })?;
    Ok(ready)
}

fn by_name(netlink: &mut Netlink) -> Result<BTreeMap<String, u32>> {
    let links = netlink.links()?.into_iter();
    Ok(links.map(|link| (link.name, link.index)).collect())
}

/// The type names as constants, for errors.
fn static_kind(kind: &str) -> &'static str {
    ["veth", "macvlan", "ipvlan", "vlan", "phys", "empty", "none"]
        .into_iter()
        .find(|known| *known == kind)
        .unwrap_or("nic")
}

impl InsideNic {
    fn has_vanished(&self) -> Error {
        let gone = Error::NoSuchLink {
            name: self.arrives_as.clone(),
            remedy: " in the container: it vanished while the container started",
        };
        gone.of_nic(self.index, static_kind(&self.kind))
    }

    fn requests(&self, ifindex: u32) -> impl Iterator<Item = Message> {
        let mut all = Vec::new();
        if self.arrives_as != self.name || self.address.is_some() || self.mtu.is_some() {
            let name = (self.arrives_as != self.name).then_some(self.name.as_str());
            all.push(change_link(
                ifindex,
                name,
                self.address,
                self.mtu,
                &self.name,
            ));
        }
        for a in &self.ipv4 {
            all.push(add_address(
                ifindex,
                &self.name,
                a.address.into(),
                a.prefix,
                a.broadcast,
            ));
        }
        for (address, prefix) in &self.ipv6 {
            all.push(add_address(
                ifindex,
                &self.name,
                (*address).into(),
                *prefix,
                None,
            ));
        }
        if self.up {
            all.push(set_link_up(ifindex, &self.name));
        }
        let any4 = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        let any6 = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
        for (gateway, any) in [(self.ipv4_gateway, any4), (self.ipv6_gateway, any6)] {
            let to = Destination::default_of(any);
            match gateway {
                None => {}
                Some(DefaultRoute::Device) => {
                    all.push(
                        Route {
                            to,
                            gateway: None,
                            link: Some(ifindex),
                        }
                        .add(),
                    );
                }
                Some(DefaultRoute::Gateway(gateway)) => {
                    if !self.reaches(gateway) {
                        let to = Destination::host(gateway);
                        all.push(
                            Route {
                                to,
                                gateway: None,
                                link: Some(ifindex),
                            }
                            .add(),
                        );
                    }
                    let route = Route {
                        to,
                        gateway: Some(gateway),
                        link: Some(ifindex),
                    };
                    all.push(route.add());
                }
            }
        }
        all.into_iter()
    }

    /// Whether one of the nic's own networks holds `gateway`.
    fn reaches(&self, gateway: IpAddr) -> bool {
        match gateway {
            IpAddr::V4(gateway) => self.ipv4.iter().any(|a| {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(a.prefix.min(32)))
                    .unwrap_or(0);
                u32::from(a.address) & mask == u32::from(gateway) & mask
            }),
            IpAddr::V6(gateway) => {
                gateway.is_unicast_link_local()
                    || self.ipv6.iter().any(|(address, prefix)| {
                        let shift = 128 - u32::from((*prefix).min(128));
                        let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
                        u128::from(*address) & mask == u128::from(gateway) & mask
                    })
            }
        }
    }
}
