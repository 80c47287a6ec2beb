//! What one bridged veth nic costs a start, against the bare netlink requests; run as root.
//!
//! Prints medians in microseconds: the library (`setup_host` and `setup_inside`), the same
//! requests sent by hand, and the stop (`teardown`) beside a synchronous deletion.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use rlxc_config::{Ipv4Address, Nic, NicKind, Veth};
use rlxc_network::netlink::{LinkKind, NewLink, Target};
use rlxc_network::{Container, Context, Netlink, netns, setup_host, setup_with};

const RUNS: usize = 100;

fn namespace() -> OwnedFd {
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        netns::own().unwrap()
    });
    thread.join().unwrap()
}

fn median(mut all: Vec<Duration>) -> u128 {
    all.sort();
    all[all.len() / 2].as_micros()
}

fn main() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let mut host = Netlink::open().unwrap();
    let bridge = NewLink {
        name: "br0",
        kind: LinkKind::Bridge,
        up: true,
        ..NewLink::default()
    };
    host.request(bridge.message()).unwrap();
    let bridge = host.link("br0").unwrap().unwrap().index;
    let nic = Nic {
        kind: NicKind::Veth(Veth::default()),
        link: Some("br0".into()),
        up: true,
        ipv4: vec![Ipv4Address {
            address: "10.9.0.5".parse().unwrap(),
            prefix: 24,
            broadcast: None,
        }],
        ..Nic::default()
    };
    let nics = BTreeMap::from([(0, nic)]);
    let context = Context::new("c1", "/nonexistent");
    let (mut library, mut bare, mut stop, mut delete) = (vec![], vec![], vec![], vec![]);
    for run in 0..RUNS {
        let fd = namespace();
        let mut inside = netns::netlink_in(fd.as_fd()).unwrap();
        let container = Container {
            netns: fd.as_fd(),
            pid: 0,
        };
        let start = Instant::now();
        let created = setup_host(&mut host, &nics, container, &context).unwrap();
        setup_with(&mut inside, &created.inside).unwrap();
        library.push(start.elapsed());
        let start = Instant::now();
        assert!(
            created
                .teardown(&mut host, &context, Some(fd.as_fd()))
                .is_empty()
        );
        stop.push(start.elapsed());
        created.finish(&mut host).unwrap();

        let fd = namespace();
        let mut inside = netns::netlink_in(fd.as_fd()).unwrap();
        let name = format!("bare{run}");
        let start = Instant::now();
        by_hand(&mut host, &mut inside, &name, fd.as_fd(), bridge);
        bare.push(start.elapsed());
        let index = host.link(&name).unwrap().unwrap().index;
        let start = Instant::now();
        host.delete_link(index, &name).unwrap();
        delete.push(start.elapsed());
    }
    println!(
        "start: library {} us, bare requests {} us",
        median(library),
        median(bare)
    );
    println!(
        "stop: teardown {} us, deleting the pair {} us",
        median(stop),
        median(delete)
    );
}

fn by_hand(
    host: &mut Netlink,
    inside: &mut Netlink,
    name: &str,
    target: std::os::fd::BorrowedFd<'_>,
    bridge: u32,
) {
    let peer = NewLink {
        name: "eth0",
        target: Some(Target::Fd(target)),
        ..NewLink::default()
    };
    let pair = NewLink {
        name,
        kind: LinkKind::Veth(Box::new(peer)),
        address: Some([0xfe, 0, 0, 0, 0, 1]),
        mtu: Some(1500),
        ..NewLink::default()
    };
    host.request(pair.message()).unwrap();
    std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1").unwrap();
    let index = host.link(name).unwrap().unwrap().index;
    host.attach_and_set_up(index, name, Some(bridge)).unwrap();
    let eth0 = inside.link("eth0").unwrap().unwrap().index;
    let lo = inside.link("lo").unwrap().unwrap().index;
    inside.attach_and_set_up(lo, "lo", None).unwrap();
    inside
        .add_address(eth0, "eth0", "10.9.0.5".parse().unwrap(), 24)
        .unwrap();
    inside.attach_and_set_up(eth0, "eth0", None).unwrap();
}
