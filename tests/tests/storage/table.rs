//! Storage × operation: each cell ends with a container that runs and has what it ought to have.

use rlxc_tests::{ok, said};

use crate::host::{Host, Kind};

/// A row of the table: what was shown to work, printed when the test ends, however it ends.
struct Row {
    kind: Kind,
    cells: Vec<String>,
}

impl Row {
    fn new(kind: Kind) -> Self {
        let cells = Vec::new();
        Self { kind, cells }
    }

    fn works(&mut self, operation: &str) {
        self.cells.push(format!("{operation}: yes"));
    }

    fn refused(&mut self, operation: &str) {
        self.cells.push(format!("{operation}: refused, as by LXC"));
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let end = match std::thread::panicking() {
            true => " | the next one FAILED",
            false => "",
        };
        println!(
            "table: {} | {}{end}",
            match self.kind {
                Kind::LvmThick => "lvm without a thin pool",
                kind => kind.name(),
            },
            self.cells.join(" | ")
        );
    }
}

/// create, start, copy, snapshot copy, snapshot, restore in place and elsewhere, rename, destroy.
fn every_operation(kind: Kind) {
    let Some(host) = Host::new(kind) else {
        return;
    };
    let mut row = Row::new(kind);
    host.create("a");
    row.works("create");
    assert_eq!(host.inside("a", "cat /file /etc/hostname"), "one\na\n");
    host.inside("a", "echo 1 > /state");
    row.works("start");

    ok(&host.rlxc("copy", &["-n", "a", "-N", "full"]));
    assert_eq!(host.inside("full", "cat /etc/hostname /state"), "full1\n");
    host.inside("full", "echo changed > /file");
    assert_eq!(host.inside("a", "cat /file"), "one\n");
    row.works("copy");

    let shared = host.rlxc("copy", &["-n", "a", "-N", "thin", "-s"]);
    if kind == Kind::Loop {
        // As in LXC: an image cannot share.
        assert!(!shared.status.success());
        assert!(said(&shared).contains("cannot share"), "{}", said(&shared));
        assert!(!host.has("thin"));
        row.refused("snapshot copy");
    } else {
        ok(&shared);
        row.works("snapshot copy");
        assert_eq!(host.inside("thin", "cat /etc/hostname /state"), "thin1\n");
        host.inside("thin", "echo thin > /file");
        assert_eq!(host.inside("a", "cat /file"), "one\n");
        // What it rests on stays as long as it does.
        let refused = host.rlxc("destroy", &["-n", "a"]);
        if matches!(kind, Kind::Dir | Kind::Overlay | Kind::Zfs | Kind::LvmThick) {
            assert!(said(&refused).contains("thin"), "{}", said(&refused));
            assert!(!refused.status.success());
        }
        ok(&host.rlxc("destroy", &["-n", "thin"]));
        assert!(!host.has("thin"));
    }
    if !host.has("a/config") {
        // Storage whose copies stand alone: it was destroyed just now.
        host.create("a");
        host.inside("a", "echo 1 > /state");
    }
    snapshots(&host, &mut row);

    ok(&host.rlxc("copy", &["-n", "full", "-R", "-N", "other"]));
    assert!(!host.has("full"));
    let expected = "other\nchanged\n";
    let seen = host.inside("other", "cat /etc/hostname; echo; cat /file");
    assert_eq!(seen, expected);
    row.works("rename");
    ok(&host.rlxc("destroy", &["-n", "other"]));
    ok(&host.rlxc("destroy", &["-s", "-n", "a"]));
    let left = ok(&host.sh(&format!("ls -A {}", host.lxcpath().display())));
    assert_eq!(left, "");
    assert!(host.volumes().is_empty(), "{:?}", host.volumes());
    row.works("destroy");
}

