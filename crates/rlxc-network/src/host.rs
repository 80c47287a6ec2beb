//! The host's side of a start: every link made, configured and handed to the container.

mod lend;
mod reach;
mod unprivileged;

use std::collections::BTreeMap;
use std::time::Duration;

use nix::errno::Errno;
use rlxc_config::{IpvlanIsolation, IpvlanMode, MacvlanMode, Nic, NicKind, Veth, VethMode};

use crate::context::{Container, Context};
use crate::created::{Created, CreatedNic, Undo};
use crate::error::{Error, Result};
use crate::netlink::{
    Change, Destination, Link, LinkKind, Netlink, NewLink, Route, Target, add_port_vlan, change,
    delete_port_vlan,
};
use crate::plan::{self, Planned, kind_name};
use crate::script::{self, Subject, When};
use crate::sysctl::{self, Family};
use crate::{names, ovs};

/// So many random names are tried.
const RETRIES: usize = 16;

/// Makes all links of `nics` and moves them into the container, running each one's script.up.
///
/// `netlink` is a socket of the host's namespace, opened in the calling thread's own. Call it
/// after the container's first process has its network namespace; then send
/// [`Created::inside`] to that process, which calls [`crate::setup_inside`].
/// Nothing is to be done for [`plan::shares_host`] containers and shared network namespaces.
///
/// Links are made directly in the container's namespace, with their final names.
///
/// # Errors
/// The first failure, by nic; everything made until then is undone first.
pub fn setup_host(
    netlink: &mut Netlink,
    nics: &BTreeMap<u32, Nic>,
    container: Container<'_>,
    context: &Context,
) -> Result<Created> {
    setup_host_with(netlink, nics, container, context, |_| {})
}

/// As [`setup_host`]; `keep` is shown what is made whenever something is there, or is about to be,
/// that outlives a crash ([`Created::needs_journal`]).
///
/// # Errors
/// As [`setup_host`].
pub fn setup_host_with(
    netlink: &mut Netlink,
    nics: &BTreeMap<u32, Nic>,
    container: Container<'_>,
    context: &Context,
    mut keep: impl FnMut(&Created),
) -> Result<Created> {
    let planned = plan::plan(netlink, nics, context.privileged)?;
    let mut created = Created {
        inside: plan::inside(&planned),
        ..Created::default()
    };
    for one in &planned {
        let kind = kind_name(&one.nic.kind);
        created.nics.push(CreatedNic::new(one.index, kind, one.nic));
    }
    // Links that are lent leave last: until then all scripts find them on the host.
    for pass in [Pass::Make, Pass::Promise, Pass::Lend] {
        for (at, one) in planned.iter().enumerate() {
            let mut maker = Maker {
                netlink,
                container,
                context,
                one,
                nic: &mut created.nics[at],
            };
            let done = match pass {
                Pass::Make => maker.make_with_script(),
                Pass::Promise => {
                    maker.promise();
                    Ok(())
                }
                Pass::Lend => maker.lend(),
            };
            if let Err(error) = done {
                for left in created.undo(netlink, context, Some(container.netns)) {
                    tracing::warn!("undoing the network: {left}");
                }
                return Err(error.of_nic(one.index, kind_name(&one.nic.kind)));
            }
            if pass == Pass::Make && created.needs_journal() {
                keep(&created);
            }
        }
        if pass == Pass::Promise && created.needs_journal() {
            keep(&created);
        }
    }
    for nic in &mut created.nics {
        let inside = &mut created.inside.nics;
        let inside = inside.iter_mut().find(|i| i.index == nic.index);
        let Some(inside) = inside else { continue };
        if let Some(arrived) = nic.arrived_as.take() {
            inside.arrives_as = arrived;
        }
        inside.ifindex = nic.arrived_index.take();
    }
    Ok(created)
}

/// What is done for all nics before the next is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Links are made, scripts run
    Make,
    /// What will be lent is noted down
    Promise,
    /// Links are lent
    Lend,
}

