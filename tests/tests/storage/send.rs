//! Full copies on another file system or pool of the same kind, which go as a stream of the storage's own.

use std::process::Stdio;
use std::time::Duration;

use rlxc_tests::{bin_dir, ok, run, said};

use crate::host::{Host, Kind};

/// Another btrfs, with a lxcpath on it.
fn second_btrfs(host: &Host) -> String {
    let other = host.path("other").display().to_string();
    let image = host.path("image2").display().to_string();
    ok(&host.sh(&format!(
        "mkdir {other}; truncate -s 512M {image}; mkfs.btrfs -q {image}; mount -o loop {image} {other}"
    )));
    other
}

/// `rlxc VERB` below another lxcpath.
fn there(host: &Host, lxcpath: &str, verb: &str, args: &[&str]) -> std::process::Output {
    let mut command = host.command(bin_dir().join("rlxc"));
    command.args([verb, "-P", lxcpath]).args(args);
    run(&mut command)
}

#[test]
fn subvolumes_are_sent_to_another_btrfs() {
    let Some(host) = Host::new(Kind::Btrfs) else {
        return;
    };
    host.create("a");
    host.inside("a", "echo x > /f; ln /f /g; chmod 4711 /f");
    let other = second_btrfs(&host);
    let copy = ["-n", "a", "-N", "b", "-B", "btrfs", "-p", &other];
    ok(&host.rlxc("copy", &copy));
    let args = ["-n", "b", "--", "/bin/busybox", "sh", "-c"];
    let script = "cat /etc/hostname /g; stat -c '%a %h' /f; echo y > /f";
    let seen = ok(&there(
        &host,
        &other,
        "execute",
        &[&args[..], &[script]].concat(),
    ));
    assert_eq!(seen, "bx\n4711 2\n");
    assert_eq!(host.inside("a", "cat /f"), "x\n");
    // Only the two root file systems are there: nothing that was sent is left.
    let list = |at: &str| ok(&host.sh(&format!("btrfs subvolume list {at}")));
    assert!(list(&other).lines().count() == 1 && list(&other).contains("b/rootfs"));
    assert_eq!(
        list(&host.lxcpath().display().to_string()).lines().count(),
        1
    );
    ok(&there(&host, &other, "destroy", &["-n", "b"]));
    assert_eq!(list(&other), "");

    // A subvolume that holds others goes file by file.
    let rootfs = host.lxcpath().join("a/rootfs");
    ok(&host.sh(&format!(
        "cd {}; btrfs -q subvolume create sub; echo 1 > sub/f",
        rootfs.display()
    )));
    ok(&host.rlxc("copy", &copy));
    assert_eq!(ok(&host.sh(&format!("cat {other}/b/rootfs/sub/f"))), "1\n");
    ok(&there(&host, &other, "destroy", &["-n", "b"]));
    ok(&host.sh(&format!("btrfs subvolume delete {}/sub", rootfs.display())));

    // One that is killed leaves nothing that the next would not remove.
    ok(&host.sh(&format!(
        "head -c 60M /dev/urandom > {}/large",
        rootfs.display()
    )));
    for n in 0..6 {
        let mut command = host.command(bin_dir().join("rlxc"));
        command.args(["copy", "-P"]).arg(host.lxcpath()).args(copy);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(20 + 30 * n));
        let _ = child.kill();
        let _ = child.wait();
        // The sender and the receiver see the end of their pipes.
        std::thread::sleep(Duration::from_millis(200));
        let info = there(&host, &other, "info", &["-n", "b", "-s"]);
        if info.status.success() {
            ok(&there(&host, &other, "destroy", &["-n", "b"]));
        }
        assert_eq!(ok(&host.sh(&format!("ls -A {other}"))), "", "kill {n}");
        assert_eq!(host.inside("a", "cat /f"), "x\n");
    }
    ok(&host.rlxc("copy", &copy));
    ok(&there(&host, &other, "destroy", &["-n", "b"]));
    // No room over there.
    ok(&host.sh(&format!(
        "head -c 600M /dev/zero > {other}/fill || true; sync; truncate -s -25M {other}/fill; sync"
    )));
    let full = host.rlxc("copy", &copy);
    assert!(!full.status.success(), "{}", said(&full));
    assert!(said(&full).contains("No space"), "{}", said(&full));
    assert_eq!(ok(&host.sh(&format!("ls -A {other}"))), "fill\n");
    ok(&host.rlxc("destroy", &["-n", "a"]));
    let left = list(&host.lxcpath().display().to_string());
    assert_eq!(left, "");
    ok(&host.sh(&format!("umount {other}")));
}

#[test]
fn data_sets_are_sent_to_another_pool() {
    let Some(host) = Host::new(Kind::Zfs) else {
        return;
    };
    let (pool, image) = (format!("{}b", host.pool()), host.path("image2"));
    ok(&host.sh(&format!(
        "truncate -s 128M {0}; zpool create -m none {pool} {0}",
        image.display()
    )));
    host.create("a");
    host.inside("a", "echo x > /f; chmod 4711 /f");
    ok(&host.rlxc("copy", &["-n", "a", "-N", "b", "--zfsroot", &pool]));
    let path = format!("lxc.rootfs.path = zfs:{pool}/b");
    assert!(host.config("b").contains(&path), "{}", host.config("b"));
    let seen = host.inside("b", "cat /etc/hostname /f; stat -c %a /f; echo y > /f");
    assert_eq!(seen, "bx\n4711\n");
    assert_eq!(host.inside("a", "cat /f"), "x\n");
    // Both stand alone.
    let sets = ok(&host.sh("zfs list -H -t snapshot -o name"));
    assert_eq!(sets, "");
    ok(&host.rlxc("destroy", &["-n", "a"]));
    assert_eq!(host.inside("b", "cat /f"), "y\n");
    ok(&host.rlxc("destroy", &["-n", "b"]));
    ok(&host.sh(&format!("zpool destroy {pool}")));
}
