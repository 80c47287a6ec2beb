//! The same `lxc.net` lines given to LXC's own lxc-start and to this library (or to the program
//! named by RLXC_DIFFERENTIAL_START, called like lxc-start): links, addresses, routes and proxy
//! neighbours of both sides must agree.
//!
//! Not compared, for a reason: broadcast addresses (LXC 5.0.2 computes them in the wrong byte
//! order), link-local addresses and random MAC addresses and names, and what LXC leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use common::{have, host};
use rlxc_config::{Document, Nic};
use serde_json::{Value, json};

/// What every case's host has: a bridge with addresses, a pair to sit on, one to lend.
const HOST: &str = "ip link set lo up
ip link add br0 type bridge; ip link set br0 mtu 1400 up
ip addr add 10.9.0.1/24 dev br0; ip addr add fd09::1/64 dev br0 nodad
ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up
ip addr add 10.8.0.1/24 dev up0; ip addr add fd08::1/64 dev up0 nodad
ip link add ph0 type veth peer name ph1; ip link set ph1 up; ip link set ph0 address 00:16:3e:00:00:aa
for f in ipv6/conf/all/forwarding ipv4/conf/up0/forwarding ipv6/conf/up0/forwarding ipv6/conf/up0/proxy_ndp \
  ipv4/conf/br0/forwarding ipv6/conf/br0/forwarding ipv6/conf/br0/proxy_ndp; do
  echo 1 >/proc/sys/net/$f; done";

