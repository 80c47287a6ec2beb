//! Ports of a real Open vSwitch (its user space datapath), with VLANs, and their removal.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::Command;

use common::{have, host, one, veth};
use nix::sched::{CloneFlags, unshare};
use rlxc_config::{Nic, NicKind, Veth};

const START: &str = "set -e
mount --make-rprivate /
mount -t tmpfs t /run; mkdir -p /run/openvswitch /run/ovs
ovsdb-tool create /run/ovs/conf.db /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server --remote=punix:/run/openvswitch/db.sock --pidfile=/run/openvswitch/ovsdb-server.pid \
  --detach --no-chdir --log-file=/run/ovs/db.log /run/ovs/conf.db
ovs-vsctl --no-wait init
ovs-vswitchd --pidfile=/run/openvswitch/ovs-vswitchd.pid --detach --no-chdir \
  --log-file=/run/ovs/log unix:/run/openvswitch/db.sock
timeout 20 ovs-vsctl add-br ovsbr0 -- set bridge ovsbr0 datapath_type=netdev";

const STOP: &str =
    "kill $(cat /run/openvswitch/ovs-vswitchd.pid) $(cat /run/openvswitch/ovsdb-server.pid)";

fn shell(script: &str) -> (bool, String) {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn a_nic_is_a_port_with_its_vlans_until_the_container_stops() {
    if !(have("ovs-vsctl") && have("ovs-vswitchd") && have("ovsdb-tool")) {
        return;
    }
    let Some(mut host) = host() else { return };
    // Also of this thread alone, as the network namespace is.
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let (up, text) = shell(START);
    if !up {
        println!("skipped: Open vSwitch's user space datapath does not start here: {text}");
        shell(STOP);
        return;
    }
    let kind = NicKind::Veth(Veth {
        pair: Some("vho0".into()),
        vlan_id: Some(Some(5)),
        vlan_tagged: vec![7, 8],
        ..Veth::default()
    });
    let created = host.create(&one(Nic {
        kind,
        link: Some("ovsbr0".into()),
        ..veth()
    }));
    let (_, shown) = shell("ovs-vsctl show; ovs-vsctl get port vho0 vlan_mode");
    let (_, up) = shell("ip -o link show vho0");
    if let Ok(created) = &created {
        host.teardown(created);
    }
    let (_, after) = shell("ovs-vsctl list-ports ovsbr0");
    // A script that fails takes the port back, too.
    let bad = Nic {
        link: Some("ovsbr0".into()),
        script_up: Some("false".into()),
        ..veth()
    };
    let refused = host.create(&one(bad)).is_err();
    let (_, after_bad) = shell("ovs-vsctl list-ports ovsbr0");
    shell(STOP);
    let created = created.unwrap();
    assert!(created.needs_journal());
    assert!(
        shown.contains("Port vho0") && shown.contains("tag: 5"),
        "{shown}"
    );
    assert!(
        shown.contains("trunks: [7, 8]") && shown.contains("native-untagged"),
        "{shown}"
    );
    assert!(up.contains("UP"), "{up}");
    assert_eq!(after, "", "the port is gone");
    assert!(refused);
    assert_eq!(after_bad, "");
}
