//! What cannot work is named, and leaves no link behind.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use common::{fresh_namespace, host, ip, one, veth};
use rlxc_config::{MacvlanMode, Nic, NicKind, Veth};
use rlxc_network::{Container, setup_host};

fn text(error: &rlxc_network::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text += &format!(": {source}");
        next = source.source();
    }
    text
}

#[test]
fn what_cannot_work_is_named_and_undone() {
    let Some(mut host) = host() else { return };
    host.bridge("br0");
    ip("link add up0 type veth peer name up1");
    ip("link add taken type veth peer name taken1");
    let before = host.links();
    let pair = |name: &str| {
        NicKind::Veth(Veth {
            pair: Some(name.into()),
            ..Veth::default()
        })
    };
    let gateway = |g: &str| rlxc_config::Gateway {
        address: Some(g.parse().unwrap()),
        ..Default::default()
    };
    let vlan = NicKind::Veth(Veth {
        vlan_id: Some(Some(7)),
        ..Veth::default()
    });
    let cases: Vec<(Nic, &[&str])> = vec![
        (
            Nic {
                link: Some("absent0".into()),
                ..veth()
            },
            &["absent0", "rlxc net up"],
        ),
        (
            Nic {
                link: Some("up0".into()),
                ..veth()
            },
            &["up0", "no bridge"],
        ),
        (
            Nic {
                kind: pair("taken"),
                ..veth()
            },
            &["taken", "veth.pair"],
        ),
        (
            Nic {
                kind: pair("a-name-that-is-too-long"),
                ..veth()
            },
            &["veth.pair", "15 bytes"],
        ),
        (
            Nic {
                name: Some("a-name-that-is-too-long".into()),
                ..veth()
            },
            &["name", "15 bytes"],
        ),
        (
            Nic {
                name: Some("lo".into()),
                ..veth()
            },
            &["name", "loopback"],
        ),
        (
            Nic {
                hwaddr: Some("33:33:00:00:00:01".into()),
                ..veth()
            },
            &["hwaddr", "multicast"],
        ),
        (
            Nic {
                hwaddr: Some("x".into()),
                ..veth()
            },
            &["hwaddr", "not a MAC"],
        ),
        (
            Nic {
                mtu: Some("70000".into()),
                ..veth()
            },
            &["mtu"],
        ),
        (
            Nic {
                ipv4_gateway: gateway("10.0.0.1"),
                ..veth()
            },
            &["ipv4.gateway", "address"],
        ),
        (
            Nic {
                kind: NicKind::Phys,
                link: Some("absent0".into()),
                ..veth()
            },
            &["absent0"],
        ),
        (
            Nic {
                kind: NicKind::Phys,
                link: Some("lo".into()),
                ..veth()
            },
            &["lo cannot"],
        ),
        (
            Nic {
                kind: NicKind::Macvlan(MacvlanMode::Private),
                link: Some("lo".into()),
                ..veth()
            },
            &["lxc.net.3"],
        ),
        (
            Nic {
                kind: vlan,
                link: Some("br0".into()),
                ..veth()
            },
            &["vlan_filtering 1"],
        ),
        (
            Nic {
                script_up: Some("sh -c 'echo why; exit 3'".into()),
                ..veth()
            },
            &["script.up", "why"],
        ),
    ];
    for (bad, words) in cases {
        // A good nic before and after the bad one: the one made first must go again.
        let nics = BTreeMap::from([(0, veth()), (3, bad.clone()), (4, veth())]);
        let error = host.create(&nics).expect_err(&format!("{bad:?}"));
        let text = text(&error);
        assert!(
            text.contains("lxc.net.3") || text.contains("absent0"),
            "{text}"
        );
        for word in words {
            assert!(text.contains(word), "\"{word}\" in {text}");
        }
        assert_eq!(host.links(), before, "after {text}");
        assert_eq!(
            host.inside_ip("-o link").lines().count(),
            1,
            "inside, after {text}"
        );
    }
}

