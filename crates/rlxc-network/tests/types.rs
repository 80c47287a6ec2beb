//! Every link type, made by the library and read back from both sides.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use common::{host, ip, kernel_has, one, veth};
use rlxc_config::{Gateway, Ipv4Address, MacvlanMode, Nic, NicKind, Veth, VethMode};

fn address(last: u8) -> Ipv4Address {
    Ipv4Address {
        address: Ipv4Addr::new(10, 9, 0, last),
        prefix: 24,
        broadcast: Some(Ipv4Addr::new(10, 9, 0, 255)),
    }
}

fn gateway<A>(address: A) -> Gateway<A> {
    Gateway {
        address: Some(address),
        auto: false,
        dev: false,
    }
}

#[test]
fn a_bridged_veth_has_names_mtu_mac_addresses_and_routes() {
    let Some(mut host) = host() else { return };
    host.bridge("br0");
    ip("link set br0 mtu 1400");
    let nic = Nic {
        link: Some("br0".into()),
        hwaddr: Some("00:16:3e:11:22:33".into()),
        ipv4: vec![address(5)],
        ipv4_gateway: gateway(Ipv4Addr::new(10, 9, 0, 1)),
        ipv6: vec![("fd09::5".parse().unwrap(), 64)],
        ipv6_gateway: gateway("fe80::1".parse::<Ipv6Addr>().unwrap()),
        ..veth()
    };
    let created = host.create(&one(nic)).unwrap();
    let name = created.host_name(0).unwrap().to_owned();
    assert!(name.starts_with("veth") && name.len() == 10, "{name}");
    let outside = host.netlink.link(&name).unwrap().unwrap();
    let bridge = host.netlink.link("br0").unwrap().unwrap();
    assert_eq!(outside.master, Some(bridge.index));
    assert_eq!(
        (outside.mtu, outside.address[0], outside.is_up()),
        (1400, 0xfe, true)
    );
    let sysctl = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
    assert_eq!(std::fs::read_to_string(sysctl).unwrap(), "1\n");
    let inside = host.inside_ip("-o addr show dev eth0");
    assert!(inside.contains("10.9.0.5/24 brd 10.9.0.255"), "{inside}");
    assert!(inside.contains("fd09::5/64"), "{inside}");
    let link = host.inside_ip("-o link show dev eth0");
    assert!(
        link.contains("00:16:3e:11:22:33") && link.contains("mtu 1400"),
        "{link}"
    );
    assert!(link.contains("UP"), "{link}");
    assert!(host.inside_ip("link show lo").contains("UP"));
    assert!(
        host.inside_ip("route")
            .contains("default via 10.9.0.1 dev eth0")
    );
    assert!(
        host.inside_ip("-6 route")
            .contains("default via fe80::1 dev eth0")
    );
    host.teardown(&created);
    assert_eq!(host.links(), ["br0", "lo"]);
}

#[test]
fn a_nic_without_flags_stays_down_and_so_does_lo() {
    let Some(mut host) = host() else { return };
    let nic = Nic {
        up: false,
        ipv4: vec![address(5)],
        name: Some("lan0".into()),
        ..veth()
    };
    let created = host.create(&one(nic)).unwrap();
    assert!(
        host.inside_ip("-o link show lan0")
            .contains("<BROADCAST,MULTICAST")
    );
    assert!(host.inside_ip("-o link show lo").contains("<LOOPBACK>"));
    assert!(host.inside_ip("addr show lan0").contains("10.9.0.5/24"));
    let name = created.host_name(0).unwrap().to_owned();
    assert!(
        host.netlink.link(&name).unwrap().unwrap().is_up(),
        "the host's end is up all the same"
    );
    host.teardown(&created);
}

#[test]
fn a_gateway_outside_the_networks_gets_a_route_of_its_own() {
    let Some(mut host) = host() else { return };
    let nic = Nic {
        ipv4: vec![address(5)],
        ipv4_gateway: gateway(Ipv4Addr::new(10, 55, 0, 1)),
        ..veth()
    };
    let created = host.create(&one(nic)).unwrap();
    let routes = host.inside_ip("route");
    assert!(routes.contains("10.55.0.1 dev eth0 scope link"), "{routes}");
    assert!(
        routes.contains("default via 10.55.0.1 dev eth0"),
        "{routes}"
    );
    host.teardown(&created);
}

