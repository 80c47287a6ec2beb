//! Honest archives: everything arrives as it was.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod common;

use std::os::unix::fs::MetadataExt;

use common::{Container, Entry, gzip, is_root, ok, program, tar, text, xz, zstd};
use tar::EntryType;

fn meta() -> Vec<u8> {
    tar(&[
        Entry::file(
            "config",
            "# Of the image\nlxc.include = LXC_TEMPLATE_CONFIG/x.common.conf\nlxc.arch = x86_64\n\
             lxc.hook.pre-start = /bin/evil\n",
        ),
        Entry::file("config-user", "lxc.arch = x86_64\nlxc.tty.max = 2\n"),
        Entry::file("excludes-user", "./dev/*\n"),
        Entry::file("fstab", "proc proc proc nodev 0 0\n# LXC_ROOTFS\n"),
    ])
}

fn local(container: &Container, archive: &[u8]) -> String {
    let meta = container.scratch.write("meta.tar", gzip(&meta()));
    let rootfs = container.scratch.write("rootfs.tar", archive);
    let arguments = ["-m", meta.to_str().unwrap(), "-f", rootfs.to_str().unwrap()];
    ok(&container.run("local", &arguments))
}

#[test]
fn a_system_arrives_with_owners_modes_links_and_devices() {
    if !is_root() {
        return;
    }
    let long = format!("usr/{}", "long-name/".repeat(15));
    let system = tar(&[
        Entry::dir("./").mode(0o750),
        Entry::dir("./etc").mode(0o555).owner(3, 4),
        Entry::file("./etc/passwd", "root:x:0:0::/:/bin/sh\n").owner(5, 6),
        Entry::symlink("./etc/mtab", "/proc/mounts").owner(7, 8),
        Entry::symlink("./lib", "usr/lib"),
        Entry::file("./usr/bin/sudo", "x").mode(0o4755).owner(0, 9),
        Entry::hardlink("./usr/bin/sudoedit", "./usr/bin/sudo"),
        Entry::file(&format!("./{long}file"), "deep"),
        Entry::fifo("./run/fifo").mode(0o600),
        Entry::device("./dev/sda", EntryType::Block, (8, 0)).mode(0o660),
        Entry::device("./var/chroot/null", EntryType::Char, (1, 3)).mode(0o666),
        Entry::file("./caps", "x").pax("SCHILY.xattr.user.note", b"hello\0there"),
        Entry::file("./times", "x").pax("mtime", b"1234567890.5"),
        Entry::file("./hole", &"\0".repeat(300_000)),
    ]);
    for archive in [system.clone(), gzip(&system), xz(&system), zstd(&system)] {
        let container = Container::new();
        local(&container, &archive);
        let meta = |path: &str| container.rootfs().join(path).symlink_metadata().unwrap();
        let owner = |path: &str| (meta(path).uid(), meta(path).gid());
        assert_eq!(meta("").mode() & 0o7777, 0o750);
        assert_eq!((meta("etc").mode() & 0o7777, owner("etc")), (0o555, (3, 4)));
        assert_eq!(owner("etc/passwd"), (5, 6));
        assert_eq!(owner("etc/mtab"), (7, 8));
        assert_eq!(meta("etc/passwd").mtime(), 1_000_000_000);
        assert_eq!(meta("etc").mtime(), 1_000_000_000);
        let link = std::fs::read_link(container.rootfs().join("etc/mtab")).unwrap();
        assert_eq!(link.to_str(), Some("/proc/mounts"));
        assert_eq!(meta("usr/bin/sudo").mode() & 0o7777, 0o4755);
        assert_eq!(meta("usr/bin/sudo").ino(), meta("usr/bin/sudoedit").ino());
        assert_eq!(container.read(&format!("{long}file")), "deep");
        assert_eq!(
            meta("run/fifo").mode() & nix::libc::S_IFMT,
            nix::libc::S_IFIFO
        );
        assert_eq!(meta("dev/sda").rdev(), nix::sys::stat::makedev(8, 0));
        assert_eq!(
            meta("var/chroot/null").rdev(),
            nix::sys::stat::makedev(1, 3)
        );
        assert_eq!(meta("times").mtime(), 1_234_567_890);
        assert_eq!(meta("hole").size(), 300_000);
        assert!(container.rootfs().join("dev/pts").is_dir());
    }
}

