//! What /proc/PID/net tells about a namespace one may not enter.
//!
//! # References
//! proc(5): `/proc/pid/net/dev`, `if_inet6`, `route`, `fib_trie`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::interface::{Interface, with_scope};
use crate::netlink::Statistics;

/// The interfaces of the namespace of `pid`.
pub(crate) fn interfaces(pid: i32) -> Result<Vec<Interface>> {
    let read = |file: &str| {
        let path = PathBuf::from(format!("/proc/{pid}/net/{file}"));
        std::fs::read_to_string(&path).map_err(|source| Error::File {
            op: "read",
            path,
            source,
        })
    };
    let mut all = devices(&read("dev")?);
    // Kernels without IPv6 lack the file.
    for (name, index, address, prefix) in ipv6(&read("if_inet6").unwrap_or_default()) {
        if let Some(interface) = all.iter_mut().find(|i| i.name == name) {
            interface.index = index;
            interface
                .addresses
                .push(with_scope(address.into(), prefix, index));
        }
    }
    let routes = routes(&read("route")?);
    for address in local_addresses(&read("fib_trie")?) {
        let (name, prefix) = owner(address, &routes);
        if let Some(interface) = all.iter_mut().find(|i| i.name == name) {
            interface
                .addresses
                .insert(0, with_scope(IpAddr::V4(address), prefix, 0));
        }
    }
    Ok(all)
}

/// Names and counters from `dev`: two lines of heading, then `NAME: 8 received 8 sent`.
fn devices(text: &str) -> Vec<Interface> {
    let line = |line: &str| {
        let (name, counters) = line.split_once(':')?;
        let n: Vec<u64> = counters
            .split_whitespace()
            .map_while(|n| n.parse().ok())
            .collect();
        let at = |i: usize| n.get(i).copied().unwrap_or(0);
        Some(Interface {
            name: name.trim().to_owned(),
            statistics: Statistics {
                rx_bytes: at(0),
                rx_packets: at(1),
                rx_errors: at(2),
                rx_dropped: at(3),
                tx_bytes: at(8),
                tx_packets: at(9),
                tx_errors: at(10),
                tx_dropped: at(11),
            },
            ..Interface::default()
        })
    };
    text.lines().skip(2).filter_map(line).collect()
}

/// `ADDRESS INDEX PREFIX SCOPE FLAGS NAME`, the numbers in hexadecimal.
fn ipv6(text: &str) -> Vec<(String, u32, Ipv6Addr, u8)> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?.into();
        let index = u32::from_str_radix(words.next()?, 16).ok()?;
        let prefix = u8::from_str_radix(words.next()?, 16).ok()?;
        Some((words.nth(2)?.to_owned(), index, address, prefix))
    };
    text.lines().filter_map(line).collect()
}

/// Connected networks from `route`: interface, address, mask, in host byte order.
fn routes(text: &str) -> Vec<(String, u32, u32)> {
    let number = |word: Option<&str>| u32::from_str_radix(word?, 16).ok().map(u32::from_be);
    let line = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let network = number(words.get(1).copied())?;
        let gateway = number(words.get(2).copied())?;
        let mask = number(words.get(7).copied())?;
        (gateway == 0 && mask != 0).then(|| (words[0].to_owned(), network, mask))
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// The addresses of `fib_trie` marked `/32 host LOCAL`, each once.
fn local_addresses(text: &str) -> Vec<Ipv4Addr> {
    let (mut found, mut last) = (Vec::new(), None);
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// The interface and prefix of an address: the smallest connected network that holds it.
fn owner(address: Ipv4Addr, routes: &[(String, u32, u32)]) -> (String, u8) {
    if address.is_loopback() {
        return ("lo".into(), 8);
    }
    let holds = |route: &&(String, u32, u32)| u32::from(address) & route.2 == route.1;
    match routes.iter().filter(holds).max_by_key(|route| route.2) {
        Some((name, _, mask)) => (name.clone(), u8::try_from(mask.count_ones()).unwrap_or(32)),
        None => (String::new(), 32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_assigned_to_their_interfaces() {
        let route = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
                     eth0\t00000000\t0103000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     eth0\t0003000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let routes = routes(route);
        assert_eq!(
            owner(Ipv4Addr::new(10, 0, 3, 7), &routes),
            ("eth0".into(), 24)
        );
        assert_eq!(owner(Ipv4Addr::LOCALHOST, &routes), ("lo".into(), 8));
        let trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.3.0\n        /24 link UNICAST\n     \
                    |-- 10.0.3.7\n        /32 host LOCAL\n     |-- 10.0.3.7\n        /32 host LOCAL\n";
        assert_eq!(local_addresses(trie), [Ipv4Addr::new(10, 0, 3, 7)]);
        let six = "fe8000000000000002163efffe112233 02 40 20 80 eth0\n";
        assert_eq!(ipv6(six)[0].1, 2);
        assert_eq!(ipv6(six)[0].0, "eth0");
    }

    #[test]
    fn it_tells_the_same_as_the_kernel_by_netlink() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let Ok(by_netlink) = crate::live::interfaces(pid) else {
            println!("skipped: may not enter a network namespace");
            return;
        };
        let by_proc = interfaces(pid).unwrap();
        for interface in &by_netlink {
            let same = by_proc.iter().find(|i| i.name == interface.name).unwrap();
            for address in &interface.addresses {
                let told = same.addresses.iter().any(|a| a.address == address.address);
                assert!(told, "{address:?} of {same:?}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: String) {
            devices(&text);
            ipv6(&text);
            routes(&text);
            local_addresses(&text);
        }
    }
}
