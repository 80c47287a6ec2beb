//! The same `lxc.net` lines given to LXC's own lxc-start and to ours (or to the program named by
//! RLXC_DIFFERENTIAL_START, called like lxc-start): links, addresses, routes, neighbours, VLANs and
//! per-link settings of both sides must agree, and what the scripts are told, and when. After the
//! stop, ours must have left the links as they were. RLXC_DIFFERENTIAL_ONLY takes the cases whose
//! name contains it.
//!
//! Not compared, for a reason: computed broadcast addresses (LXC 5.0.2 computes them in the wrong
//! byte order), link-local addresses and random MAC addresses and names, and what LXC leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cases;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cases::CASES;
use rlxc_tests::{bin_dir, peer, skipped};
use serde_json::{Value, json};

/// What every case's host has: a bridge with addresses, a pair to sit on, one to lend.
const HOST: &str = "ip link set lo up
ip link add br0 type bridge; ip link set br0 mtu 1400 up
ip addr add 10.9.0.1/24 dev br0; ip addr add fd09::1/64 dev br0 nodad
ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up
ip addr add 10.8.0.1/24 dev up0; ip addr add fd08::1/64 dev up0 nodad
ip link add ph0 type veth peer name ph1; ip link set ph1 up; ip link set ph0 address 00:16:3e:00:00:aa
ip link property add dev ph0 altname a-physical-link-with-a-long-name altname altph
ip link add br1 type bridge vlan_filtering 1 2>/dev/null || ip link add br1 type bridge; ip link set br1 up
for f in ipv6/conf/all/forwarding ipv4/conf/up0/forwarding ipv6/conf/up0/forwarding ipv6/conf/up0/proxy_ndp \
  ipv4/conf/br0/forwarding ipv6/conf/br0/forwarding ipv6/conf/br0/proxy_ndp; do
  echo 1 >/proc/sys/net/$f; done";

/// The containers' name, by which their cgroups are found again.
const NAME: &str = "rlxc-net-differential";

/// What ours is held against.
const PEER: &str = "lxc-start";

/// How many cases are tried at a time.
const WORKERS: usize = 4;

/// Prints both sides, each document after a line with its name.
const SNAPSHOT: &str = r#"
side() { for what in "link" "addr" "route" "-6 route" "neigh show proxy" "-6 neigh show proxy" "neigh show nud permanent"; do
    echo "@$1 $what"; $2 ip -j -d $what; done
    echo "@$1 vlans"; $2 bridge -j vlan
    echo "@$1 sysctl"; $2 sh -c 'cd /proc/sys/net && grep -s . ipv4/conf/*/* ipv6/conf/*/*'; }
"#;

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
    let errors = String::from_utf8_lossy(&output.stderr).replace('@', " ");
    format!(
        "{}\n@errors\n{errors}\n",
        String::from_utf8(output.stdout).unwrap()
    )
}

/// The words of a case as lines of a configuration: `N.key=value` is of `lxc.net`, `+key=value` is
/// not, and `~` stands for a blank.
fn config_of(lines: &str, directory: &Path) -> String {
    let script = format!("{}/script", directory.display());
    let line = |word: &str| {
        let word = word.replace('~', " ").replace("SCRIPT", &script);
        match word.strip_prefix('+') {
            Some(other) => format!("lxc.{other}\n"),
            None => format!("lxc.net.{word}\n"),
        }
    };
    lines.split_whitespace().map(line).collect()
}

/// The snapshot after `start` (lxc-start or what is called like it), and what is left after the
/// stop.
fn whole(start: &str, scratch: &Path, name: &str, lines: &str) -> String {
    let dir = scratch.join("lxc").join(name);
    std::fs::create_dir_all(&dir).unwrap();
    let text = format!(
        "lxc.rootfs.path = dir:{}\nlxc.uts.name = x\nlxc.apparmor.profile = unconfined\n\
         lxc.mount.auto = proc:rw sys:rw\n{}",
        scratch.join("rootfs").display(),
        config_of(lines, &dir)
    );
    std::fs::write(dir.join("config"), text).unwrap();
    let _ = std::fs::remove_file(dir.join("said"));
    let script = format!(
        "#!/bin/sh\n{{ echo \"called with:$(printf ' <%s>' \"$@\")\"; env | grep ^LXC_ | \
         grep -v -e ^LXC_LOG_LEVEL -e ^LXC_PID -e ^LXC_CGNS_AWARE | sort; ip -o link | \
         sed 's/^[0-9]*: \\([^:@]*\\).*/sees \\1/' | sort; }} >>{}/said\n",
        dir.display()
    );
    std::fs::write(dir.join("script"), script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.join("script"), mode).unwrap();
    sandbox(&format!(
        "names() {{ ip -o link | sed 's/^[0-9]*: \\([^:@]*\\).*/\\1/' | sort; }}\nbefore=$(names)\n\
         {start} -P {path} -n {name} -d -p {path}/{name}/pid -- /bin/sleep 60 && init=$(lxc-info -P {path} -n {name} -pH) \
         || echo '@refused'\n\
         if [ \"$init\" ]; then side host; side inside \"nsenter -t $init -n\"\n\
         lxc-stop -k -P {path} -n {name}; fi\n\
         echo @said; cat {path}/{name}/said 2>/dev/null\n\
         for try in {tries}; do [ \"$(names)\" = \"$before\" ] && break; sleep 0.1; done\n\
         [ \"$(names)\" = \"$before\" ] || {{ echo @left; names; }}\n",
        path = scratch.join("lxc").display(),
        // What LXC leaves is not waited for.
        tries = if start == PEER {
            "1"
        } else {
            "1 2 3 4 5 6 7 8 9 10"
        },
    ))
}

