//! The rows of `lxc.net.N.*`.

use super::NetKeyRow;
use super::address::{gateway, ipv4, ipv6, joined, route, shown_gateway};
use crate::config::{IpvlanIsolation, IpvlanMode, MacvlanMode, Nic, NicKind, Veth, VethMode};
use crate::error::ValueError;
use crate::hwaddr;
use crate::keys::text;
use crate::value;

/// Longest interface name (IFNAMSIZ without the NUL).
const NAME_MAX: usize = 15;

macro_rules! sub {
    ($name:literal $(, $list:ident)?; $value:literal, $default:literal, $since:literal, $doc:literal, $example:literal,
     $parse:expr, $show:expr, $clear:expr) => {
        NetKeyRow {
            name: $name, value: $value, default: $default, list: sub!(@list $($list)?), since: $since,
            doc: $doc, example: $example, parse: $parse, show: $show, clear: $clear,
        }
    };
    (@list list) => { true };
    (@list) => { false };
}

fn shown(value: Option<&String>) -> String {
    value.cloned().unwrap_or_default()
}

fn number<T: ToString>(value: Option<T>) -> String {
    value.map(|n| n.to_string()).unwrap_or_default()
}

/// An interface name; LXC cuts a longer one.
fn interface(value: &str) -> Option<String> {
    let mut end = value.len().min(NAME_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    if end < value.len() {
        tracing::warn!(
            name = value,
            "interface name is longer than {NAME_MAX} bytes and is cut"
        );
    }
    text(&value[..end])
}

fn veth(nic: &mut Nic) -> Result<&mut Veth, ValueError> {
    match &mut nic.kind {
        NicKind::Veth(veth) => Ok(veth),
        _ => Err(ValueError::expected(
            "a network whose type has been set to veth before",
        )),
    }
}

fn of_veth<T>(nic: &Nic, read: impl Fn(&Veth) -> T) -> Option<T> {
    match &nic.kind {
        NicKind::Veth(veth) => Some(read(veth)),
        _ => None,
    }
}

fn with_veth(nic: &mut Nic, change: impl FnOnce(&mut Veth)) {
    if let NicKind::Veth(veth) = &mut nic.kind {
        change(veth);
    }
}

fn vlan_number(value: &str) -> Result<u16, ValueError> {
    value::uint(value)
        .ok()
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| *n <= 4094)
        .ok_or_else(|| ValueError::expected("a VLAN number from 0 to 4094"))
}

fn queues(value: &str) -> Result<Option<u32>, ValueError> {
    value::int(value)
        .ok()
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| *n > 0)
        .map(Some)
        .ok_or_else(|| ValueError::expected("a number above 0"))
}

/// The name of a type, as in `.type` and in the listing of `lxc.net`.
fn kind_name(kind: &NicKind) -> &'static str {
    match kind {
        NicKind::Empty => "empty",
        NicKind::Veth(_) => "veth",
        NicKind::Macvlan(_) => "macvlan",
        NicKind::Ipvlan(..) => "ipvlan",
        NicKind::Vlan(_) => "vlan",
        NicKind::Phys => "phys",
        NicKind::None => "none",
    }
}

/// The same type with nothing else set.
pub(crate) fn fresh_kind(kind: &NicKind) -> NicKind {
    let mut nic = Nic::default();
    // The names come from the same table, so they are known.
    let _ = set_kind(&mut nic, kind_name(kind));
    nic.kind
}

/// What is left of a network whose type has been cleared or refused.
fn cleared() -> Nic {
    Nic {
        untyped: true,
        ..Nic::default()
    }
}

/// The type in the listing of `lxc.net`.
pub(super) fn listed_kind(nic: &Nic) -> &'static str {
    match nic.untyped {
        true => "(invalid)",
        false => kind_name(&nic.kind),
    }
}

fn set_kind(nic: &mut Nic, value: &str) -> Result<(), ValueError> {
    *nic = cleared();
    nic.kind = match value {
        "veth" => NicKind::Veth(Veth::default()),
        "macvlan" => NicKind::Macvlan(MacvlanMode::default()),
        "ipvlan" => NicKind::Ipvlan(IpvlanMode::default(), IpvlanIsolation::default()),
        "vlan" => NicKind::Vlan(0),
        "phys" => NicKind::Phys,
        "none" => NicKind::None,
        "empty" => {
            nic.name = Some("lo".to_owned());
            NicKind::Empty
        }
        _ => {
            return Err(ValueError::expected(
                "veth, macvlan, ipvlan, vlan, phys, empty or none",
            ));
        }
    };
    nic.untyped = false;
    Ok(())
}

