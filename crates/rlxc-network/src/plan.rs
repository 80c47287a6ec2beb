//! What the configuration asks for, checked before anything is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use rlxc_config::{Gateway, Nic, NicKind, Veth, VethMode};

use crate::error::{Error, Result};
use crate::inside::{DefaultRoute, Inside, InsideNic};
use crate::names;
use crate::netlink::{Link, Netlink};

/// The configuration's name of a nic's type.
pub fn kind_name(kind: &NicKind) -> &'static str {
    match kind {
        NicKind::Empty => "empty",
        NicKind::None => "none",
        NicKind::Veth(_) => "veth",
        NicKind::Macvlan(_) => "macvlan",
        NicKind::Ipvlan(..) => "ipvlan",
        NicKind::Vlan(_) => "vlan",
        NicKind::Phys => "phys",
    }
}

/// Whether the container shares its starter's network namespace (`lxc.net.N.type = none`).
pub fn shares_host(nics: &BTreeMap<u32, Nic>) -> bool {
    nics.values().any(|nic| nic.kind == NicKind::None)
}

/// Checks everything about the nics that can be checked without the host: names, MAC addresses,
/// MTUs, links that must be named, gateways that cannot work.
///
/// # Errors
/// [`Error::Value`] with the key, what is wrong and what would be right.
pub fn check(nics: &BTreeMap<u32, Nic>) -> Result<()> {
    let mut taken = BTreeSet::new();
    for (&index, nic) in nics {
        let wrong = |key, reason: String| Error::Value { index, key, reason };
        if let Some(name) = &nic.name
            && has_link(&nic.kind)
        {
            // `eth%d` and the like ask the kernel for a number.
            if let Some(problem) = names::name_problem(name) {
                return Err(wrong("name", format!("\"{name}\" {problem}")));
            }
            if name == "lo" {
                let reason = "\"lo\" is the container's loopback interface";
                return Err(wrong("name", reason.to_owned()));
            }
            if !name.contains("%d") && !taken.insert(name.as_str()) {
                return Err(wrong("name", format!("\"{name}\" is used by another nic")));
            }
        }
        if let Some(mac) = &nic.hwaddr {
            names::parse_mac(mac).map_err(|reason| wrong("hwaddr", reason))?;
        }
        mtu(index, nic)?;
        if let Some((address, prefix)) = nic.ipv6.iter().find(|(_, prefix)| *prefix > 128) {
            let reason = format!("{address}/{prefix}: a prefix has at most 128 bits");
            return Err(wrong("ipv6.address", reason));
        }
        check_kind(index, nic)?;
        check_gateways(index, nic)?;
    }
    Ok(())
}

fn has_link(kind: &NicKind) -> bool {
    !matches!(kind, NicKind::Empty | NicKind::None)
}

fn check_kind(index: u32, nic: &Nic) -> Result<()> {
    let wrong = |key, reason: String| Err(Error::Value { index, key, reason });
    let kind = kind_name(&nic.kind);
    let link = nic.link.as_deref().unwrap_or_default();
    match &nic.kind {
        NicKind::Empty if !nic.ipv4.is_empty() || !nic.ipv6.is_empty() => {
            let key = match nic.ipv4.is_empty() {
                true => "ipv6.address",
                false => "ipv4.address",
            };
            return wrong(key, "type empty has no link for an address".to_owned());
        }
        NicKind::Empty | NicKind::None => return Ok(()),
        NicKind::Veth(veth) => return check_veth(index, nic, veth),
        NicKind::Macvlan(_) | NicKind::Ipvlan(..) | NicKind::Vlan(_) | NicKind::Phys
            if link.is_empty() =>
        {
            return wrong(
                "link",
                format!("type {kind} needs the host interface it sits on"),
            );
        }
        NicKind::Vlan(id) if *id > 4094 => {
            return wrong("vlan.id", format!("{id} is no VLAN id (0 to 4094)"));
        }
        _ => {}
    }
    if let Some(problem) = names::name_problem(link.trim_end_matches('+')) {
        return wrong("link", format!("\"{link}\" {problem}"));
    }
    Ok(())
}

