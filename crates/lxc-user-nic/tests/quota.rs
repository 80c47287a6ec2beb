//! The program as users run it: setuid root, quota, ownership, one answer for all refusals, and
//! one database with LXC's own program.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// What every script starts with: own mounts and network, a setuid copy, a user's namespace.
const PROLOGUE: &str = r#"
set -u
mkdir -p /etc/lxc /run/lxc
mount -t tmpfs -o mode=755 t /run/lxc
mount -t tmpfs -o mode=755 t /etc/lxc
mount -t sysfs sysfs /sys
mkdir /run/lxc/bin && chmod 755 /run/lxc/bin
cp "$PROGRAM" /run/lxc/bin/lxc-user-nic && chmod 4755 /run/lxc/bin/lxc-user-nic
OURS=/run/lxc/bin/lxc-user-nic
THEIRS=/usr/libexec/lxc/lxc-user-nic
ip link set lo up
ip link add br0 type bridge && ip link set br0 mtu 1400 up
USER="setpriv --reuid 65534 --regid 65534 --clear-groups"
PIDS=""
sleeper() {
    $USER unshare -Urn sleep 120 >/dev/null 2>&1 &
    PID=$!
    PIDS="$PIDS $PID"
    while [ "$(readlink /proc/$PID/ns/net)" = "$(readlink /proc/self/ns/net)" ] \
        || [ "$(cat /proc/$PID/comm)" != sleep ]; do sleep 0.01; done
}
trap 'kill $PIDS 2>/dev/null' EXIT
sleeper
"#;

fn run(script: &str) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: not root");
        return None;
    }
    let output = Command::new("unshare")
        .args(["-m", "-n", "sh", "-c", &format!("{PROLOGUE}{script}")])
        .env("PROGRAM", env!("CARGO_BIN_EXE_lxc-user-nic"))
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Some(text)
}

#[test]
fn a_user_gets_nics_up_to_the_quota_and_again_when_they_are_gone() {
    let script = r#"
echo 'nobody veth br0 2' >/etc/lxc/lxc-usernet
$USER $OURS create /p c1 $PID veth br0 eth0
$USER $OURS create /p c1 $PID veth br0
$USER $OURS create /p c1 $PID veth br0; echo "third: $?"
cat /run/lxc/nics
ip -o link show type veth | grep -c 'mtu 1400.*master br0 .*fe:'
nsenter -t $PID -U -n ip -o link | grep -c 'eth[01]@'
kill $PID; wait $PID 2>/dev/null
for i in $(seq 500); do [ -z "$(ip -o link show type veth)" ] && break; sleep 0.01; done
sleeper
$USER $OURS create /p c1 $PID veth br0 lan0
cat /run/lxc/nics | wc -l
"#;
    let Some(text) = run(script) else { return };
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("eth0:2:veth65534_"), "{text}");
    assert!(lines[1].starts_with("eth1:"), "{text}");
    assert!(text.contains("third: 1"), "{text}");
    assert!(text.contains("Quota reached"), "{text}");
    assert_eq!(
        lines
            .iter()
            .filter(|l| l.starts_with("nobody veth br0 veth65534_"))
            .count(),
        2
    );
    let counts: Vec<_> = lines.iter().filter(|l| l.len() == 1).collect();
    assert_eq!(counts, [&"2", &"2", &"1"], "{text}");
    assert!(lines.iter().any(|l| l.starts_with("lan0:")), "{text}");
}

#[test]
fn nics_of_a_container_that_has_just_stopped_do_not_count() {
    let script = r#"
echo 'nobody veth br0 2' >/etc/lxc/lxc-usernet
for round in 1 2 3 4; do
    $USER $OURS create /p c1 $PID veth br0 xx2 | cut -d: -f1
    $USER $OURS create /p c1 $PID veth br0 xx3 | cut -d: -f1
    $USER $OURS create /p c1 $PID veth br0 xx4
    kill -9 $PID; wait $PID 2>/dev/null
    sleeper
done
grep -c . /run/lxc/nics
"#;
    let Some(text) = run(script) else { return };
    assert_eq!(text.matches("xx2\nxx3\n").count(), 4, "{text}");
    assert_eq!(text.matches("Quota reached").count(), 4, "{text}");
}

