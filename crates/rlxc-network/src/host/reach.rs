//! How the host reaches the container without a bridge: routes and neighbour proxies.

use rlxc_config::{IpvlanMode, NicKind};

use super::Maker;
use crate::created::Undo;
use crate::error::{Error, Result};
use crate::inside::DefaultRoute;
use crate::netlink::{Destination, Link, Proxy, Route};
use crate::sysctl::{self, Family};

impl Maker<'_, '_> {
    /// Router mode: the host routes to the container's addresses and answers for its gateways.
    pub(super) fn route_to_container(&mut self, made: &Link) -> Result<()> {
        let inside = &self.one.inside;
        let mut requests = Vec::new();
        for (family, gateway) in [
            (Family::V4, inside.ipv4_gateway),
            (Family::V6, inside.ipv6_gateway),
        ] {
            if let Some(DefaultRoute::Gateway(address)) = gateway {
                sysctl::set(family, &made.name, "forwarding", "1")?;
                if family == Family::V6 {
                    if !sysctl::is_on(family, "all", "forwarding")? {
                        return Err(Error::Unsupported(
                            "router mode with an IPv6 gateway needs \
                             net.ipv6.conf.all.forwarding = 1 (sysctl -w): the kernel routes \
                             nothing without it"
                                .into(),
                        ));
                    }
                    sysctl::set(family, &made.name, "proxy_ndp", "1")?;
                }
                let name = made.name.clone();
                requests.push(
                    Proxy {
                        link: made.index,
                        name,
                        address,
                    }
                    .add(),
                );
            }
        }
        let four = inside.ipv4.iter().map(|a| a.address.into());
        for address in four.chain(inside.ipv6.iter().map(|(a, _)| (*a).into())) {
            let to = Destination::host(address);
            requests.push(
                Route {
                    to,
                    gateway: None,
                    link: Some(made.index),
                }
                .add(),
            );
        }
        self.netlink.batch(requests).map_err(|(_, error)| error)
    }

    /// `l2proxy`: the link answers ARP and NDP for the container's addresses, whatever the type.
    pub(super) fn l2proxy(&mut self) -> Result<()> {
        let Some(link) = self.one.link.clone().filter(|_| self.one.nic.l2proxy) else {
            return Ok(());
        };
        if let NicKind::Ipvlan(mode, _) = &self.one.nic.kind
            && *mode != IpvlanMode::L3s
        {
            return Err(Error::Unsupported("l2proxy needs ipvlan.mode = l3s".into()));
        }
        let (four, six) = (&self.one.nic.ipv4, &self.one.nic.ipv6);
        let mut needed = Vec::new();
        if !four.is_empty() {
            needed.push((Family::V4, "ipv4", "forwarding"));
        }
        if !six.is_empty() {
            needed.extend([
                (Family::V6, "ipv6", "proxy_ndp"),
                (Family::V6, "ipv6", "forwarding"),
            ]);
        }
        for (family, word, setting) in needed {
            if !sysctl::is_on(family, &link.name, setting)? {
                return Err(Error::Unsupported(format!(
                    "l2proxy needs net.{word}.conf.{}.{setting} = 1 (sysctl -w)",
                    link.name
                )));
            }
        }
        let addresses = four
            .iter()
            .map(|a| a.address.into())
            .chain(six.iter().map(|(a, _)| (*a).into()));
        for address in addresses.collect::<Vec<_>>() {
            let proxy = Proxy {
                link: link.index,
                name: link.name.clone(),
                address,
            };
            self.netlink.request(proxy.add())?;
            self.nic.undo.push(Undo::Proxy(proxy));
            if matches!(self.one.nic.kind, NicKind::Ipvlan(..)) {
                // ipvlan in l3s mode hands over only what the host would route.
                let lo = self.netlink.need_link("lo", "")?;
                let to = Destination::host(address);
                let route = Route {
                    to,
                    gateway: None,
                    link: Some(lo.index),
                };
                self.netlink.request(route.add())?;
                self.nic.undo.push(Undo::Route(route));
            }
        }
        Ok(())
    }
}
