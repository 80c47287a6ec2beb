//! The network of whole containers, in a network and mount namespace of each test's own.

#[path = "../../crates/rlxc-network/tests/common/cgroups.rs"]
#[allow(unreachable_pub)]
mod cgroups;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use rlxc_tests::{Actor, Place, bin_dir, ok, peer, run, said, skipped};

const NONE: Option<&str> = None;

/// Gives this test a network namespace with the bridge `br0` (10.9.0.1/24), and its own /run/lxc
/// and /etc/lxc; commands started from it are in there, too.
fn own_network(actor: Actor) -> Option<Place> {
    if !rlxc_tests::root_for("a network with a bridge is made") {
        return None;
    }
    let place = Place::new(actor)?;
    if !Path::new("/usr/sbin/ip").exists() && !Path::new("/sbin/ip").exists() {
        skipped("ip (package iproute2)");
        return None;
    }
    assert_eq!(
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS),
        Ok(())
    );
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    assert_eq!(mount(NONE, "/", NONE, private, NONE), Ok(()));
    // A sysfs that shows this namespace's links, as LXC's tools want it, with the cgroups below.
    let (cgroups, sys) = (place.path().join("cgroups"), "/sys/fs/cgroup");
    assert!(std::fs::create_dir(&cgroups).is_ok());
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    assert_eq!(mount(Some(sys), &cgroups, NONE, bind, NONE), Ok(()));
    let sysfs = mount(Some("s"), "/sys", Some("sysfs"), MsFlags::empty(), NONE);
    assert_eq!(sysfs, Ok(()));
    assert_eq!(mount(Some(&cgroups), sys, NONE, bind, NONE), Ok(()));
    assert_eq!(umount2(&cgroups, MntFlags::MNT_DETACH), Ok(()));
    assert!(std::fs::remove_dir(&cgroups).is_ok());
    for directory in ["/run/lxc", "/etc/lxc"] {
        assert!(std::fs::create_dir_all(directory).is_ok(), "{directory}");
        let mode = Some("mode=0755");
        let mounted = mount(Some("t"), directory, Some("tmpfs"), MsFlags::empty(), mode);
        assert_eq!(mounted, Ok(()), "{directory}");
    }
    ip("link set lo up");
    ip("link add br0 type bridge");
    ip("addr add 10.9.0.1/24 dev br0");
    ip("link set br0 up");
    Some(place)
}

fn ip(arguments: &str) -> String {
    ok(&run(Command::new("ip").args(arguments.split_whitespace())))
}

/// The host's links, once the kernel has taken down what is on its way out.
fn links() -> Vec<String> {
    let listed = ip("-o link");
    let name = |line: &str| {
        let name = line.split(": ").nth(1).unwrap_or_default();
        name.split('@').next().unwrap_or_default().to_owned()
    };
    let mut names: Vec<_> = listed.lines().map(name).collect();
    names.sort();
    names
}

