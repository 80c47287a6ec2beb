//! What a start has made, and how it is undone; plain data that can be kept on disk.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use rlxc_config::Nic;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::host::{Context, own_namespace};
use crate::inside::Inside;
use crate::netlink::{Change, Link, Netlink, Proxy, Route, Target, change, delete, wireless};
use crate::script::{self, Subject, When};
use crate::{netns, ovs, user_nic};

/// One thing to undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Undo {
    /// The host's end of a pair. It dies with the container's namespace; `own_name` says that the
    /// user chose its name, which must be free again for the next start
    #[allow(missing_docs)]
    Veth {
        index: u32,
        name: String,
        own_name: bool,
        /// The kernel's id of the other end's namespace, as the host has it
        #[serde(default)]
        namespace: Option<i32>,
    },
    /// A link that was made in the container's namespace and dies with it
    #[allow(missing_docs)]
    Inside { name: String },
    /// A proxy neighbour on a host link
    Proxy(Proxy),
    /// A route on a host link
    Route(Route),
    /// A port of an Open vSwitch bridge
    #[allow(missing_docs)]
    OvsPort { bridge: String, port: String },
    /// A nic made by lxc-user-nic
    #[allow(missing_docs)]
    UserNic { bridge: String, name: String },
    /// A host link that was moved into the container
    Phys {
        /// Its index
        index: u32,
        /// Its name on the host
        name: String,
        /// Its name in the container
        inside: String,
        /// Its MAC address before
        address: Vec<u8>,
        /// Its MTU before
        mtu: u32,
        /// Its phy if it is wireless
        phy: Option<u32>,
    },
}

/// What was made for one nic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedNic {
    /// N of lxc.net.N
    pub index: u32,
    /// The configuration's type name
    pub kind: String,
    /// `lxc.net.N.link`
    pub link: Option<String>,
    /// Name of the host's end of a pair
    pub host_name: Option<String>,
    /// Index of the host's end of a pair
    pub host_index: Option<u32>,
    /// `lxc.net.N.script.up`
    pub script_up: Option<String>,
    /// `lxc.net.N.script.down`
    pub script_down: Option<String>,
    /// Whether the link was made and its script.up ran
    #[serde(default)]
    pub complete: bool,
    /// What to undo, in the order it was done
    pub undo: Vec<Undo>,
    #[serde(skip)]
    pub(crate) arrived_as: Option<String>,
}

impl CreatedNic {
    pub(crate) fn new(index: u32, kind: &str, nic: &Nic) -> Self {
        Self {
            index,
            kind: kind.to_owned(),
            link: nic.link.clone().filter(|l| !l.is_empty()),
            host_name: None,
            host_index: None,
            script_up: nic.script_up.clone().filter(|s| !s.is_empty()),
            script_down: nic.script_down.clone().filter(|s| !s.is_empty()),
            complete: false,
            undo: Vec::new(),
            arrived_as: None,
        }
    }

    pub(crate) fn host_link(&mut self, made: &Link, own_name: bool) {
        self.host_name = Some(made.name.clone());
        self.host_index = Some(made.index);
        self.undo.push(Undo::Veth {
            index: made.index,
            name: made.name.clone(),
            own_name,
            namespace: made.link_netns,
        });
    }
}

/// What [`crate::setup_host`] has made. Serialise it into the container's run directory: after a
/// crash of the monitor, [`Created::recover`] gives back what the kernel did not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// What the container's first process has to do
    pub inside: Inside,
    /// The nics, in order
    pub nics: Vec<CreatedNic>,
}

/// How thorough an undoing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// All, now (a start that failed, a reboot)
    All,
    /// What the end of the namespace does not undo by itself
    Lasting,
}

impl Created {
    /// Whether something is there that outlives a crashed monitor, so that a journal is worth
    /// writing: phys nics, Open vSwitch ports, neighbour proxies, routes.
    pub fn needs_journal(&self) -> bool {
        self.nics.iter().flat_map(|nic| &nic.undo).any(|undo| {
            !matches!(
                undo,
                Undo::Veth { .. } | Undo::Inside { .. } | Undo::UserNic { .. }
            )
        })
    }

    /// The name of the host's end of nic `index`'s pair (the running container's
    /// `lxc.net.N.veth.pair`).
    pub fn host_name(&self, index: u32) -> Option<&str> {
        self.nics
            .iter()
            .find(|nic| nic.index == index)?
            .host_name
            .as_deref()
    }

