//! Addresses, prefixes, gateways and routes of `lxc.net.N.*`.

use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::config::{Gateway, Ipv4Address};
use crate::error::ValueError;
use crate::value;

fn host<A: FromStr>(value: &str, text: &str, what: &str) -> Result<A, ValueError> {
    text.parse()
        .map_err(|_| ValueError::expected(what).at(value, text))
}

fn prefix(value: &str, text: &str, most: u8) -> Result<u8, ValueError> {
    value::uint(text)
        .ok()
        .and_then(|n| u8::try_from(n).ok())
        .filter(|n| *n <= most)
        .ok_or_else(|| {
            ValueError::new(format!("expected a prefix length from 0 to {most}")).at(value, text)
        })
}

/// `A.B.C.D[/P][ BROADCAST]`.
pub(crate) fn ipv4(value: &str) -> Result<Ipv4Address, ValueError> {
    let (left, broadcast) = match value.split_once(' ') {
        Some((left, broadcast)) => (left, Some(broadcast)),
        None => (value, None),
    };
    let (addr, bits) = match left.split_once('/') {
        Some((addr, bits)) => (addr, Some(bits)),
        None => (left, None),
    };
    let address: Ipv4Addr = host(
        value,
        addr,
        "an IPv4 address, optionally with /PREFIX and a broadcast address",
    )?;
    let prefix = match bits {
        Some(bits) => prefix(value, bits, 32)?,
        None => class_prefix(address),
    };
    let broadcast = match broadcast {
        Some(text) => Some(host(value, text, "a broadcast address")?),
        None if prefix >= 31 => None,
        None => {
            let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            Some(Ipv4Addr::from_bits(address.to_bits() | hosts))
        }
    };
    Ok(Ipv4Address {
        address,
        prefix,
        broadcast,
    })
}

/// The prefix of an address without one. LXC applies the class rule to the number in network byte
/// order, which on little-endian machines looks at the last octet.
fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets()[if cfg!(target_endian = "little") { 3 } else { 0 }] {
        0..128 => 8,
        128..192 => 16,
        192..224 => 24,
        _ => 0,
    }
}

/// `ADDRESS[/P]`, /64 without a prefix. LXC does not look at the prefix, the kernel does.
pub(super) fn ipv6(value: &str) -> Result<(Ipv6Addr, u32), ValueError> {
    let (addr, bits) = match value.split_once('/') {
        Some((addr, bits)) => (addr, Some(bits)),
        None => (value, None),
    };
    let address = host(value, addr, "an IPv6 address, optionally with /PREFIX")?;
    let prefix = match bits {
        Some(bits) => value::uint(bits)
            .map_err(|_| ValueError::expected("a prefix length from 0 to 128").at(value, bits))?,
        None => 64,
    };
    Ok((address, prefix))
}

/// `ADDRESS/P`.
pub(super) fn route<A: FromStr>(value: &str, most: u8) -> Result<(A, u8), ValueError> {
    let (addr, bits) = value
        .split_once('/')
        .ok_or_else(|| ValueError::expected("ADDRESS/PREFIX"))?;
    Ok((
        host(value, addr, "an address before the slash")?,
        prefix(value, bits, most)?,
    ))
}

/// An address, `auto` or `dev`; the words stay set until the network is removed.
pub(super) fn gateway<A: FromStr>(gateway: &mut Gateway<A>, value: &str) -> Result<(), ValueError> {
    match value {
        "auto" => {
            gateway.address = None;
            gateway.auto = true;
        }
        "dev" => {
            gateway.auto = false;
            gateway.dev = true;
        }
        _ => {
            // As in LXC an address that is none also forgets the old one.
            gateway.address = None;
            gateway.address = Some(host(value, value, "an address, auto or dev")?);
            gateway.auto = false;
        }
    }
    Ok(())
}

pub(super) fn shown_gateway<A: Display>(gateway: &Gateway<A>) -> String {
    if gateway.auto {
        "auto".to_owned()
    } else if gateway.dev {
        "dev".to_owned()
    } else {
        gateway
            .address
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    }
}

/// `A/P` joined by newlines, without one at the end.
pub(super) fn joined<A: Display, P: Display>(list: impl Iterator<Item = (A, P)>) -> String {
    list.map(|(a, p)| format!("{a}/{p}"))
        .collect::<Vec<_>>()
        .join("\n")
}
