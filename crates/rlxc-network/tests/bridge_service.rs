//! The host bridge: up, DHCP for a container, status, reload, down without a trace.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::{have, host, ip, one, veth};
use rlxc_config::Nic;
use rlxc_network::lxcnet::{Outcome, Service, Settings};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("rlxc-network-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Everything the service could leave behind.
fn traces() -> String {
    let rules = Command::new("nft")
        // Without counters: the kernel's own multicast reports are counted when they like.
        .args(["-s", "list", "ruleset"])
        .output()
        .unwrap();
    let forward = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    let forward6 = std::fs::read_to_string("/proc/sys/net/ipv6/conf/all/forwarding").unwrap();
    let listed = ip("-o link");
    let links = listed
        .lines()
        .map(|l| l.split(':').nth(1).unwrap().to_owned() + "\n");
    format!(
        "{}{forward}{forward6}{}",
        String::from_utf8(rules.stdout).unwrap(),
        links.collect::<String>()
    )
}

#[test]
fn a_container_gets_a_lease_and_down_leaves_nothing() {
    if !(have("dnsmasq") && have("nft") && have("busybox")) {
        return;
    }
    let Some(mut host) = host() else { return };
    let before = traces();
    let scratch = Scratch::new("dhcp");
    let text = "LXC_DHCP_PING=false\nLXC_DOMAIN=lxc\nLXC_IPV6_ADDR=fd42::1\nLXC_IPV6_MASK=64\n\
                LXC_IPV6_NETWORK=fd42::/64\nLXC_IPV6_NAT=true\n";
    let service = Service::in_directory(Settings::parse(text).unwrap(), &scratch.0);
    assert!(matches!(service.up().unwrap(), Outcome::Up(_)));
    let up = traces();
    assert_eq!(service.up().unwrap(), Outcome::AlreadyUp);
    assert_eq!(traces(), up, "the second time changes nothing");
    assert!(
        up.contains("ip saddr 10.0.3.0/24 ip daddr != 10.0.3.0/24"),
        "{up}"
    );
    assert!(up.contains("ip6 saddr fd42::/64"), "{up}");
    let bridge = ip("addr show lxcbr0");
    for want in [
        "10:66:6a:00:00:00",
        "10.0.3.1/24 brd 10.0.3.255",
        "fd42::1/64",
    ] {
        assert!(bridge.contains(want), "{want} in {bridge}");
    }

    let nic = Nic {
        link: Some("lxcbr0".into()),
        ..veth()
    };
    let created = host.create(&one(nic)).unwrap();
    let script = scratch.0.join("udhcpc");
    std::fs::write(
        &script,
        "#!/bin/sh\n[ \"$1\" = bound ] && echo \"lease $ip $subnet $router $dns $domain\"\nexit 0\n",
    )
    .unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let lease = host
        .inside(|| {
            let command = Command::new("busybox")
                .args([
                    "udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "10", "-T", "1", "-s",
                ])
                .arg(&script)
                .output();
            Ok(String::from_utf8_lossy(&command.unwrap().stdout).into_owned())
        })
        .unwrap();
    assert!(lease.contains("lease 10.0.3."), "{lease}");
    assert!(
        lease.contains("255.255.255.0 10.0.3.1 10.0.3.1 lxc"),
        "{lease}"
    );

    let status = service.status().unwrap();
    assert!(status.is_up(), "{status:?}");
    assert_eq!(
        (status.nat, status.leases, status.ports.len()),
        (Some("nft"), 1, 1),
        "{status:?}"
    );
    let error = service.down(false).unwrap_err().to_string();
    assert!(error.contains("lxcbr0 is in use by veth"), "{error}");
    assert!(
        service.status().unwrap().is_up(),
        "a refused down changes nothing"
    );

    // Often: each time the old server must be wholly gone before the new one takes its addresses.
    let mut pid = status.dnsmasq;
    for _ in 0..10 {
        assert!(matches!(service.reload().unwrap(), Outcome::Up(_)));
        let status = service.status().unwrap();
        assert!(
            status.is_up() && status.dnsmasq != pid && status.ports.len() == 1,
            "{status:?}"
        );
        pid = status.dnsmasq;
    }

    host.teardown(&created);
    service.down(false).unwrap();
    assert_eq!(traces(), before);
    assert!(!service.status().unwrap().is_up());
    assert!(!scratch.0.join("network_up").exists() && !scratch.0.join("dnsmasq.pid").exists());
    service.down(false).unwrap();
}

#[test]
fn missing_parts_are_made_again_and_a_failure_takes_all_back() {
    if !(have("dnsmasq") && have("nft")) {
        return;
    }
    let Some(mut host) = host() else { return };
    let before = traces();
    let scratch = Scratch::new("repair");
    let service = Service::in_directory(Settings::default(), &scratch.0);
    service.up().unwrap();
    ip("link del lxcbr0");
    assert!(matches!(service.up().unwrap(), Outcome::Up(_)));
    assert!(service.status().unwrap().is_up());
    service.down(false).unwrap();
    assert_eq!(traces(), before);

    let bad = Settings {
        dhcp_range: "nonsense".into(),
        ..Settings::default()
    };
    let service = Service::in_directory(bad, &scratch.0);
    let error = service.up().unwrap_err().to_string();
    assert!(
        error.contains("dnsmasq") && error.contains("dhcp-range"),
        "{error}"
    );
    assert_eq!(traces(), before);
    assert_eq!(host.links(), ["lo"]);

    let service = Service::in_directory(Settings::default(), &scratch.0);
    for action in ["start", "start", "restart", "reload", "force-reload"] {
        service.act(action).unwrap();
        assert!(service.status().unwrap().is_up(), "{action}");
    }
    assert!(
        service
            .act("enable")
            .unwrap_err()
            .to_string()
            .contains("none of start")
    );
    ip("link add port0 type veth peer name port1");
    ip("link set port0 master lxcbr0");
    for action in ["restart", "stop", "start", "stop"] {
        service.act(action).unwrap();
        assert_eq!(service.status().unwrap().ports, ["port0"], "{action}");
    }
    ip("link del port0");
    service.act("stop").unwrap();
    assert_eq!(traces(), before);

    ip("link add lxcbr0 type veth peer name x");
    let service = Service::in_directory(Settings::default(), &scratch.0);
    assert!(service.up().unwrap_err().to_string().contains("no bridge"));
    let off = Settings {
        enabled: false,
        ..Settings::default()
    };
    assert_eq!(
        Service::in_directory(off, &scratch.0).up().unwrap(),
        Outcome::Disabled
    );
}

#[test]
fn iptables_carries_the_rules_where_nft_is_turned_off() {
    if !(have("dnsmasq") && have("nft") && have("iptables")) {
        return;
    }
    let Some(_host) = host() else { return };
    let scratch = Scratch::new("iptables");
    let settings = Settings {
        use_nft: false,
        ..Settings::default()
    };
    let service = Service::in_directory(settings, &scratch.0);
    service.up().unwrap();
    assert_eq!(service.status().unwrap().nat, Some("iptables"));
    service.reload().unwrap();
    let rules = || {
        let output = Command::new("iptables-save").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(rules().matches("MASQUERADE").count(), 1, "{}", rules());
    service.down(false).unwrap();
    assert_eq!(rules().matches("lxcbr0").count(), 0, "{}", rules());
}
