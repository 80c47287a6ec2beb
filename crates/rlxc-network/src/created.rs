//! What a start has made, and how it is undone; plain data that can be kept on disk.

mod lent;

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use rlxc_config::Nic;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::inside::Inside;
use crate::netlink::{Change, Link, Netlink, Proxy, Route, change, delete};
use crate::script::{self, Subject, When};
use crate::{netns, ovs, user_nic};
use lent::{bring_back, restore_returned};

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
        /// Whether it outlives the namespace it is in (the kernel gives hardware back some time
        /// after the end of a namespace, and deletes what is virtual with it)
        #[serde(default)]
        hardware: bool,
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
    #[serde(skip)]
    pub(crate) arrived_index: Option<u32>,
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
            arrived_index: None,
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
    /// What an earlier start has lent and the kernel has not given back yet
    #[serde(default)]
    pub owed: Vec<Undo>,
}

/// How long the kernel may take to give hardware back, once the last process of its namespace has
/// ended.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 3000 });

/// Between two looks for it.
const PAUSE: Duration = Duration::from_millis(20);

/// How thorough an undoing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// All, now (a start that failed, a reboot)
    All,
    /// What the end of the namespace does not undo by itself
    Lasting,
    /// What a monitor that was killed has left
    Left,
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

    /// Whether [`Created::teardown`] has something to do. Not where all that was made ends with the
    /// container's namespace, and no script waits for its end.
    pub fn needs_teardown(&self) -> bool {
        self.nics.iter().any(|nic| {
            let ends_by_itself = |undo: &Undo| {
                matches!(
                    undo,
                    Undo::Inside { .. }
                        | Undo::Veth {
                            own_name: false,
                            ..
                        }
                )
            };
            nic.script_down.is_some() || !nic.undo.iter().all(ends_by_itself)
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
    /// Pairs named by the user give their name up here: the next start needs it.
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
                delete_veth(netlink, *index, name, *namespace)?;
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
        let left = self.recover_each(netlink, context, netns);
        left.into_iter().map(|(_, error)| error).collect()
    }

    /// As [`Created::recover`], with what could not be undone beside the reason. Lent hardware that
    /// is still on its way is waited for, once: what is [`Created::owed`] is only looked for.
    pub(crate) fn recover_each(
        &self,
        netlink: &mut Netlink,
        context: &Context,
        netns: Option<BorrowedFd<'_>>,
    ) -> Vec<(Undo, Error)> {
        let mut until = Some(Instant::now() + PATIENCE);
        let mut left = Vec::new();
        let fresh = self.nics.iter().flat_map(|nic| nic.undo.iter().rev());
        for (undo, is_owed) in fresh
            .map(|undo| (undo, false))
            .chain(self.owed.iter().map(|undo| (undo, true)))
        {
            let mut result = undo_one(undo, netlink, context, netns, Depth::Left);
            while result.as_ref().is_err_and(|e| e.is(Errno::ENODEV))
                && matches!(undo, Undo::Phys { .. })
                && !is_owed
                && until.is_some_and(|until| Instant::now() < until)
            {
                std::thread::sleep(PAUSE);
                result = undo_one(undo, netlink, context, netns, Depth::Left);
            }
            if let Err(error) = result {
                until = None;
                left.push((undo.clone(), error));
            }
        }
        left
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
            namespace,
        } => match depth {
            Depth::Lasting if *own_name => step_aside(netlink, *index, name, *namespace),
            Depth::Lasting => Ok(()),
            Depth::All | Depth::Left => delete_veth(netlink, *index, name, None),
        },
        Undo::Inside { name } => match netns {
            Some(netns) if depth != Depth::Lasting => {
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
            // It may never have left, somebody may have taken it out, or the kernel was faster.
            if came_back {
                Ok(())
            } else {
                restore_returned(netlink, undo, depth)
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

/// Whether `link` is the host's end that was made under `name`: by that name, or, for one that has
/// stepped aside, by the namespace of the other end.
fn is_ours(link: &Link, name: &str, namespace: Option<i32>) -> bool {
    let other_end = namespace.is_some() && link.link_netns == namespace;
    (link.name == name || other_end) && link.kind.as_deref() == Some("veth")
}

/// Deletes the host's end, if `index` is still that link.
fn delete_veth(
    netlink: &mut Netlink,
    index: u32,
    name: &str,
    namespace: Option<i32>,
) -> Result<()> {
    match netlink.link_by_index(index)? {
        Some(link) if is_ours(&link, name, namespace) => {
            gone_is_fine(netlink.request(delete(index, name)))
        }
        _ => Ok(()),
    }
}

/// Makes a name that the user chose free for whoever wants it next: the link takes a random one
/// and ends with its namespace. A deletion would keep the stop waiting for the kernel.
fn step_aside(netlink: &mut Netlink, index: u32, name: &str, namespace: Option<i32>) -> Result<()> {
    match netlink.link_by_index(index)? {
        Some(link) if link.name == name && link.kind.as_deref() == Some("veth") => {}
        _ => return Ok(()),
    }
    let spare = crate::names::random_name("veth", 6)?;
    // Kernels before 6.2 rename nothing that is up.
    let down = Change {
        up: Some(false),
        ..Change::default()
    };
    let rename = Change {
        name: Some(&spare),
        ..Change::default()
    };
    let requests = vec![
        change(index, &down, format!("set \"{name}\" down")),
        change(index, &rename, format!("free the name \"{name}\"")),
    ];
    match netlink.batch(requests) {
        Ok(()) => Ok(()),
        Err((_, error)) if error.is(Errno::ENODEV) => Ok(()),
        Err(_) => delete_veth(netlink, index, name, namespace),
    }
}