#[test]
fn auto_gateways_are_the_bridges_addresses_and_dev_is_a_device_route() {
    let Some(mut host) = host() else { return };
    host.bridge("br0");
    ip("addr add 10.9.0.1/24 dev br0");
    ip("addr add fd09::1/64 dev br0 nodad");
    let nics = BTreeMap::from([(
        0,
        Nic {
            link: Some("br0".into()),
            ipv4: vec![address(5)],
            ipv4_gateway: Gateway {
                address: None,
                auto: true,
                dev: false,
            },
            ipv6: vec![("fd09::5".parse().unwrap(), 64)],
            ipv6_gateway: Gateway {
                address: None,
                auto: true,
                dev: false,
            },
            ..veth()
        },
    )]);
    let created = host.create(&nics).unwrap();
    assert!(host.inside_ip("route").contains("default via 10.9.0.1"));
    assert!(host.inside_ip("-6 route").contains("default via fd09::1"));
    host.teardown(&created);
    let nic = Nic {
        ipv4: vec![address(5)],
        ipv4_gateway: Gateway {
            address: None,
            auto: false,
            dev: true,
        },
        ..veth()
    };
    let created = host.create(&one(nic)).unwrap();
    assert!(host.inside_ip("route").contains("default dev eth0"));
    host.teardown(&created);
}

#[test]
fn router_mode_routes_to_the_container_and_answers_for_its_gateways() {
    let Some(mut host) = host() else { return };
    let nic = Nic {
        kind: NicKind::Veth(Veth {
            mode: VethMode::Router,
            pair: Some("vhr".into()),
            ipv4_routes: vec![(Ipv4Addr::new(10, 66, 0, 0), 24)],
            ipv6_routes: vec![("fd66::".parse().unwrap(), 64)],
            n_rxqueues: Some(2),
            n_txqueues: Some(3),
            ..Veth::default()
        }),
        ipv4: vec![address(5)],
        ipv4_gateway: gateway(Ipv4Addr::new(10, 9, 0, 1)),
        ipv6: vec![("fd09::5".parse().unwrap(), 64)],
        ipv6_gateway: gateway("fd09::1".parse().unwrap()),
        ..veth()
    };
    let error = host.create(&one(nic.clone())).unwrap_err();
    let text = std::error::Error::source(&error).unwrap().to_string();
    assert!(text.contains("net.ipv6.conf.all.forwarding = 1"), "{text}");
    assert_eq!(host.links(), ["lo"], "undone");
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    let created = host.create(&one(nic)).unwrap();
    assert_eq!(created.host_name(0), Some("vhr"));
    let routes = ip("route") + &ip("-6 route");
    for want in [
        "10.9.0.5 dev vhr",
        "10.66.0.0/24 dev vhr",
        "fd09::5 dev vhr",
        "fd66::/64 dev vhr",
    ] {
        assert!(routes.contains(want), "{want} in {routes}");
    }
    assert!(ip("neigh show proxy").contains("10.9.0.1 dev vhr"));
    assert!(ip("-6 neigh show proxy").contains("fd09::1 dev vhr"));
    for (file, want) in [
        ("ipv4/conf/vhr/forwarding", "1\n"),
        ("ipv6/conf/vhr/forwarding", "1\n"),
        ("ipv6/conf/vhr/proxy_ndp", "1\n"),
        ("ipv6/conf/vhr/disable_ipv6", "0\n"),
    ] {
        assert_eq!(
            std::fs::read_to_string(format!("/proc/sys/net/{file}")).unwrap(),
            want
        );
    }
    let queues = ip("-d link show vhr");
    assert!(
        queues.contains("numtxqueues 2") && queues.contains("numrxqueues 3"),
        "{queues}"
    );
    host.teardown(&created);
    assert_eq!(host.links(), ["lo"]);
}