#[track_caller]
fn wait_for_links(wanted: &[String]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while links() != wanted {
        assert!(Instant::now() < deadline, "left: {:?}", links());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `ip` in the running container.
fn inside(place: &Place, name: &str, arguments: &str) -> String {
    let pid = ok(&place.rlxc("info", &["-n", name, "-p", "-H"]));
    let mut command = Command::new("nsenter");
    command.args(["-t", pid.trim(), "-n", "ip"]);
    ok(&run(command.args(arguments.split_whitespace())))
}

/// `lan0`: the template's DHCP client takes eth0.
const BRIDGED: &str = "lxc.net.0.type = veth\nlxc.net.0.link = br0\nlxc.net.0.flags = up\n\
                       lxc.net.0.name = lan0\n\
                       lxc.net.0.ipv4.address = 10.9.0.5/24\nlxc.net.0.ipv4.gateway = auto\n";

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
fn a_lent_link_comes_back_as_it_was_also_after_a_killed_monitor() {
    // A killed monitor leaves its cgroups.
    let _cgroups = cgroups::Cgroups("rlxc-net-phys".to_owned());
    let Some(place) = own_network(Actor::Root) else {
        return;
    };
    ip("link add ph0 type veth peer name ph1");
    ip("link set ph0 mtu 1450 address 00:16:3e:aa:aa:01");
    ip("link property add dev ph0 altname the-long-name-of-a-link");
    let (before, as_it_was) = (links(), ip("-d link show ph0"));
    let name = "rlxc-net-phys";
    place.create(
        name,
        "lxc.net.0.type = phys\nlxc.net.0.link = ph0\nlxc.net.0.name = wan0\n\
         lxc.net.0.mtu = 1300\nlxc.net.0.hwaddr = 00:16:3e:bb:bb:01\nlxc.net.0.flags = up\n",
    );
    let settings = |text: &str| {
        let word = |key: &str| {
            let mut words = text.split_whitespace();
            words.find(|w| *w == key);
            words.next().map(str::to_owned)
        };
        [word("mtu"), word("link/ether"), word("altname")]
    };
    let start = || ok(&place.rlxc("start", &["-n", name]));
    start();
    let shown = inside(&place, name, "link show wan0");
    assert!(
        shown.contains("mtu 1300") && shown.contains("00:16:3e:bb:bb:01"),
        "{shown}"
    );
    ok(&place.rlxc("stop", &["-k", "-n", name]));
    assert_eq!(links(), before);
    assert_eq!(settings(&ip("-d link show ph0")), settings(&as_it_was));

    start();
    let init = ok(&place.rlxc("info", &["-n", name, "-p", "-H"]));
    let init = init.trim();
    let namespace = std::fs::File::open(format!("/proc/{init}/ns/net"));
    let status = std::fs::read_to_string(format!("/proc/{init}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|l| l.strip_prefix("PPid:"));
    for pid in [parent.unwrap_or_default().trim(), init] {
        ok(&run(Command::new("kill").args(["-9", pid])));
    }
    // The kernel gives hardware back under its name in there; this pair would die with the
    // namespace, so the test holds that open and does it by hand.
    let descriptor = namespace.map(|file| {
        use std::os::fd::AsRawFd as _;
        let path = format!("/proc/{}/fd/{}", nix::unistd::gettid(), file.as_raw_fd());
        (file, path)
    });
    let Ok((_held, path)) = descriptor else {
        panic!("no namespace of {init}");
    };
    let mut back = Command::new("nsenter");
    back.arg(format!("--net={path}"));
    back.args(["ip", "link", "set", "wan0", "netns"]);
    // This thread's, not the program's, namespace.
    ok(&run(back.arg(nix::unistd::gettid().to_string())));
    assert!(links().contains(&"wan0".to_owned()), "{:?}", links());
    start();
    ok(&place.rlxc("stop", &["-k", "-n", name]));
    assert_eq!(links(), before);
    assert_eq!(settings(&ip("-d link show ph0")), settings(&as_it_was));
}

/// The kernel gives hardware back to the first namespace, so this is for a machine of its own.
#[test]
fn hardware_comes_back_as_it_was_after_a_killed_monitor() {
    if std::env::var_os("RLXC_VM").is_none() {
        return println!("skipped: the VM: cargo xtask vm-test");
    }
    let Some(place) = Place::new(Actor::Root) else {
        return;
    };
    let hardware = |name: &String| {
        let directory = Path::new("/sys/class/net").join(name);
        directory.join("device").exists() && !directory.join("phy80211").exists()
    };
    let Some(link) = links().into_iter().find(hardware) else {
        return skipped("a network card");
    };
    ip(&format!("link set {link} down"));
    ip(&format!("link set {link} mtu 1450"));
    ip(&format!(
        "link property add dev {link} altname the-long-name-of-a-card"
    ));
    let look = || {
        let shown = ip(&format!("link show {link}"));
        let words = ["mtu", "link/ether", "altname"].map(|key| {
            let mut words = shown.split_whitespace();
            words.find(|w| *w == key);
            words.next().map(str::to_owned)
        });
        (links(), words)
    };
    let before = look();
    let name = "rlxc-net-card";
    place.create(
        name,
        &format!(
            "lxc.net.0.type = phys\nlxc.net.0.link = {link}\nlxc.net.0.name = wan0\n\
             lxc.net.0.mtu = 1300\nlxc.net.0.hwaddr = 00:16:3e:bb:bb:01\nlxc.net.0.flags = up\n"
        ),
    );
    // Whatever is done next with the container brings the card back, also when the kernel has not
    // given it back by then.
    for (next, patient) in [
        ("start", true),
        ("start", false),
        ("info", false),
        ("stop", true),
    ] {
        ok(&place.rlxc("start", &["-n", name]));
        assert!(inside(&place, name, "link show wan0").contains("mtu 1300"));
        assert!(!links().contains(&link));
        let init = ok(&place.rlxc("info", &["-n", name, "-p", "-H"]));
        let init = init.trim();
        let status = std::fs::read_to_string(format!("/proc/{init}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|l| l.strip_prefix("PPid:"));
        for pid in [parent.unwrap_or_default().trim(), init] {
            ok(&run(Command::new("kill").args(["-9", pid])));
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while patient && links().len() != before.0.len() {
            assert!(
                Instant::now() < deadline,
                "the kernel gave back {:?}",
                links()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("{next}: the kernel gave back {:?}", links());
        let done = place.rlxc(next, &["-n", name]);
        if next == "start" {
            ok(&done);
            ok(&place.rlxc("stop", &["-k", "-n", name]));
        }
        assert_eq!(look(), before, "{next}: {}", said(&done));
    }
}

/// Wireless links move with their phy.
#[test]
fn a_wireless_link_is_lent_with_its_phy_and_comes_back() {
    if std::env::var_os("RLXC_VM").is_none() {
        return println!("skipped: the VM: cargo xtask vm-test");
    }
    let Some(place) = Place::new(Actor::Root) else {
        return;
    };
    let phy = |name: &str| {
        let path = format!("/sys/class/net/{name}/phy80211/index");
        std::fs::read_to_string(path).ok()
    };
    let Some(link) = links().into_iter().find(|name| phy(name).is_some()) else {
        return skipped("a wireless card (module mac80211_hwsim)");
    };
    let (before, number) = (links(), phy(&link));
    let name = "rlxc-net-wlan";
    let nic = format!("lxc.net.0.type = phys\nlxc.net.0.link = {link}\nlxc.net.0.flags = up\n");
    place.create(name, &format!("{nic}lxc.net.0.name = radio7\n"));
    for killed in [false, true] {
        ok(&place.rlxc("start", &["-n", name]));
        assert!(inside(&place, name, "-o link").contains("radio7"));
        assert!(!links().contains(&link), "{:?}", links());
        if killed {
            let init = ok(&place.rlxc("info", &["-n", name, "-p", "-H"]));
            let path = format!("/proc/{}/status", init.trim());
            let status = std::fs::read_to_string(path).unwrap_or_default();
            let parent = status.lines().find_map(|l| l.strip_prefix("PPid:"));
            for pid in [parent.unwrap_or_default().trim(), init.trim()] {
                ok(&run(Command::new("kill").args(["-9", pid])));
            }
            drop(place.rlxc("stop", &["-n", name]));
        } else {
            ok(&place.rlxc("stop", &["-k", "-n", name]));
        }
        assert_eq!((links(), phy(&link)), (before.clone(), number.clone()));
    }
    // By hand, into a running container and out of it.
    place.create("rlxc-net-wlan2", "");
    ok(&place.rlxc("start", &["-n", "rlxc-net-wlan2"]));
    ok(&place.rlxc("device", &["-n", "rlxc-net-wlan2", "add", &link, "radio8"]));
    assert!(inside(&place, "rlxc-net-wlan2", "-o link").contains("radio8"));
    ok(&place.rlxc("device", &["-n", "rlxc-net-wlan2", "del", "radio8", &link]));
    assert_eq!((links(), phy(&link)), (before, number));
    ok(&place.rlxc("stop", &["-k", "-n", "rlxc-net-wlan2"]));
}

#[test]
fn interfaces_are_added_to_a_running_container_and_taken_back() {
    let Some(place) = own_network(Actor::Root) else {
        return;
    };
    ip("link add dev0 type veth peer name dev1");
    let before = links();
    let name = "rlxc-net-device";
    place.create(name, "");
    ok(&place.rlxc("start", &["-n", name]));
    ok(&place.rlxc("device", &["-n", name, "add", "dev0", "eth7"]));
    assert!(inside(&place, name, "-o link").contains("eth7"));
    let taken = place.rlxc("device", &["-n", name, "add", "dev1", "lo"]);
    assert!(
        !taken.status.success() && said(&taken).contains("lo"),
        "{}",
        said(&taken)
    );
    ok(&place.rlxc("device", &["-n", name, "del", "eth7", "dev0"]));
    assert_eq!(links(), before);
    if peer() {
        ok(&place.rlxc("device", &["-n", name, "add", "dev0"]));
        ok(&place.lxc("device", &["-n", name, "del", "dev0"]));
        assert_eq!(links(), before);
    }
    ok(&place.rlxc("stop", &["-k", "-n", name]));
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

/// A user's containers, their nics made by the setuid program `theirs` or ours.
fn rootless_with_quota(theirs: bool) {
    // LXC's program counts nics that the kernel has not deleted yet.
    let wait = theirs;
    let Some(place) = own_network(Actor::UserWithIds) else {
        return;
    };
    let place = &place;
    let installed = "/usr/libexec/lxc/lxc-user-nic";
    if !Path::new(installed).exists() {
        return skipped("LXC's own lxc-user-nic (package lxc)");
    }
    let program = match theirs {
        true => Path::new(installed).to_path_buf(),
        false => bin_dir().join("lxc-user-nic"),
    };
    // A copy that is setuid root, in the place where both look for it.
    let copy = "/run/lxc/lxc-user-nic";
    assert!(std::fs::copy(program, copy).is_ok());
    ok(&run(Command::new("chmod").args(["4755", copy])));
    let bound = mount(Some(copy), installed, NONE, MsFlags::MS_BIND, NONE);
    assert_eq!(bound, Ok(()));
    let rule = "rlxc-ids veth br0 1\n";
    assert!(std::fs::write("/etc/lxc/lxc-usernet", rule).is_ok());
    let before = links();
    for name in ["rlxc-net-u1", "rlxc-net-u2"] {
        let address = name.replace("rlxc-net-u", "10.9.0.2");
        place.create(
            name,
            &format!(
                "lxc.net.0.type = veth\nlxc.net.0.link = br0\nlxc.net.0.flags = up\n\
                 lxc.net.0.name = lan0\nlxc.net.0.hwaddr = 00:16:3e:11:22:33\n\
                 lxc.net.0.ipv4.address = {address}/24\nlxc.net.0.ipv4.gateway = auto\n"
            ),
        );
    }
    let start = |name| place.rlxc("start", &["-n", name]);
    ok(&start("rlxc-net-u1"));
    let shown = inside(place, "rlxc-net-u1", "addr show lan0");
    assert!(shown.contains("10.9.0.21/24"), "{shown}");
    assert!(shown.contains("00:16:3e:11:22:33"), "{shown}");
    let routes = inside(place, "rlxc-net-u1", "route");
    assert!(routes.contains("default via 10.9.0.1"), "{routes}");
    let ping = ["ping", "-c", "1", "-w", "5", "10.9.0.21"];
    ok(&run(Command::new("busybox").args(ping)));
    let record = std::fs::read_to_string("/run/lxc/nics").unwrap_or_default();
    assert!(record.starts_with("rlxc-ids veth br0 veth"), "{record}");
    let info = ok(&place.rlxc("info", &["-n", "rlxc-net-u1"]));
    let theirs = said(&place.lxc("info", &["-n", "rlxc-net-u1"]));
    assert!(
        info.contains("Link:           veth") && info.contains("10.9.0.21"),
        "{info} {theirs}"
    );

    let second = start("rlxc-net-u2");
    assert!(!second.status.success());
    assert!(said(&second).contains("uota"), "{}", said(&second));
    ok(&place.rlxc("stop", &["-k", "-n", "rlxc-net-u1"]));
    if wait {
        wait_for_links(&before);
    }
    ok(&start("rlxc-net-u2"));
    ok(&place.rlxc("stop", &["-k", "-n", "rlxc-net-u2"]));
    wait_for_links(&before);
}

#[test]
fn a_users_container_gets_its_nic_from_our_program_within_the_quota() {
    rootless_with_quota(false);
}

#[test]
fn a_users_container_gets_its_nic_from_lxcs_program_within_the_quota() {
    rootless_with_quota(true);
}