const MACVLAN: [(&str, MacvlanMode); 4] = [
    ("private", MacvlanMode::Private),
    ("vepa", MacvlanMode::Vepa),
    ("bridge", MacvlanMode::Bridge),
    ("passthru", MacvlanMode::Passthru),
];
const IPVLAN: [(&str, IpvlanMode); 3] = [
    ("l3", IpvlanMode::L3),
    ("l3s", IpvlanMode::L3s),
    ("l2", IpvlanMode::L2),
];
const ISOLATION: [(&str, IpvlanIsolation); 3] = [
    ("bridge", IpvlanIsolation::Bridge),
    ("private", IpvlanIsolation::Private),
    ("vepa", IpvlanIsolation::Vepa),
];

fn word<T: Copy>(table: &[(&str, T)], value: &str) -> Result<T, ValueError> {
    table
        .iter()
        .find(|(name, _)| *name == value)
        .map(|(_, v)| *v)
        .ok_or_else(|| {
            let names: Vec<_> = table.iter().map(|(name, _)| *name).collect();
            ValueError::new(format!("expected one of {}", names.join(" ")))
        })
}

fn named<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> String {
    table
        .iter()
        .find(|(_, v)| v == value)
        .map(|(name, _)| (*name).to_owned())
        .unwrap_or_default()
}

fn wrong_type(kind: &str) -> ValueError {
    ValueError::new(format!(
        "expected a network whose type has been set to {kind} before"
    ))
}

macro_rules! text_sub {
    ($name:literal, $field:ident, $value:literal, $default:literal, $doc:literal, $example:literal) => {
        sub!($name; $value, $default, "2.1", $doc, $example,
            |nic, v| { nic.$field = text(v); Ok(()) },
            |nic| Some(shown(nic.$field.as_ref())),
            |nic| nic.$field = None)
    };
}

