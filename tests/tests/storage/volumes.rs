//! Volumes that need what most machines lack: logical volumes (device mapper: in the VM), RADOS block devices (a
//! stand-in for the program), network block devices (the kernel's module).

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rlxc_tests::{bin_dir, ok, run, said, skipped};

use crate::host::{Host, Kind};

/// A volume group with a thin pool on a loop device, which goes with the test.
struct Group {
    name: String,
    device: String,
    image: std::path::PathBuf,
}

impl Group {
    fn new() -> Option<Self> {
        // A node of that name may be there without the driver.
        let misc = std::fs::read_to_string("/proc/misc").unwrap_or_default();
        if !misc.contains("device-mapper") {
            skipped("device mapper (logical volumes run in the VM: cargo xtask vm-test)");
            return None;
        }
        let name = format!("rlxcsto{}", std::process::id());
        // Not on the machine's own file system, which the VM sees through a slow door.
        let image = std::path::PathBuf::from(format!("/dev/shm/{name}.img"));
        let script = format!(
            "truncate -s 700M {0}; D=$(losetup -f --show {0}); trap 'vgremove -ff -y {name}; losetup -d $D' EXIT
             pvcreate -q $D >&2; vgcreate -q {name} $D >&2
             lvcreate -q -L 300M -T {name}/lxc >&2; trap - EXIT; echo $D",
            image.display()
        );
        let output = run(std::process::Command::new("/bin/sh").args(["-euc", &script]));
        if !output.status.success() {
            let text = said(&output);
            let why = text.lines().rfind(|line| !line.contains("leaked on"));
            skipped(&format!(
                "logical volumes: {}",
                why.unwrap_or_default().trim()
            ));
            let _ = std::fs::remove_file(&image);
            return None;
        }
        Some(Self {
            name,
            device: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            image,
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let script = format!(
            "vgremove -ff -y {}; pvremove -ff -y {1}; losetup -d {1}",
            self.name, self.device
        );
        let _ = run(std::process::Command::new("/bin/sh").args(["-c", &script]));
        let _ = std::fs::remove_file(&self.image);
    }
}

#[test]
fn logical_volumes_do_all() {
    let Some(group) = Group::new() else {
        return;
    };
    let Some(host) = Host::new(Kind::Dir) else {
        return;
    };
    let path = |below: &str| host.path(below).display().to_string();
    let (file, template) = (path("empty.conf"), path("template"));
    let base = [
        "-f",
        &file,
        "-t",
        &template,
        "-B",
        "lvm",
        "--vgname",
        &group.name,
    ];
    let create = |name: &str, more: &[&str]| {
        let args = [&["-n", name, "--fssize", "40M"][..], &base, more].concat();
        host.rlxc("create", &args)
    };
    // A thin volume: copies share, snapshots too.
    ok(&create("a", &[]));
    let path = format!("lxc.rootfs.path = lvm:/dev/{}/a", group.name);
    assert!(host.config("a").contains(&path), "{}", host.config("a"));
    assert_eq!(host.inside("a", "cat /file /etc/hostname"), "one\na\n");
    ok(&host.rlxc("copy", &["-n", "a", "-N", "thin", "-s"]));
    assert!(!host.has("a/lxc_snapshots"));
    assert_eq!(host.inside("thin", "cat /etc/hostname"), "thin");
    ok(&host.rlxc("copy", &["-n", "a", "-N", "full"]));
    ok(&host.rlxc("snapshot", &["-n", "a"]));
    host.inside("a", "echo changed > /file");
    ok(&host.rlxc("snapshot", &["-n", "a", "-r", "snap0"]));
    assert_eq!(host.inside("a", "cat /file"), "one\n");
    ok(&host.rlxc("copy", &["-n", "full", "-R", "-N", "other-one"]));
    assert_eq!(host.inside("other-one", "cat /etc/hostname"), "other-one");
    for name in ["other-one", "thin"] {
        ok(&host.rlxc("destroy", &["-n", name]));
    }
    ok(&host.rlxc("destroy", &["-s", "-n", "a"]));
    // A thick one: a copy rests on it.
    ok(&create(
        "thick",
        &["--thinpool", "none-such", "--lvname", "a-b.c"],
    ));
    ok(&host.rlxc("copy", &["-n", "thick", "-N", "rests", "-s"]));
    assert!(host.has("thick/lxc_snapshots"));
    let refused = host.rlxc("destroy", &["-n", "thick"]);
    assert!(said(&refused).contains("rests"), "{}", said(&refused));
    if rlxc_tests::peer() {
        ok(&host.lxc("destroy", &["-n", "rests"]));
    } else {
        ok(&host.rlxc("destroy", &["-n", "rests"]));
    }
    // No room, and a name that is taken: nothing is left, and what was there stays.
    let full = create("large", &["--thinpool", "none-such", "--fssize", "4G"]);
    assert!(
        !full.status.success() && !host.has("large"),
        "{}",
        said(&full)
    );
    let taken = create("same", &["--lvname", "a-b.c"]);
    assert!(said(&taken).contains("exists already"), "{}", said(&taken));
    assert_eq!(host.inside("thick", "cat /file"), "one\n");
    ok(&host.rlxc("destroy", &["-n", "thick"]));
    let volumes = format!("lvs --noheadings -o lv_name {}", group.name);
    assert_eq!(ok(&host.sh(&volumes)).trim(), "lxc");
}

/// Kills, and a volume that is gone: the next command finds all or nothing, and what is left can be removed.
#[test]
fn logical_volumes_are_not_left_by_what_is_killed() {
    let Some(group) = Group::new() else {
        return;
    };
    let Some(host) = Host::new(Kind::Dir) else {
        return;
    };
    let path = |below: &str| host.path(below).display().to_string();
    let (file, template) = (path("empty.conf"), path("template"));
    let base = ["-f", &file, "-t", &template, "-B", "lvm", "--fssize", "40M"];
    let create = [&["-n", "a", "--vgname", &group.name][..], &base].concat();
    let copy = ["-n", "base", "-N", "a"];
    let snapshot = ["-n", "base", "-N", "a", "-s"];
    let own = ["-n", "base", "--vgname", &group.name];
    ok(&host.rlxc("create", &[&base[..], &own].concat()));
    let volumes = || {
        let list = format!("lvs --noheadings -o lv_name {}", group.name);
        let text = ok(&host.sh(&list));
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for (verb, args) in [
        ("create", &create[..]),
        ("copy", &copy),
        ("copy", &snapshot),
    ] {
        let begin = std::time::Instant::now();
        ok(&host.rlxc(verb, args));
        let takes = begin.elapsed();
        ok(&host.rlxc("destroy", &["-n", "a"]));
        for n in 1..5 {
            let mut command = host.command(bin_dir().join("rlxc"));
            command.arg(verb).arg("-P").arg(host.lxcpath()).args(args);
            let mut child = command
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(takes * n / 5);
            let _ = child.kill();
            let _ = child.wait();
            // LVM's program that was running ends by itself.
            std::thread::sleep(takes / 3);
            if host.rlxc("info", &["-n", "a", "-s"]).status.success() {
                ok(&host.rlxc("destroy", &["-n", "a"]));
            }
            assert!(!host.has("a"), "{verb} {n}");
            assert_eq!(volumes(), ["base", "lxc"], "{verb} {n}");
        }
    }
    ok(&host.sh(&format!("lvremove -qf {}/base", group.name)));
    let start = host.rlxc("start", &["-n", "base"]);
    let said = said(&start);
    assert!(!start.status.success() && said.contains("/base"), "{said}");
    assert!(!host.rlxc("copy", &copy).status.success() && !host.has("a"));
    ok(&host.rlxc("destroy", &["-n", "base"]));
    assert!(!host.has("base"));
}

/// As rbd(8) as far as it is used: an image is a file, mapping it makes a loop device with the name of the image.
const RBD: &str = r#"#!/bin/sh
dir=$(dirname "$0")
echo "$*" >> $dir/log
command=$1; shift
while [ $# -gt 0 ]; do
    case $1 in
    --id) shift ;;
    --pool) pool=$2; shift ;;
    --size) size=$2; shift ;;
    *) name=$1 ;;
    esac
    shift
