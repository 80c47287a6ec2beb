//! Links that are lent to a container and come back.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rlxc_tests::{Actor, Place, ok, peer, run, said, skipped};

use super::{inside, ip, links, own_network};

#[test]
fn a_lent_link_is_lent_again_across_a_reboot_from_inside() {
    let Some(place) = own_network(Actor::Root) else {
        return;
    };
    ip("link add pr0 type veth peer name pr1");
    ip("link set pr0 mtu 1450 address 00:16:3e:aa:aa:02");
    let (before, name) = (links(), "rlxc-net-lent");
    place.create(
        name,
        "lxc.net.0.type = phys\nlxc.net.0.link = pr0\nlxc.net.0.name = wan0\nlxc.net.0.mtu = 1300\n\
         lxc.net.0.flags = up\nlxc.net.0.ipv4.address = 10.8.0.5/24\n",
    );
    ok(&place.rlxc("start", &["-n", name]));
    for _ in 0..3 {
        let shown = inside(&place, name, "addr show wan0");
        for word in ["mtu 1300", "00:16:3e:aa:aa:02", "10.8.0.5/24"] {
            assert!(shown.contains(word), "{word}: {shown}");
        }
        assert!(!links().contains(&"pr0".to_owned()), "{:?}", links());
        let info = |what: &str| said(&place.rlxc("info", &["-n", name, what, "-H"]));
        let first = info("-p");
        let reboot = ["-n", name, "--", "/bin/busybox", "reboot", "-f"];
        let _ = place.rlxc("attach", &reboot);
        let deadline = Instant::now() + Duration::from_secs(20);
        // Between the two there is none.
        while info("-s").trim() != "RUNNING" || info("-p") == first {
            assert!(Instant::now() < deadline, "no reboot");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    ok(&place.rlxc("stop", &["-k", "-n", name]));
    assert_eq!(links(), before);
    let shown = ip("link show pr0");
    assert!(
        shown.contains("mtu 1450") && shown.contains("00:16:3e:aa:aa:02"),
        "{shown}"
    );
}

#[test]
fn a_lent_link_comes_back_as_it_was_also_after_a_killed_monitor() {
    // A killed monitor leaves its cgroups.
    let _left = rlxc_tests::cgroups::Left::of("rlxc-net-phys").with_processes();
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
