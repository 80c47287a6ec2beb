//! Containers on the bridge, and what cannot work.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use rlxc_tests::{Actor, bin_dir, ok, peer, run, said, skipped};

use super::{BRIDGED, NONE, inside, ip, links, own_network, wait_for_links};

#[test]
fn a_bridged_container_is_reached_and_shown_with_link_addresses_and_counters() {
    let Some(place) = own_network(Actor::Root) else {
        return;
    };
    let before = links();
    let name = "rlxc-net-shown";
    place.create(name, BRIDGED);
    ok(&place.rlxc("start", &["-n", name]));
    let ping = ["ping", "-c", "2", "-w", "5", "10.9.0.5"];
    ok(&run(Command::new("busybox").args(ping)));
    let info = ok(&place.rlxc("info", &["-n", name]));
    let pair = info
        .lines()
        .find_map(|l| l.strip_prefix("Link:"))
        .unwrap_or_default();
    assert!(links().contains(&pair.trim().to_owned()), "{info}");
    assert!(info.contains("10.9.0.5"), "{info}");
    let counted = |text: &str| {
        let line = |l: &&str| l.contains("TX bytes") || l.contains("RX bytes");
        text.lines().filter(line).count()
    };
    assert_eq!(counted(&info), 2, "{info}");
    assert!(!info.contains("TX bytes:      0 bytes"), "{info}");
    // Of every family and scope, with a label, with a peer, out of use.
    for more in [
        "10.9.0.77/24",
        "10.9.7.5/24 label lan0:1",
        "192.0.2.1 peer 192.0.2.2/32",
        "169.254.1.1/16 scope link",
        "fd09::5/64 nodad",
        "fec0::1/64 nodad",
        "2001:db8::2/64 nodad preferred_lft 0",
    ] {
        inside(&place, name, &format!("addr add {more} dev lan0"));
    }
    if peer() {
        let network = |text: &str| {
            let of = |l: &&str| l.starts_with("Link") || l.starts_with("IP");
            text.lines()
                .filter(of)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let ours = ok(&place.rlxc("info", &["-n", name]));
        let theirs = ok(&place.lxc("info", &["-n", name]));
        assert_eq!(network(&ours), network(&theirs));
        let columns = ["-f", "-F", "NAME,IPV4,IPV6,INTERFACE"];
        assert_eq!(
            ok(&place.rlxc("ls", &columns)),
            ok(&place.lxc("ls", &columns))
        );
    }
    ok(&place.rlxc("stop", &["-k", "-n", name]));
    wait_for_links(&before);
}

#[test]
fn the_host_bridge_serves_a_container_and_goes_without_a_trace() {
    let Some(place) = own_network(Actor::Root) else {
        return;
    };
    for program in ["/usr/sbin/dnsmasq", "/usr/sbin/nft"] {
        if !Path::new(program).exists() {
            return skipped(program);
        }
    }
    for directory in ["/etc/default", "/var/lib/misc"] {
        assert!(std::fs::create_dir_all(directory).is_ok(), "{directory}");
        let mounted = mount(Some("t"), directory, Some("tmpfs"), MsFlags::empty(), NONE);
        assert_eq!(mounted, Ok(()), "{directory}");
    }
    let settings = "USE_LXC_BRIDGE=\"true\"\nLXC_BRIDGE=\"lxcbrt\"\nLXC_ADDR=10.71.3.1\n\
                    LXC_NETWORK=10.71.3.0/24\nLXC_DHCP_RANGE=10.71.3.2,10.71.3.254\n\
                    LXC_DHCP_PING=false\nLXC_IPV6_ADDR=fd71::1\nLXC_IPV6_MASK=64\n\
                    LXC_IPV6_NETWORK=fd71::/64\nLXC_IPV6_NAT=true\n";
    assert!(std::fs::write("/etc/default/lxc-net", settings).is_ok());
    let rlxc = |words: &[&str]| run(Command::new(bin_dir().join("rlxc")).arg("net").args(words));
    let rules = || ok(&run(Command::new("nft").args(["-s", "list", "ruleset"])));
    let before = (links(), rules());
    assert_eq!(rlxc(&["status"]).status.code(), Some(3));
    ok(&rlxc(&["up"]));
    let up = (links(), rules());
    ok(&rlxc(&["up"]));
    assert_eq!((links(), rules()), up, "the second time changes nothing");
    let name = "rlxc-net-dhcp";
    let nic = "lxc.net.0.type = veth\nlxc.net.0.link = lxcbrt\nlxc.net.0.flags = up\n";
    place.create(name, nic);
    ok(&place.rlxc("start", &["-n", name]));
    let deadline = Instant::now() + Duration::from_secs(30);
    let ips = || ok(&place.rlxc("info", &["-n", name, "-i", "-H"]));
    // By DHCP, and by the router's advertisements.
    while !(ips().contains("10.71.3.") && ips().contains("fd71::")) {
        assert!(Instant::now() < deadline, "{}", ips());
        std::thread::sleep(Duration::from_millis(50));
    }
    for (format, words) in [
        (
            "json",
            ["\"leases\": 1", "\"state\": \"up\"", "\"nat\": \"nft\""],
        ),
        ("yaml", ["leases: 1", "state: \"up\"", "nat: \"nft\""]),
        (
            "csv",
            ["addresses,bridge,", "10.71.3.1/24 fd71::1/64", ",nft,veth"],
        ),
        (
            "table",
            [
                "State:          up",
                "Leases:         1",
                "10.71.3.1/24, fd71::1/64",
            ],
        ),
    ] {
        let text = ok(&rlxc(&["status", "--format", format]));
        for word in words {
            assert!(text.contains(word), "{format}: {word} in {text}");
        }
    }
    let refused = rlxc(&["down"]);
    assert!(
        !refused.status.success() && said(&refused).contains("in use by veth"),
        "{}",
        said(&refused)
    );
    ok(&place.rlxc("stop", &["-k", "-n", name]));
    wait_for_links(&up.0);
    for _ in 0..2 {
        ok(&rlxc(&["down"]));
        assert_eq!((links(), rules()), before);
    }
}

#[test]
fn names_stay_across_a_reboot() {
    let Some(place) = own_network(Actor::Root) else {
        return;
    };
    let before = links();
    let name = "rlxc-net-reboot";
    let chosen = "lxc.net.0.veth.pair = vhreboot\n";
    place.create(name, &format!("{BRIDGED}{chosen}"));
    ok(&place.rlxc("start", &["-n", name]));
    let running = links();
    for _ in 0..2 {
        let pid = ok(&place.rlxc("info", &["-n", name, "-p", "-H"]));
        ok(&place.rlxc("stop", &["-n", name, "-r", "-t", "20"]));
        ok(&place.rlxc("wait", &["-n", name, "-s", "RUNNING", "-t", "10"]));
        assert_ne!(pid, ok(&place.rlxc("info", &["-n", name, "-p", "-H"])));
        assert_eq!(links(), running);
        let shown = inside(&place, name, "-o addr show dev lan0");
        assert!(shown.contains("10.9.0.5/24"), "{shown}");
    }
    ok(&place.rlxc("stop", &["-k", "-n", name]));
    wait_for_links(&before);
}

#[test]
fn what_cannot_work_is_named_and_leaves_no_link() {
    let Some(place) = own_network(Actor::Root) else {
        return;
    };
    ip("link add taken0 type veth peer name taken1");
    let before = links();
    let cases: [(&str, &str, &[&str]); 11] = [
        // The later nic's script takes the earlier one's pair away.
        (
            "vanish",
            "lxc.net.0.veth.pair = vhgone\nlxc.net.1.script.up = ip link del vhgone #\n",
            &["lan0", "vanished while the container started"],
        ),
        (
            "slash",
            "lxc.net.1.name = a/b\n",
            &["lxc.net.1.name", "a/b", "'/'"],
        ),
        (
            "name-taken",
            "lxc.net.1.name = lan0\n",
            &["lxc.net.1.name", "lan0", "used by another"],
        ),
        (
            "no-link-for",
            "lxc.net.2.type = empty\nlxc.net.2.ipv4.address = 10.9.0.9/24\n",
            &["lxc.net.2.ipv4.address", "no link"],
        ),
        ("absent", "lxc.net.1.link = absent0\n", &["absent0"]),
        ("taken", "lxc.net.1.veth.pair = taken0\n", &["taken0"]),
        (
            "mac",
            "lxc.net.1.hwaddr = 00:16:3e:zz:00:01\n",
            &["lxc.net.1.hwaddr"],
        ),
        (
            "multicast",
            "lxc.net.1.hwaddr = 01:00:5e:00:00:01\n",
            &["multicast"],
        ),
        ("mtu", "lxc.net.1.mtu = lots\n", &["lxc.net.1.mtu", "lots"]),
        (
            "gateway",
            "lxc.net.1.ipv4.gateway = 10.77.0.1\n",
            &["lxc.net.1.ipv4.gateway", "address"],
        ),
        (
            "script",
            "lxc.net.1.script.up = /bin/false\n",
            &["/bin/false"],
        ),
    ];
    let container = "rlxc-net-bad";
    place.create(container, "");
    let config = place.path().join(container).join("config");
    let made = std::fs::read_to_string(&config).unwrap_or_default();
    for (name, bad, words) in cases {
        let nics = format!("{BRIDGED}lxc.net.1.type = veth\nlxc.net.1.flags = up\n{bad}");
        assert!(std::fs::write(&config, format!("{made}\n{nics}")).is_ok());
        let started = place.rlxc("start", &["-n", container]);
        let text = said(&started);
        assert!(!started.status.success(), "{name}: {text}");
        for word in words {
            assert!(text.contains(word), "{name}: \"{word}\" in {text}");
        }
        wait_for_links(&before);
    }
}

#[test]
fn many_containers_on_one_bridge_start_and_stop_without_a_leftover_link() {
    const MANY: usize = 24;
    let Some(place) = own_network(Actor::Root) else {
        return;
    };
    let before = links();
    let first = "rlxc-net-many";
    place.create(first, "");
    let rootfs = place.path().join(first).join("rootfs");
    let names: Vec<String> = (0..MANY).map(|n| format!("{first}-{n}")).collect();
    for name in &names {
        let directory = place.path().join(name);
        assert!(std::fs::create_dir(&directory).is_ok());
        let text = format!(
            "lxc.rootfs.path = dir:{}\nlxc.uts.name = {name}\nlxc.net.0.type = veth\n\
             lxc.net.0.link = br0\nlxc.net.0.flags = up\nlxc.apparmor.profile = unconfined\n",
            rootfs.display()
        );
        assert!(std::fs::write(directory.join("config"), text).is_ok());
    }
    // All at once: the names of the links are chosen while others choose theirs.
    let at_once = |verb: &str, more: &[&str]| {
        let start = |name: &String| {
            let mut command = Command::new(bin_dir().join("rlxc"));
            command.arg(verb).arg("-P").arg(place.path());
            command.args(["-n", name]).args(more).spawn()
        };
        let running: Vec<_> = names.iter().map(start).collect();
        for child in running {
            assert!(child.and_then(|mut c| c.wait()).is_ok_and(|s| s.success()));
        }
    };
    at_once("start", &["--", "/bin/sleep", "300"]);
    assert_eq!(links().len(), before.len() + MANY);
    at_once("stop", &["-k"]);
    wait_for_links(&before);
    for name in &names {
        let _ = std::fs::remove_dir_all(place.path().join(name));
    }
}

#[test]
fn none_shares_the_network_of_the_starter() {
    let Some(place) = own_network(Actor::Root) else {
        return;
    };
    let name = "rlxc-net-none";
    place.create(name, "lxc.net.0.type = none\n");
    ok(&place.rlxc("start", &["-n", name]));
    assert!(inside(&place, name, "-o link").contains("br0"));
    ok(&place.rlxc("stop", &["-k", "-n", name]));
    assert!(links().contains(&"br0".to_owned()));
}