#[test]
fn gnu_tar_s_archives_arrive_whole() {
    let (true, Some(tar)) = (is_root(), program("tar")) else {
        return;
    };
    let container = Container::new();
    let system = container.scratch.path("system");
    let long = "d".repeat(120);
    for dir in ["etc", &format!("usr/{long}")] {
        std::fs::create_dir_all(system.join(dir)).unwrap();
    }
    std::fs::write(
        system.join(format!("usr/{long}/{}", "f".repeat(150))),
        "long",
    )
    .unwrap();
    std::os::unix::fs::symlink("x".repeat(200), system.join("link")).unwrap();
    let mut sparse = std::fs::File::create(system.join("sparse")).unwrap();
    sparse.set_len(5 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, b"data", 1 << 20).unwrap();
    std::io::Write::flush(&mut sparse).unwrap();
    for format in ["gnu", "posix"] {
        let archive = container.scratch.path(format);
        let run = std::process::Command::new(&tar)
            .args(["--sparse", &format!("--format={format}"), "-C"])
            .arg(&system)
            .args(["-cJf"])
            .arg(&archive)
            .arg(".")
            .output()
            .unwrap();
        ok(&run);
        let target = Container::new();
        local(&target, &std::fs::read(&archive).unwrap());
        let compared = std::process::Command::new("diff")
            .args(["-r", "--no-dereference", "--exclude=dev"])
            .args([&system, &target.rootfs()])
            .output()
            .unwrap();
        assert!(compared.status.success(), "{format}: {}", text(&compared));
        let size = target.rootfs().join("sparse").metadata().unwrap();
        assert!(
            size.size() == 5 << 20 && size.blocks() * 512 < 1 << 20,
            "{format}: no hole"
        );
    }
}

#[test]
fn the_configuration_has_lxc_s_order_and_no_hooks_of_the_image() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let said = local(&container, &tar(&[Entry::dir("etc")]));
    assert!(
        said.contains("WARNING") && said.contains("lxc.hook.pre-start"),
        "{said}"
    );
    let config = container.config();
    let at = |text: &str| {
        config
            .find(text)
            .unwrap_or_else(|| panic!("{text:?} in {config}"))
    };
    let order = [
        at("# Distribution configuration"),
        at("lxc.include = /usr/share/lxc/config/x.common.conf"),
        at("# Container specific configuration"),
        at("lxc.apparmor.profile = unconfined"),
        at("lxc.rootfs.path = dir:/somewhere"),
        at("lxc.mount.fstab = "),
        at("lxc.uts.name = rlxc-img-c"),
        at("# Network configuration"),
        at("lxc.net.0.type = veth"),
    ];
    assert!(order.is_sorted(), "{config}");
    assert!(
        !config.lines().any(|line| line.starts_with("lxc.hook")),
        "{config}"
    );
    let fstab = std::fs::read_to_string(container.scratch.path("fstab")).unwrap();
    assert!(
        fstab.contains(container.rootfs().to_str().unwrap()),
        "{fstab}"
    );
}

#[test]
fn trusted_configurations_are_taken_whole() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let meta = container.scratch.write("meta.tar", meta());
    let rootfs = container
        .scratch
        .write("rootfs.tar", tar(&[Entry::dir("etc")]));
    let (meta, rootfs) = (meta.to_str().unwrap(), rootfs.to_str().unwrap());
    ok(&container.run("local", &["-m", meta, "-f", rootfs, "--trust-config"]));
    assert!(
        container
            .config()
            .contains("\nlxc.hook.pre-start = /bin/evil\n")
    );
}

#[test]
fn no_dev_leaves_devices_out() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let meta = container.scratch.write("meta.tar", meta());
    let system = tar(&[
        Entry::dir("dev"),
        Entry::device("dev/null", EntryType::Char, (1, 3)),
    ]);
    let rootfs = container.scratch.write("rootfs.tar", system);
    let (meta, rootfs) = (meta.to_str().unwrap(), rootfs.to_str().unwrap());
    ok(&container.run("local", &["-m", meta, "-f", rootfs, "--no-dev"]));
    assert!(!container.rootfs().join("dev/null").exists());
}

#[test]
fn wrong_calls_say_what_is_missing() {
    let container = Container::new();
    let fails = |template: &str, arguments: &[&str], words: &str| {
        let said = common::failure(&container.run(template, arguments));
        assert!(said.contains(words), "{said}");
    };
    fails("local", &[], "--metadata");
    fails("oci", &[], "--url");
    fails(
        "oci",
        &["--url", "nowhere", "--password", "x"],
        "no directory",
    );
    fails("download", &["--frobnicate"], "--frobnicate");
    let bare = std::process::Command::new(env!("CARGO_BIN_EXE_rlxc-image"))
        .args(["download", "-d", "x", "-r", "y", "-a", "z"])
        .output()
        .unwrap();
    assert!(common::failure(&bare).contains("name, path, and rootfs"));
}

#[test]
fn hooks_put_files_into_a_tree_that_links_cannot_lead_out_of() {
    let container = Container::new();
    let outside = container.scratch.write("outside", "untouched");
    std::fs::create_dir(container.rootfs().join("etc")).unwrap();
    let link = container.rootfs().join("etc/resolv.conf");
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    std::os::unix::fs::symlink("../../..", container.rootfs().join("up")).unwrap();
    let put = |path: &str| {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_rlxc-image"))
            .arg("put")
            .arg(container.rootfs())
            .arg(path)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, b"nameserver 10.0.3.1\n").unwrap();
        drop(input);
        assert!(child.wait().unwrap().success(), "{path}");
    };
    put("etc/resolv.conf");
    put("up/outside");
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "untouched");
    assert_eq!(container.read("etc/resolv.conf"), "nameserver 10.0.3.1\n");
    assert_eq!(container.read("outside"), "nameserver 10.0.3.1\n");
}
