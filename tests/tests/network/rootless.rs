//! An ordinary user's nics, within the quota.

use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use rlxc_tests::{Actor, bin_dir, ok, run, said, skipped};

use super::{NONE, inside, links, own_network, wait_for_links};

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