#[test]
fn group_rules_count_when_the_users_own_are_used_up() {
    let script = r#"
printf 'nobody veth br0 1\n@nogroup veth br0 1\n# four words of comment\n' >/etc/lxc/lxc-usernet
$USER $OURS create /p c1 $PID veth br0 >/dev/null
$USER $OURS create /p c1 $PID veth br0 >/dev/null
$USER $OURS create /p c1 $PID veth br0
cut -d' ' -f1-3 /run/lxc/nics
"#;
    let Some(text) = run(script) else { return };
    assert!(
        text.contains("nobody veth br0\n@nogroup veth br0\n"),
        "{text}"
    );
    assert!(text.contains("Quota reached"), "{text}");
}

/// CVE-2017-5985, CVE-2018-6556, CVE-2022-47952: a namespace is the caller's own or refused, and the answer tells nothing of
/// files that only root can see.
#[test]
fn namespaces_of_others_are_refused_with_one_answer() {
    let script = r#"
echo 'nobody veth br0 9' >/etc/lxc/lxc-usernet
mkdir -m 700 /run/lxc/secret; touch /run/lxc/secret/file /run/lxc/mine; chown nobody /run/lxc/mine
unshare -n sleep 60 & FOREIGN=$!; PIDS="$PIDS $FOREIGN"
sleep 0.2
for pid in 1 $$ $FOREIGN 999999999 0 -1 abc; do $USER $OURS create /p c1 $pid veth br0 eth0; done
for path in /run/lxc/secret/file /run/lxc/secret/none /run/lxc/mine /proc/1/ns/net /dev/null; do
    $USER $OURS delete /p c1 $path veth br0 vethX
done
[ -f /run/lxc/nics ] && cat /run/lxc/nics
ip -o link show type veth
"#;
    let Some(text) = run(script) else { return };
    let answer =
        "lxc-user-nic: the network namespace cannot be used: it must exist and belong to you";
    assert_eq!(text.lines().filter(|l| *l == answer).count(), 12, "{text}");
    assert_eq!(text.lines().count(), 12, "{text}");
}

#[test]
fn only_own_records_are_deleted_and_bad_calls_make_nothing() {
    let script = r#"
echo 'nobody veth br0 9' >/etc/lxc/lxc-usernet
ip link add alien0 type veth peer name alien1
echo 'root veth br0 alien0' >/run/lxc/nics
$USER $OURS delete /p c1 /proc/$PID/ns/net veth br0 alien0
$USER $OURS delete /p c1 /proc/$PID/ns/net veth br0 none0
$USER $OURS create /p c1 $PID veth br1 eth0
$USER $OURS create /p c1 $PID vlan br0 eth0
$USER $OURS create /p c1 $PID veth br0 a/b
$USER $OURS create /p c1 $PID veth br0 name-that-is-too-long
$USER $OURS create /p c1 $PID veth br0 lo
$USER $OURS create /p c1 $PID veth ../x eth0
$USER $OURS create /p c1 | head -1
$USER /bin/sh -c "ulimit -f 0; $OURS create /p c1 $PID veth br0 eth5" | cut -d: -f1
cat /run/lxc/nics | grep -c .
ip -o link | wc -l
"#;
    let Some(text) = run(script) else { return };
    for want in [
        "no nic \"alien0\" of nobody on br0",
        "no nic \"none0\"",
        "no rule for veth nics of nobody on br1",
        "the type must be veth",
        "\"a/b\" is no interface's name",
        "\"name-that-is-too-long\" is no",
        "File exists",
        "\"../x\" is no bridge's name",
        "Usage: lxc-user-nic create",
    ] {
        assert!(text.contains(want), "{want} in {text}");
    }
    // Without CAP_SYS_RESOURCE the limit cannot be lifted, and then nothing may be written.
    let lifted = text.contains("eth5\n2\n5\n");
    let refused = text.contains("cannot lift the file size limit") && text.contains("1\n4\n");
    assert!(lifted || refused, "{text}");
}

#[test]
fn lxcs_program_and_ours_share_one_database_and_quota() {
    if !Path::new("/usr/libexec/lxc/lxc-user-nic").exists() {
        println!("skipped: LXC's own lxc-user-nic is not installed");
        return;
    }
    let script = r#"
echo 'nobody veth br0 3' >/etc/lxc/lxc-usernet
chmod u+s $THEIRS 2>/dev/null
$USER $THEIRS create /p c1 $PID veth br0 eth0 | cut -d: -f1
$USER $OURS create /p c1 $PID veth br0 eth1 | cut -d: -f1
$USER $THEIRS create /p c1 $PID veth br0 eth2 | cut -d: -f1
$USER $OURS create /p c1 $PID veth br0 eth3
$USER $THEIRS create /p c1 $PID veth br0 eth4
cut -d' ' -f1-3 /run/lxc/nics
"#;
    let Some(text) = run(script) else { return };
    assert!(text.contains("eth0\neth1\neth2\n"), "{text}");
    assert!(text.contains("Quota reached"), "{text}");
    assert_eq!(
        text.lines().filter(|l| *l == "nobody veth br0").count(),
        3,
        "{text}"
    );
}