done
case $command in
info) [ -e $dir/$pool.$name ] ;;
create) truncate -s ${size}M $dir/$pool.$name ;;
map) mkdir -p /dev/rbd/$pool; ln -s $(losetup -f --show $dir/$pool.$name) /dev/rbd/$pool/$name ;;
unmap) losetup -d $(readlink -f $name); rm $name ;;
rm) rm $dir/$pool.$name ;;
*) exit 1 ;;
esac
"#;

#[test]
fn rados_devices_are_made_and_removed_by_a_stand_in_for_their_program() {
    let Some(host) = Host::new(Kind::Loop) else {
        return;
    };
    let tools = host.path("tools");
    std::fs::create_dir(&tools).unwrap();
    std::fs::write(tools.join("rbd"), RBD).unwrap();
    std::fs::set_permissions(tools.join("rbd"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let pool = format!("rlxcsto{}", std::process::id());
    let rlxc = |verb: &str, args: &[&str]| {
        let mut command = host.command("/usr/bin/env");
        let path = format!("PATH={}:/usr/sbin:/usr/bin:/sbin:/bin", tools.display());
        command.arg(path).arg(bin_dir().join("rlxc")).arg(verb);
        command.arg("-P").arg(host.lxcpath()).args(args);
        run(&mut command)
    };
    let path = |below: &str| host.path(below).display().to_string();
    let (file, template) = (path("empty.conf"), path("template"));
    let args = ["-n", "a", "-f", &file, "-t", &template, "-B", "rbd"];
    let own = [
        "--rbdpool",
        &pool,
        "--rbdname",
        "disk",
        "--rbduser",
        "me",
        "--fssize",
        "40M",
    ];
    ok(&rlxc("create", &[&args[..], &own].concat()));
    let expected = format!("lxc.rootfs.path = rbd:/dev/rbd/{pool}/disk");
    assert!(host.config("a").contains(&expected), "{}", host.config("a"));
    assert_eq!(host.inside("a", "cat /file"), "one\n");
    // As in LXC there are neither copies of that type nor snapshots.
    assert!(!rlxc("copy", &["-n", "a", "-N", "b", "-s"]).status.success());
    assert!(!rlxc("snapshot", &["-n", "a"]).status.success());
    ok(&rlxc("copy", &["-n", "a", "-N", "b", "-B", "dir"]));
    assert_eq!(host.inside("b", "cat /file"), "one\n");
    ok(&rlxc("destroy", &["-n", "a"]));
    ok(&rlxc("destroy", &["-n", "b"]));
    let log = std::fs::read_to_string(tools.join("log")).unwrap();
    for line in [
        format!("create --id me --pool {pool} disk --size 40"),
        format!("map --id me --pool {pool} disk"),
        format!("unmap --id admin /dev/rbd/{pool}/disk"),
        format!("rm --id admin --pool {pool} disk"),
    ] {
        assert!(log.lines().any(|l| l == line), "no {line:?} in {log}");
    }
    assert!(!tools.join(format!("{pool}.disk")).exists());
    let _ = std::fs::remove_dir(format!("/dev/rbd/{pool}"));
    let _ = std::fs::remove_dir("/dev/rbd");
}

#[test]
fn network_block_devices_are_used_or_their_module_is_named() {
    let Some(host) = Host::new(Kind::Loop) else {
        return;
    };
    if !Path::new("/usr/bin/qemu-nbd").exists() {
        skipped("qemu-nbd (package qemu-utils)");
        return;
    }
    host.create("image");
    let dir = host.lxcpath().join("a");
    std::fs::create_dir(&dir).unwrap();
    let image = host.lxcpath().join("image/rootdev");
    // A whole number of sectors, which qemu wants.
    ok(&host.sh(&format!("truncate -s 40M {}", image.display())));
    std::fs::write(
        dir.join("config"),
        format!(
            "lxc.rootfs.path = nbd:{}\nlxc.net.0.type = empty\n",
            image.display()
        ),
    )
    .unwrap();
    if Path::new("/sys/block/nbd0").exists() {
        assert_eq!(host.inside("a", "cat /file"), "one\n");
    } else {
        let output = host.rlxc("execute", &["-n", "a", "--", "/bin/true"]);
        assert!(said(&output).contains("modprobe nbd"), "{}", said(&output));
    }
    // The image is the user's: it is not removed, and that is said.
    let refused = host.rlxc("destroy", &["-n", "a"]);
    assert!(
        !refused.status.success() && image.exists(),
        "{}",
        said(&refused)
    );
}
