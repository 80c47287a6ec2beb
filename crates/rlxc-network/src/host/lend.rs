//! Links that the host lends to a container (type phys).

use rlxc_config::NicKind;

use super::Maker;
use crate::created::Undo;
use crate::error::Result;
use crate::netlink::{Change, Link, change, wireless};

impl Maker<'_, '_> {
    /// The link to be lent.
    fn lent(&self) -> Option<Link> {
        let is_lent = self.one.nic.kind == NicKind::Phys && self.context.privileged;
        self.one.link.clone().filter(|_| is_lent)
    }

    /// Notes what a phys link is like now.
    pub(super) fn promise(&mut self) {
        let Some(link) = self.lent() else { return };
        self.nic.undo.push(Undo::Phys {
            index: link.index,
            name: link.name.clone(),
            inside: self.one.inside.name.clone(),
            address: link.address.clone(),
            mtu: link.mtu,
            phy: wireless::phy_of(&link.name),
            hardware: link.kind.is_none(),
        });
    }

    /// Moves a phys link into the container.
    pub(super) fn lend(&mut self) -> Result<()> {
        let Some(link) = self.lent() else {
            return Ok(());
        };
        let mac = self.one.mac;
        let changes = Change {
            up: Some(false),
            address: mac.as_ref().map(<[u8; 6]>::as_slice),
            mtu: self.one.mtu,
            ..Change::default()
        };
        let what = format!("set \"{}\" down, its MAC address and MTU", link.name);
        self.netlink.request(change(link.index, &changes, what))?;
        if let Some(phy) = wireless::phy_of(&link.name) {
            self.nic.arrived_as = Some(link.name.clone());
            return wireless::move_phy(phy, self.target());
        }
        let inside = &self.one.inside.name;
        let changes = Change {
            name: (*inside != link.name).then_some(inside.as_str()),
            target: Some(self.target()),
            ..Change::default()
        };
        let what = format!("move \"{}\" into the container", link.name);
        self.netlink.request(change(link.index, &changes, what))
    }
}
