//! Networks of running containers: interfaces, addresses, counters; lending links later.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::AsFd;

use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::interface::with_scope;
use crate::names;
use crate::netlink::{Address, Change, Netlink, Statistics, Target, change, wireless};
use crate::{netns, procnet};

pub use crate::interface::{Interface, InterfaceAddress};

/// An address family filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `inet`
    Inet,
    /// `inet6`
    Inet6,
}

/// The interfaces of the network namespace of process `pid`, in the kernel's order.
///
/// Enters the namespace on a thread of its own. A user without the right to enter it gets what
/// /proc/PID/net tells (names, counters, addresses).
///
/// # Errors
/// [`Error::File`] if the process is gone, [`Error::Kernel`].
pub fn interfaces(pid: i32) -> Result<Vec<Interface>> {
    let entered = netns::of_pid(pid).and_then(|fd| netns::netlink_in(fd.as_fd()));
    match entered {
        Ok(mut netlink) => interfaces_on(&mut netlink),
        Err(error) if error.is(Errno::EPERM) || error.is(Errno::EACCES) => procnet::interfaces(pid),
        Err(error) => Err(error),
    }
}

/// As [`interfaces`], on a socket of the namespace.
///
/// # Errors
/// As [`Netlink::request`].
pub fn interfaces_on(netlink: &mut Netlink) -> Result<Vec<Interface>> {
    let mut by_link: BTreeMap<u32, Vec<Address>> = BTreeMap::new();
    for address in netlink.addresses()? {
        by_link.entry(address.link).or_default().push(address);
    }
    let links = netlink.links()?.into_iter().map(|link| {
        let addresses = by_link.remove(&link.index).unwrap_or_default();
        Interface {
            up: link.is_up(),
            mac: link.address_text(),
            index: link.index,
            mtu: link.mtu,
            statistics: link.statistics.unwrap_or_default(),
            addresses: addresses
                .into_iter()
                .map(|a| InterfaceAddress {
                    label: a.label.filter(|label| *label != link.name),
                    ..with_scope(a.address, a.prefix, a.link)
                })
                .collect(),
            name: link.name,
        }
    });
    Ok(links.collect())
}

/// The names of the interfaces of process `pid` and those that addresses have of their own, sorted
/// (the C API's `get_interfaces`).
///
/// # Errors
/// As [`interfaces`].
pub fn interface_names(pid: i32) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for found in interfaces(pid)? {
        names.extend(found.addresses.into_iter().filter_map(|a| a.label));
        names.push(found.name);
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// The addresses of process `pid`'s namespace as the C API's `get_ips` gives them: of one
/// interface or of all but `lo`; of one family or both; IPv6 addresses only with `scope` as
/// their scope id. Sorted as text.
///
/// # Errors
/// As [`interfaces`].
pub fn ips(
    pid: i32,
    interface: Option<&str>,
    family: Option<Family>,
    scope: u32,
) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for found in interfaces(pid)? {
        let wanted = |a: &&InterfaceAddress| {
            let name = a.label.as_ref().unwrap_or(&found.name);
            let of_family = match a.address {
                IpAddr::V4(_) => family != Some(Family::Inet6),
                IpAddr::V6(_) => family != Some(Family::Inet) && a.scope_id == scope,
            };
            interface.map_or(name != "lo", |wanted| name == wanted) && of_family
        };
        all.extend(
            found
                .addresses
                .iter()
                .filter(wanted)
                .map(|a| a.address.to_string()),
        );
    }
    all.sort();
    Ok(all)
}

/// Whether the caller's namespace has an interface called `name`.
///
/// # Errors
/// As [`Netlink::request`].
pub fn exists(name: &str) -> Result<bool> {
    Ok(names::name_problem(name).is_none() && Netlink::open()?.link(name)?.is_some())
}

/// Counters of host link `name` (the host's end of a container's pair), as the host counts; see
/// [`Statistics::from_other_end`].
///
/// # Errors
/// [`Error::NoSuchLink`], [`Error::Kernel`].
pub fn statistics(name: &str) -> Result<Statistics> {
    let mut netlink = Netlink::open()?;
    let index = netlink.need_link(name, "")?.index;
    let link = netlink.link_by_index(index)?;
    Ok(link.and_then(|link| link.statistics).unwrap_or_default())
}

