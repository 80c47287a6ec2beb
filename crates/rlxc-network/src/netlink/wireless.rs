//! Moving wireless devices: nl80211 moves the whole phy, rtnetlink refuses (NETNS_LOCAL).

use netlink_sys::protocols;

use super::wire::{self, Message};
use super::{Netlink, Target};
use crate::error::{Error, Result};
use std::os::fd::AsRawFd;

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const NL80211_CMD_GET_INTERFACE: u8 = 5;
const NL80211_CMD_SET_WIPHY_NETNS: u8 = 49;
const NL80211_ATTR_WIPHY: u16 = 1;
const NL80211_ATTR_IFINDEX: u16 = 3;
const NL80211_ATTR_PID: u16 = 82;
const NL80211_ATTR_NETNS_FD: u16 = 219;

/// The number of the phy behind interface `name` of the calling process's namespace, if it is
/// wireless (sysfs, `/sys/class/net/NAME/phy80211/index`).
pub(crate) fn phy_of(name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/sys/class/net/{name}/phy80211/index")).ok()?;
    text.trim().parse().ok()
}

/// The number of the phy behind interface `index` of the calling thread's namespace, if it is
/// wireless: asked of nl80211, since sysfs shows the namespace it was mounted in.
pub(crate) fn phy_of_index(index: u32) -> Option<u32> {
    let mut socket = Netlink::open_protocol(protocols::NETLINK_GENERIC).ok()?;
    let family = family(&mut socket)?;
    let ask = Message::new(family, 0, "look up the phy of an interface")
        .fixed(&[NL80211_CMD_GET_INTERFACE, 0, 0, 0])
        .u32(NL80211_ATTR_IFINDEX, index);
    let found = socket.query(ask, false, |_, body| {
        wire::attributes(body.get(4..)?)
            .find(|(kind, _)| *kind == NL80211_ATTR_WIPHY)
            .and_then(|(_, value)| wire::read_u32(value, 0))
    });
    found.ok()?.pop()
}

/// The kernel's number for nl80211, if it has it.
fn family(socket: &mut Netlink) -> Option<u16> {
    let ask = Message::new(GENL_ID_CTRL, 0, "look up nl80211")
        .fixed(&[CTRL_CMD_GETFAMILY, 1, 0, 0])
        .text(CTRL_ATTR_FAMILY_NAME, "nl80211");
    let found = socket.query(ask, false, |_, body| {
        wire::attributes(body.get(4..)?)
            .find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_ID)
            .and_then(|(_, value)| wire::read_u16(value, 0))
    });
    found.ok()?.pop()
}

/// Moves wireless device `phy` with all its interfaces to `target`. Call it in the namespace the
/// device is in.
///
/// # Errors
/// [`Error::Unsupported`] if the kernel has no nl80211, else the kernel's answer.
pub(crate) fn move_phy(phy: u32, target: Target<'_>) -> Result<()> {
    let mut socket = Netlink::open_protocol(protocols::NETLINK_GENERIC)?;
    let family = family(&mut socket).ok_or_else(|| {
        Error::Unsupported("the kernel has no nl80211: a wireless phy cannot be moved".into())
    })?;
    let message = Message::new(family, 0, format!("move the wireless phy {phy}"))
        .fixed(&[NL80211_CMD_SET_WIPHY_NETNS, 0, 0, 0])
        .u32(NL80211_ATTR_WIPHY, phy);
    socket.request(match target {
        Target::Pid(pid) => message.u32(NL80211_ATTR_PID, pid.cast_unsigned()),
        Target::Fd(fd) => message.u32(NL80211_ATTR_NETNS_FD, fd.as_raw_fd().cast_unsigned()),
    })
}