#[test]
fn an_interface_that_vanishes_during_the_start_is_named() {
    let Some(mut host) = host() else { return };
    let container = Container {
        netns: host.container.as_fd(),
        pid: 0,
    };
    let created = setup_host(&mut host.netlink, &one(veth()), container, &host.context).unwrap();
    host.inside_ip("link del eth0");
    let error = host
        .inside(|| rlxc_network::setup_inside(&created.inside))
        .unwrap_err();
    assert!(
        text(&error).contains("eth0") && text(&error).contains("vanished"),
        "{error:?}"
    );
    host.teardown(&created);
    assert_eq!(host.links(), ["lo"]);
}

#[test]
fn teardown_tries_everything_and_collects_the_errors() {
    let Some(mut host) = host() else { return };
    ip("link add ph0 type veth peer name ph1");
    let nics = BTreeMap::from([
        (
            0,
            Nic {
                script_down: Some("exit 1".into()),
                ..veth()
            },
        ),
        (
            1,
            Nic {
                kind: NicKind::Phys,
                link: Some("ph0".into()),
                name: Some("p".into()),
                ..veth()
            },
        ),
    ]);
    let created = host.create(&nics).unwrap();
    // The old name is taken meanwhile: the link itself still comes back.
    ip("link add ph0 type veth peer name other");
    let container = host.container.try_clone().unwrap();
    let errors = created.teardown(&mut host.netlink, &host.context, Some(container.as_fd()));
    assert!(errors.len() >= 2, "{errors:?}");
    assert!(
        errors.iter().any(|e| text(e).contains("script.down")),
        "{errors:?}"
    );
    assert_eq!(
        host.inside_ip("-o link")
            .lines()
            .filter(|l| l.contains(" p@"))
            .count(),
        0
    );
    assert!(
        host.links().iter().any(|l| l.starts_with("phys")),
        "{:?}",
        host.links()
    );
}

