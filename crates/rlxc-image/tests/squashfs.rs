//! Images whose root file system is a squashfs image.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{Container, Entry, failure, is_root, ok, program, tar};
use tar::EntryType;

/// A squashfs image of these entries; `None`, with the line that says why, without the tools.
fn image(container: &Container, entries: &[Entry]) -> Option<PathBuf> {
    let maker = program("tar2sqfs")?;
    program("sqfs2tar")?;
    let file = container.scratch.path("rootfs.squashfs");
    let mut child = Command::new(maker)
        .args(["--quiet", "--force"])
        .arg(&file)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&tar(entries))
        .unwrap();
    assert!(child.wait().unwrap().success());
    Some(file)
}

fn local(container: &Container, image: &std::path::Path) -> std::process::Output {
    let meta = tar(&[Entry::file("config", "lxc.arch = x86_64\n")]);
    let meta = container.scratch.write("meta.tar", meta);
    let words = ["-m", meta.to_str().unwrap(), "-f", image.to_str().unwrap()];
    container.run("local", &words)
}

#[test]
fn a_squashfs_image_becomes_a_root_file_system() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let entries = [
        Entry::dir("etc"),
        Entry::file("etc/word", "hello")
            .owner(1000, 1001)
            .mode(0o640),
        Entry::symlink("lib", "usr/lib"),
        Entry::file("bin/su", "x").mode(0o4755),
        Entry::hardlink("bin/su2", "bin/su"),
    ];
    let Some(file) = image(&container, &entries) else {
        return;
    };
    // Also one that only root may read.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    ok(&local(&container, &file));
    assert_eq!(container.read("etc/word"), "hello");
    let meta = |name: &str| container.rootfs().join(name).symlink_metadata().unwrap();
    let word = meta("etc/word");
    assert_eq!(
        (word.uid(), word.gid(), word.mode() & 0o7777),
        (1000, 1001, 0o640)
    );
    assert_eq!(meta("bin/su").mode() & 0o7777, 0o4755);
    assert_eq!(meta("bin/su").ino(), meta("bin/su2").ino());
    assert!(meta("lib").is_symlink());
}

#[test]
fn a_hostile_squashfs_image_is_refused() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let entries = [
        Entry::dir("etc"),
        Entry::device("disk", EntryType::Block, (8, 0)),
    ];
    let Some(file) = image(&container, &entries) else {
        return;
    };
    let said = failure(&local(&container, &file));
    assert!(said.contains("is the device 8:0"), "{said}");
    assert_eq!(container.entries(), Vec::<String>::new());
    // Cut, and damaged at many places: never a root file system that is not whole.
    let large = Container::new();
    // Nothing that compresses, so that it has a length to be cut at.
    let mut seed = 1u64;
    let letter = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + (seed >> 60) as u8)
    };
    let noise: String = std::iter::repeat_with(letter).take(200_000).collect();
    let Some(file) = image(&large, &[Entry::file("a", &noise), Entry::file("b", "b")]) else {
        return;
    };
    let whole = std::fs::read(&file).unwrap();
    for part in [5, 96, whole.len() / 2] {
        std::fs::write(&file, &whole[..part]).unwrap();
        let said = failure(&local(&large, &file));
        assert!(said.contains("squashfs"), "{said}");
        assert_eq!(large.entries(), Vec::<String>::new());
    }
}
