//! Volumes that need what most machines lack: what is peculiar to logical volumes (device mapper: in the VM), RADOS block
//! devices (a stand-in for the program), network block devices (the kernel's module: in the VM).

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rlxc_tests::{bin_dir, ok, run, said, skipped};

use crate::host::{Host, Kind};

fn volume_args<'a>(base: &[&'a str], name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["-n", name][..], base, more].concat()
}

/// Names, sizes, pools; a group that is full; volumes that are taken, or gone.
#[test]
fn logical_volumes_are_named_and_refused_as_asked() {
    let Some(host) = Host::new(Kind::Lvm) else {
        return;
    };
    let group = host.pool();
    let path = |below: &str| host.path(below).display().to_string();
    let (file, template) = (path("empty.conf"), path("template"));
    let base = [
        "-f", &file, "-t", &template, "-B", "lvm", "--vgname", &group,
    ];
    let create = |name: &str, more: &[&str]| host.rlxc("create", &volume_args(&base, name, more));
    let size = ["--fssize", "40M"];
    ok(&create("a", &size));
    let expected = format!("lxc.rootfs.path = lvm:/dev/{group}/a");
    assert!(host.config("a").contains(&expected), "{}", host.config("a"));
    ok(&host.rlxc("copy", &["-n", "a", "-N", "thin", "-s"]));
    assert!(!host.has("a/lxc_snapshots"));
    ok(&host.rlxc("copy", &["-n", "thin", "-R", "-N", "other-one"]));
    assert_eq!(host.inside("other-one", "cat /etc/hostname"), "other-one");
    // The size of a copy, and its kind of file system, are the original's.
    ok(&host.rlxc("copy", &["-n", "a", "-N", "large", "-L", "80M"]));
    let sizes = format!("lvs --noheadings --units m -o lv_name,lv_size {group}");
    let sizes = ok(&host.sh(&sizes));
    assert!(sizes.contains("80.00m"), "{sizes}");
    for name in ["other-one", "large", "a"] {
        ok(&host.rlxc("destroy", &["-n", name]));
    }

    // Not in the pool: a copy rests on it.
    let thick = ["--thinpool", "none-such", "--lvname", "a-b.c"];
    ok(&create("thick", &[&thick[..], &size].concat()));
    ok(&host.rlxc("copy", &["-n", "thick", "-N", "rests", "-s"]));
    assert!(host.has("thick/lxc_snapshots"));
    let refused = host.rlxc("destroy", &["-n", "thick"]);
    assert!(said(&refused).contains("rests"), "{}", said(&refused));
    // Also when the list is gone: lvremove would take the copy with it.
    ok(&host.sh(&format!(
        "rm {}/thick/lxc_snapshots",
        host.lxcpath().display()
    )));
    let refused = host.rlxc("destroy", &["-n", "thick"]);
    assert!(said(&refused).contains("rests"), "{}", said(&refused));
    let refused = host.rlxc("snapshot", &["-n", "thick"]);
    assert!(refused.status.success(), "{}", said(&refused));
    let refused = host.rlxc("snapshot", &["-n", "thick", "-r", "snap0"]);
    assert!(said(&refused).contains("rests"), "{}", said(&refused));
    assert_eq!(host.inside("rests", "cat /file"), "one\n");
    ok(&host.rlxc("destroy", &["-n", "rests"]));
    ok(&host.rlxc("snapshot", &["-n", "thick", "-r", "snap0"]));
    assert_eq!(host.inside("thick", "cat /file"), "one\n");
    ok(&host.rlxc("snapshot", &["-n", "thick", "-d", "ALL"]));

    // No room, and a name that is taken: nothing is left, and what was there stays.
    let full = create("large", &["--thinpool", "none-such", "--fssize", "4G"]);
    assert!(
        !full.status.success() && !host.has("large"),
        "{}",
        said(&full)
    );
    assert!(said(&full).contains("free"), "{}", said(&full));
    let copy = host.rlxc("copy", &["-n", "thick", "-N", "b", "-L", "4G"]);
    let thin = said(&copy).contains("WARNING") || copy.status.success();
    if copy.status.success() {
        ok(&host.rlxc("destroy", &["-n", "b"]));
    }
    assert!(thin || !host.has("b"), "{}", said(&copy));
    let taken = create("same", &[&size[..], &["--lvname", "a-b.c"]].concat());
    assert!(said(&taken).contains("exists already"), "{}", said(&taken));
    assert_eq!(host.inside("thick", "cat /file"), "one\n");
    let none = create("none", &[&size[..], &["--vgname", "none-such"]].concat());
    assert!(
        !none.status.success() && !host.has("none"),
        "{}",
        said(&none)
    );

    // The volume vanishes.
    ok(&host.sh(&format!("lvremove -qf {group}/a-b.c")));
    let start = host.rlxc("start", &["-n", "thick"]);
    let text = said(&start);
    assert!(!start.status.success() && text.contains("/a-b.c"), "{text}");
    let copy = host.rlxc("copy", &["-n", "thick", "-N", "b"]);
    assert!(!copy.status.success() && !host.has("b"), "{}", said(&copy));
    ok(&host.rlxc("destroy", &["-n", "thick"]));
    assert!(!host.has("thick") && host.volumes().is_empty());
}

