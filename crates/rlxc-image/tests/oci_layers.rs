//! Layers of OCI images: what replaces and hides what, and what no honest layer has.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod common;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::oci::{Image, oci, url};
use common::{Container, Entry, failure, is_root, ok};
use tar::EntryType;

#[test]
fn layers_replace_and_hide_what_lies_below() {
    if !is_root() {
        return;
    }
    let image = Image::new(
        &[
            vec![
                Entry::dir("a"),
                Entry::file("a/gone", "1"),
                Entry::file("a/kept", "1"),
                Entry::dir("b"),
                Entry::file("b/old", "1"),
                Entry::dir("b/deep"),
                Entry::file("b/deep/old", "1"),
                Entry::dir("usr/lib"),
                Entry::symlink("lib", "usr/lib"),
                Entry::file("was-file", "1"),
                Entry::dir("was-dir"),
                Entry::file("was-dir/x", "1"),
                Entry::symlink("was-link", "/etc"),
            ],
            vec![
                Entry::file("a/.wh.gone", ""),
                Entry::dir("b"),
                Entry::file("b/new", "2"),
                Entry::dir("b/deep"),
                Entry::file("b/deep/new", "2"),
                // After what it must not hide, and before what it must not hide either.
                Entry::file("b/.wh..wh..opq", ""),
                Entry::file("b/newer", "2"),
                Entry::file("lib/through-the-link", "2"),
                Entry::dir("was-file"),
                Entry::file("was-dir", "2"),
                Entry::file("was-link", "2"),
                Entry::file(".wh.nothing", ""),
            ],
            vec![Entry::file("a/gone", "3"), Entry::file("a/.wh.kept", "")],
        ],
        "{}",
    );
    let container = Container::new();
    ok(&oci(
        &container,
        &url("oci", &image.layout(&container)),
        &[],
    ));
    let exists = |path: &str| container.rootfs().join(path).symlink_metadata().is_ok();
    assert_eq!(container.read("a/gone"), "3");
    assert!(!exists("a/kept") && !exists("b/old") && !exists("b/deep/old"));
    assert_eq!(container.read("b/new"), "2");
    assert_eq!(container.read("b/newer"), "2");
    assert_eq!(container.read("b/deep/new"), "2");
    assert_eq!(container.read("usr/lib/through-the-link"), "2");
    assert!(container.rootfs().join("lib").is_symlink());
    assert!(container.rootfs().join("was-file").is_dir());
    assert_eq!(container.read("was-dir"), "2");
    assert_eq!(container.read("was-link"), "2");
    let names = std::process::Command::new("find")
        .arg(container.rootfs())
        .output()
        .unwrap();
    assert!(
        !String::from_utf8_lossy(&names.stdout).contains(".wh."),
        "a whiteout was left"
    );
    // Without Entrypoint and Cmd: a shell.
    assert!(container.config().contains("lxc.init.cmd = /bin/sh\n"));
    assert!(container.config().contains("lxc.init.uid = 0\n"));
}

#[track_caller]
fn is_refused(layers: &[Vec<Entry>], reason: &str) {
    let container = Container::new();
    let outside = container.scratch.write("outside", "untouched");
    let mut all = vec![vec![Entry::dir("etc"), Entry::file("etc/first", "x")]];
    all.extend(layers.iter().cloned());
    let image = Image::new(&all, "{}");
    let said = failure(&oci(
        &container,
        &url("oci", &image.layout(&container)),
        &[],
    ));
    assert!(said.contains(reason), "{said}");
    assert_eq!(container.entries(), Vec::<String>::new(), "{said}");
    assert_eq!(container.config(), common::CONFIG);
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "untouched");
}

