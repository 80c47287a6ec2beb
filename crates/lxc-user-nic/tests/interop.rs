//! Ours called by LXC's unprivileged start, and LXC's called by our library.
#![allow(clippy::unwrap_used, unreachable_pub)]

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use rlxc_config::{Nic, NicKind, Veth};
use rlxc_network::{Container, Context, Netlink, netns, setup_host};

/// Own mounts and network, a bridge, a rule for the user `nobody`.
const PROLOGUE: &str = r#"
set -u
CG=$(mktemp -d); mount --rbind /sys/fs/cgroup $CG
mkdir -p /etc/lxc /run/lxc
mount -t sysfs s /sys; mount --rbind $CG /sys/fs/cgroup
mount -t tmpfs -o mode=755 t /run/lxc; mount -t tmpfs -o mode=755 t /etc/lxc
mkdir -p /run/lxc/bin
cp "$PROGRAM" /run/lxc/bin/lxc-user-nic; chmod 4755 /run/lxc/bin/lxc-user-nic
cp "$SELF" /run/lxc/bin/self; chmod 755 /run/lxc/bin/self
ip link set lo up; ip link add br0 type bridge; ip link set br0 up
echo 'nobody veth br0 5' >/etc/lxc/lxc-usernet
USER="setpriv --reuid 65534 --regid 65534 --clear-groups"
"#;

/// The cgroup, in every hierarchy, that the user's container starts from.
fn cgroup() -> String {
    format!("rlxc-net-interop-{}", std::process::id())
}

fn run(script: &str) -> Option<String> {
    let theirs = Path::new("/usr/libexec/lxc/lxc-user-nic").exists();
    if !nix::unistd::geteuid().is_root() || !theirs {
        println!("skipped: not root, or LXC's own lxc-user-nic is not installed");
        return None;
    }
    let output = Command::new("unshare")
        .args(["-m", "-n", "sh", "-c", &format!("{PROLOGUE}{script}")])
        .env("PROGRAM", env!("CARGO_BIN_EXE_lxc-user-nic"))
        .env("CGROUP", cgroup())
        .env("SELF", std::env::current_exe().unwrap())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn lxcs_unprivileged_start_gets_its_nic_from_ours() {
    let script = r#"
mount --bind /run/lxc/bin/lxc-user-nic /usr/libexec/lxc/lxc-user-nic
H=/run/lxc/home; mkdir -p $H/lxc/u1 $H/rootfs/bin $H/rootfs/proc $H/rootfs/dev $H/rootfs/sys
cp /bin/busybox $H/rootfs/bin/ && ln -s busybox $H/rootfs/bin/sleep
cat >$H/lxc/u1/config <<END
lxc.rootfs.path = dir:$H/rootfs
lxc.uts.name = u1
lxc.idmap = u 0 65534 1
lxc.idmap = g 0 65534 1
lxc.net.0.type = veth
lxc.net.0.link = br0
lxc.net.0.flags = up
lxc.net.0.name = lan0
lxc.net.0.ipv4.address = 10.9.0.5/24
lxc.apparmor.profile = unconfined
lxc.cgroup.relative = 1
lxc.mount.auto = proc:rw
END
chown -R 65534:65534 $H; cd $H
for c in /sys/fs/cgroup/*; do [ -d $c ] && mkdir -p $c/$CGROUP && \
    chown -R 65534:65534 $c/$CGROUP && echo $$ >$c/$CGROUP/cgroup.procs
done 2>/dev/null
AS="$USER env HOME=$H"
$AS lxc-start -P $H/lxc -n u1 -o $H/log -- /bin/sleep 60; echo "start: $?"
pid=$($AS lxc-info -P $H/lxc -n u1 -pH)
nsenter -t $pid -n ip -o addr show lan0
ip -o link show master br0
cat /run/lxc/nics
$AS lxc-stop -k -P $H/lxc -n u1
for i in $(seq 300); do ip -o link show master br0 | grep -q . || break; sleep 0.01; done
echo "left: $(ip -o link show master br0 | wc -l)"
"#;
    let _left = rlxc_tests::cgroups::Left::of(cgroup()).with_processes();
    let Some(text) = run(script) else { return };
    if !text.contains("start: 0") {
        println!("skipped: LXC's unprivileged start does not work on this machine: {text}");
        return;
    }
    for want in [
        "inet 10.9.0.5/24",
        "veth65534_",
        "nobody veth br0 veth65534_",
        "left: 0",
    ] {
        assert!(text.contains(want), "{want} in {text}");
    }
}

#[test]
fn the_library_gets_its_nic_from_either_program() {
    let script = r#"
$USER unshare -Urn sleep 60 >/dev/null 2>&1 & PID=$!; trap "kill $PID" EXIT
while [ "$(cat /proc/$PID/comm)" != sleep ]; do sleep 0.01; done
chmod u+s /usr/libexec/lxc/lxc-user-nic
n=0
for program in /usr/libexec/lxc/lxc-user-nic /run/lxc/bin/lxc-user-nic; do
    $USER env RLXC_TEST_PID=$PID RLXC_TEST_NAME=lan$n RLXC_TEST_PROGRAM=$program \
        RUST_BACKTRACE=0 /run/lxc/bin/self --exact as_the_user --nocapture 2>&1 | grep -a made
    n=$((n+1))
done
nsenter -t $PID -U -n ip -o link | grep -o 'lan[01]'
ip -o link show master br0 | wc -l
"#;
    let Some(text) = run(script) else { return };
    assert_eq!(text.matches("made veth65534_").count(), 2, "{text}");
    assert!(text.ends_with("lan0\nlan1\n2\n"), "{text}");
}

/// What the test above runs as the user; alone it does nothing.
#[test]
fn as_the_user() {
    let (Ok(pid), Ok(name), Ok(program)) = (
        std::env::var("RLXC_TEST_PID"),
        std::env::var("RLXC_TEST_NAME"),
        std::env::var("RLXC_TEST_PROGRAM"),
    ) else {
        return;
    };
    let pid = pid.parse().unwrap();
    let nic = Nic {
        kind: NicKind::Veth(Veth::default()),
        link: Some("br0".into()),
        name: Some(name.clone()),
        up: true,
        ..Nic::default()
    };
    let namespace = netns::of_pid(pid).unwrap();
    let container = Container {
        netns: namespace.as_fd(),
        pid,
    };
    let context = Context {
        user_nic: Some(program.into()),
        ..Context::new("c1", "/tmp/rlxc-network-none")
    };
    assert!(!context.privileged);
    let nics = BTreeMap::from([(0, nic)]);
    let created = setup_host(&mut Netlink::open().unwrap(), &nics, container, &context).unwrap();
    assert_eq!(created.inside.nics[0].arrives_as, name);
    println!("made {}", created.host_name(0).unwrap());
}