/// Names and lines (`N.key=value`) of the cases; `!` in front of the name: both must refuse.
const CASES: &[(&str, &str)] = &[
    ("veth alone", "0.type=veth"),
    ("veth up", "0.type=veth 0.flags=up"),
    ("veth on a bridge", "0.type=veth 0.flags=up 0.link=br0"),
    ("veth on a bridge, down", "0.type=veth 0.link=br0"),
    (
        "veth named",
        "0.type=veth 0.flags=up 0.link=br0 0.name=lan0",
    ),
    (
        "veth with pair name",
        "0.type=veth 0.flags=up 0.link=br0 0.veth.pair=vhd0",
    ),
    (
        "veth with mtu",
        "0.type=veth 0.flags=up 0.link=br0 0.mtu=1280",
    ),
    (
        "veth with hwaddr",
        "0.type=veth 0.flags=up 0.link=br0 0.hwaddr=00:16:3e:11:22:33",
    ),
    (
        "veth with queues",
        "0.type=veth 0.flags=up 0.veth.n_rxqueues=2 0.veth.n_txqueues=3",
    ),
    (
        "one address",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv4.address=10.9.0.5/24",
    ),
    (
        "addresses, down",
        "0.type=veth 0.link=br0 0.ipv4.address=10.9.0.5/24",
    ),
    (
        "several addresses",
        "0.type=veth 0.flags=up 0.ipv4.address=10.9.0.5/24 0.ipv4.address=10.9.1.5/16 \
         0.ipv6.address=fd09::5/64 0.ipv6.address=fd10::5/80",
    ),
    (
        "host prefix",
        "0.type=veth 0.flags=up 0.ipv4.address=10.9.0.5/32 0.ipv6.address=fd09::5/128",
    ),
    (
        "gateway",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv4.address=10.9.0.5/24 0.ipv4.gateway=10.9.0.1",
    ),
    (
        "gateway outside",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv4.address=10.9.0.5/24 0.ipv4.gateway=10.55.0.1",
    ),
    (
        "gateway auto",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv4.address=10.9.0.5/24 0.ipv4.gateway=auto",
    ),
    (
        "gateway dev",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv4.address=10.9.0.5/24 0.ipv4.gateway=dev",
    ),
    (
        "ipv6 gateway",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv6.address=fd09::5/64 0.ipv6.gateway=fd09::1",
    ),
    (
        "ipv6 gateway auto",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv6.address=fd09::5/64 0.ipv6.gateway=auto",
    ),
    (
        "ipv6 gateway dev",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv6.address=fd09::5/64 0.ipv6.gateway=dev",
    ),
    (
        "router mode",
        "0.type=veth 0.veth.mode=router 0.veth.pair=vhr0 0.flags=up 0.ipv4.address=10.7.0.5/24 \
         0.ipv4.gateway=10.7.0.1 0.ipv6.address=fd07::5/64 0.ipv6.gateway=fd07::1",
    ),
    (
        "router mode, IPv4 only",
        "0.type=veth 0.veth.mode=router 0.flags=up 0.ipv4.address=10.7.0.5/24 \
         0.ipv4.gateway=10.7.0.1",
    ),
    (
        "router mode without gateways",
        "0.type=veth 0.veth.mode=router 0.flags=up 0.ipv4.address=10.7.0.5/24",
    ),
    (
        "static routes",
        "0.type=veth 0.veth.pair=vhs0 0.flags=up 0.veth.ipv4.route=10.66.0.0/24 \
         0.veth.ipv4.route=10.67.0.0/16 0.veth.ipv6.route=fd66::/64",
    ),
    (
        "l2proxy on a bridge",
        "0.type=veth 0.flags=up 0.link=br0 0.l2proxy=1 0.ipv4.address=10.9.0.5/24 \
         0.ipv6.address=fd09::5/64",
    ),
    ("macvlan", "0.type=macvlan 0.flags=up 0.link=up0"),
    (
        "macvlan bridge",
        "0.type=macvlan 0.macvlan.mode=bridge 0.flags=up 0.link=up0",
    ),
    (
        "macvlan vepa",
        "0.type=macvlan 0.macvlan.mode=vepa 0.flags=up 0.link=up0 0.name=mac0",
    ),
    (
        "macvlan passthru",
        "0.type=macvlan 0.macvlan.mode=passthru 0.flags=up 0.link=up0",
    ),
    (
        "macvlan with mtu",
        "0.type=macvlan 0.flags=up 0.link=up0 0.mtu=1300",
    ),
    (
        "macvlan with hwaddr",
        "0.type=macvlan 0.flags=up 0.link=up0 0.hwaddr=00:16:3e:11:22:33",
    ),
    (
        "macvlan with addresses",
        "0.type=macvlan 0.flags=up 0.link=up0 0.ipv4.address=10.8.0.5/24 0.ipv4.gateway=auto \
         0.l2proxy=1",
    ),
    ("phys", "0.type=phys 0.flags=up 0.link=ph0"),
    (
        "phys named",
        "0.type=phys 0.flags=up 0.link=ph0 0.name=wan0 0.mtu=1280",
    ),
    (
        "phys with address",
        "0.type=phys 0.flags=up 0.link=ph0 0.hwaddr=00:16:3e:11:22:35 0.ipv4.address=10.6.0.5/24 \
         0.ipv4.gateway=dev",
    ),
    ("empty", "0.type=empty"),
    ("empty up", "0.type=empty 0.flags=up"),
    (
        "two bridges' worth",
        "0.type=veth 0.flags=up 0.link=br0 1.type=veth 1.flags=up 1.link=br0 1.ipv4.address=10.9.0.6/24",
    ),
    (
        "veth, macvlan and phys",
        "0.type=veth 0.flags=up 0.link=br0 3.type=macvlan 3.flags=up 3.link=up0 7.type=phys \
         7.flags=up 7.link=ph0",
    ),
    (
        "named after unnamed",
        "0.type=veth 0.flags=up 1.type=veth 1.flags=up 1.name=eth0",
    ),
    ("!absent bridge", "0.type=veth 0.flags=up 0.link=absent0"),
    ("!absent phys", "0.type=phys 0.flags=up 0.link=absent0"),
    ("!bad mtu", "0.type=veth 0.flags=up 0.mtu=12x"),
    ("!pair name taken", "0.type=veth 0.flags=up 0.veth.pair=ph0"),
    (
        "!gateway without address",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv4.gateway=10.9.0.1",
    ),
    (
        "!gateway but down",
        "0.type=veth 0.link=br0 0.ipv4.address=10.9.0.5/24 0.ipv4.gateway=10.9.0.1",
    ),
];

