//! Links: making, changing, deleting, listing.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::Netlink;
use super::link_info::Link;
use super::wire::{Message, flag};
use crate::error::{Error, Result};
use crate::names::{NAME_MAX, random_name};
use nix::errno::Errno;

pub(super) const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_DELLINKPROP: u16 = 109;
const IFLA_PROP_LIST: u16 = 52;
const RTM_GETNSID: u16 = 90;
const NETNSA_NSID: u16 = 1;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;

pub(super) const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_MTU: u16 = 4;
pub(super) const IFLA_LINK: u16 = 5;
pub(super) const IFLA_MASTER: u16 = 10;
pub(super) const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_TARGET_NETNSID: u16 = 46;
pub(super) const IFLA_ALT_IFNAME: u16 = 53;
pub(super) const IFLA_INFO_KIND: u16 = 1;
pub(super) const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_MACVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_FLAGS: u16 = 2;
const IFLA_VLAN_ID: u16 = 1;
const IFLA_BRIDGE_VLAN_INFO: u16 = 2;
const BRIDGE_VLAN_INFO_PVID: u16 = 2;
const BRIDGE_VLAN_INFO_UNTAGGED: u16 = 4;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
const AF_BRIDGE: u8 = 7;
pub(super) const IFF_UP: u32 = 1;

/// Where a link shall live.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// The network namespace of a process
    Pid(i32),
    /// An open network namespace
    Fd(BorrowedFd<'a>),
}

impl Target<'_> {
    fn put(self, message: Message) -> Message {
        match self {
            Self::Pid(pid) => message.u32(IFLA_NET_NS_PID, pid.cast_unsigned()),
            Self::Fd(fd) => message.u32(IFLA_NET_NS_FD, fd.as_raw_fd().cast_unsigned()),
        }
    }
}

/// A link to be made.
#[derive(Debug, Clone, Default)]
pub struct NewLink<'a> {
    /// Its name; empty: the kernel chooses. A `%d` is replaced by the lowest free number.
    pub name: &'a str,
    /// What it is
    pub kind: LinkKind<'a>,
    /// MAC address
    pub address: Option<[u8; 6]>,
    /// MTU; the kernel's default without
    pub mtu: Option<u32>,
    /// Index of the bridge it joins
    pub master: Option<u32>,
    /// Whether it is set up at once
    pub up: bool,
    /// Namespace it is made in; the socket's own without
    pub target: Option<Target<'a>>,
    /// Number of transmit queues
    pub tx_queues: Option<u32>,
    /// Number of receive queues
    pub rx_queues: Option<u32>,
}

/// Kind of a new link with its own parameters; indices are of links in the socket's namespace.
#[derive(Debug, Clone, Default)]
pub enum LinkKind<'a> {
    /// A bridge
    #[default]
    Bridge,
    /// A pair; the other end may live in another namespace
    Veth(Box<NewLink<'a>>),
    /// macvlan on `link` with the kernel's mode bit (private 1, vepa 2, bridge 4, passthru 8)
    #[allow(missing_docs)]
    Macvlan { link: u32, mode: u32 },
    /// ipvlan on `link`; mode l2 0, l3 1, l3s 2; flags private 1, vepa 2
    #[allow(missing_docs)]
    Ipvlan { link: u32, mode: u16, flags: u16 },
    /// VLAN `id` on `link`
    #[allow(missing_docs)]
    Vlan { link: u32, id: u16 },
}

impl LinkKind<'_> {
    /// The kernel's name of the kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Veth(_) => "veth",
            Self::Macvlan { .. } => "macvlan",
            Self::Ipvlan { .. } => "ipvlan",
            Self::Vlan { .. } => "vlan",
        }
    }
}