    /// Takes the network of a stopped (or stopping) container down: runs each script.down, gives
    /// phys links back under their old names, removes ports, proxies and routes.
    ///
    /// Pairs with a random name are left to the kernel, which deletes them with the namespace,
    /// so that stop does not wait for it; call [`Created::finish`] when nobody waits any more.
    /// Pairs named by the user are deleted here: the next start needs their name.
    ///
    /// `netlink` is a socket of the host's namespace, `netns` the container's. All errors are
    /// collected; each step is tried.
    pub fn teardown(
        &self,
        netlink: &mut Netlink,
        context: &Context,
        netns: Option<BorrowedFd<'_>>,
    ) -> Vec<Error> {
        self.run(netlink, context, netns, Depth::Lasting)
    }

    /// As [`Created::teardown`], and deletes everything at once: for a start that failed, and
    /// before a reboot.
    pub fn undo(
        &self,
        netlink: &mut Netlink,
        context: &Context,
        netns: Option<BorrowedFd<'_>>,
    ) -> Vec<Error> {
        self.run(netlink, context, netns, Depth::All)
    }

    /// Deletes host ends that would stay, because something holds the container's namespace open.
    /// Call it last, with no descriptor of the namespace left. A namespace that nobody holds takes
    /// the pair along by itself: the kernel does that for many at a time, while a deletion by hand
    /// keeps everybody off the links for tens of milliseconds.
    ///
    /// # Errors
    /// The first deletion that failed for another reason than that the link is gone.
    pub fn finish(&self, netlink: &mut Netlink) -> Result<()> {
        for undo in self.nics.iter().flat_map(|nic| &nic.undo) {
            if let Undo::Veth {
                index,
                name,
                namespace,
                ..
            } = undo
            {
                if namespace.is_some_and(|id| ends_by_itself(netlink, id)) {
                    continue;
                }
                delete_veth(netlink, *index, name)?;
            }
        }
        Ok(())
    }

    /// Gives back what a monitor that crashed could not: the kernel has returned phys links by
    /// their names in the container (or with a number), and kept ports, proxies and routes.
    /// Scripts are not run. With the container's namespace, if something still holds it, links are
    /// fetched from there: virtual ones would end with it.
    pub fn recover(
        &self,
        netlink: &mut Netlink,
        context: &Context,
        netns: Option<BorrowedFd<'_>>,
    ) -> Vec<Error> {
        let mut errors = Vec::new();
        for undo in self.nics.iter().flat_map(|nic| nic.undo.iter().rev()) {
            let result = undo_one(undo, netlink, context, netns, Depth::All);
            errors.extend(result.err());
        }
        errors
    }

    fn run(
        &self,
        netlink: &mut Netlink,
        context: &Context,
        netns: Option<BorrowedFd<'_>>,
        depth: Depth,
    ) -> Vec<Error> {
        let mut errors = Vec::new();
        // Lent links first: the scripts find them on the host.
        let is_lent = |undo: &&Undo| matches!(undo, Undo::Phys { .. });
        for undo in self.nics.iter().flat_map(|nic| &nic.undo).filter(is_lent) {
            errors.extend(undo_one(undo, netlink, context, netns, depth).err());
        }
        for nic in &self.nics {
            // LXC runs it for what has a link, so not for `empty`.
            if let Some(script) = nic.script_down.as_deref()
                && nic.kind != "empty"
                && nic.complete
            {
                let subject = Subject {
                    kind: &nic.kind,
                    link: nic.link.as_deref(),
                    peer: nic.host_name.as_deref(),
                };
                errors.extend(script::run(context, script, When::Down, &subject).err());
            }
            for undo in nic.undo.iter().rev().filter(|undo| !is_lent(undo)) {
                errors.extend(undo_one(undo, netlink, context, netns, depth).err());
            }
        }
        errors
    }
}