/// The documents of a snapshot with what may differ taken out.
fn normalised(snapshot: &str, lines: &str) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for part in snapshot.split('@').skip(1) {
        let (title, text) = part.split_once('\n').unwrap();
        if title.ends_with("sysctl") {
            all.insert(title.to_owned(), sysctls(text));
            continue;
        }
        if title == "said" {
            all.insert(title.to_owned(), said(text));
            continue;
        }
        if ["refused", "left", "errors"].contains(&title) {
            all.insert(title.to_owned(), text.lines().map(str::to_owned).collect());
            continue;
        }
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
                "mode": [&data["mode"], &data["flags"], &data["id"], &data["protocol"]],
                "mtu": item["mtu"],
                "master": item["master"],
                "flags": lasting_flags(item),
                "sizes": [&item["txqlen"], &item["group"], &item["promiscuity"], &item["min_mtu"], &item["max_mtu"]],
                "ipv6": item["inet6_addr_gen_mode"],
                "altnames": item["altnames"],
                "port": port(&item["linkinfo"]["info_slave_data"]),
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
        "vlans" => vec![json!([name("ifname"), item["vlans"]])],
        _ => vec![json!([item["dst"], name("dev"), item["lladdr"]])],
    }
}

/// A link's flags but those that the carrier sets, a moment sooner or later.
fn lasting_flags(item: &Value) -> Vec<&str> {
    let flags = item["flags"].as_array().unwrap().iter();
    let mut flags: Vec<_> = flags.filter_map(Value::as_str).collect();
    flags.retain(|f| !["LOWER_UP", "NO-CARRIER", "M-DOWN"].contains(f));
    flags.sort_unstable();
    flags
}