/// Volumes of a thin pool may promise more than it has.
#[test]
fn logical_volumes_in_a_pool_that_fills_up_leave_nothing() {
    let Some(host) = Host::new(Kind::Lvm) else {
        return;
    };
    let group = host.pool();
    ok(&host.sh(&format!("lvchange --errorwhenfull y {group}/lxc")));
    let path = |below: &str| host.path(below).display().to_string();
    let (file, template) = (path("empty.conf"), path("template"));
    let base = [
        "-f", &file, "-t", &template, "-B", "lvm", "--vgname", &group,
    ];
    ok(&host.rlxc("create", &volume_args(&base, "a", &["--fssize", "400M"])));
    host.inside(
        "a",
        "dd if=/dev/zero of=/large bs=1M count=180 2>/dev/null; sync",
    );
    let full = host.rlxc("copy", &["-n", "a", "-N", "b"]);
    assert!(!full.status.success() && !host.has("b"), "{}", said(&full));
    assert_eq!(host.volumes(), ["a"], "{}", said(&full));
    assert_eq!(
        host.inside("a", "cat /file; stat -c %s /large"),
        "one\n188743680\n"
    );
    ok(&host.rlxc("destroy", &["-n", "a"]));
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
    let in_vm = std::env::var_os("RLXC_VM").is_some();
    if in_vm {
        let _ = host.sh("modprobe nbd max_part=16");
    }
    host.create("image");
    let image = host.lxcpath().join("image/rootdev").display().to_string();
    // A whole number of sectors, which qemu wants; and the same as the first partition of a disk.
    let disk = host.path("disk").display().to_string();
    ok(&host.sh(&format!(
        "truncate -s 40M {image}; truncate -s 42M {disk}; dd if={image} of={disk} bs=1M seek=1 conv=notrunc status=none"
    )));
    // The partition table: type, first sector, number of sectors.
    let mut table = vec![0u8; 66];
    table[4] = 0x83;
    table[8..12].copy_from_slice(&2048u32.to_le_bytes());
    table[12..16].copy_from_slice(&81_920u32.to_le_bytes());
    table[64..].copy_from_slice(&[0x55, 0xaa]);
    let opened = std::fs::File::options().write(true).open(&disk).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&opened, &table, 446).unwrap();
    drop(opened);
    let define = |name: &str, path: &str| {
        let dir = host.lxcpath().join(name);
        std::fs::create_dir(&dir).unwrap();
        let text = format!("lxc.rootfs.path = nbd:{path}\nlxc.net.0.type = empty\n");
        std::fs::write(dir.join("config"), text).unwrap();
    };
    define("a", &image);
    define("p", &format!("{disk}:1"));
    if Path::new("/sys/block/nbd0").exists() {
        for name in ["a", "p"] {
            assert_eq!(host.inside(name, "cat /file; echo two > /other"), "one\n");
            let copy = format!("copy-of-{name}");
            ok(&host.rlxc("copy", &["-n", name, "-N", &copy, "-B", "dir"]));
            assert_eq!(host.inside(&copy, "cat /other"), "two\n");
            ok(&host.rlxc("destroy", &["-n", &copy]));
        }
        // Nothing holds a device any more.
        let held = host.sh("cat /sys/block/nbd*/pid 2>/dev/null");
        assert_eq!(String::from_utf8_lossy(&held.stdout), "");
    } else {
        assert!(!in_vm, "the VM has the module");
        let output = host.rlxc("execute", &["-n", "a", "--", "/bin/true"]);
        assert!(said(&output).contains("modprobe nbd"), "{}", said(&output));
    }
    for refused in [
        &["-N", "b"][..],
        &["-N", "b", "-s"],
        &["-N", "b", "-B", "nbd"],
    ] {
        let copy = host.rlxc("copy", &[&["-n", "a"][..], refused].concat());
        assert!(!copy.status.success() && !host.has("b"), "{}", said(&copy));
    }
    let snapshot = host.rlxc("snapshot", &["-n", "a"]);
    assert!(!snapshot.status.success() && !host.has("a/snaps"));
    // The image is the user's: it is not removed, and that is said.
    let refused = host.rlxc("destroy", &["-n", "a"]);
    assert!(
        !refused.status.success() && Path::new(&image).exists(),
        "{}",
        said(&refused)
    );
}
