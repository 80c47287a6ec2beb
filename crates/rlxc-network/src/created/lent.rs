//! Links that were lent to a container (type phys), back as they were.

use std::os::fd::{AsFd, BorrowedFd};

use super::{Depth, Undo};
use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::netlink::{Change, Link, Message, Netlink, Target, change, drop_altname, wireless};
use crate::netns;

/// Moves a phys link from the container's namespace to the caller's, as it was. Returns whether
/// it was there.
pub(super) fn bring_back(
    netns: BorrowedFd<'_>,
    netlink: &mut Netlink,
    undo: &Undo,
) -> Result<bool> {
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
    let own = netns::own()?;
    let own = own.as_fd();
    // The kernel moves first and renames then: a name nobody has makes the move safe.
    let spare = crate::names::random_name("phys", 6)?;
    let found = netns::run_in(netns, || {
        let mut inside = Netlink::open()?;
        let Some(link) = inside.link_by_index(*index)? else {
            return Ok(false);
        };
        // Kernels before 6.2 rename nothing that is up.
        let down = set_down(*index, name);
        let reset = Change {
            name: Some(&spare),
            address: (link.address != *address && !address.is_empty()).then_some(address),
            mtu: (link.mtu != *mtu).then_some(*mtu),
            ..Change::default()
        };
        let what = format!("restore MAC address and MTU of \"{name}\"");
        let reset = inside.batch(vec![down, change(*index, &reset, what)]);
        let reset = reset.map_err(|(_, error)| error);
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
///
/// While a container lives the kernel gives nothing back: a link that is on the host under another
/// name then was taken out by somebody who wants it so.
pub(super) fn restore_returned(netlink: &mut Netlink, undo: &Undo, depth: Depth) -> Result<()> {
    let Undo::Phys {
        index,
        name,
        inside,
        address,
        mtu,
        hardware,
        ..
    } = undo
    else {
        return Ok(());
    };
    match find_returned(netlink, *index, [name, inside], address)? {
        Some(link) if depth == Depth::Left || link.name == *name => {
            restore(netlink, &link, name, address, *mtu)
        }
        None if *hardware => Err(Error::NoSuchLink {
            name: name.clone(),
            remedy: ": it was lent to the container and has not come back (look for it with \
                     `ip link`; the next start and `rlxc recover` look again)",
        }),
        _ => Ok(()),
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
        // `devN` is what the kernel calls it when the host has taken its name meanwhile.
        let number = link.name.strip_prefix("dev").map(str::parse::<u32>);
        let named = names.contains(&&link.name) || matches!(number, Some(Ok(_)));
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
        ..Change::default()
    };
    if changes.name.is_none() && changes.address.is_none() && changes.mtu.is_none() {
        return Ok(());
    }
    let what = format!("restore name, MAC address and MTU of \"{name}\"");
    let requests = vec![
        set_down(link.index, &link.name),
        change(link.index, &changes, what),
    ];
    match netlink.batch(requests) {
        // udev notes the old name as another one of the link that came back: its own name then.
        Err((_, error)) if error.is(Errno::EEXIST) && changes.name.is_some() => {
            if netlink.request(drop_altname(link.index, name)).is_err() {
                return Err(error);
            }
            let what = format!("give the link \"{}\" its old name \"{name}\"", link.name);
            netlink.request(change(link.index, &changes, what))
        }
        other => other.map_err(|(_, error)| error),
    }
}

fn set_down(index: u32, name: &str) -> Message {
    let down = Change {
        up: Some(false),
        ..Change::default()
    };
    change(index, &down, format!("set \"{name}\" down"))
}
