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

/// One ping from the container.
fn reaches(host: &common::Host, address: &str) -> bool {
    let ping = || {
        let command = Command::new("busybox")
            .args(["ping", "-c", "1", "-W", "1", address])
            .output();
        Ok(command.unwrap().status.success())
    };
    (0..3).any(|_| host.inside(ping).unwrap())
}

#[test]
fn containers_reach_other_networks_through_nat_or_the_remedy_is_named() {
    if !(have("dnsmasq") && have("nft") && have("busybox") && have("iptables")) {
        return;
    }
    let Some(mut host) = host() else { return };
    let scratch = Scratch::new("nat");
    // A network beyond the host that knows no way back to the containers.
    let beyond = common::fresh_namespace();
    ip("link add out0 type veth peer name out1");
    ip("addr add 192.0.2.1/24 dev out0");
    ip("link set out0 up");
    let path = format!(
        "/proc/{}/fd/{}",
        nix::unistd::gettid(),
        std::os::fd::AsRawFd::as_raw_fd(&beyond)
    );
    let enter = format!("--net={path}");
    ip(&format!("link set out1 netns {path}"));
    for words in ["addr add 192.0.2.2/24 dev out1", "link set out1 up"] {
        let mut command = Command::new("nsenter");
        command.arg(&enter).arg("ip").args(words.split(' '));
        assert!(command.status().unwrap().success(), "{words}");
    }
    let service = Service::in_directory(Settings::default(), &scratch.0);
    assert_eq!(service.up().unwrap(), Outcome::Up(Vec::new()));
    let nic = Nic {
        link: Some("lxcbr0".into()),
        ipv4: vec![rlxc_config::Ipv4Address {
            address: "10.0.3.77".parse().unwrap(),
            prefix: 24,
            broadcast: None,
        }],
        ipv4_gateway: rlxc_config::Gateway {
            auto: true,
            ..Default::default()
        },
        ..veth()
    };
    let created = host.create(&one(nic)).unwrap();
    assert!(reaches(&host, "192.0.2.2"), "through NAT");

    // As Docker leaves the host.
    for rule in [
        "-P FORWARD DROP",
        "-N DOCKER-USER",
        "-A FORWARD -j DOCKER-USER",
    ] {
        let done = Command::new("iptables").args(rule.split(' ')).status();
        assert!(done.unwrap().success(), "{rule}");
    }
    assert!(!reaches(&host, "192.0.2.2"), "dropped");
    let warning = service.status().unwrap().warning.unwrap();
    assert!(
        warning.contains("iptables -I DOCKER-USER -i lxcbr0"),
        "{warning}"
    );
    let Outcome::Up(notes) = service.reload().unwrap() else {
        panic!("reloaded");
    };
    assert_eq!(notes, std::slice::from_ref(&warning));
    let (_, remedy) = warning.split_once("run: ").unwrap();
    let done = Command::new("sh").args(["-c", remedy]).status();
    assert!(done.unwrap().success(), "{remedy}");
    assert_eq!(service.status().unwrap().warning, None);
    assert!(reaches(&host, "192.0.2.2"), "after the remedy");
    host.teardown(&created);
    service.down(false).unwrap();
}

#[test]
fn many_calls_at_the_same_time_make_one_bridge() {
    if !(have("dnsmasq") && have("nft")) {
        return;
    }
    let Some(_host) = host() else { return };
    let before = traces();
    let scratch = Scratch::new("many");
    let service = Service::in_directory(Settings::default(), &scratch.0);
    let own = rlxc_network::netns::own().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let netns = std::os::fd::AsFd::as_fd(&own);
                rlxc_network::netns::run_in(netns, || service.up().map(drop)).unwrap();
            });
        }
    });
    assert!(service.status().unwrap().is_up());
    service.down(false).unwrap();
    assert_eq!(traces(), before);
}

/// LXC's own script, in mounts of this thread's own.
fn lxcs_script(action: &str) -> bool {
    let output = Command::new("/usr/libexec/lxc/lxc-net")
        .arg(action)
        .output();
    let output = output.unwrap();
    if !output.status.success() {
        println!(
            "lxc-net {action}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    output.status.success()
}

#[test]
fn a_bridge_that_lxcs_script_brought_up_is_taken_over_and_down() {
    if !(have("dnsmasq") && have("nft")) {
        return;
    }
    if !std::path::Path::new("/usr/libexec/lxc/lxc-net").exists() {
        println!("skipped: LXC's lxc-net is not installed");
        return;
    }
    let Some(mut host) = host() else { return };
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    let mounts = "mount --make-rprivate / && mount -t sysfs s /sys && mkdir -p /run/lxc && \
                  for d in /run/lxc /etc/default /var/lib/misc; do mount -t tmpfs -o mode=755 t $d; done";
    let done = Command::new("sh").args(["-c", mounts]).status();
    assert!(done.unwrap().success());
    let rules = || {
        let text = traces();
        text.lines().filter(|l| l.starts_with("table")).count()
    };
    let service = Service::in_directory(Settings::default(), "/run/lxc");
    for reload in [false, true] {
        assert!(lxcs_script("start"));
        let status = service.status().unwrap();
        assert!(status.is_up(), "{status:?}");
        if reload {
            assert!(matches!(service.reload().unwrap(), Outcome::Up(_)));
            assert!(service.status().unwrap().is_up());
        } else {
            assert_eq!(service.up().unwrap(), Outcome::AlreadyUp);
        }
        service.down(false).unwrap();
        assert_eq!(
            (host.links(), rules()),
            (vec!["lo".to_owned()], 0),
            "{}",
            traces()
        );
        assert!(!std::path::Path::new("/run/lxc/network_up").exists());
    }
}
