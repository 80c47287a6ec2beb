//! The types of `lxc.net.N.*`.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Deserializer, Serialize};

/// One `lxc.net.N`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// `.type` with what belongs to that type
    pub kind: NicKind,
    /// The type was cleared or refused: LXC shows `(null)`, and a start fails
    pub untyped: bool,
    /// `.flags`
    pub up: bool,
    /// `.hwaddr`, concrete
    pub hwaddr: Option<String>,
    /// `.link`
    pub link: Option<String>,
    /// `.l2proxy`
    pub l2proxy: bool,
    /// `.mtu` as given
    pub mtu: Option<String>,
    /// `.name` in the container
    pub name: Option<String>,
    /// `.ipv4.address`
    pub ipv4: Vec<Ipv4Address>,
    /// `.ipv4.gateway`
    pub ipv4_gateway: Gateway<Ipv4Addr>,
    /// `.ipv6.address` with its prefix length, which is looked at when the container starts
    pub ipv6: Vec<(Ipv6Addr, u32)>,
    /// `.ipv6.gateway`
    pub ipv6_gateway: Gateway<Ipv6Addr>,
    /// `.script.up`
    pub script_up: Option<String>,
    /// `.script.down`
    pub script_down: Option<String>,
}

/// `lxc.net.N.type` and its own subkeys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NicKind {
    /// Only `lo`; also what a nic without a type is
    #[default]
    Empty,
    /// The host's network namespace
    None,
    /// veth pair
    Veth(Veth),
    /// macvlan; `.macvlan.mode`
    Macvlan(MacvlanMode),
    /// ipvlan; `.ipvlan.mode`, `.ipvlan.isolation`
    Ipvlan(IpvlanMode, IpvlanIsolation),
    /// VLAN; `.vlan.id`
    Vlan(u16),
    /// A host link moved in
    Phys,
}

/// `lxc.net.N.veth.*`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Veth {
    /// `.veth.pair`
    pub pair: Option<String>,
    /// `.veth.mode`; `None` only after a clear (`(invalid)`)
    pub mode: VethMode,
    /// `.veth.n_rxqueues`
    pub n_rxqueues: Option<u32>,
    /// `.veth.n_txqueues`
    pub n_txqueues: Option<u32>,
    /// `.veth.ipv4.route`
    pub ipv4_routes: Vec<(Ipv4Addr, u8)>,
    /// `.veth.ipv6.route`
    pub ipv6_routes: Vec<(Ipv6Addr, u8)>,
    /// `.veth.vlan.id`; `Some(None)` = `none`
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "given"
    )]
    pub vlan_id: Option<Option<u16>>,
    /// `.veth.vlan.tagged.id`
    pub vlan_tagged: Vec<u16>,
}

/// A value that is there, `none` included: without this, `Some(None)` would be read as `None`.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u16>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// `lxc.net.N.veth.mode`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum VethMode {
    #[default]
    Bridge,
    Router,
    /// What LXC shows as `(invalid)` after a clear; treated as bridge at start.
    Cleared,
}

/// `lxc.net.N.macvlan.mode`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum MacvlanMode {
    #[default]
    Private,
    Vepa,
    Bridge,
    Passthru,
}

/// `lxc.net.N.ipvlan.mode`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum IpvlanMode {
    #[default]
    L3,
    L3s,
    L2,
}

/// `lxc.net.N.ipvlan.isolation`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum IpvlanIsolation {
    #[default]
    Bridge,
    Private,
    Vepa,
}

/// One `lxc.net.N.ipv4.address`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Ipv4Address {
    pub address: Ipv4Addr,
    pub prefix: u8,
    /// `None`: no broadcast (/31, /32)
    pub broadcast: Option<Ipv4Addr>,
}

/// A gateway with LXC's sticky flags (config-keys, section 4): `dev` wins over `auto` over address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Gateway<A> {
    pub address: Option<A>,
    pub auto: bool,
    pub dev: bool,
}

impl<A> Default for Gateway<A> {
    fn default() -> Self {
        Self {
            address: None,
            auto: false,
            dev: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_vlan_of_its_own_is_another_thing_than_none_given_also_in_a_plan() {
        for vlan_id in [None, Some(None), Some(Some(7))] {
            let veth = Veth {
                vlan_id,
                ..Veth::default()
            };
            let json = serde_json::to_string(&veth).unwrap();
            assert_eq!(serde_json::from_str::<Veth>(&json).unwrap(), veth, "{json}");
        }
    }
}