impl NewLink<'_> {
    fn put(&self, message: Message, flags: u32) -> Message {
        message
            .fixed(&ifinfo(0, 0, flags, flags))
            .maybe((!self.name.is_empty()).then_some(self.name), |m, n| {
                m.text(IFLA_IFNAME, n)
            })
            .maybe(self.address, |m, a| m.bytes(IFLA_ADDRESS, &a))
            .maybe(self.mtu, |m, v| m.u32(IFLA_MTU, v))
            .maybe(self.master, |m, v| m.u32(IFLA_MASTER, v))
            .maybe(self.tx_queues, |m, v| m.u32(IFLA_NUM_TX_QUEUES, v))
            .maybe(self.rx_queues, |m, v| m.u32(IFLA_NUM_RX_QUEUES, v))
            .maybe(self.target, |m, t| t.put(m))
    }

    /// The request that makes this link.
    pub fn message(&self) -> Message {
        let kind = self.kind.name();
        let what = format!("create the {kind} link \"{}\"", self.name);
        let message = Message::new(RTM_NEWLINK, flag::CREATE | flag::EXCL, what);
        let message = self.put(message, if self.up { IFF_UP } else { 0 });
        let message = match &self.kind {
            LinkKind::Macvlan { link, .. }
            | LinkKind::Ipvlan { link, .. }
            | LinkKind::Vlan { link, .. } => message.u32(IFLA_LINK, *link),
            LinkKind::Bridge | LinkKind::Veth(_) => message,
        };
        message.nested(IFLA_LINKINFO, |m| {
            let m = m.text(IFLA_INFO_KIND, kind);
            match &self.kind {
                LinkKind::Bridge => m,
                LinkKind::Veth(peer) => m.nested(IFLA_INFO_DATA, |m| {
                    m.nested(VETH_INFO_PEER, |m| {
                        peer.put(m, if peer.up { IFF_UP } else { 0 })
                    })
                }),
                LinkKind::Macvlan { mode, .. } => {
                    m.nested(IFLA_INFO_DATA, |m| m.u32(IFLA_MACVLAN_MODE, *mode))
                }
                LinkKind::Ipvlan { mode, flags, .. } => m.nested(IFLA_INFO_DATA, |m| {
                    m.u16(IFLA_IPVLAN_MODE, *mode)
                        .u16(IFLA_IPVLAN_FLAGS, *flags)
                }),
                LinkKind::Vlan { id, .. } => m.nested(IFLA_INFO_DATA, |m| m.u16(IFLA_VLAN_ID, *id)),
            }
        })
    }
}

/// `struct ifinfomsg`.
fn ifinfo(family: u8, index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = family;
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}

/// What [`change`] changes; unset fields stay.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) address: Option<&'a [u8]>,
    pub(crate) mtu: Option<u32>,
    /// 0 leaves the bridge
    pub(crate) master: Option<u32>,
    pub(crate) up: Option<bool>,
    pub(crate) target: Option<Target<'a>>,
}

/// The request that takes the alternative name `name` from link `index`.
pub(crate) fn drop_altname(index: u32, name: &str) -> Message {
    let what = format!("take the alternative name \"{name}\" from the link that has it");
    Message::new(RTM_DELLINKPROP, 0, what)
        .fixed(&ifinfo(0, index, 0, 0))
        .nested(IFLA_PROP_LIST, |m| m.text(IFLA_ALT_IFNAME, name))
}

/// The request that changes link `index`.
pub(crate) fn change(index: u32, change: &Change<'_>, what: impl Into<String>) -> Message {
    let flags = match change.up {
        Some(true) => (IFF_UP, IFF_UP),
        Some(false) => (0, IFF_UP),
        None => (0, 0),
    };
    Message::new(RTM_SETLINK, 0, what)
        .fixed(&ifinfo(0, index, flags.0, flags.1))
        .maybe(change.target, |m, t| t.put(m))
        .maybe(change.address, |m, a| m.bytes(IFLA_ADDRESS, a))
        .maybe(change.mtu, |m, v| m.u32(IFLA_MTU, v))
        .maybe(change.name, |m, n| m.text(IFLA_IFNAME, n))
        .maybe(change.master, |m, v| m.u32(IFLA_MASTER, v))
}

/// The request that sets link `index` up.
pub(crate) fn set_up(index: u32, name: &str) -> Message {
    change(
        index,
        &Change {
            up: Some(true),
            ..Change::default()
        },
        format!("set \"{name}\" up"),
    )
}

/// The request that deletes link `index`.
pub(crate) fn delete(index: u32, name: &str) -> Message {
    Message::new(RTM_DELLINK, 0, format!("delete the link \"{name}\""))
        .fixed(&ifinfo(0, index, 0, 0))
}

/// The request that gives bridge port `index` VLAN `id`; `untagged` makes it the port's own.
pub(crate) fn add_port_vlan(index: u32, name: &str, id: u16, untagged: bool) -> Message {
    let flags = if untagged {
        BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED
    } else {
        0
    };
    port_vlan(
        RTM_SETLINK,
        index,
        id,
        flags,
        format!("put bridge port \"{name}\" into VLAN {id}"),
    )
}