fn snapshots(host: &Host, row: &mut Row) {
    ok(&host.rlxc("snapshot", &["-n", "a"]));
    row.works("snapshot");
    host.inside("a", "echo 2 > /state; echo > /came; rm /bin/stat; mv /etc /moved; mkdir /etc; echo a > /etc/hostname");
    let changes = ok(&host.rlxc("snapshot", &["diff", "a", "snap0"]));
    let expected = "~ /bin\n- /bin/stat\n+ /came\n~ /etc/hostname\n+ /moved\n~ /state\n";
    let times = ["~ /bin\n", "~ /etc\n", "~ /etc/hostname\n"];
    let without = |text: &str| {
        times
            .iter()
            .fold(text.to_owned(), |t, line| t.replace(line, ""))
    };
    assert_eq!(without(&changes), without(expected), "{:?}", host.kind);
    row.works("snapshot diff");
    host.inside("a", "ln -s busybox /bin/stat; rm /came; rm -r /moved");
    ok(&host.rlxc("snapshot", &["-n", "a"]));
    host.inside("a", "echo 3 > /state");
    let list = ok(&host.rlxc("snapshot", &["-n", "a", "-L"]));
    let names: Vec<_> = list.lines().filter_map(|l| l.split(' ').next()).collect();
    assert_eq!(names, ["snap0", "snap1"]);
    // Again and again.
    for _ in 0..2 {
        ok(&host.rlxc("snapshot", &["-n", "a", "-r", "snap0"]));
        assert_eq!(host.inside("a", "cat /etc/hostname /state"), "a1\n");
    }
    ok(&host.rlxc("snapshot", &["-n", "a", "-r", "snap1", "-N", "b"]));
    assert_eq!(host.inside("b", "cat /etc/hostname /state"), "b2\n");
    row.works("restore");
    let refused = host.rlxc("destroy", &["-n", "a"]);
    assert!(said(&refused).contains("a has "), "{}", said(&refused));
    ok(&host.rlxc("destroy", &["-n", "b"]));
    ok(&host.rlxc("snapshot", &["-n", "a", "-d", "snap0"]));
    assert!(!host.has("a/snaps/snap0") && host.has("a/snaps/snap1"));
    assert_eq!(host.inside("a", "cat /state"), "1\n");
}

#[test]
fn directories_do_all() {
    every_operation(Kind::Dir);
}

#[test]
fn overlays_do_all() {
    every_operation(Kind::Overlay);
}

#[test]
fn btrfs_subvolumes_do_all() {
    every_operation(Kind::Btrfs);
}

#[test]
fn images_do_all_but_share() {
    every_operation(Kind::Loop);
}

#[test]
fn zfs_data_sets_do_all() {
    every_operation(Kind::Zfs);
}

#[test]
fn logical_volumes_in_a_thin_pool_do_all() {
    every_operation(Kind::Lvm);
}

#[test]
fn logical_volumes_without_a_pool_do_all() {
    every_operation(Kind::LvmThick);
}

/// Makes a container on each kind of storage, and a copy of it on each other.
fn cross(host: &Host, from: &[&str], to: &[&str]) {
    let pool = host.pool();
    // What a kind wants to be told when it is made, or is the target of a copy.
    let of = |kind: &str, size: &'static str| -> Vec<String> {
        let words: &[&str] = match kind {
            "loop" => &[size, "40M"],
            "lvm" => &["--vgname", &pool, size, "40M"],
            "zfs" => &["--zfsroot", &pool],
            _ => &[],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    };
    for from in from {
        let path = |below: &str| host.path(below).display().to_string();
        let (file, template) = (path("empty.conf"), path("template"));
        let args = ["-n", from, "-f", &file, "-t", &template, "-B", from];
        let own = of(from, "--fssize");
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        ok(&host.rlxc("create", &[&args[..], &own].concat()));
        host.inside(
            from,
            "mkdir /d; echo x > /d/f; ln /d/f /d/g; rm /file; chmod 2751 /d",
        );
        for to in to {
            let name = format!("{from}-{to}");
            let own = of(to, "-L");
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            let args = ["-n", from, "-N", &name, "-B", to];
            ok(&host.rlxc("copy", &[&args[..], &own].concat()));
            let path = format!("lxc.rootfs.path = {to}:");
            assert!(host.config(&name).contains(&path), "{name}");
            let seen = host.inside(
                &name,
                "cat /d/g; stat -c '%a %h' /d/f; stat -c %a /d; ls / | grep -c file || true",
            );
            assert_eq!(seen, "x\n644 2\n2751\n0\n", "{name}");
            println!("table: {from} to {to} | copy: yes");
            ok(&host.rlxc("destroy", &["-n", &name]));
        }
    }
}

#[test]
fn copies_go_from_every_kind_of_storage_to_every_other() {
    let Some(host) = Host::new(Kind::Btrfs) else {
        return;
    };
    cross(
        &host,
        &["dir", "overlay", "btrfs", "loop"],
        &["dir", "btrfs", "loop"],
    );
    let refused = host.rlxc("copy", &["-n", "btrfs", "-N", "x", "-B", "overlay", "-s"]);
    assert!(
        !refused.status.success() && !host.has("x"),
        "{}",
        said(&refused)
    );
}

#[test]
fn copies_go_to_data_sets_and_from_them() {
    let Some(host) = Host::new(Kind::Zfs) else {
        return;
    };
    cross(&host, &["zfs"], &["dir", "loop", "zfs"]);
    cross(&host, &["dir", "overlay", "loop"], &["zfs"]);
}