#[test]
fn hostile_layers_are_refused_and_leave_nothing() {
    if !is_root() {
        return;
    }
    is_refused(&[vec![Entry::file("../outside", "changed")]], "leads out");
    is_refused(
        &[vec![
            Entry::symlink("up", "../.."),
            Entry::file("up/outside", "changed"),
        ]],
        "lies below the link",
    );
    is_refused(&[vec![Entry::file(".wh..", "")]], "hides no name");
    is_refused(&[vec![Entry::file("etc/.wh...", "")]], "hides no name");
    is_refused(&[vec![Entry::file("../.wh.outside", "")]], "leads out");
    is_refused(
        &[vec![Entry::device("disk", EntryType::Block, (8, 0))]],
        "is the device 8:0 outside /dev",
    );
    is_refused(
        &[vec![
            Entry::symlink("x", "/"),
            Entry::dir("x"),
            Entry::file("x/etc/y", "z"),
        ]],
        "link",
    );
}

#[test]
fn links_of_lower_layers_are_taken_within_the_root() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let outside = container.scratch.write("outside", "untouched");
    let image = Image::new(
        &[
            vec![
                Entry::dir("etc"),
                Entry::symlink("up", "../../../.."),
                Entry::symlink("abs", "/"),
            ],
            vec![
                Entry::file("up/outside", "inside"),
                Entry::file("abs/etc/rlxc-img-evil", "inside"),
                Entry::file("up/.wh.tmp", ""),
            ],
        ],
        "{}",
    );
    ok(&oci(
        &container,
        &url("oci", &image.layout(&container)),
        &[],
    ));
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "untouched");
    assert_eq!(container.read("outside"), "inside");
    assert_eq!(container.read("etc/rlxc-img-evil"), "inside");
    assert!(!Path::new("/etc/rlxc-img-evil").exists() && Path::new("/tmp").exists());
}

#[test]
fn an_image_s_links_do_not_lead_the_configuration_out() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let outside = container.scratch.write("outside", "untouched");
    let shadow = container.scratch.write("shadow", "web:x:0:0::/:/bin/sh\n");
    let image = Image::new(
        &[vec![
            Entry::dir("etc"),
            Entry::symlink("etc/hostname", outside.to_str().unwrap()),
            Entry::symlink("etc/passwd", shadow.to_str().unwrap()),
        ]],
        r#"{"User":"web"}"#,
    );
    let layout = image.layout(&container);
    // The host's file is not read as the image's.
    let said = failure(&oci(&container, &url("oci", &layout), &[]));
    assert!(said.contains("the image's user \"web\""), "{said}");
    assert_eq!(container.entries(), Vec::<String>::new());
    let image = Image::new(
        &[vec![
            Entry::dir("etc"),
            Entry::symlink("etc/hostname", outside.to_str().unwrap()),
        ]],
        "{}",
    );
    let container = Container::new();
    ok(&oci(
        &container,
        &url("oci", &image.layout(&container)),
        &[],
    ));
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "untouched");
    assert_eq!(container.read("etc/hostname"), "rlxc-img-c\n");
}

#[test]
fn file_capabilities_and_owners_of_layers_are_kept() {
    if !is_root() {
        return;
    }
    // cap_net_raw+ep, as images of ping have it.
    let capability = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let image = Image::new(
        &[vec![
            Entry::file("ping", "x")
                .mode(0o755)
                .pax("SCHILY.xattr.security.capability", &capability),
            Entry::file("owned", "x").owner(1000, 1001),
            Entry::file("trusted", "x").pax("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ]],
        "{}",
    );
    let container = Container::new();
    ok(&oci(
        &container,
        &url("oci", &image.layout(&container)),
        &[],
    ));
    let meta = container.rootfs().join("owned").metadata().unwrap();
    assert_eq!((meta.uid(), meta.gid()), (1000, 1001));
    let get = |file: &str, name: &std::ffi::CStr| {
        let file = std::fs::File::open(container.rootfs().join(file)).unwrap();
        rlxc_sys::fs::get_xattr(&file, name)
    };
    let kept = get("ping", c"security.capability").unwrap();
    assert_eq!(kept[..], capability);
    assert!(get("trusted", c"trusted.overlay.opaque").is_err());
}