/// The request that takes bridge port `index` out of VLAN `id`.
pub(crate) fn delete_port_vlan(index: u32, name: &str, id: u16) -> Message {
    port_vlan(
        RTM_DELLINK,
        index,
        id,
        0,
        format!("take bridge port \"{name}\" out of VLAN {id}"),
    )
}

fn port_vlan(kind: u16, index: u32, id: u16, flags: u16, what: String) -> Message {
    let mut info = [0; 4];
    info[..2].copy_from_slice(&flags.to_ne_bytes());
    info[2..].copy_from_slice(&id.to_ne_bytes());
    Message::new(kind, 0, what)
        .fixed(&ifinfo(AF_BRIDGE, index, 0, 0))
        .nested(IFLA_AF_SPEC, |m| m.bytes(IFLA_BRIDGE_VLAN_INFO, &info))
}

impl Netlink {
    /// The link called `name` (an alternative name counts), or `None`.
    ///
    /// # Errors
    /// Any other answer of the kernel.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>> {
        if name.is_empty() || name.len() > 127 {
            return Ok(None);
        }
        let attribute = if name.len() > NAME_MAX {
            IFLA_ALT_IFNAME
        } else {
            IFLA_IFNAME
        };
        let ask = Message::new(RTM_GETLINK, 0, format!("look up the link \"{name}\""))
            .fixed(&ifinfo(0, 0, 0, 0))
            .text(attribute, name)
            .u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        self.one_link(ask)
    }

    /// `prefix` and random letters and digits, a name no link of the namespace has yet.
    ///
    /// # Errors
    /// The kernel's answer, or no randomness.
    pub fn free_name(&mut self, prefix: &str, letters: usize) -> Result<String> {
        loop {
            let name = random_name(prefix, letters)?;
            if self.link(&name)?.is_none() {
                return Ok(name);
            }
        }
    }

    /// The link with `index`, counters included, or `None`.
    ///
    /// # Errors
    /// Any other answer of the kernel.
    pub fn link_by_index(&mut self, index: u32) -> Result<Option<Link>> {
        let ask = Message::new(RTM_GETLINK, 0, format!("look up link {index}"))
            .fixed(&ifinfo(0, index, 0, 0));
        self.one_link(ask)
    }

    fn one_link(&mut self, ask: Message) -> Result<Option<Link>> {
        match self.query(ask, false, Link::parse) {
            Ok(mut found) => Ok(found.pop()),
            Err(error) if error.is(Errno::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All links of the namespace, counters included, in the kernel's order.
    ///
    /// # Errors
    /// As [`Netlink::request`].
    pub fn links(&mut self) -> Result<Vec<Link>> {
        let ask = Message::new(RTM_GETLINK, 0, "list the links").fixed(&ifinfo(0, 0, 0, 0));
        self.query(ask, true, Link::parse)
    }

    /// Makes link `index` a port of bridge `master` if there is one, and sets it up.
    ///
    /// # Errors
    /// As [`Netlink::request`].
    pub fn attach_and_set_up(&mut self, index: u32, name: &str, master: Option<u32>) -> Result<()> {
        let changes = Change {
            up: Some(true),
            master,
            ..Change::default()
        };
        self.request(change(
            index,
            &changes,
            format!("attach \"{name}\" and set it up"),
        ))
    }

    /// Deletes link `index`.
    ///
    /// # Errors
    /// As [`Netlink::request`]; EOPNOTSUPP for one that cannot be deleted, as `lo`.
    pub fn delete_link(&mut self, index: u32, name: &str) -> Result<()> {
        self.request(delete(index, name))
    }

    /// Whether `link` is the end of a pair whose other end's namespace is on its way out: nobody is
    /// in it and nothing holds it, the kernel has only not taken it down yet.
    ///
    /// # Errors
    /// As [`Netlink::request`].
    pub fn is_orphan(&mut self, link: &Link) -> Result<bool> {
        match (link.link_netns, link.kind.as_deref()) {
            (Some(id), Some("veth")) => Ok(!self.namespace_in_use(id)?),
            _ => Ok(false),
        }
    }

    /// Whether the namespace with this kernel id is still in use. One whose last process and
    /// descriptor are gone is not, even while the kernel has not taken it down yet.
    ///
    /// # Errors
    /// Any other answer of the kernel.
    pub(crate) fn namespace_in_use(&mut self, id: i32) -> Result<bool> {
        if id < 0 {
            return Ok(false);
        }
        let ask = Message::new(RTM_GETLINK, 0, "look into the other end's namespace")
            .fixed(&ifinfo(0, 1, 0, 0))
            .u32(IFLA_TARGET_NETNSID, id.cast_unsigned());
        match self.query(ask, false, |_, _| Some(())) {
            Err(error) if error.is(Errno::EINVAL) => Ok(false),
            Err(error) if !error.is(Errno::EACCES) && !error.is(Errno::ENODEV) => Err(error),
            _ => Ok(true),
        }
    }

    /// As [`Netlink::namespace_in_use`], without waiting for whoever works on links just now; a
    /// kernel that cannot say so (before 5.0) counts as a yes.
    pub(crate) fn namespace_held(&mut self, id: i32) -> bool {
        let ask = Message::new(RTM_GETNSID, 0, "look for the other end's namespace")
            .fixed(&[0; 4])
            .u32(NETNSA_NSID, id.cast_unsigned());
        let answer = self.query(ask, false, |_, _| Some(()));
        !answer.is_err_and(|error| error.is(Errno::ENOENT))
    }

    /// As [`Netlink::link`], where a missing one is an error.
    pub(crate) fn need_link(&mut self, name: &str, remedy: &'static str) -> Result<Link> {
        self.link(name)?.ok_or_else(|| Error::NoSuchLink {
            name: name.to_owned(),
            remedy,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::link::{
        InfoData, InfoKind, InfoMacVlan, InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
        MacVlanMode,
    };

    fn oracle(message: Message) -> LinkMessage {
        let bytes = message.finish(1, 0);
        let decoded = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes).unwrap();
        match decoded.payload {
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::NewLink(m) | RouteNetlinkMessage::SetLink(m),
            ) => m,
            other => panic!("{other:?}"),
        }
    }

    fn info(message: &LinkMessage) -> &[LinkInfo] {
        message
            .attributes
            .iter()
            .find_map(|a| match a {
                LinkAttribute::LinkInfo(info) => Some(info.as_slice()),
                _ => None,
            })
            .unwrap()
    }

    #[test]
    fn a_veth_request_is_understood_by_the_packet_crate() {
        let message = oracle(
            NewLink {
                name: "vethA",
                kind: LinkKind::Veth(Box::new(NewLink {
                    name: "eth0",
                    address: Some([2, 0, 0, 0, 0, 1]),
                    target: Some(Target::Pid(77)),
                    ..NewLink::default()
                })),
                mtu: Some(1400),
                master: Some(5),
                up: true,
                ..NewLink::default()
            }
            .message(),
        );
        assert!(
            message
                .attributes
                .contains(&LinkAttribute::IfName("vethA".into()))
        );
        assert!(message.attributes.contains(&LinkAttribute::Mtu(1400)));
        assert!(message.attributes.contains(&LinkAttribute::Controller(5)));
        assert!(message.header.flags.bits() & 1 == 1);
        let info = info(&message);
        assert_eq!(info[0], LinkInfo::Kind(InfoKind::Veth));
        let LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))) = &info[1] else {
            panic!("{info:?}")
        };
        assert!(
            peer.attributes
                .contains(&LinkAttribute::IfName("eth0".into()))
        );
        assert!(peer.attributes.contains(&LinkAttribute::NetNsPid(77)));
        assert!(
            peer.attributes
                .contains(&LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]))
        );
    }

    #[test]
    fn a_macvlan_request_is_understood_by_the_packet_crate() {
        let kind = LinkKind::Macvlan { link: 3, mode: 4 };
        let message = oracle(
            NewLink {
                name: "mc0",
                kind,
                ..NewLink::default()
            }
            .message(),
        );
        assert!(message.attributes.contains(&LinkAttribute::Link(3)));
        assert_eq!(
            info(&message)[1],
            LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(
                MacVlanMode::Bridge
            )]))
        );
    }

    #[test]
    fn a_rename_and_move_is_one_request() {
        let changes = Change {
            name: Some("eth1"),
            target: Some(Target::Pid(4)),
            ..Change::default()
        };
        let message = oracle(change(9, &changes, "x"));
        assert_eq!(message.header.index, 9);
        assert!(message.attributes.contains(&LinkAttribute::NetNsPid(4)));
        assert!(
            message
                .attributes
                .contains(&LinkAttribute::IfName("eth1".into()))
        );
    }
}
