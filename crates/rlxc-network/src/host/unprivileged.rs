//! Nics of users, made by lxc-user-nic.

use rlxc_config::{NicKind, VethMode};

use super::Maker;
use crate::created::Undo;
use crate::error::{Error, Result};
use crate::plan::kind_name;
use crate::user_nic;

impl Maker<'_, '_> {
    pub(super) fn by_user_nic(&mut self) -> Result<()> {
        let nic = self.one.nic;
        let veth = match &nic.kind {
            NicKind::Empty | NicKind::None => return Ok(()),
            NicKind::Veth(veth) => veth,
            other => {
                return Err(Error::Unsupported(format!(
                    "an unprivileged container can have veth nics only, not {}",
                    kind_name(other)
                )));
            }
        };
        if veth.vlan_id.is_some() || !veth.vlan_tagged.is_empty() {
            // Without it the container would stand in a network it must not be in.
            return Err(Error::Unsupported(
                "veth.vlan.id and veth.vlan.tagged.id on the host's end need root".into(),
            ));
        }
        let left_out = [
            (!veth.ipv4_routes.is_empty(), "veth.ipv4.route"),
            (!veth.ipv6_routes.is_empty(), "veth.ipv6.route"),
            (nic.l2proxy, "l2proxy"),
            (veth.mode == VethMode::Router, "veth.mode = router"),
            (veth.pair.is_some(), "veth.pair"),
        ];
        for (_, key) in left_out.iter().filter(|(is_set, _)| *is_set) {
            let index = self.one.index;
            tracing::warn!("lxc.net.{index}.{key} needs root on the host: started without it");
        }
        let made = user_nic::create(
            self.context,
            self.container.pid,
            nic.link.as_deref().filter(|l| !l.is_empty()),
            &self.one.inside.name,
        )?;
        self.nic.host_name = Some(made.host_name.clone());
        self.nic.host_index = Some(made.host_index);
        self.nic.arrived_as = Some(made.container_name);
        self.nic.arrived_index = Some(made.container_index);
        self.nic.undo.push(Undo::UserNic {
            bridge: nic.link.clone().unwrap_or_default(),
            name: made.host_name,
        });
        Ok(())
    }
}