/// CVE-2026-39402: the ports of others stay.
#[test]
fn open_vswitch_ports_are_deleted_by_their_owner_only() {
    if !Path::new("/usr/sbin/ovs-vswitchd").exists() {
        println!("skipped: Open vSwitch is not installed");
        return;
    }
    let script = r#"
mount -t tmpfs t /var/run/openvswitch 2>/dev/null || { mkdir -p /run/openvswitch; mount -t tmpfs t /run/openvswitch; }
D=/run/openvswitch
ovsdb-tool create $D/conf.db /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server --remote=punix:$D/db.sock --pidfile=$D/ovsdb-server.pid --detach --no-chdir --log-file=$D/l1 $D/conf.db 2>/dev/null
ovs-vsctl --no-wait init
ovs-vswitchd --pidfile=$D/ovs-vswitchd.pid --detach --no-chdir --log-file=$D/l2 unix:$D/db.sock 2>/dev/null
trap 'kill $PIDS $(cat $D/*.pid) 2>/dev/null' EXIT
timeout 20 ovs-vsctl add-br ovsbr0 -- set bridge ovsbr0 datapath_type=netdev || { echo OVS-UNAVAILABLE; exit; }
ip link add alien0 type veth peer name alien1; ovs-vsctl add-port ovsbr0 alien0
echo 'root veth ovsbr0 alien0' >/run/lxc/nics
echo 'nobody veth ovsbr0 2' >/etc/lxc/lxc-usernet
nic=$($USER $OURS create /p c1 $PID veth ovsbr0 eth0 | cut -d: -f3)
echo "ports: $(ovs-vsctl list-ports ovsbr0 | sed "s/$nic/mine/" | sort | tr '\n' ' ')"
$USER $OURS delete /p c1 /proc/$PID/ns/net veth ovsbr0 alien0
$USER $OURS delete /p c1 /proc/1/ns/net veth ovsbr0 $nic
$USER $OURS delete /p c1 /proc/$PID/ns/net veth ovsbr0 $nic; echo "delete: $?"
echo "ports: $(ovs-vsctl list-ports ovsbr0 | tr '\n' ' ')"
"#;
    let Some(text) = run(script) else { return };
    if text.contains("OVS-UNAVAILABLE") {
        println!("skipped: Open vSwitch's user space datapath does not start here: {text}");
        return;
    }
    for want in [
        "ports: alien0 mine ",
        "no nic \"alien0\" of nobody",
        "the network namespace cannot be used",
        "delete: 0",
        "ports: alien0 \n",
    ] {
        assert!(text.contains(want), "{want} in {text}");
    }
}

#[test]
fn the_quota_holds_against_callers_at_the_same_time_and_against_kills() {
    let script = r#"
echo 'nobody veth br0 3' >/etc/lxc/lxc-usernet
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    $USER $OURS create /p c1 $PID veth br0 >/dev/null 2>&1 &
    JOBS="${JOBS:-} $!"
done
for job in $JOBS; do wait $job && echo made; done
echo "links: $(ip -o link show master br0 | wc -l) records: $(wc -l </run/lxc/nics)"
kill $PID; wait $PID 2>/dev/null
for i in $(seq 500); do [ -z "$(ip -o link show type veth)" ] && break; sleep 0.01; done
sleeper
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    $USER $OURS create /p c1 $PID veth br0 >/dev/null 2>&1 & JOB=$!
    sleep 0.00$((i % 8)); $USER kill -9 $JOB 2>/dev/null; wait $JOB 2>/dev/null
done
$USER $OURS create /p c1 $PID veth br0 >/dev/null 2>&1
l=$(ip -o link show type veth | wc -l); r=$(wc -l </run/lxc/nics)
[ $l -le 3 ] && [ $r -ge $l ] && echo "held" || echo "$l links, $r records"
"#;
    let Some(text) = run(script) else { return };
    assert_eq!(text.matches("made").count(), 3, "{text}");
    assert!(text.contains("links: 3 records: 3"), "{text}");
    assert!(text.contains("held"), "{text}");
}