fn check_veth(index: u32, nic: &Nic, veth: &Veth) -> Result<()> {
    let wrong = |key, reason: String| Err(Error::Value { index, key, reason });
    if let Some(pair) = &veth.pair
        && let Some(problem) = names::name_problem(pair)
    {
        return wrong("veth.pair", format!("\"{pair}\" {problem}"));
    }
    // As in LXC, which looks for the link under the name as written.
    if let Some(pair) = veth.pair.as_deref().filter(|pair| pair.contains('%')) {
        let reason = format!(
            "\"{pair}\": a pattern is for lxc.net.N.name; leave the key out for a random name"
        );
        return wrong("veth.pair", reason);
    }
    if let Some(link) = nic.link.as_deref().filter(|l| !l.is_empty())
        && let Some(problem) = names::name_problem(link)
    {
        return wrong("link", format!("\"{link}\" {problem}"));
    }
    for id in veth.vlan_id.iter().flatten().chain(&veth.vlan_tagged) {
        if *id > 4094 {
            return wrong("veth.vlan.id", format!("{id} is no VLAN id (0 to 4094)"));
        }
    }
    if let Some(Some(own)) = veth.vlan_id
        && veth.vlan_tagged.contains(&own)
    {
        let reason = format!("{own} is the port's own VLAN (veth.vlan.id) already");
        return wrong("veth.vlan.tagged.id", reason);
    }
    let vlans = veth.vlan_id.is_some() || !veth.vlan_tagged.is_empty();
    if vlans && (veth.mode == VethMode::Router || nic.link.is_none()) {
        return wrong(
            "veth.vlan.id",
            "needs veth.mode = bridge and a bridge as link".into(),
        );
    }
    Ok(())
}

fn check_gateways(index: u32, nic: &Nic) -> Result<()> {
    let families = [
        (
            "ipv4.gateway",
            asks(&nic.ipv4_gateway),
            nic.ipv4_gateway.auto,
            nic.ipv4_gateway.dev,
            nic.ipv4.is_empty(),
        ),
        (
            "ipv6.gateway",
            asks(&nic.ipv6_gateway),
            nic.ipv6_gateway.auto,
            nic.ipv6_gateway.dev,
            nic.ipv6.is_empty(),
        ),
    ];
    for (key, asked, auto, dev, no_address) in families {
        let wrong = |reason: &str| {
            Err(Error::Value {
                index,
                key,
                reason: reason.into(),
            })
        };
        if !asked || !has_link(&nic.kind) {
            continue;
        }
        if !nic.up {
            return wrong("a gateway needs the link up: set lxc.net.N.flags = up");
        }
        if no_address {
            return wrong("a gateway needs an address of its family on the nic");
        }
        if auto && !dev {
            if !matches!(nic.kind, NicKind::Veth(_) | NicKind::Macvlan(_)) {
                return wrong("auto works for the types veth and macvlan: give an address, or dev");
            }
            if nic.link.as_deref().is_none_or(str::is_empty) {
                return wrong("auto takes the address of the link: set lxc.net.N.link");
            }
        }
    }
    Ok(())
}

fn asks<A>(gateway: &Gateway<A>) -> bool {
    gateway.dev || gateway.auto || gateway.address.is_some()
}

/// The MTU key as a number.
///
/// # Errors
/// [`Error::Value`].
pub(crate) fn mtu(index: u32, nic: &Nic) -> Result<Option<u32>> {
    let Some(text) = nic.mtu.as_deref().filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    match rlxc_config::number(text) {
        Some(value) if (68..=65_535).contains(&value) => Ok(Some(value)),
        _ => Err(Error::Value {
            index,
            key: "mtu",
            reason: format!("\"{text}\" is no MTU (68 to 65535)"),
        }),
    }
}

/// The names the links get in the container, by N: given ones, for phys the link's own, and for
/// the others the lowest `eth` numbers that are free.
pub(crate) fn container_names(
    nics: &BTreeMap<u32, Nic>,
    phys: &BTreeMap<u32, String>,
) -> BTreeMap<u32, String> {
    let mut names: BTreeMap<u32, String> = BTreeMap::new();
    for (&index, nic) in nics {
        let given = nic
            .name
            .as_deref()
            .filter(|name| !name.is_empty() && !name.contains("%d"));
        if let Some(name) = given.or(phys.get(&index).map(String::as_str))
            && has_link(&nic.kind)
        {
            names.insert(index, name.to_owned());
        }
    }
    let mut taken: BTreeSet<String> = names.values().cloned().collect();
    for (&index, nic) in nics {
        if has_link(&nic.kind) && !names.contains_key(&index) {
            let pattern = nic
                .name
                .as_deref()
                .filter(|n| n.contains("%d"))
                .unwrap_or("eth%d");
            let mut number = 0;
            let name = loop {
                let name = pattern.replacen("%d", &format!("{number}"), 1);
                if !taken.contains(&name) {
                    break name;
                }
                number += 1;
            };
            taken.insert(name.clone());
            names.insert(index, name);
        }
    }
    names
}