#[test]
fn copies_go_to_logical_volumes_and_from_them() {
    let Some(host) = Host::new(Kind::Lvm) else {
        return;
    };
    cross(&host, &["lvm"], &["dir", "loop", "lvm"]);
    cross(&host, &["dir", "overlay", "loop"], &["lvm"]);
}

#[test]
fn nested_subvolumes_are_copied_and_removed() {
    let Some(host) = Host::new(Kind::Btrfs) else {
        return;
    };
    host.create("a");
    let rootfs = host.lxcpath().join("a/rootfs");
    ok(&host.sh(&format!(
        "cd {}; btrfs -q subvolume create sub; echo 1 > sub/f; btrfs -q subvolume create sub/deep; echo 2 > sub/deep/f",
        rootfs.display()
    )));
    ok(&host.rlxc("copy", &["-n", "a", "-N", "b", "-s"]));
    let copied = host.lxcpath().join("b/rootfs");
    let seen = ok(&host.sh(&format!("cat {0}/sub/f {0}/sub/deep/f", copied.display())));
    assert_eq!(seen, "1\n2\n");
    ok(&host.sh(&format!("rm {0}/sub/deep/f", copied.display())));
    assert!(host.has("a/rootfs/sub/deep/f"));
    // What is mounted in a subvolume would be lost with it.
    ok(&host.sh(&format!("mount -t tmpfs none {}/tmp", copied.display())));
    let refused = host.rlxc("destroy", &["-n", "b"]);
    assert!(
        said(&refused).contains("unmount it first"),
        "{}",
        said(&refused)
    );
    assert!(host.has("b/rootfs/sub/f"));
    ok(&host.sh(&format!("umount {}/tmp", copied.display())));
    ok(&host.rlxc("destroy", &["-n", "b"]));
    ok(&host.rlxc("destroy", &["-n", "a"]));
    let list = format!("btrfs subvolume list {}", host.lxcpath().display());
    assert_eq!(ok(&host.sh(&list)), "");
}

#[test]
fn ephemeral_copies_end_with_their_run() {
    let Some(host) = Host::new(Kind::Dir) else {
        return;
    };
    host.create("a");
    // The init of the copy ends by itself; what it wrote went to memory.
    let init = "#!/bin/sh\necho gone > /written\nsleep 0.3\n";
    let file = host.lxcpath().join("a/rootfs/sbin/init");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, init).unwrap();
    ok(&host.sh(&format!("chmod 755 {}", file.display())));
    std::fs::create_dir(host.path("shared")).unwrap();
    let shared = host.path("shared").display().to_string();
    let spec = format!("bind={shared}:/mnt:ro,overlay={shared}:/opt");
    let said = ok(&host.rlxc("copy", &["-n", "a", "-N", "e", "-e", "-t", "-m", &spec]));
    assert!(said.starts_with("Created e as clone of a\n"), "{said}");
    for _ in 0..100 {
        if !host.has("e") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(!host.has("e"), "the copy is still there");
    assert!(!host.has("a/lxc_snapshots"));
    ok(&host.rlxc("copy", &["-n", "a", "-N", "kept", "-e", "-D"]));
    let end = ["-n", "kept", "-s", "STOPPED", "-t", "10"];
    ok(&host.rlxc("wait", &end));
    assert!(host.has("kept/overlay/delta/written"));
    ok(&host.rlxc("destroy", &["-n", "kept"]));
    ok(&host.rlxc("destroy", &["-n", "a"]));
}

#[test]
fn missing_tools_are_named_with_their_package() {
    let Some(host) = Host::new(Kind::Dir) else {
        return;
    };
    let path = |below: &str| host.path(below).display().to_string();
    let (file, template) = (path("empty.conf"), path("template"));
    let base = ["-n", "x", "-f", &file, "-t", &template, "-B"];
    for (kind, tool, package) in [("rbd", "rbd", "ceph-common"), ("lvm", "lvs", "lvm2")] {
        // A PATH without the program, and no other place where it would be found.
        let mut command = host.command("/usr/bin/env");
        command
            .arg("PATH=/nonexistent")
            .arg(rlxc_tests::bin_dir().join("rlxc"));
        command
            .args(["create", "-P"])
            .arg(host.lxcpath())
            .args(base)
            .arg(kind);
        let output = rlxc_tests::run(&mut command);
        assert!(!output.status.success() && !host.has("x"), "{kind}");
        let there = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
            .iter()
            .any(|dir| std::path::Path::new(dir).join(tool).exists());
        if !there {
            let text = said(&output);
            assert!(text.contains(tool) && text.contains(package), "{text}");
        }
    }
    let refused = host.rlxc("create", &[&base[..], &["nbd"]].concat());
    assert!(
        said(&refused).contains("existing ones"),
        "{}",
        said(&refused)
    );
}