/// Moves host link `name` into the running container of `pid`, called `as_name` there (the C
/// API's `attach_interface`, `lxc-device add`).
///
/// # Errors
/// [`Error::NoSuchLink`], [`Error::Unsupported`] for a name that cannot be, [`Error::Kernel`]
/// (EEXIST: the name is taken in the container).
pub fn attach_interface(pid: i32, name: &str, as_name: Option<&str>) -> Result<()> {
    let as_name = checked(as_name.unwrap_or(name))?;
    let mut netlink = Netlink::open()?;
    let link = netlink.need_link(name, "")?;
    let target = netns::of_pid(pid)?;
    let target = target.as_fd();
    refuse_taken(&mut netns::netlink_in(target)?, as_name)?;
    let down = Change {
        up: Some(false),
        ..Change::default()
    };
    netlink.request(change(link.index, &down, format!("set \"{name}\" down")))?;
    if let Some(phy) = wireless::phy_of(name) {
        wireless::move_phy(phy, Target::Fd(target))?;
        return match as_name == name {
            true => Ok(()),
            false => rename_on(&mut netns::netlink_in(target)?, name, as_name),
        };
    }
    let result = move_link(&mut netlink, link.index, name, as_name, Target::Fd(target));
    if result.is_err() && link.is_up() {
        let _ = netlink.request(crate::netlink::set_link_up(link.index, name));
    }
    result
}

/// Moves link `name` of the running container of `pid` to the caller's namespace, called
/// `as_name` there (the C API's `detach_interface`).
///
/// # Errors
/// As [`attach_interface`].
pub fn detach_interface(pid: i32, name: &str, as_name: Option<&str>) -> Result<()> {
    let as_name = checked(as_name.unwrap_or(name))?;
    refuse_taken(&mut Netlink::open()?, as_name)?;
    let own = netns::own()?;
    let container = netns::of_pid(pid)?;
    netns::run_in(container.as_fd(), || {
        let mut netlink = Netlink::open()?;
        let link = netlink.need_link(name, " in the container")?;
        let down = Change {
            up: Some(false),
            ..Change::default()
        };
        netlink.request(change(link.index, &down, format!("set \"{name}\" down")))?;
        if let Some(phy) = wireless::phy_of_index(link.index) {
            if as_name != name {
                rename_on(&mut netlink, name, as_name)?;
            }
            return wireless::move_phy(phy, Target::Fd(own.as_fd()));
        }
        move_link(
            &mut netlink,
            link.index,
            name,
            as_name,
            Target::Fd(own.as_fd()),
        )
    })
}

/// Renames interface `name` of the running container of `pid`; a link that is up goes down for
/// it where the kernel asks so, and up again.
///
/// # Errors
/// As [`attach_interface`].
pub fn rename_interface(pid: i32, name: &str, new_name: &str) -> Result<()> {
    let new_name = checked(new_name)?;
    let container = netns::of_pid(pid)?;
    rename_on(&mut netns::netlink_in(container.as_fd())?, name, new_name)
}

fn rename_on(netlink: &mut Netlink, name: &str, new_name: &str) -> Result<()> {
    let link = netlink.need_link(name, " in the container")?;
    let what = format!("rename \"{name}\" to \"{new_name}\"");
    let rename = Change {
        name: Some(new_name),
        ..Change::default()
    };
    match netlink.request(change(link.index, &rename, what.clone())) {
        Err(error) if error.is(Errno::EBUSY) && link.is_up() => {
            let down = Change {
                up: Some(false),
                ..Change::default()
            };
            netlink.request(change(link.index, &down, format!("set \"{name}\" down")))?;
            let renamed = netlink.request(change(link.index, &rename, what));
            netlink.request(crate::netlink::set_link_up(link.index, new_name))?;
            renamed
        }
        other => other,
    }
}

fn move_link(
    netlink: &mut Netlink,
    index: u32,
    name: &str,
    as_name: &str,
    target: Target<'_>,
) -> Result<()> {
    let new_name = (name != as_name).then_some(as_name);
    let changes = Change {
        name: new_name,
        target: Some(target),
        ..Change::default()
    };
    let what = format!("move \"{name}\" to the other network namespace as \"{as_name}\"");
    netlink.request(change(index, &changes, what))
}

/// The kernel moves first and renames then: a taken name would leave the link half way.
fn refuse_taken(netlink: &mut Netlink, name: &str) -> Result<()> {
    match netlink.link(name)? {
        Some(_) => Err(Error::Kernel {
            what: format!("use the name \"{name}\": another interface there has it"),
            message: None,
            source: Errno::EEXIST,
        }),
        None => Ok(()),
    }
}

fn checked(name: &str) -> Result<&str> {
    match names::name_problem(name) {
        None => Ok(name),
        Some(problem) => Err(Error::Unsupported(format!(
            "the interface name \"{name}\" {problem}"
        ))),
    }
}
