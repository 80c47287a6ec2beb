//! Hooks, namespaces taken from elsewhere, and the network of a start.
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

mod common;

use common::Container;
use rlxc_config::{HookKind, Namespace, Nic, NicKind, Veth};

const ORDER: [HookKind; 8] = [
    HookKind::PreStart,
    HookKind::PreMount,
    HookKind::Mount,
    HookKind::Autodev,
    HookKind::Start,
    HookKind::StartHost,
    HookKind::Stop,
    HookKind::PostStop,
];

#[test]
fn hooks_run_in_lxcs_order() {
    need_root!();
    for version in [0, 1] {
        let mut container = Container::new("order");
        let trace = container.lxcpath.join("trace");
        std::fs::write(&trace, "").expect("a file");
        container.config.hooks.version = version;
        for kind in ORDER {
            let mut path = trace.to_string_lossy().into_owned();
            let mut shell = "sh".to_owned();
            if kind == HookKind::Start {
                // Runs inside: its trace is brought out by a mount entry.
                path = "/trace".into();
                shell = "/bin/sh".into();
            }
            let script = format!(
                "{shell} -c 'echo {} $# $LXC_NAME $LXC_HOOK_TYPE $LXC_TARGET >> {path}' -",
                kind.name()
            );
            container.config.hooks.by_kind.insert(kind, vec![script]);
        }
        let entry = format!("{} trace none bind,create=file 0 0", trace.display());
        container.config.mounts.entries.push(entry);
        container.output("true");
        let text = std::fs::read_to_string(&trace).expect("the trace");
        let kinds: Vec<&str> = text.lines().filter_map(|l| l.split(' ').next()).collect();
        let expected: Vec<&str> = ORDER.iter().map(|kind| kind.name()).collect();
        assert_eq!(kinds, expected, "{text}\n{}", container.log());
        let stop = text.lines().find(|l| l.starts_with("stop")).expect("stop");
        assert!(stop.ends_with(" stop"), "LXC_TARGET: {stop}");
        let words: Vec<&str> = stop.split(' ').collect();
        let arguments: usize = words[1].parse().expect("a number");
        if version == 0 {
            assert!(arguments > 3 + 4, "namespaces as arguments: {stop}");
        } else {
            assert_eq!(arguments, 0);
            assert_eq!(words[3], "stop");
        }
        container.assert_clean();
    }
}

#[test]
fn a_namespace_is_shared_with_another_container() {
    need_root!();
    let first = Container::new("sharer");
    let started = first.start().expect("start");
    let link = |pid: i32, ns: &str| std::fs::read_link(format!("/proc/{pid}/ns/{ns}")).expect("ns");
    let mut second = Container::new("shares");
    let from = format!("{}/{}", first.lxcpath.display(), first.name);
    second.config.namespace_share.insert(Namespace::Net, from);
    second
        .config
        .namespace_share
        .insert(Namespace::Pid, started.init.to_string());
    second
        .config
        .namespace_share
        .insert(Namespace::Uts, format!("/proc/{}/ns/uts", started.init));
    let other = second
        .start()
        .unwrap_or_else(|e| panic!("{e}\n{}", second.log()));
    for ns in ["net", "pid", "uts"] {
        assert_eq!(link(started.init, ns), link(other.init, ns), "{ns}");
    }
    for ns in ["mnt", "ipc"] {
        assert_ne!(link(started.init, ns), link(other.init, ns), "{ns}");
    }
    second.client().stop().expect("stop");
    second.assert_clean();
}

#[test]
fn a_veth_pair_gets_its_address() {
    need_root!();
    let mut container = Container::new("veth");
    container.config.net.insert(
        0,
        Nic {
            kind: NicKind::Veth(Veth::default()),
            up: true,
            ipv4: vec![rlxc_config::Ipv4Address {
                address: "10.99.7.2".parse().expect("an address"),
                prefix: 24,
                broadcast: None,
            }],
            ..Nic::default()
        },
    );
    let text = container.output("/bin/busybox ip addr show eth0; cat /sys/class/net/lo/operstate");
    assert!(
        text.contains("inet 10.99.7.2/24"),
        "{text}\n{}",
        container.log()
    );
    container.assert_clean();
}

#[test]
fn a_missing_bridge_ends_the_start() {
    need_root!();
    let mut container = Container::new("nobridge");
    container.config.net.insert(
        0,
        Nic {
            kind: NicKind::Veth(Veth::default()),
            link: Some("rlxcnone0".into()),
            ..Nic::default()
        },
    );
    let error = container.start().expect_err("a failed start");
    assert!(error.to_string().contains("rlxcnone0"), "{error}");
    container.assert_clean();
}

#[test]
fn clocks_are_shifted() {
    need_root!();
    let mut container = Container::new("time");
    container.config.time_offset.boot_s = 1_000_000;
    let text = container.output("read up idle < /proc/uptime; echo $up");
    let up: f64 = text.trim().parse().unwrap_or(0.0);
    assert!(up > 1_000_000.0, "{text}\n{}", container.log());
}

/// `lxc.monitor.unshare`: what a pre-start hook mounts is seen by the container and not by the host.
#[test]
fn mounts_of_hooks_stay_with_a_monitor_of_its_own() {
    need_root!();
    let mut container = Container::new("unshare");
    let side = container.lxcpath.join("side");
    std::fs::create_dir(&side).expect("a directory");
    let path = side.display();
    let hook = format!("sh -c 'mount -t tmpfs side {path} && echo inner > {path}/file'");
    container.config.monitor_unshare = 1;
    container
        .config
        .hooks
        .by_kind
        .insert(HookKind::PreStart, vec![hook]);
    let entry = format!("{path} tmp none bind 0 0");
    container.config.mounts.entries.push(entry);
    let text = container.output("cat /tmp/file");
    assert_eq!(text, "inner\n", "{}", container.log());
    assert!(!side.join("file").exists());
    container.assert_clean();
}
