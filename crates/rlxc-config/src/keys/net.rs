//! `lxc.net.N.*`: the families' two rows, and the table of sub-keys.

use super::{Fault, KeyRow, lines};
use crate::config::{Config, Nic, NicKind};
use crate::error::ValueError;

mod address;
mod subkeys;

pub(crate) use address::ipv4;
pub use subkeys::SUBKEYS;
pub(crate) use subkeys::fresh_kind;

/// One sub-key of `lxc.net.N.`.
#[derive(Debug, Clone, Copy)]
pub struct NetKeyRow {
    /// The part after `lxc.net.N.`.
    pub name: &'static str,
    /// The value's form.
    pub value: &'static str,
    /// What holds when it is not set.
    pub default: &'static str,
    /// Whether each line adds to the value.
    pub list: bool,
    /// The LXC version that brought it under this name.
    pub since: &'static str,
    /// Its meaning.
    pub doc: &'static str,
    /// An example value.
    pub example: &'static str,
    pub(crate) parse: fn(&mut Nic, &str) -> Result<(), ValueError>,
    pub(crate) show: fn(&Nic) -> Option<String>,
    pub(crate) clear: fn(&mut Nic),
}

/// Splits `N` or `N.SUB`.
fn split(rest: &str) -> Option<(u32, Option<&str>)> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, tail) = rest.split_at(digits);
    let index: u32 = number
        .parse()
        .ok()
        .filter(|n| *n < i32::MAX.cast_unsigned())?;
    match tail.strip_prefix('.') {
        Some(sub) => Some((index, Some(sub))),
        None => tail.is_empty().then_some((index, None)),
    }
}

/// The row of a sub-key.
pub(crate) fn subkey(name: &str) -> Option<&'static NetKeyRow> {
    SUBKEYS.iter().find(|row| row.name == name)
}

/// Whether `rest` (after `lxc.net.`) is `N` or `N.` and a known sub-key.
pub(crate) fn is_known(rest: &str) -> bool {
    match split(rest) {
        Some((_, Some(sub))) => subkey(sub).is_some(),
        Some((_, None)) => true,
        None => false,
    }
}

fn parse(c: &mut Config, rest: &str, value: &str) -> Result<(), Fault> {
    let (index, sub) = split(rest).ok_or(Fault::Unknown)?;
    if value.is_empty() {
        return clear_present(c, index, sub);
    }
    // As in LXC the network comes into being before its sub-key is looked at.
    let nic = c.net.entry(index).or_default();
    let Some(sub) = sub else {
        return Err(ValueError::expected("no value: lxc.net.N only removes the network").into());
    };
    let row = subkey(sub).ok_or(Fault::Unknown)?;
    Ok((row.parse)(nic, value)?)
}

/// The empty value: removes the network, or clears a sub-key of one that exists.
fn clear_present(c: &mut Config, index: u32, sub: Option<&str>) -> Result<(), Fault> {
    let Some(sub) = sub else {
        c.net.remove(&index);
        return Ok(());
    };
    let row = subkey(sub).ok_or(Fault::Unknown)?;
    (row.clear)(c.net.get_mut(&index).ok_or(Fault::NoSuchNic)?);
    Ok(())
}

fn find<'a>(c: &'a Config, rest: &str) -> Result<(&'a Nic, &'static NetKeyRow), Fault> {
    let (index, sub) = split(rest).ok_or(Fault::Unknown)?;
    let Some(sub) = sub else {
        return Err(Fault::NoSuchNic);
    };
    let row = subkey(sub).ok_or(Fault::Unknown)?;
    Ok((c.net.get(&index).ok_or(Fault::Unknown)?, row))
}

fn clear(c: &mut Config, rest: &str) -> Result<(), Fault> {
    let (index, sub) = split(rest).ok_or(Fault::Unknown)?;
    match sub {
        None => {
            c.net.remove(&index);
        }
        Some(sub) => {
            let row = subkey(sub).ok_or(Fault::Unknown)?;
            (row.clear)(c.net.get_mut(&index).ok_or(Fault::Unknown)?);
        }
    }
    Ok(())
}

/// What LXC lists for `get_keys("lxc.net.N")`, and for any key below it; `None` if there is no such
/// network.
pub(crate) fn keys_of(c: &Config, rest: &str) -> Option<Vec<&'static str>> {
    let (index, _) = split(rest)?;
    let nic = c.net.get(&index)?;
    let mut keys = vec!["type", "script.up", "script.down"];
    if nic.kind != NicKind::Empty || nic.untyped {
        keys.extend([
            "flags",
            "link",
            "name",
            "hwaddr",
            "mtu",
            "ipv6.address",
            "ipv6.gateway",
            "ipv4.address",
            "ipv4.gateway",
        ]);
    }
    match nic.kind {
        NicKind::Veth(_) => keys.extend([
            "veth.pair",
            "veth.ipv4.route",
            "veth.ipv6.route",
            "veth.vlan.id",
        ]),
        NicKind::Macvlan(_) => keys.push("macvlan.mode"),
        NicKind::Ipvlan(..) => keys.extend(["ipvlan.mode", "ipvlan.isolation"]),
        NicKind::Vlan(_) => keys.push("vlan.id"),
        NicKind::Empty | NicKind::None | NicKind::Phys => {}
    }
    Some(keys)
}

pub(super) const ROWS: &[KeyRow] = &[
    row!("lxc.net.", prefix, list; "lxc.net.N.SUBKEY = VALUE", "none", "2.1",
        "Network interface number N; set to nothing, lxc.net.N removes it.", "0.type = veth",
        parse,
        |c, rest| { let (nic, row) = find(c, rest)?; (row.show)(nic).ok_or(Fault::WrongType) },
        clear),
    row!("lxc.net"; "empty", "none", "2.1",
        "Set to nothing, it removes every network interface.", "",
        |c, _, v| {
            if !v.is_empty() {
                return Err(ValueError::expected("no value: lxc.net only removes all networks").into());
            }
            c.net.clear();
            Ok(())
        },
        |c, _| Ok(lines(c.net.values().map(subkeys::listed_kind))),
        |c, _| { c.net.clear(); Ok(()) }),
];