#[test]
fn macvlan_sits_on_its_link_and_l2proxy_entries_come_and_go() {
    let Some(mut host) = host() else { return };
    ip("link add up0 type veth peer name up1");
    ip("link set up0 up");
    let nic = Nic {
        kind: NicKind::Macvlan(MacvlanMode::Bridge),
        link: Some("up0".into()),
        hwaddr: Some("00:16:3e:11:22:34".into()),
        mtu: Some("1300".into()),
        ipv4: vec![address(7)],
        l2proxy: true,
        ..veth()
    };
    let error = host.create(&one(nic.clone())).unwrap_err();
    let text = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    assert!(text.contains("net.ipv4.conf.up0.forwarding = 1"), "{text}");
    assert!(!host.inside_ip("link").contains("eth0"), "undone");
    std::fs::write("/proc/sys/net/ipv4/conf/up0/forwarding", "1").unwrap();
    let created = host.create(&one(nic)).unwrap();
    let link = host.inside_ip("-d link show eth0");
    assert!(
        link.contains("macvlan mode bridge") && link.contains("mtu 1300"),
        "{link}"
    );
    assert!(link.contains("00:16:3e:11:22:34"), "{link}");
    assert!(ip("neigh show proxy").contains("10.9.0.7 dev up0"));
    assert!(created.needs_journal());
    host.teardown(&created);
    assert!(ip("neigh show proxy").is_empty());
}

#[test]
fn ipvlan_has_its_mode_and_isolation() {
    let Some(mut host) = host() else { return };
    ip("link add up0 type veth peer name up1");
    if !kernel_has("ipvlan", "link up0", "mode l3") {
        return;
    }
    let kind = NicKind::Ipvlan(
        rlxc_config::IpvlanMode::L2,
        rlxc_config::IpvlanIsolation::Private,
    );
    let nic = Nic {
        kind,
        link: Some("up0".into()),
        ..veth()
    };
    let created = host.create(&one(nic)).unwrap();
    let link = host.inside_ip("-d link show eth0");
    assert!(
        link.contains("ipvlan") && link.contains("mode l2 private"),
        "{link}"
    );
    host.teardown(&created);
}

#[test]
fn vlan_has_its_id_or_says_which_module_is_missing() {
    let Some(mut host) = host() else { return };
    ip("link add up0 type veth peer name up1");
    // The kernel sets no VLAN up on a link that is down.
    ip("link set up0 up");
    let nic = Nic {
        kind: NicKind::Vlan(42),
        link: Some("up0".into()),
        ..veth()
    };
    if !kernel_has("vlan", "link up0", "id 7") {
        let error = host.create(&one(nic)).unwrap_err();
        let text = std::error::Error::source(&error).unwrap().to_string();
        assert!(text.contains("modprobe 8021q"), "{text}");
        return;
    }
    let created = host.create(&one(nic)).unwrap();
    assert!(host.inside_ip("-d link show eth0").contains("id 42"));
    host.teardown(&created);
}

#[test]
fn a_phys_link_is_lent_and_comes_back_as_it_was() {
    let Some(mut host) = host() else { return };
    ip("link add ph0 type veth peer name ph1");
    ip("link set ph0 address 00:16:3e:aa:aa:aa mtu 1450");
    let nic = Nic {
        kind: NicKind::Phys,
        link: Some("ph0".into()),
        name: Some("wan0".into()),
        hwaddr: Some("00:16:3e:11:22:35".into()),
        mtu: Some("1280".into()),
        ipv4: vec![address(9)],
        ..veth()
    };
    let created = host.create(&one(nic)).unwrap();
    assert_eq!(host.links(), ["lo", "ph1"]);
    let link = host.inside_ip("addr show wan0");
    assert!(
        link.contains("mtu 1280") && link.contains("00:16:3e:11:22:35"),
        "{link}"
    );
    assert!(link.contains("10.9.0.9/24"), "{link}");
    // Renamed by the container itself, which must not matter.
    host.inside_ip("link set wan0 down");
    host.inside_ip("link set wan0 name other");
    host.teardown(&created);
    let link = ip("link show ph0");
    assert!(
        link.contains("mtu 1450") && link.contains("00:16:3e:aa:aa:aa"),
        "{link}"
    );
}