struct Maker<'a, 'n> {
    netlink: &'n mut Netlink,
    container: Container<'a>,
    context: &'a Context,
    one: &'n Planned<'n>,
    nic: &'n mut CreatedNic,
}

impl Maker<'_, '_> {
    fn target(&self) -> Target<'_> {
        Target::Fd(self.container.netns)
    }

    /// Makes the link and runs its script.up.
    fn make_with_script(&mut self) -> Result<()> {
        self.make()?;
        self.script_up()?;
        self.nic.complete = true;
        Ok(())
    }

    fn make(&mut self) -> Result<()> {
        if !self.context.privileged {
            return self.by_user_nic();
        }
        self.l2proxy()?;
        let link = self.one.link.clone();
        match (&self.one.nic.kind, link) {
            (NicKind::Empty | NicKind::None, _) => Ok(()),
            (NicKind::Veth(veth), link) => self.veth(veth, link),
            (NicKind::Macvlan(mode), Some(link)) => {
                let mode = match mode {
                    MacvlanMode::Private => 1,
                    MacvlanMode::Vepa => 2,
                    MacvlanMode::Bridge => 4,
                    MacvlanMode::Passthru => 8,
                };
                self.child_of(
                    &link,
                    LinkKind::Macvlan {
                        link: link.index,
                        mode,
                    },
                )
            }
            (NicKind::Ipvlan(mode, isolation), Some(link)) => self.ipvlan(&link, *mode, *isolation),
            (NicKind::Vlan(id), Some(link)) => self.child_of(
                &link,
                LinkKind::Vlan {
                    link: link.index,
                    id: *id,
                },
            ),
            (NicKind::Phys, Some(link)) if link.name == "lo" => Err(Error::Unsupported(
                "lo cannot be given to a container".into(),
            )),
            // Lent last.
            (NicKind::Phys, Some(_)) => Ok(()),
            (_, None) => Err(Error::Unsupported("the nic has no link".into())),
        }
    }

    fn veth(&mut self, veth: &Veth, link: Option<Link>) -> Result<()> {
        let router = veth.mode == VethMode::Router;
        let mtu = self.one.mtu.or(link.as_ref().map(|l| l.mtu));
        let made = self.pair(veth, mtu)?;
        let name = made.name.clone();
        self.nic.host_link(&made, veth.pair.is_some());
        // The other end of a pair tells its index, which counts in the namespace it is in.
        self.nic.arrived_index = made.link.filter(|_| made.link_netns.is_some());
        let master = if router { None } else { link.clone() };
        if let Some(bridge) = &master {
            // The bridge's port, not the port's own address, speaks for the container.
            // (Routes by the port itself need it all the same.)
            if veth.ipv6_routes.is_empty() {
                let _ = sysctl::set(Family::V6, &name, "disable_ipv6", "1");
            }
            self.join(bridge, &made, veth)?;
        }
        let changes = Change {
            up: Some(true),
            master: master.filter(is_bridge).map(|bridge| bridge.index),
            ..Change::default()
        };
        let what = match &link {
            Some(link) if changes.master.is_some() => {
                format!(
                    "attach \"{name}\" to the bridge \"{}\" and set it up",
                    link.name
                )
            }
            _ => format!("set \"{name}\" up"),
        };
        self.netlink.request(change(made.index, &changes, what))?;
        if let Some(bridge) = link.as_ref().filter(|l| !router && is_bridge(l)) {
            self.vlans(bridge, &made, veth)?;
        }
        if router {
            self.route_to_container(&made)?;
        }
        for (address, prefix) in veth
            .ipv4_routes
            .iter()
            .map(|(a, p)| ((*a).into(), *p))
            .chain(veth.ipv6_routes.iter().map(|(a, p)| ((*a).into(), *p)))
        {
            let to = Destination { address, prefix };
            self.netlink.request(
                Route {
                    to,
                    gateway: None,
                    link: Some(made.index),
                }
                .add(),
            )?;
        }
        Ok(())
    }

    /// Makes the pair, the other end in the container, and returns the host's end.
    fn pair(&mut self, veth: &Veth, mtu: Option<u32>) -> Result<Link> {
        let mut tries = 0;
        loop {
            let name = match &veth.pair {
                Some(name) => name.clone(),
                None => names::random_name("veth", 6)?,
            };
            let error = match self.pair_called(&name, veth, mtu) {
                Err(error) if error.is(Errno::EEXIST) => error,
                other => return other,
            };
            // The kernel does not say which of the two names is taken.
            let is_taken = self.netlink.link(&name)?.is_some();
            match &veth.pair {
                Some(_) if self.clear_orphan(&name)? => {
                    return self
                        .pair_called(&name, veth, mtu)
                        .map_err(|error| self.named_taken(error, None));
                }
                None if is_taken && tries < RETRIES => tries += 1,
                _ => return Err(self.named_taken(error, is_taken.then_some(&name))),
            }
        }
    }

    fn pair_called(&mut self, name: &str, veth: &Veth, mtu: Option<u32>) -> Result<Link> {
        let pair = NewLink {
            name,
            address: Some(names::random_host_mac()?),
            mtu,
            // The keys count the container's queues: what it receives by, the host sends by.
            tx_queues: veth.n_rxqueues,
            rx_queues: veth.n_txqueues,
            kind: LinkKind::Veth(Box::new(NewLink {
                name: &self.one.inside.arrives_as,
                address: self.one.mac,
                mtu,
                tx_queues: veth.n_txqueues,
                rx_queues: veth.n_rxqueues,
                target: Some(self.target()),
                ..NewLink::default()
            })),
            ..NewLink::default()
        };
        let message = pair.message();
        match self.netlink.create(message)? {
            Some(made) => Ok(made),
            None => self
                .netlink
                .need_link(name, ": it vanished right after it was made"),
        }
    }

    /// EEXIST in words: `host` is the name of the host's end, if that is what is taken.
    fn named_taken(&self, error: Error, host: Option<&String>) -> Error {
        match host {
            _ if !error.is(Errno::EEXIST) => error,
            Some(name) => Error::Unsupported(format!(
                "the name \"{name}\" of the host's end is taken by another link \
                 (choose another lxc.net.N.veth.pair, or delete that link)"
            )),
            None => Error::Unsupported(format!(
                "the name \"{}\" is taken by another link in the container \
                 (choose another lxc.net.N.name)",
                self.one.inside.arrives_as
            )),
        }
    }

    /// Deletes a link called `name` that is left of a container whose namespace is ending.
    /// Returns whether the name is free now. The last process may be just about to leave it, so
    /// this looks again for a fifth of a second before it believes that the name is in use.
    fn clear_orphan(&mut self, name: &str) -> Result<bool> {
        let mut pause = Duration::from_millis(1);
        loop {
            let Some(link) = self.netlink.link(name)? else {
                return Ok(true);
            };
            let (Some(id), Some("veth")) = (link.link_netns, link.kind.as_deref()) else {
                return Ok(false);
            };
            if !self.netlink.namespace_in_use(id)? {
                match self
                    .netlink
                    .request(crate::netlink::delete(link.index, name))
                {
                    Err(error) if !error.is(Errno::ENODEV) => return Err(error),
                    _ => return Ok(true),
                }
            }
            if pause > Duration::from_millis(128) {
                return Ok(false);
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
    }

    /// Checks what `bridge` is, and adds the port if Open vSwitch must do it.
    fn join(&mut self, bridge: &Link, port: &Link, veth: &Veth) -> Result<()> {
        if is_bridge(bridge) {
            return Ok(());
        }
        if !ovs::is_ovs_bridge(&bridge.name) {
            return Err(Error::Unsupported(format!(
                "\"{}\" is no bridge: link of a veth nic in bridge mode must be one \
                 (or set veth.mode = router)",
                bridge.name
            )));
        }
        ovs::add_port(
            &bridge.name,
            &port.name,
            veth.vlan_id.flatten(),
            &veth.vlan_tagged,
        )?;
        let (bridge, port) = (bridge.name.clone(), port.name.clone());
        self.nic.undo.push(Undo::OvsPort { bridge, port });
        Ok(())
    }

    fn vlans(&mut self, bridge: &Link, port: &Link, veth: &Veth) -> Result<()> {
        if veth.vlan_id.is_none() && veth.vlan_tagged.is_empty() {
            return Ok(());
        }
        if !bridge.vlan_filtering {
            return Err(Error::Unsupported(format!(
                "veth.vlan.id needs VLAN filtering on the bridge: \
                 ip link set {} type bridge vlan_filtering 1",
                bridge.name
            )));
        }
        let mut requests = Vec::new();
        if let Some(own) = veth.vlan_id {
            let default = bridge
                .default_pvid
                .filter(|id| *id != 0 && Some(*id) != own);
            requests.extend(default.map(|id| delete_port_vlan(port.index, &port.name, id)));
            requests.extend(own.map(|id| add_port_vlan(port.index, &port.name, id, true)));
        }
        for id in &veth.vlan_tagged {
            requests.push(add_port_vlan(port.index, &port.name, *id, false));
        }
        self.netlink.batch(requests).map_err(|(_, error)| error)
    }

    fn ipvlan(&mut self, link: &Link, mode: IpvlanMode, isolation: IpvlanIsolation) -> Result<()> {
        let mode = match mode {
            IpvlanMode::L2 => 0,
            IpvlanMode::L3 => 1,
            IpvlanMode::L3s => 2,
        };
        let flags = match isolation {
            IpvlanIsolation::Bridge => 0,
            IpvlanIsolation::Private => 1,
            IpvlanIsolation::Vepa => 2,
        };
        self.child_of(
            link,
            LinkKind::Ipvlan {
                link: link.index,
                mode,
                flags,
            },
        )
    }

    /// Makes a link on top of `link`, directly in the container's namespace.
    fn child_of(&mut self, link: &Link, kind: LinkKind<'_>) -> Result<()> {
        let kind_name = kind.name();
        let late = matches!(kind, LinkKind::Ipvlan { .. });
        let name = self.one.inside.arrives_as.clone();
        let new = NewLink {
            name: &name,
            kind,
            address: self.one.mac.filter(|_| !late),
            mtu: self.one.mtu.filter(|_| !late),
            target: Some(self.target()),
            ..NewLink::default()
        };
        self.netlink.request(new.message()).map_err(|error| {
            if error.is(Errno::EOPNOTSUPP) {
                Error::Unsupported(format!(
                    "the kernel cannot make {kind_name} links on \"{}\" (module missing? try \
                     `modprobe {}`)",
                    link.name,
                    if kind_name == "vlan" {
                        "8021q"
                    } else {
                        kind_name
                    }
                ))
            } else {
                error
            }
        })?;
        self.nic.undo.push(Undo::Inside { name });
        Ok(())
    }

    fn script_up(&self) -> Result<()> {
        let Some(script) = self.nic.script_up.as_deref() else {
            return Ok(());
        };
        // As LXC: without root, only what lxc-user-nic has made has scripts.
        if !self.context.privileged && self.nic.kind == "empty" {
            return Ok(());
        }
        let subject = Subject {
            kind: &self.nic.kind,
            link: self.nic.link.as_deref(),
            peer: self.nic.host_name.as_deref(),
        };
        script::run(self.context, script, When::Up, &subject)
    }
}

fn is_bridge(link: &Link) -> bool {
    link.kind.as_deref() == Some("bridge")
}
