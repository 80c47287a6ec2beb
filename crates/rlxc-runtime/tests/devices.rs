//! Root file systems on block devices.
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

mod common;

use std::process::Command;

use common::Container;
use rlxc_config::{IdKind, IdMap};

/// An ext4 image with the container's rootfs in it; `None` without the tools.
fn image(container: &Container) -> Option<String> {
    let image = container.lxcpath.join("rootdev");
    let file = std::fs::File::create(&image).expect("a file");
    file.set_len(32 << 20).expect("a size");
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-d"])
        .arg(container.rootfs())
        .arg(&image)
        .status();
    made.ok()
        .filter(std::process::ExitStatus::success)
        .map(|_| image.to_string_lossy().into_owned())
}

#[test]
fn a_container_starts_from_an_image() {
    need_root!();
    let mut container = Container::new("image");
    let (Some(image), true) = (
        image(&container),
        std::path::Path::new("/dev/loop-control").exists(),
    ) else {
        println!("skipped: mkfs.ext4 and loop devices");
        return;
    };
    container.config.rootfs.backend = Some("loop".into());
    container.config.rootfs.path = Some(image.clone());
    container.daemonize = false;
    for mapped in [false, true] {
        if mapped {
            for kind in [IdKind::Uid, IdKind::Gid] {
                let map = IdMap {
                    kind,
                    nsid: 0,
                    hostid: 0,
                    range: 65_536,
                };
                container.config.idmap.push(map);
            }
        }
        container.command(&[
            "/bin/sh",
            "-c",
            "test -x /bin/sh && grep -q ' / .* ext4 ' /proc/self/mountinfo && exit 3",
        ]);
        let started = container
            .start()
            .unwrap_or_else(|e| panic!("{e}\n{}", container.log()));
        assert_eq!(started.status, Some(3 << 8), "mapped: {mapped}");
    }
    container.assert_clean();
    let loops = Command::new("losetup").args(["-j", &image]).output();
    if let Ok(loops) = loops {
        assert!(loops.stdout.is_empty(), "the loop device is given back");
    }
}

#[test]
fn an_image_without_a_file_system_is_named() {
    need_root!();
    let mut container = Container::new("badimage");
    let image = container.lxcpath.join("rootdev");
    let file = std::fs::File::create(&image).expect("a file");
    file.set_len(1 << 20).expect("a size");
    container.config.rootfs.backend = Some("loop".into());
    container.config.rootfs.path = Some(image.to_string_lossy().into_owned());
    let error = container.start().expect_err("a failed start");
    assert_eq!(error.step, "rootfs", "{error}");
    container.assert_clean();
}