/// The containers' name, by which their cgroups are found again.
const NAME: &str = "rlxc-network-differential";

/// Prints both sides, each document after a line with its name.
const SNAPSHOT: &str = r#"
side() { for what in "link" "addr" "route" "-6 route" "neigh show proxy" "-6 neigh show proxy"; do
    echo "@$1 $what"; $2 ip -j -d $what; done; }
"#;

fn nics(lines: &str) -> BTreeMap<u32, Nic> {
    let mut document = Document::new();
    for line in lines.split_whitespace() {
        let (key, value) = line.split_once('=').unwrap();
        document.set(&format!("lxc.net.{key}"), value).unwrap();
    }
    document.config().net.clone()
}

/// Runs a shell script with own mounts (sysfs of the namespace, cgroups) and network.
fn sandbox(script: &str) -> String {
    let mounts = "mount -t sysfs s /sys && for h in $(awk 'NR>1 && $4==1 {print $1}' /proc/cgroups); \
                  do mkdir -p /sys/fs/cgroup/$h 2>/dev/null; done; \
                  mount --rbind \"$CGROUPS\" /sys/fs/cgroup\n";
    let script = format!(
        "CGROUPS=$(mktemp -d)\nmount --rbind /sys/fs/cgroup $CGROUPS\n{mounts}{HOST}\n{SNAPSHOT}{script}"
    );
    let output = Command::new("unshare")
        .args(["-m", "-n", "sh", "-c", &script])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

/// The snapshot after `start` (lxc-start or what is called like it).
fn by_program(start: &str, scratch: &Path, lines: &str) -> String {
    let config: String = lines
        .split_whitespace()
        .map(|line| format!("lxc.net.{line}\n"))
        .collect();
    let name = NAME;
    let dir = scratch.join("lxc").join(name);
    std::fs::create_dir_all(&dir).unwrap();
    let text = format!(
        "lxc.rootfs.path = dir:{}\nlxc.uts.name = x\nlxc.apparmor.profile = unconfined\n\
         lxc.mount.auto = proc:rw sys:rw\n{config}",
        scratch.join("rootfs").display()
    );
    std::fs::write(dir.join("config"), text).unwrap();
    sandbox(&format!(
        "{start} -P {path} -n {name} -d -p {path}/pid -- /bin/sleep 60 || {{ echo '@refused'; exit; }}\n\
         init=$(lxc-info -P {path} -n {name} -pH)\n\
         side host; side inside \"nsenter -t $init -n\"\nlxc-stop -k -P {path} -n {name}\n",
        path = scratch.join("lxc").display()
    ))
}

/// The snapshot after the library's own calls.
fn by_library(lines: &str) -> String {
    let lines = lines.to_owned();
    std::thread::spawn(move || {
        let Some(mut host) = host() else {
            return String::new();
        };
        let shell = |script: &str| {
            let output = Command::new("sh").args(["-c", script]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        shell(HOST);
        let before = host.links();
        match host.create(&nics(&lines)) {
            Ok(created) => {
                let text = shell(&format!("{SNAPSHOT}side host"))
                    + &host
                        .inside(|| Ok(shell(&format!("{SNAPSHOT}side inside"))))
                        .unwrap();
                host.teardown(&created);
                assert_eq!(host.links(), before, "left behind by {lines}");
                text
            }
            Err(error) => {
                assert_eq!(host.links(), before, "left behind by {lines}: {error}");
                "@refused\n".to_owned()
            }
        }
    })
    .join()
    .unwrap()
}

/// The documents of a snapshot with what may differ taken out.
fn normalised(snapshot: &str, lines: &str) -> BTreeMap<String, Vec<String>> {
    if snapshot.contains("@refused") {
        return BTreeMap::from([("refused".to_owned(), Vec::new())]);
    }
    let mut all = BTreeMap::new();
    for part in snapshot.split('@').skip(1) {
        let (title, text) = part.split_once('\n').unwrap();
        let list: Vec<Value> = match text.lines().next().unwrap_or_default() {
            "" => Vec::new(),
            line => serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {snapshot}")),
        };
        let mut items: Vec<String> = list
            .iter()
            .flat_map(|item| facts(title, item, lines))
            .map(|v| v.to_string())
            .collect();
        items.sort();
        items.dedup();
        all.insert(title.to_owned(), items);
    }
    all
}

fn facts(title: &str, item: &Value, lines: &str) -> Vec<Value> {
    let name = |key: &str| {
        let text = item[key].as_str().unwrap_or_default();
        let random = text.starts_with("veth") && text.len() == 10;
        if random {
            "veth??????".to_owned()
        } else {
            text.to_owned()
        }
    };
    let what = title.split_once(' ').unwrap().1;
    match what {
        "link" => {
            let mac = item["address"].as_str().unwrap_or_default();
            let data = &item["linkinfo"]["info_data"];
            vec![json!({
                "name": name("ifname"),
                "kind": item["linkinfo"]["info_kind"],
                "mode": data["mode"],
                "mtu": item["mtu"],
                "master": item["master"],
                "up": item["flags"].as_array().map(|f| f.contains(&json!("UP"))),
                "given mac": lines.contains(mac).then_some(mac),
                "fe": mac.starts_with("fe:") && name("ifname") == "veth??????",
                "queues": [&item["num_tx_queues"], &item["num_rx_queues"]],
            })]
        }
        "addr" => item["addr_info"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|a| !a["local"].as_str().unwrap().starts_with("fe80"))
            .map(|a| json!([name("ifname"), a["local"], a["prefixlen"], a["scope"]]))
            .collect(),
        "route" | "-6 route" => {
            let to = item["dst"].as_str().unwrap_or_default();
            // Made by the kernel when a carrier appears, a moment sooner or later.
            if to.starts_with("fe80") || to.starts_with("ff00") {
                return Vec::new();
            }
            vec![json!([
                to,
                item["gateway"],
                name("dev"),
                item["scope"],
                item["protocol"]
            ])]
        }
        _ => vec![json!([item["dst"], name("dev")])],
    }
}

#[test]
fn links_addresses_and_routes_are_those_of_lxc() {
    let start = std::env::var("RLXC_DIFFERENTIAL_START").ok();
    if !(have("lxc-start") && have("busybox") && have("unshare") && have("nsenter")) {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: not root");
        return;
    }
    let scratch = std::env::temp_dir().join(format!("rlxc-network-diff-{}", std::process::id()));
    for dir in [
        "rootfs/bin",
        "rootfs/dev",
        "rootfs/proc",
        "rootfs/sys",
        "rootfs/etc",
    ] {
        std::fs::create_dir_all(scratch.join(dir)).unwrap();
    }
    std::fs::copy("/usr/bin/busybox", scratch.join("rootfs/bin/busybox")).unwrap();
    for name in ["sh", "sleep"] {
        std::os::unix::fs::symlink("busybox", scratch.join("rootfs/bin").join(name)).unwrap();
    }
    // LXC leaves its monitor's cgroup where it is still busy.
    let _cgroups = common::cgroups::Cgroups(NAME.to_owned());
    let mut differences = Vec::new();
    for (name, lines) in CASES {
        let theirs = by_program("lxc-start", &scratch, lines);
        let ours = match &start {
            Some(start) => by_program(start, &scratch, lines),
            None => by_library(lines),
        };
        let (theirs, ours) = (normalised(&theirs, lines), normalised(&ours, lines));
        if name.starts_with('!') {
            assert!(ours.contains_key("refused"), "{name} must be refused");
        }
        for (title, wanted) in &theirs {
            let got = ours.get(title);
            if got != Some(wanted) {
                differences.push(format!(
                    "{name}: {title}\n  LXC  {wanted:?}\n  ours {got:?}"
                ));
            }
        }
    }
    std::fs::remove_dir_all(&scratch).unwrap();
    println!("{} configurations compared", CASES.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