/// Default routes of a nic, `auto` looked up on `link`.
///
/// # Errors
/// [`Error::Value`] if the link has no address to be the gateway.
fn gateways(
    netlink: &mut Netlink,
    index: u32,
    nic: &Nic,
    link: Option<&Link>,
) -> Result<(Option<DefaultRoute>, Option<DefaultRoute>)> {
    let mut auto = |key, want4: bool| -> Result<DefaultRoute> {
        let wanted = |a: &IpAddr| match a {
            IpAddr::V4(_) => want4,
            IpAddr::V6(a) => !want4 && !a.is_unicast_link_local(),
        };
        let link = link.map(|l| (l.index, l.name.as_str()));
        let found = netlink
            .addresses()?
            .into_iter()
            .find(|a| Some(a.link) == link.map(|l| l.0) && wanted(&a.address));
        found
            .map(|a| DefaultRoute::Gateway(a.address))
            .ok_or_else(|| Error::Value {
                index,
                key,
                reason: format!(
                    "auto takes the address of \"{}\", which has none of this family",
                    link.map(|l| l.1).unwrap_or_default()
                ),
            })
    };
    let four = &nic.ipv4_gateway;
    let six = &nic.ipv6_gateway;
    let ipv4 = match (four.dev, four.auto, four.address) {
        (true, ..) => Some(DefaultRoute::Device),
        (_, true, _) => Some(auto("ipv4.gateway", true)?),
        (.., address) => address.map(|a| DefaultRoute::Gateway(a.into())),
    };
    let ipv6 = match (six.dev, six.auto, six.address) {
        (true, ..) => Some(DefaultRoute::Device),
        (_, true, _) => Some(auto("ipv6.gateway", false)?),
        (.., address) => address.map(|a| DefaultRoute::Gateway(a.into())),
    };
    Ok((ipv4, ipv6))
}

/// A nic with the host's facts it needs.
#[derive(Debug)]
pub(crate) struct Planned<'a> {
    pub(crate) index: u32,
    pub(crate) nic: &'a Nic,
    /// The host link it sits on, if one is named and it is not an Open vSwitch bridge unseen here
    pub(crate) link: Option<Link>,
    pub(crate) inside: InsideNic,
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) mtu: Option<u32>,
}

/// Looks up what the nics need of the host. `privileged`: MAC address and MTU are set when the
/// link is made, not inside.
///
/// # Errors
/// [`Error::Value`], [`Error::NoSuchLink`] for a link that is not there.
pub(crate) fn plan<'a>(
    netlink: &mut Netlink,
    nics: &'a BTreeMap<u32, Nic>,
    privileged: bool,
) -> Result<Vec<Planned<'a>>> {
    check(nics)?;
    let mut links = BTreeMap::new();
    for (&index, nic) in nics {
        if let Some(link) = nic.link.as_deref().filter(|l| !l.is_empty())
            && has_link(&nic.kind)
        {
            let found = find_link(netlink, nic, link)
                .map_err(|error| error.of_nic(index, kind_name(&nic.kind)))?;
            links.insert(index, found);
        }
    }
    let phys = nics
        .iter()
        .filter(|(_, nic)| nic.kind == NicKind::Phys)
        .filter_map(|(index, _)| Some((*index, links.get(index)?.name.clone())))
        .collect();
    let names = container_names(nics, &phys);
    let mut planned = Vec::new();
    for (&index, nic) in nics {
        let link = links.remove(&index);
        let (ipv4_gateway, ipv6_gateway) = gateways(netlink, index, nic, link.as_ref())?;
        let mac = nic
            .hwaddr
            .as_deref()
            .and_then(|text| names::parse_mac(text).ok());
        let name = names.get(&index).cloned().unwrap_or_default();
        let mtu = mtu(index, nic)?;
        let late = !privileged || matches!(nic.kind, NicKind::Ipvlan(..));
        planned.push(Planned {
            index,
            nic,
            link,
            inside: InsideNic {
                index,
                kind: kind_name(&nic.kind).to_owned(),
                arrives_as: name.clone(),
                ifindex: None,
                name,
                address: mac.filter(|_| late),
                mtu: mtu.filter(|_| late),
                up: nic.up,
                ipv4: nic.ipv4.clone(),
                ipv6: nic
                    .ipv6
                    .iter()
                    .map(|(address, prefix)| (*address, u8::try_from(*prefix).unwrap_or(u8::MAX)))
                    .collect(),
                ipv4_gateway,
                ipv6_gateway,
            },
            mac,
            mtu,
        });
    }
    Ok(planned)
}