/// LXC d8f2c55fa: the record of nics was read beyond its end.
#[test]
fn damaged_and_hostile_files_neither_grant_nics_nor_stop_the_program() {
    let script = r#"
long=$(head -c 100000 /dev/zero | tr '\0' x)
{
    printf 'nobody veth br0\nnobody veth br0 -5\nnobody veth br0 many\nnobody\0veth br0 9\n'
    printf 'nobody veth br0 99999999999999999999999\n\xff\xfe nobody veth\n@ veth br0 9\n'
    printf '%s veth br0 9\nnobody %s br0 9\n* veth br0 9\n65534 veth br0 9\n' "$long" "$long"
} >/etc/lxc/lxc-usernet
$USER $OURS create /p c1 $PID veth br0 eth0; echo "none: $?"
echo 'nobody veth br0 2' >>/etc/lxc/lxc-usernet
seq 100000 | sed 's/.*/root veth br0 gone&/' >/run/lxc/nics
printf 'nobody veth br0 br0\n\0\0\xff\nnobody veth br0 ../../etc/passwd\nnobody veth br0\n%s' "$long" \
    >>/run/lxc/nics
$USER $OURS create /p c1 $PID veth br0 eth0 | cut -d: -f1; echo "one more"
$USER $OURS create /p c1 $PID veth br0 eth1
cut -d' ' -f1-3 /run/lxc/nics; echo "lines: $(wc -l </run/lxc/nics)"
rm /run/lxc/nics; ln -s /etc/lxc/target /run/lxc/nics
$USER $OURS create /p c1 $PID veth br0 eth2; ls /etc/lxc
rm /run/lxc/nics; mkdir /run/lxc/nics
$USER $OURS create /p c1 $PID veth br0 eth2
rm -r /run/lxc/nics /etc/lxc/lxc-usernet
$USER $OURS create /p c1 $PID veth br0 eth2
echo "links: $(ip -o link show master br0 | wc -l)"
"#;
    let Some(text) = run(script) else { return };
    for want in [
        "no rule for veth nics of nobody on br0",
        "none: 1\n",
        "eth0\none more\n",
        "Quota reached",
        // The bridge's own name is an interface that is there: it counts, as for LXC.
        "nobody veth br0\nnobody veth br0\nlines: 2\n",
        "cannot use /run/lxc/nics",
        "cannot read /etc/lxc/lxc-usernet",
        "links: 1\n",
    ] {
        assert!(text.contains(want), "{want:?} in {text}");
    }
    assert_eq!(
        text.matches("cannot use /run/lxc/nics").count(),
        2,
        "{text}"
    );
    assert!(!text.contains("target\n"), "{text}");
}

/// Lines that LXC's program reads one way are read so here: as many nics are made for each file.
#[test]
fn rules_grant_as_many_nics_as_with_lxcs_program() {
    if !Path::new("/usr/libexec/lxc/lxc-user-nic").exists() {
        println!("skipped: lxc is not installed");
        return;
    }
    let script = r#"
while IFS= read -r rules; do
    printf "$rules" >/etc/lxc/lxc-usernet
    for program in $THEIRS $OURS; do
        rm -f /run/lxc/nics
        sleeper
        made=0
        for i in 1 2 3 4; do
            $USER $program create /p c1 $PID veth br0 >/dev/null 2>&1 && made=$((made + 1))
        done
        kill $PID; wait $PID 2>/dev/null
        for i in $(seq 500); do [ -z "$(ip -o link show type veth)" ] && break; sleep 0.01; done
        printf '%s ' $made
    done
    printf '%s\n' "$rules"
done <<'RULES'
nobody veth br0 2\nnobody veth br0 3\n
nobody veth br0 3\nnobody veth br0 2\n
nobody veth br0 3 # three\n
nobody\tveth \t br0   3x
nobody veth br0 +3\n
nobody veth br0 -3\n
nobody veth br0 0x3\n
nobody veth br0 99999999999999999999999\n
 nobody veth br0 3\n
nobody veth br0 3\r\n
#nobody veth br0 3\n
nobody veth\nbr0 3\n
nobody veth br0 -1\nnobody veth br0 2\n
RULES
"#;
    let Some(text) = run(script) else { return };
    let lines: Vec<&str> = text.lines().filter(|l| l.contains("nobody")).collect();
    assert_eq!(lines.len(), 13, "{text}");
    for line in lines {
        let counts: Vec<&str> = line.split(' ').take(2).collect();
        assert_eq!(counts[0], counts[1], "LXC's and ours: {line}");
    }
}