#[test]
fn scripts_get_lxcs_arguments_and_environment() {
    let Some(mut host) = host() else { return };
    host.bridge("br0");
    let dir = std::env::temp_dir().join(format!("rlxc-network-script-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let out = dir.join("out");
    let script = dir.join("script");
    let body = "#!/bin/sh\necho \"$@\" \"$LXC_NAME $LXC_HOOK_TYPE $LXC_HOOK_SECTION $LXC_NET_TYPE \
                $LXC_NET_PARENT $LXC_NET_PEER $LXC_ROOTFS_PATH\" >>\"$1\"\n";
    std::fs::write(&script, body).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let line = format!("{} {}", script.display(), out.display());
    let nic = Nic {
        link: Some("br0".into()),
        kind: NicKind::Veth(Veth {
            pair: Some("vhs".into()),
            ..Veth::default()
        }),
        script_up: Some(line.clone()),
        script_down: Some(line),
        ..veth()
    };
    host.context.environment = vec![("LXC_ROOTFS_PATH".into(), "/r".into())];
    let nics = one(nic);
    for version in [0, 1] {
        host.context.hook_version = version;
        let created = host.create(&nics).unwrap();
        host.teardown(&created);
    }
    let got = std::fs::read_to_string(&out).unwrap();
    let o = out.display();
    assert_eq!(
        got,
        format!(
            "{o} c1 net up veth br0 vhs c1      /r\n\
             {o} c1 net down veth br0 vhs c1      /r\n\
             {o} veth br0 vhs c1 up net veth br0 vhs /r\n\
             {o} veth br0 vhs c1 down net veth br0 vhs /r\n"
        )
    );
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn two_hundred_containers_leave_no_link() {
    let Some(mut host) = host() else { return };
    host.bridge("br0");
    let before = host.links();
    let nics = one(Nic {
        link: Some("br0".into()),
        ..veth()
    });
    let mut running = Vec::new();
    for _ in 0..200 {
        let netns = fresh_namespace();
        let container = Container {
            netns: netns.as_fd(),
            pid: 0,
        };
        let created = setup_host(&mut host.netlink, &nics, container, &host.context).unwrap();
        running.push((netns, created));
    }
    assert_eq!(host.links().len(), before.len() + 200);
    for (netns, created) in &running {
        let errors = created.teardown(&mut host.netlink, &host.context, Some(netns.as_fd()));
        assert!(errors.is_empty(), "{errors:?}");
    }
    // The namespaces end here, as when the containers' last processes are gone.
    drop(running);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while host.links() != before {
        assert!(
            std::time::Instant::now() < deadline,
            "left: {:?}",
            host.links()
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_chosen_name_is_free_again_at_once_and_after_a_crash() {
    let Some(mut host) = host() else { return };
    let nics = one(Nic {
        kind: NicKind::Veth(Veth {
            pair: Some("vhc".into()),
            ..Veth::default()
        }),
        ..veth()
    });
    for _ in 0..5 {
        let created = host.create(&nics).unwrap();
        let errors = created.teardown(
            &mut host.netlink,
            &host.context,
            Some(host.container.as_fd()),
        );
        assert!(errors.is_empty(), "{errors:?}");
        assert!(!host.links().contains(&"vhc".to_owned()));
        // It ends with the container's namespace, or by hand.
        assert_eq!(host.links().len(), 2, "{:?}", host.links());
        created.finish(&mut host.netlink).unwrap();
        assert_eq!(host.links(), ["lo"]);
    }
    for _ in 0..5 {
        // A monitor that crashed: the namespace just ends, the kernel is not done with it.
        host.create(&nics).unwrap();
        host.container = fresh_namespace();
    }
    assert!(host.links().contains(&"vhc".to_owned()));
}

#[test]
fn what_an_unprivileged_container_cannot_have_is_said() {
    let Some(mut host) = host() else { return };
    ip("link add up0 type veth peer name up1");
    host.context.privileged = false;
    host.context.user_nic = Some("/nonexistent/lxc-user-nic".into());
    let tagged = Veth {
        vlan_tagged: vec![7],
        ..Veth::default()
    };
    // What LXC leaves out, too, does not keep the container from starting.
    let router = Veth {
        mode: rlxc_config::VethMode::Router,
        ipv4_routes: vec![("10.99.0.0".parse().unwrap(), 24)],
        ..Veth::default()
    };
    let cases: [(Nic, &str); 5] = [
        (
            Nic {
                kind: NicKind::Macvlan(MacvlanMode::Bridge),
                link: Some("up0".into()),
                ..veth()
            },
            "veth nics only, not macvlan",
        ),
        (
            Nic {
                kind: NicKind::Phys,
                link: Some("up0".into()),
                ..veth()
            },
            "not phys",
        ),
        (
            Nic {
                kind: NicKind::Veth(tagged),
                link: Some("up0".into()),
                ..veth()
            },
            "need root",
        ),
        (
            Nic {
                kind: NicKind::Veth(router),
                l2proxy: true,
                ..veth()
            },
            "cannot run /nonexistent/lxc-user-nic",
        ),
        (veth(), "cannot run /nonexistent/lxc-user-nic"),
    ];
    for (nic, want) in cases {
        let error = host.create(&one(nic)).unwrap_err();
        assert!(text(&error).contains(want), "{want} in {}", text(&error));
    }
    let created = host
        .create(&one(Nic {
            up: true,
            ..Nic::default()
        }))
        .unwrap();
    assert!(host.inside_ip("-o link show lo").contains("LOOPBACK,UP"));
    host.teardown(&created);
    assert_eq!(host.links(), ["lo", "up0", "up1"]);
}

#[test]
fn a_pair_ends_with_its_namespace_and_by_hand_where_something_holds_that() {
    let Some(mut host) = host() else { return };
    let created = host.create(&one(veth())).unwrap();
    let name = created.host_name(0).unwrap().to_owned();
    // The test holds the namespace.
    let errors = created.teardown(&mut host.netlink, &host.context, None);
    assert!(errors.is_empty(), "{errors:?}");
    assert!(host.links().contains(&name), "left to the kernel at first");
    created.finish(&mut host.netlink).unwrap();
    assert_eq!(host.links(), ["lo"]);

    let created = host.create(&one(veth())).unwrap();
    created.teardown(&mut host.netlink, &host.context, None);
    host.container = fresh_namespace();
    let begin = std::time::Instant::now();
    created.finish(&mut host.netlink).unwrap();
    let took = begin.elapsed();
    while host.links() != ["lo"] {
        assert!(begin.elapsed().as_secs() < 20, "left: {:?}", host.links());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    println!("finish {took:?}, gone after {:?}", begin.elapsed());
}
