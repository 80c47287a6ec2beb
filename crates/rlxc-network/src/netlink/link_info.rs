//! What the kernel tells about a link.

use serde::{Deserialize, Serialize};

use super::link::{
    IFF_UP, IFLA_ADDRESS, IFLA_ALT_IFNAME, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINK,
    IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU, RTM_NEWLINK,
};
use super::wire;

const IFLA_BR_VLAN_DEFAULT_PVID: u16 = 39;
const IFLA_BR_VLAN_FILTERING: u16 = 7;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_PERM_ADDRESS: u16 = 54;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_STATS64: u16 = 23;

/// Byte and packet counters of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Statistics {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
}

impl Statistics {
    /// These counters as the other end of a pair counts them: what the host received, the
    /// container sent.
    #[must_use]
    pub fn from_other_end(self) -> Self {
        Self {
            rx_packets: self.tx_packets,
            tx_packets: self.rx_packets,
            rx_bytes: self.tx_bytes,
            tx_bytes: self.rx_bytes,
            rx_errors: self.tx_errors,
            tx_errors: self.rx_errors,
            rx_dropped: self.tx_dropped,
            tx_dropped: self.rx_dropped,
        }
    }
}

/// A link as the kernel describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Interface index
    pub index: u32,
    /// Name
    pub name: String,
    /// Alternative names
    pub alt_names: Vec<String>,
    /// The kernel's kind (`veth`, `bridge`, …); hardware has none
    pub kind: Option<String>,
    /// IFF_* flags
    pub flags: u32,
    /// MAC address as the kernel keeps it
    pub address: Vec<u8>,
    /// The hardware's own MAC address
    pub permanent_address: Vec<u8>,
    /// MTU in bytes
    pub mtu: u32,
    /// Index of the bridge (or bond …) it belongs to
    pub master: Option<u32>,
    /// Index of the lower link or of the other end; in the namespace [`Link::link_netns`]
    pub link: Option<u32>,
    /// Kernel's id of the namespace of `link` if it is another one; negative: not known (dying)
    pub link_netns: Option<i32>,
    /// RFC 2863 state (6 = up)
    pub operstate: u8,
    /// Of a bridge: VLAN filtering on
    pub vlan_filtering: bool,
    /// Of a bridge: the default VLAN of its ports
    pub default_pvid: Option<u16>,
    /// Counters, where asked for
    pub statistics: Option<Statistics>,
}

impl Link {
    /// Whether the link is set up (IFF_UP).
    pub fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    /// The MAC address in text, empty if there is none.
    pub fn address_text(&self) -> String {
        crate::names::format_mac(&self.address)
    }

    pub(super) fn parse(kind: u16, body: &[u8]) -> Option<Self> {
        if kind != RTM_NEWLINK {
            return None;
        }
        let mut link = Self {
            index: wire::read_u32(body, 4)?,
            flags: wire::read_u32(body, 8)?,
            ..Self::default()
        };
        for (kind, value) in wire::attributes(body.get(16..)?) {
            match kind {
                IFLA_IFNAME => link.name = wire::text(value),
                IFLA_ADDRESS => link.address = value.to_vec(),
                IFLA_PERM_ADDRESS => link.permanent_address = value.to_vec(),
                IFLA_MTU => link.mtu = wire::read_u32(value, 0)?,
                IFLA_MASTER => link.master = wire::read_u32(value, 0),
                IFLA_LINK => link.link = wire::read_u32(value, 0),
                IFLA_LINK_NETNSID => {
                    link.link_netns = wire::read_u32(value, 0).map(u32::cast_signed);
                }
                IFLA_OPERSTATE => link.operstate = *value.first()?,
                IFLA_STATS64 => link.statistics = Some(statistics(value)?),
                IFLA_PROP_LIST => link.alt_names.extend(
                    wire::attributes(value)
                        .filter(|(kind, _)| *kind == IFLA_ALT_IFNAME)
                        .map(|(_, name)| wire::text(name)),
                ),
                IFLA_LINKINFO => link.parse_info(value),
                _ => {}
            }
        }
        Some(link)
    }

    fn parse_info(&mut self, info: &[u8]) {
        for (kind, value) in wire::attributes(info) {
            match kind {
                IFLA_INFO_KIND => self.kind = Some(wire::text(value)),
                IFLA_INFO_DATA if self.kind.as_deref() == Some("bridge") => {
                    for (kind, value) in wire::attributes(value) {
                        match kind {
                            IFLA_BR_VLAN_FILTERING => {
                                self.vlan_filtering = value.first() == Some(&1);
                            }
                            IFLA_BR_VLAN_DEFAULT_PVID => {
                                self.default_pvid = wire::read_u16(value, 0);
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

fn statistics(value: &[u8]) -> Option<Statistics> {
    let at = |n: usize| wire::read_u64(value, n * 8);
    Some(Statistics {
        rx_packets: at(0)?,
        tx_packets: at(1)?,
        rx_bytes: at(2)?,
        tx_bytes: at(3)?,
        rx_errors: at(4)?,
        tx_errors: at(5)?,
        rx_dropped: at(6)?,
        tx_dropped: at(7)?,
    })
}