fn find_link(netlink: &mut Netlink, nic: &Nic, name: &str) -> Result<Link> {
    if nic.kind == NicKind::Phys
        && let Some(prefix) = name.strip_suffix('+')
    {
        let found = netlink
            .links()?
            .into_iter()
            .find(|link| link.name.starts_with(prefix));
        return found.ok_or_else(|| Error::NoSuchLink {
            name: name.to_owned(),
            remedy: "",
        });
    }
    let remedy = match &nic.kind {
        NicKind::Veth(_) => ": make the bridge first (`rlxc net up` makes lxcbr0)",
        _ => "",
    };
    netlink.need_link(name, remedy)
}

/// The part of the plan that the container's first process carries out.
pub(crate) fn inside(planned: &[Planned<'_>]) -> Inside {
    Inside {
        nics: planned
            .iter()
            .filter(|p| has_link(&p.nic.kind))
            .map(|p| p.inside.clone())
            .collect(),
        loopback_up: planned.iter().any(|p| p.nic.up),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn veth() -> Nic {
        Nic {
            kind: NicKind::Veth(Veth::default()),
            up: true,
            ..Nic::default()
        }
    }

    #[test]
    fn unnamed_links_get_the_lowest_free_numbers() {
        let nics = BTreeMap::from([
            (0, veth()),
            (
                1,
                Nic {
                    name: Some("eth0".into()),
                    ..veth()
                },
            ),
            (
                2,
                Nic {
                    kind: NicKind::Phys,
                    ..Nic::default()
                },
            ),
            (
                5,
                Nic {
                    name: Some("lan%d".into()),
                    ..veth()
                },
            ),
            (9, Nic::default()),
        ]);
        let names = container_names(&nics, &BTreeMap::from([(2, "eth1".to_owned())]));
        let all: Vec<_> = names.iter().map(|(i, n)| (*i, n.as_str())).collect();
        assert_eq!(all, [(0, "eth2"), (1, "eth0"), (2, "eth1"), (5, "lan0")]);
    }

    #[test]
    fn numbers_are_read_as_everywhere() {
        for (text, wanted) in [
            ("1400", 1400),
            ("0x5dc", 1500),
            ("02734", 1500),
            (" +68", 68),
        ] {
            let nic = Nic {
                mtu: Some(text.into()),
                ..veth()
            };
            assert_eq!(mtu(0, &nic).unwrap(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn bad_values_are_named_by_key() {
        let gateway = Gateway {
            address: Some(Ipv4Addr::new(10, 0, 0, 1)),
            ..Gateway::default()
        };
        let cases: [(Nic, &str); 12] = [
            (
                Nic {
                    ipv6: vec![("fd09::5".parse().unwrap(), 129)],
                    ..veth()
                },
                "ipv6.address",
            ),
            (
                Nic {
                    hwaddr: Some("01:00:5e:00:00:01".into()),
                    ..veth()
                },
                "hwaddr",
            ),
            (
                Nic {
                    hwaddr: Some("nonsense".into()),
                    ..veth()
                },
                "hwaddr",
            ),
            (
                Nic {
                    name: Some("sixteen-bytes-xx".into()),
                    ..veth()
                },
                "name",
            ),
            (
                Nic {
                    name: Some("a/b".into()),
                    ..veth()
                },
                "name",
            ),
            (
                Nic {
                    name: Some("lo".into()),
                    ..veth()
                },
                "name",
            ),
            (
                Nic {
                    mtu: Some("1500 ".into()),
                    ..veth()
                },
                "mtu",
            ),
            (
                Nic {
                    mtu: Some("12x".into()),
                    ..veth()
                },
                "mtu",
            ),
            (
                Nic {
                    mtu: Some("67".into()),
                    ..veth()
                },
                "mtu",
            ),
            (
                Nic {
                    ipv4_gateway: gateway,
                    ..veth()
                },
                "ipv4.gateway",
            ),
            (
                Nic {
                    kind: NicKind::Phys,
                    ..Nic::default()
                },
                "link",
            ),
            (
                Nic {
                    link: Some("a b".into()),
                    ..veth()
                },
                "link",
            ),
        ];
        for (nic, expected) in cases {
            let error = check(&BTreeMap::from([(3, nic)])).unwrap_err();
            assert!(
                matches!(&error, Error::Value { index: 3, key, .. } if *key == expected),
                "{error}"
            );
        }
    }
}