#[test]
fn phys_by_prefix_takes_the_first_match_under_its_own_name() {
    let Some(mut host) = host() else { return };
    ip("link add lan7 type veth peer name x1");
    let nic = Nic {
        kind: NicKind::Phys,
        link: Some("lan+".into()),
        ..veth()
    };
    let created = host.create(&one(nic)).unwrap();
    assert!(host.inside_ip("link show lan7").contains("lan7"));
    host.teardown(&created);
    assert!(host.links().contains(&"lan7".to_owned()));
}

#[test]
fn a_phys_link_that_the_kernel_gave_back_is_renamed_from_the_journal() {
    let Some(mut host) = host() else { return };
    ip("link add ph0 type veth peer name ph1");
    let nic = Nic {
        kind: NicKind::Phys,
        link: Some("ph0".into()),
        name: Some("eth0".into()),
        hwaddr: Some("00:16:3e:11:22:35".into()),
        ..veth()
    };
    let created = host.create(&one(nic)).unwrap();
    let journal = serde_json::to_string(&created).unwrap();
    // What the kernel does with hardware when the container's namespace ends: here by hand.
    let own = rlxc_network::netns::own().unwrap();
    let path = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        std::os::fd::AsRawFd::as_raw_fd(&own)
    );
    host.inside_ip(&format!("link set eth0 netns {path}"));
    assert!(host.links().contains(&"eth0".to_owned()));
    // What udev does then.
    ip("link property add dev eth0 altname ph0");
    let read: rlxc_network::Created = serde_json::from_str(&journal).unwrap();
    let errors = read.recover(&mut host.netlink, &host.context, None);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(host.links(), ["lo", "ph0", "ph1"]);
    // A second time there is nothing to do.
    assert!(
        read.recover(&mut host.netlink, &host.context, None)
            .is_empty()
    );
}

#[test]
fn empty_with_flags_up_sets_lo_up_and_makes_nothing_else() {
    let Some(mut host) = host() else { return };
    let created = host
        .create(&one(Nic {
            up: true,
            ..Nic::default()
        }))
        .unwrap();
    assert!(host.inside_ip("-o link show lo").contains("LOOPBACK,UP"));
    assert_eq!(host.inside_ip("-o link").lines().count(), 1);
    assert!(!created.needs_journal());
    host.teardown(&created);
}

#[test]
fn a_port_has_its_own_and_its_tagged_vlans() {
    let Some(mut host) = host() else { return };
    if !kernel_has("bridge", "", "vlan_filtering 1") {
        return;
    }
    ip("link add br0 type bridge vlan_filtering 1");
    let vlans = |own, tagged: &[u16]| Nic {
        kind: NicKind::Veth(Veth {
            pair: Some("vhv0".into()),
            vlan_id: own,
            vlan_tagged: tagged.to_vec(),
            ..Veth::default()
        }),
        link: Some("br0".into()),
        ..veth()
    };
    for (own, tagged, want) in [
        (Some(Some(7)), &[][..], "7 PVID Egress Untagged"),
        (Some(None), &[8], "8"),
        (Some(Some(7)), &[8, 9], "7 PVID Egress Untagged 8 9"),
        (None, &[8], "1 PVID Egress Untagged 8"),
    ] {
        let created = host.create(&one(vlans(own, tagged))).unwrap();
        let shown = {
            let output = std::process::Command::new("bridge")
                .args(["vlan", "show", "dev", "vhv0"])
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let words: Vec<&str> = shown.split_whitespace().collect();
        let words = words.join(" ");
        assert!(
            words.ends_with(&format!("vhv0 {want}")),
            "{want} in {words}"
        );
        host.teardown(&created);
    }
    let error = host.create(&one(vlans(Some(Some(4095)), &[]))).unwrap_err();
    assert!(error.to_string().contains("veth.vlan.id"), "{error}");
}