fn undo_one(
    undo: &Undo,
    netlink: &mut Netlink,
    context: &Context,
    netns: Option<BorrowedFd<'_>>,
    depth: Depth,
) -> Result<()> {
    match undo {
        Undo::Veth {
            index,
            name,
            own_name,
            ..
        } => {
            if depth == Depth::All || *own_name {
                delete_veth(netlink, *index, name)
            } else {
                Ok(())
            }
        }
        Undo::Inside { name } => match netns {
            Some(netns) if depth == Depth::All => {
                let mut inside = netns::netlink_in(netns)?;
                match inside.link(name)? {
                    Some(link) => gone_is_fine(inside.request(delete(link.index, name))),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        },
        Undo::Proxy(proxy) => gone_is_fine(netlink.request(proxy.delete())),
        Undo::Route(route) => gone_is_fine(netlink.request(route.delete())),
        Undo::OvsPort { bridge, port } => ovs::delete_port(bridge, port),
        Undo::UserNic { bridge, name } => match netns {
            Some(netns) => user_nic::delete(context, netns, bridge, name),
            None => Ok(()),
        },
        Undo::Phys { .. } => {
            let came_back = match netns {
                Some(netns) => bring_back(netns, netlink, undo)?,
                None => false,
            };
            // It may never have left, or the kernel was faster.
            if came_back {
                Ok(())
            } else {
                restore_returned(netlink, undo)
            }
        }
    }
}

/// Whether the namespace with this id is let go by all. What its last processes had open (a netlink
/// socket) counts until the kernel's next grace period.
fn ends_by_itself(netlink: &mut Netlink, id: i32) -> bool {
    for pause in [0, 1, 2, 4, 8, 16] {
        std::thread::sleep(std::time::Duration::from_millis(pause));
        if !netlink.namespace_held(id) {
            return true;
        }
    }
    false
}

fn gone_is_fine(result: Result<()>) -> Result<()> {
    match result {
        Err(error)
            if [Errno::ENODEV, Errno::ENOENT, Errno::ESRCH]
                .iter()
                .any(|e| error.is(*e)) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Deletes the host's end, if `index` is still the veth of that name.
fn delete_veth(netlink: &mut Netlink, index: u32, name: &str) -> Result<()> {
    match netlink.link_by_index(index)? {
        Some(link) if link.name == name && link.kind.as_deref() == Some("veth") => {
            gone_is_fine(netlink.request(delete(index, name)))
        }
        _ => Ok(()),
    }
}

/// Moves a phys link from the container's namespace to the caller's, as it was. Returns whether
/// it was there.
fn bring_back(netns: BorrowedFd<'_>, netlink: &mut Netlink, undo: &Undo) -> Result<bool> {
    let Undo::Phys {
        index,
        name,
        address,
        mtu,
        phy,
        ..
    } = undo
    else {
        return Ok(false);
    };
    let own = own_namespace()?;
    let own = own.as_fd();
    // The kernel moves first and renames then: a name nobody has makes the move safe.
    let spare = crate::names::random_name("phys", 6)?;
    let found = netns::run_in(netns, || {
        let mut inside = Netlink::open()?;
        let Some(link) = inside.link_by_index(*index)? else {
            return Ok(false);
        };
        let reset = Change {
            up: Some(false),
            name: Some(&spare),
            address: (link.address != *address && !address.is_empty()).then_some(address),
            mtu: (link.mtu != *mtu).then_some(*mtu),
            ..Change::default()
        };
        let what = format!("restore MAC address and MTU of \"{name}\"");
        let reset = inside.request(change(*index, &reset, what));
        match phy {
            Some(phy) => wireless::move_phy(*phy, Target::Fd(own))?,
            None => {
                let back = Change {
                    target: Some(Target::Fd(own)),
                    ..Change::default()
                };
                inside.request(change(
                    *index,
                    &back,
                    format!("give \"{name}\" back to the host"),
                ))?;
            }
        }
        reset.map(|()| true)
    })?;
    if found {
        let link = netlink.need_link(&spare, ": it did not come back from the container")?;
        let rename = Change {
            name: Some(name),
            ..Change::default()
        };
        let what = format!("give the link that came back as \"{spare}\" its old name \"{name}\"");
        netlink.request(change(link.index, &rename, what))?;
    }
    Ok(found)
}

/// Restores a phys link that the kernel gave back, or that never left.
fn restore_returned(netlink: &mut Netlink, undo: &Undo) -> Result<()> {
    let Undo::Phys {
        index,
        name,
        inside,
        address,
        mtu,
        ..
    } = undo
    else {
        return Ok(());
    };
    match find_returned(netlink, *index, [name, inside], address)? {
        Some(link) => restore(netlink, &link, name, address, *mtu),
        None => Ok(()),
    }
}

/// Finds a link that came back under another name: by its hardware address, or by its index or
/// name in the container together with one of the two names or its MAC address.
fn find_returned(
    netlink: &mut Netlink,
    index: u32,
    names: [&String; 2],
    address: &[u8],
) -> Result<Option<Link>> {
    let ours = |link: &Link| {
        let hardware = !link.permanent_address.is_empty() && link.permanent_address == address;
        let named = names.contains(&&link.name);
        hardware || (link.index == index && named) || (named && link.address == address)
    };
    Ok(netlink.links()?.into_iter().find(ours))
}

/// Name, MAC address and MTU as they were.
fn restore(netlink: &mut Netlink, link: &Link, name: &str, mac: &[u8], mtu: u32) -> Result<()> {
    let changes = Change {
        name: (link.name != name).then_some(name),
        address: (link.address != mac && !mac.is_empty()).then_some(mac),
        mtu: (link.mtu != mtu).then_some(mtu),
        up: Some(false),
        ..Change::default()
    };
    if changes.name.is_none() && changes.address.is_none() && changes.mtu.is_none() {
        return Ok(());
    }
    let what = format!("restore name, MAC address and MTU of \"{name}\"");
    netlink.request(change(link.index, &changes, what))
}
