//! Running containers: what is shown, what can be lent later.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::process::{Child, Command};

use common::{Host, host, ip, one, veth};
use rlxc_config::{Ipv4Address, Nic};
use rlxc_network::live::{self, Family};

/// A process in the container's namespace.
struct Sleeper(Child);

impl Sleeper {
    fn new(host: &Host) -> Self {
        let child = host
            .inside(|| Ok(Command::new("sleep").arg("60").spawn().unwrap()))
            .unwrap();
        Self(child)
    }
    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn nic() -> Nic {
    Nic {
        ipv4: vec![Ipv4Address {
            address: "10.9.0.5".parse().unwrap(),
            prefix: 24,
            broadcast: None,
        }],
        ipv6: vec![("fd09::5".parse().unwrap(), 64)],
        ..veth()
    }
}

#[test]
fn interfaces_addresses_and_counters_are_shown() {
    let Some(mut host) = host() else { return };
    let created = host.create(&one(nic())).unwrap();
    let sleeper = Sleeper::new(&host);
    let names = live::interface_names(sleeper.pid()).unwrap();
    assert!(
        names.contains(&"eth0".to_owned()) && names.contains(&"lo".to_owned()),
        "{names:?}"
    );
    let ips = |i, f, s| live::ips(sleeper.pid(), i, f, s).unwrap();
    assert_eq!(ips(None, None, 0), ["10.9.0.5", "fd09::5"]);
    assert_eq!(ips(None, Some(Family::Inet), 0), ["10.9.0.5"]);
    assert_eq!(ips(None, Some(Family::Inet6), 0), ["fd09::5"]);
    assert_eq!(ips(Some("lo"), None, 0), ["127.0.0.1", "::1"]);
    // An address with a label is one of that name, as getifaddrs(3) has it.
    host.inside_ip("addr add 10.9.7.5/24 label eth0:1 dev eth0");
    assert!(
        live::interface_names(sleeper.pid())
            .unwrap()
            .contains(&"eth0:1".to_owned())
    );
    assert_eq!(ips(Some("eth0:1"), None, 0), ["10.9.7.5"]);
    assert_eq!(ips(Some("eth0"), Some(Family::Inet), 0), ["10.9.0.5"]);
    host.inside_ip("addr del 10.9.7.5/24 label eth0:1 dev eth0");
    let all = live::interfaces(sleeper.pid()).unwrap();
    let eth0 = all.iter().find(|i| i.name == "eth0").unwrap();
    let mut local = Vec::new();
    // The kernel makes the link-local address when it has seen the carrier.
    for _ in 0..200 {
        local = ips(Some("eth0"), Some(Family::Inet6), eth0.index);
        if !local.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(
        local.len() == 1 && local[0].starts_with("fe80::"),
        "{local:?}"
    );
    let counted = live::statistics(created.host_name(0).unwrap()).unwrap();
    assert_eq!(counted.from_other_end().rx_bytes, counted.tx_bytes);
    host.teardown(&created);
}

#[test]
fn links_are_attached_renamed_and_detached() {
    let Some(mut host) = host() else { return };
    ip("link add dev0 type veth peer name dev1");
    ip("link set dev0 up");
    let sleeper = Sleeper::new(&host);
    live::attach_interface(sleeper.pid(), "dev0", Some("eth7")).unwrap();
    assert!(host.inside_ip("link show eth7").contains("eth7"));
    host.inside_ip("link set eth7 up");
    live::rename_interface(sleeper.pid(), "eth7", "eth8").unwrap();
    assert!(host.inside_ip("link show eth8").contains("UP"));
    live::detach_interface(sleeper.pid(), "eth8", Some("dev0")).unwrap();
    assert_eq!(host.links(), ["dev0", "dev1", "lo"]);
    for (name, as_name) in [("gone", None), ("dev0", Some("a/b")), ("dev0", Some("lo"))] {
        let error = live::attach_interface(sleeper.pid(), name, as_name).unwrap_err();
        assert!(!error.to_string().is_empty());
    }
    assert_eq!(host.links(), ["dev0", "dev1", "lo"], "a refused link stays");
}

#[test]
fn thousands_of_addresses_and_odd_names_are_told_in_full() {
    let Some(host) = host() else { return };
    let names = ["-x", "a@b", "e\u{e9}th", "eth0.100", "[x]", "lo0"];
    let mut batch = String::new();
    for (at, name) in names.iter().enumerate() {
        batch += &format!("link add name {name} type bridge\nlink set dev {name} up\n");
        batch += &format!("addr add 10.20.{at}.1/32 dev {name}\n");
    }
    for n in 0..1200 {
        batch += &format!(
            "addr add 10.{}.{}.1/32 dev eth0.100\n",
            30 + n / 250,
            n % 250
        );
        batch += &format!("addr add fd00::{n:x}/128 dev eth0.100 nodad\n");
    }
    let file = std::env::temp_dir().join(format!("rlxc-network-ips-{}", std::process::id()));
    std::fs::write(&file, batch).unwrap();
    host.inside_ip(&format!("-batch {}", file.display()));
    std::fs::remove_file(&file).unwrap();
    let sleeper = Sleeper::new(&host);
    let mut told = live::interface_names(sleeper.pid()).unwrap();
    let mut wanted: Vec<String> = names.map(str::to_owned).into();
    wanted.push("lo".to_owned());
    told.sort();
    wanted.sort();
    assert_eq!(told, wanted);
    let ips = |name, family| live::ips(sleeper.pid(), name, family, 0).unwrap();
    assert_eq!(ips(Some("eth0.100"), Some(Family::Inet)).len(), 1201);
    assert_eq!(ips(Some("eth0.100"), Some(Family::Inet6)).len(), 1200);
    let all = ips(None, Some(Family::Inet));
    assert_eq!(all.len(), 1200 + names.len());
    for (at, name) in names
        .iter()
        .enumerate()
        .filter(|(_, name)| **name != "eth0.100")
    {
        let own = ips(Some(name), Some(Family::Inet));
        assert_eq!(own, [format!("10.20.{at}.1")], "{name}");
    }
}