/// A bridge port's settings: no timers, numbers, states and ids.
fn port(data: &Value) -> Value {
    let moving = [
        "state", "timer", "id", "no", "port", "bridge", "cost", "ack", "pending",
    ];
    let Value::Object(map) = data else {
        return Value::Null;
    };
    let kept = map
        .iter()
        .filter(|(key, _)| !moving.iter().any(|m| key.contains(m)));
    Value::Object(kept.map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// What each call of a script said, numbered; random names and descriptors made alike.
///
/// Left out: links under the names that LXC gives them on their way, and variables of an earlier
/// script's nic, which LXC leaves in its environment.
fn said(text: &str) -> Vec<String> {
    let random = |word: &str, prefix: &str| word.len() == 10 && word.starts_with(prefix);
    let alike = |word: &str| {
        let name = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        match random(name, "veth") {
            true => word.replace(name, "veth??????"),
            false => word.to_owned(),
        }
    };
    let one = |(number, call): (usize, &str)| {
        let stale = |line: &str| {
            let transient = line.strip_prefix("sees ").is_some_and(|name| {
                random(name, "phys")
                    || name.starts_with("vlan")
                    || (name.len() == 8 && name.starts_with(['m', 'i']))
            });
            // What else is still there when a script.down runs is a matter of timing.
            let other = line.strip_prefix("sees ").is_some_and(|name| {
                (call.contains("<down>") || call.contains("TYPE=down"))
                    && !call.contains(&format!("<{name}>"))
            });
            transient
                || other
                || (line.starts_with("LXC_NET_PEER") && !call.contains("<veth>"))
                || (line.starts_with("LXC_NET_PARENT") && call.contains("<empty>"))
        };
        let line = |line: &str| match line.split_once("_NS=/proc/") {
            Some((name, _)) => format!("{name}_NS"),
            None => line.split_inclusive([' ', '=']).map(alike).collect(),
        };
        let lines = call.lines().filter(|l| !l.is_empty() && !stale(l));
        format!(
            "{number}:{}",
            lines.map(line).collect::<Vec<_>>().join("\n        ")
        )
    };
    text.split("called with:")
        .skip(1)
        .enumerate()
        .map(one)
        .collect()
}

/// `family/conf/link/setting:value` lines, random names made alike.
fn sysctls(text: &str) -> Vec<String> {
    let one = |line: &str| {
        let mut parts: Vec<&str> = line.splitn(4, '/').collect();
        let link = *parts.get(2)?;
        // Since 6.0 LXC turns IPv6 off at the host's end of a bridged pair; 5.0.2 did not.
        if parts[3].starts_with("disable_ipv6") && parts[2] != "lo" {
            return None;
        }
        if link.starts_with("veth") && link.len() == 10 {
            parts[2] = "veth??????";
        }
        Some(parts.join("/"))
    };
    let mut all: Vec<_> = text.lines().filter_map(one).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn links_addresses_and_routes_are_those_of_lxc() {
    if !rlxc_tests::is_root() {
        return skipped("root");
    }
    if !peer() {
        return;
    }
    let start = std::env::var("RLXC_DIFFERENTIAL_START");
    let start = start.unwrap_or_else(|_| format!("{} start", bin_dir().join("rlxc").display()));
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
    let only = std::env::var("RLXC_DIFFERENTIAL_ONLY").unwrap_or_default();
    // The VM, slow as it is, has what the machine lacks: VLANs and ipvlan.
    let vm = std::env::var_os("RLXC_VM").is_some();
    let lacking = |lines: &str| {
        ["=vlan", "=ipvlan", "vlan.id", "tagged"]
            .iter()
            .any(|w| lines.contains(w))
    };
    let chosen: Vec<_> = CASES
        .iter()
        .filter(|(name, lines)| {
            only.split('|').any(|only| name.contains(only)) && (!vm || lacking(lines))
        })
        .collect();
    // Most of the time goes by waiting for the kernel to take namespaces down: several at a time.
    let (next, differences) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (next, differences, chosen) = (&next, &differences, &chosen);
            let (start, scratch) = (start.as_str(), &scratch);
            scope.spawn(move || {
                let container = format!("{NAME}-{worker}");
                // LXC leaves its monitor's cgroup where it is still busy.
                let _left = rlxc_tests::cgroups::Left::of(&container).with_processes();
                while let Some((name, lines)) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let theirs = whole(PEER, scratch, &container, lines);
                    let ours = whole(start, scratch, &container, lines);
                    let found = compare(name, lines, &theirs, &ours);
                    differences.lock().unwrap().extend(found);
                }
            });
        }
    });
    std::fs::remove_dir_all(&scratch).unwrap();
    println!("{} configurations compared", chosen.len());
    let differences = differences.into_inner().unwrap();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What differs between two snapshots of one case.
fn compare(name: &str, lines: &str, theirs: &str, ours: &str) -> Vec<String> {
    if std::env::var_os("RLXC_DIFFERENTIAL_RAW").is_some() {
        println!("{name}\nLXC\n{theirs}\nours\n{ours}");
    }
    let (theirs, ours) = (normalised(theirs, lines), normalised(ours, lines));
    let mut differences = Vec::new();
    if name.starts_with(['!', '?']) && !ours.contains_key("refused") {
        differences.push(format!("{name}: must be refused"));
    }
    if name.starts_with('?') {
        return differences;
    }
    let none = Vec::new();
    let only = |a: &[String], b: &[String]| {
        let lone = a.iter().filter(|item| !b.contains(item));
        lone.cloned().collect::<Vec<_>>().join("\n       ")
    };
    if theirs.contains_key("refused") != ours.contains_key("refused") {
        let refused = |side: &BTreeMap<_, _>| side.contains_key("refused");
        return vec![format!(
            "{name}: refused by LXC: {}, by us: {}\n  {}",
            refused(&theirs),
            refused(&ours),
            [&theirs["errors"][..], &ours["errors"]]
                .concat()
                .join("\n  ")
        )];
    }
    if let Some(left) = ours.get("left") {
        differences.push(format!("{name}: left behind: {}", left.join(" ")));
    }
    let compared = |title: &str| !["left", "errors"].contains(&title);
    for (title, wanted) in theirs.iter().filter(|(title, _)| compared(title)) {
        let got = ours.get(title).unwrap_or(&none);
        // LXC's proxies are not permanent: the kernel's late notice of the missing carrier
        // removes them now and then.
        let flushed =
            title.ends_with("neigh show proxy") && wanted.iter().all(|proxy| got.contains(proxy));
        // LXC tells no script that the start failed; ours tells those that it called.
        let undone = title == "said" && theirs.contains_key("refused") && {
            let down = |call: &String| call.contains("<down>");
            got.iter().filter(|call| !down(call)).eq(wanted)
        };
        if got != wanted && !flushed && !undone {
            differences.push(format!(
                "{name}: {title}\n  LXC  {}\n  ours {}",
                only(wanted, got),
                only(got, wanted)
            ));
        }
    }
    differences
}