/// The sub-keys of `lxc.net.N.`, in the order of the reference.
pub const SUBKEYS: &[NetKeyRow] = &[
    sub!("type"; "veth, macvlan, ipvlan, vlan, phys, empty or none", "empty", "2.1",
        "Kind of the interface; setting it resets what was set before.", "veth",
        set_kind,
        // LXC prints the null pointer.
        |nic| Some(if nic.untyped { "(null)" } else { kind_name(&nic.kind) }.to_owned()),
        |nic| *nic = cleared()),
    sub!("flags"; "up", "down", "2.1", "Any text brings the interface up.", "up",
        |nic, _| { nic.up = true; Ok(()) },
        |nic| Some(if nic.up { "up".to_owned() } else { String::new() }),
        |nic| nic.up = false),
    sub!("hwaddr"; "a MAC address; each x becomes a random digit", "random", "2.1",
        "Hardware address in the container.", "10:66:6a:xx:xx:xx",
        |nic, v| { nic.hwaddr = Some(hwaddr::fill_text(v)); Ok(()) },
        |nic| Some(shown(nic.hwaddr.as_ref())),
        |nic| nic.hwaddr = None),
    sub!("link"; "an interface of the host", "unset", "2.1",
        "Bridge, parent or physical interface on the host.", "lxcbr0",
        |nic, v| { nic.link = interface(v); Ok(()) },
        |nic| Some(shown(nic.link.as_ref())),
        |nic| nic.link = None),
    sub!("l2proxy"; "0 or 1", "0", "3.1",
        "Whether the host answers neighbour requests for the container's addresses.", "1",
        |nic, v| { nic.l2proxy = value::bool01(v)?; Ok(()) },
        |nic| Some(u8::from(nic.l2proxy).to_string()),
        |nic| nic.l2proxy = false),
    text_sub!(
        "mtu",
        mtu,
        "a number",
        "that of the link",
        "Largest packet of the interface.",
        "1500"
    ),
    sub!("name"; "an interface name", "eth%d", "2.1", "Name of the interface in the container.", "eth0",
        |nic, v| { nic.name = interface(v); Ok(()) },
        |nic| Some(shown(nic.name.as_ref())),
        |nic| nic.name = None),
    sub!("ipv4.address", list; "ADDRESS[/PREFIX][ BROADCAST]", "none", "3.0",
        "IPv4 address of the interface.", "10.0.3.2/24",
        |nic, v| { nic.ipv4.push(ipv4(v)?); Ok(()) },
        |nic| Some(joined(nic.ipv4.iter().map(|a| (a.address, a.prefix)))),
        |nic| nic.ipv4.clear()),
    sub!("ipv4.gateway"; "an address, auto or dev", "unset", "2.1",
        "IPv4 gateway: an address, that of the link (auto), or a route to the device (dev).", "10.0.3.1",
        |nic, v| gateway(&mut nic.ipv4_gateway, v),
        |nic| Some(shown_gateway(&nic.ipv4_gateway)),
        |nic| nic.ipv4_gateway.address = None),
    sub!("ipv6.address", list; "ADDRESS[/PREFIX]", "none", "3.0",
        "IPv6 address of the interface.", "fc00::2/64",
        |nic, v| { nic.ipv6.push(ipv6(v)?); Ok(()) },
        |nic| Some(joined(nic.ipv6.iter().copied())),
        |nic| nic.ipv6.clear()),
    sub!("ipv6.gateway"; "an address, auto or dev", "unset", "2.1",
        "IPv6 gateway: an address, that of the link (auto), or a route to the device (dev).", "fc00::1",
        |nic, v| gateway(&mut nic.ipv6_gateway, v),
        |nic| Some(shown_gateway(&nic.ipv6_gateway)),
        |nic| nic.ipv6_gateway.address = None),
    text_sub!(
        "script.up",
        script_up,
        "a command",
        "unset",
        "Run on the host when the interface has been made.",
        "/usr/local/bin/up"
    ),
    text_sub!(
        "script.down",
        script_down,
        "a command",
        "unset",
        "Run on the host before the interface is removed.",
        "/usr/local/bin/down"
    ),
    sub!("macvlan.mode"; "private, vepa, bridge or passthru", "private", "2.1",
        "How macvlan interfaces of one parent reach each other.", "bridge",
        |nic, v| match &mut nic.kind {
            NicKind::Macvlan(mode) => { *mode = word(&MACVLAN, v)?; Ok(()) }
            _ => Err(wrong_type("macvlan")),
        },
        |nic| if let NicKind::Macvlan(mode) = &nic.kind { Some(named(&MACVLAN, mode)) } else { None },
        |nic| if let NicKind::Macvlan(mode) = &mut nic.kind { *mode = MacvlanMode::Private }),
    sub!("ipvlan.mode"; "l3, l3s or l2", "l3", "3.1", "Layer at which ipvlan works.", "l2",
        |nic, v| match &mut nic.kind {
            NicKind::Ipvlan(mode, _) => { *mode = word(&IPVLAN, v)?; Ok(()) }
            _ => Err(wrong_type("ipvlan")),
        },
        |nic| if let NicKind::Ipvlan(mode, _) = &nic.kind { Some(named(&IPVLAN, mode)) } else { None },
        |nic| if let NicKind::Ipvlan(mode, _) = &mut nic.kind { *mode = IpvlanMode::L3 }),
    sub!("ipvlan.isolation"; "bridge, private or vepa", "bridge", "3.1",
        "How ipvlan interfaces of one parent reach each other.", "private",
        |nic, v| match &mut nic.kind {
            NicKind::Ipvlan(_, isolation) => { *isolation = word(&ISOLATION, v)?; Ok(()) }
            _ => Err(wrong_type("ipvlan")),
        },
        |nic| if let NicKind::Ipvlan(_, isolation) = &nic.kind { Some(named(&ISOLATION, isolation)) } else { None },
        |nic| if let NicKind::Ipvlan(_, isolation) = &mut nic.kind { *isolation = IpvlanIsolation::Bridge }),
    sub!("vlan.id"; "a number from 0 to 65535", "0", "2.1", "VLAN number of a vlan interface.", "100",
        |nic, v| match &mut nic.kind {
            NicKind::Vlan(id) => {
                *id = value::uint(v).ok().and_then(|n| u16::try_from(n).ok())
                    .ok_or_else(|| ValueError::expected("a number from 0 to 65535"))?;
                Ok(())
            }
            _ => Err(wrong_type("vlan")),
        },
        |nic| if let NicKind::Vlan(id) = &nic.kind { Some(id.to_string()) } else { None },
        |nic| if let NicKind::Vlan(id) = &mut nic.kind { *id = 0 }),
    sub!("veth.mode"; "bridge or router", "bridge", "4.0.0",
        "Whether the host's end joins a bridge or gets routes.", "router",
        |nic, v| {
            let veth = veth(nic)?;
            veth.mode = word(&[("bridge", VethMode::Bridge), ("router", VethMode::Router)], v)?;
            Ok(())
        },
        |nic| of_veth(nic, |veth| match veth.mode {
            VethMode::Bridge => "bridge",
            VethMode::Router => "router",
            VethMode::Cleared => "(invalid)",
        }).map(str::to_owned),
        |nic| with_veth(nic, |veth| veth.mode = VethMode::Cleared)),
    sub!("veth.pair"; "an interface name", "vethXXXXXX", "2.1", "Name of the host's end.", "vethweb",
        |nic, v| { veth(nic)?.pair = interface(v); Ok(()) },
        |nic| of_veth(nic, |veth| shown(veth.pair.as_ref())),
        |nic| with_veth(nic, |veth| veth.pair = None)),
    sub!("veth.n_rxqueues"; "a number above 0", "the kernel's", "5.0", "Number of receive queues.", "4",
        |nic, v| { veth(nic)?.n_rxqueues = queues(v)?; Ok(()) },
        |nic| of_veth(nic, |veth| number(veth.n_rxqueues)),
        |nic| with_veth(nic, |veth| veth.n_rxqueues = None)),
    sub!("veth.n_txqueues"; "a number above 0", "the kernel's", "5.0", "Number of send queues.", "4",
        |nic, v| { veth(nic)?.n_txqueues = queues(v)?; Ok(()) },
        |nic| of_veth(nic, |veth| number(veth.n_txqueues)),
        |nic| with_veth(nic, |veth| veth.n_txqueues = None)),
    sub!("veth.ipv4.route", list; "ADDRESS/PREFIX", "none", "4.0.0",
        "IPv4 route on the host to the container.", "192.0.2.1/32",
        |nic, v| { veth(nic)?.ipv4_routes.push(route(v, 32)?); Ok(()) },
        |nic| of_veth(nic, |veth| joined(veth.ipv4_routes.iter().copied())),
        |nic| with_veth(nic, |veth| veth.ipv4_routes.clear())),
    sub!("veth.ipv6.route", list; "ADDRESS/PREFIX", "none", "4.0.0",
        "IPv6 route on the host to the container.", "2001:db8::1/128",
        |nic, v| { veth(nic)?.ipv6_routes.push(route(v, 128)?); Ok(()) },
        |nic| of_veth(nic, |veth| joined(veth.ipv6_routes.iter().copied())),
        |nic| with_veth(nic, |veth| veth.ipv6_routes.clear())),
    sub!("veth.vlan.id"; "a number from 0 to 4094, or none", "unset", "4.0.6",
        "VLAN of the host's end on a bridge that filters VLANs; none for no untagged VLAN.", "100",
        |nic, v| {
            let veth = veth(nic)?;
            veth.vlan_id = Some(if v == "none" { None } else { Some(vlan_number(v)?) });
            Ok(())
        },
        |nic| of_veth(nic, |veth| match veth.vlan_id {
            None => String::new(),
            Some(None) => "-1".to_owned(),
            Some(Some(id)) => id.to_string(),
        }),
        |nic| with_veth(nic, |veth| veth.vlan_id = None)),
    sub!("veth.vlan.tagged.id", list; "a number from 0 to 4094", "none", "4.0.6",
        "VLAN that the host's end also takes part in, tagged.", "200",
        |nic, v| { veth(nic)?.vlan_tagged.push(vlan_number(v)?); Ok(()) },
        |nic| of_veth(nic, |veth| veth.vlan_tagged.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        |nic| with_veth(nic, |veth| veth.vlan_tagged.clear())),
];
