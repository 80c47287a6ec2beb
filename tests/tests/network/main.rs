//! The network of whole containers, in a network and mount namespace of each test's own.

mod bridged;
mod lent;
mod rootless;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use rlxc_tests::{Actor, Place, ok, run, skipped};

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
