//! Create, copy, snapshot, restore, rename, destroy on real directories and overlays.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rlxc::{Container, CopyOptions, CreateOptions};

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: needs root");
            return None;
        }
        let mut worker = std::env::current_exe().unwrap();
        worker.pop();
        worker.pop();
        if !worker.join("rlxc-worker").is_file() {
            println!("skipped: rlxc-worker is not built");
            return None;
        }
        let dir = PathBuf::from(format!("/tmp/rlxc-storage-{name}-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let template = dir.join("template");
        fs::write(
            &template,
            "#!/bin/sh\nfor a; do case $a in --rootfs=*) r=${a#*=};; --path=*) p=${a#*=};; esac; done\n\
             mkdir $r/etc && echo first > $r/etc/hostname && echo one > $r/file || exit 1\n\
             echo 'lxc.net.0.type = veth' >> $p/config\n\
             echo 'lxc.net.0.hwaddr = 10:66:6a:01:02:03' >> $p/config\n",
        )
        .unwrap();
        fs::set_permissions(&template, fs::Permissions::from_mode(0o755)).unwrap();
        Some(Self(dir))
    }

    fn lxcpath(&self) -> PathBuf {
        self.0.join("c")
    }

    fn container(&self, name: &str) -> Container {
        Container::new(name, Some(&self.lxcpath())).unwrap()
    }

    fn create(&self, name: &str, backend: &str) -> Container {
        let mut container = self.container(name);
        container.document = Some(rlxc::config::Document::new());
        container
            .create(&CreateOptions {
                template: Some(self.0.join("template").display().to_string()),
                backend: Some(backend.to_owned()),
                ..CreateOptions::default()
            })
            .unwrap();
        container
    }

    fn read(&self, below: &str) -> String {
        fs::read_to_string(self.lxcpath().join(below)).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn named(name: &str) -> CopyOptions {
    CopyOptions {
        name: Some(name.to_owned()),
        ..CopyOptions::default()
    }
}

#[test]
fn a_directory_container_lives_and_ends() {
    let Some(place) = Place::new("dir") else {
        return;
    };
    let mut first = place.create("first", "dir");
    assert!(
        place
            .read("first/config")
            .starts_with("# Template used to create")
    );
    assert_eq!(first.item("lxc.net.0.type").unwrap(), "veth");
    assert!(!first.dir().join("partial").exists());

    let mut second = first.copy_to(&named("second")).unwrap();
    assert_eq!(place.read("second/rootfs/etc/hostname"), "second");
    assert_eq!(place.read("second/rootfs/file"), "one\n");
    let key = "lxc.net.0.hwaddr";
    assert_ne!(first.item(key).unwrap(), second.item(key).unwrap());
    assert!(first.copy_to(&named("second")).is_err());

    second.rename("third").unwrap();
    assert!(!place.lxcpath().join("second").exists());
    assert_eq!(second.item("lxc.uts.name").unwrap(), "third");

    assert_eq!(first.snapshot(None).unwrap(), 0);
    fs::write(first.dir().join("rootfs/file"), "two\n").unwrap();
    assert_eq!(first.snapshot(None).unwrap(), 1);
    assert_eq!(first.snapshots().unwrap().len(), 2);
    assert!(first.destroy().is_err());
    first.restore_snapshot("snap0", None).unwrap();
    assert_eq!(place.read("first/rootfs/file"), "one\n");
    assert_eq!(first.snapshots().unwrap().len(), 2);
    first.restore_snapshot("snap1", Some("fourth")).unwrap();
    assert_eq!(place.read("fourth/rootfs/file"), "two\n");
    first.destroy_snapshot("snap0").unwrap();
    first.destroy_with_snapshots().unwrap();
    assert!(!place.lxcpath().join("first").exists());
}

#[test]
fn a_snapshot_copy_of_a_directory_shares_it_and_keeps_it_from_being_destroyed() {
    let Some(place) = Place::new("overlay") else {
        return;
    };
    let mut base = place.create("base", "dir");
    let options = CopyOptions {
        snapshot: true,
        ..named("thin")
    };
    let mut thin = base.copy_to(&options).unwrap();
    assert!(
        place
            .read("thin/config")
            .contains("lxc.rootfs.path = overlay:")
    );
    let refused = base.destroy().unwrap_err().to_string();
    assert!(refused.contains("/thin"), "{refused}");
    fs::write(thin.dir().join("overlay/delta/new"), "x").unwrap();
    assert_eq!(thin.snapshot(None).unwrap(), 0);
    fs::remove_file(thin.dir().join("overlay/delta/new")).unwrap();
    thin.restore_snapshot("snap0", None).unwrap();
    assert!(thin.dir().join("overlay/delta/new").exists());
    thin.destroy_with_snapshots().unwrap();
    base.destroy().unwrap();
}

#[test]
fn a_failed_template_leaves_nothing_and_a_leftover_is_removed() {
    let Some(place) = Place::new("failed") else {
        return;
    };
    let mut container = place.container("x");
    container.document = Some(rlxc::config::Document::new());
    let options = CreateOptions {
        template: Some("/bin/false".to_owned()),
        ..CreateOptions::default()
    };
    assert!(container.create(&options).is_err());
    assert!(!container.dir().exists());
    fs::create_dir_all(container.dir().join("rootfs/half")).unwrap();
    fs::write(container.dir().join("partial"), "").unwrap();
    place.create("x", "dir");
    assert!(!container.dir().join("rootfs/half").exists());
}

#[test]
fn lxc_copies_and_destroys_what_we_made_and_we_what_lxc_made() {
    let Some(place) = Place::new("interop") else {
        return;
    };
    if !Path::new("/usr/bin/lxc-copy").exists() {
        println!("skipped: LXC's own tools are missing");
        return;
    }
    let lxc = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        let status = command
            .arg("-P")
            .arg(place.lxcpath())
            .args(args)
            .status()
            .unwrap();
        assert!(status.success(), "{program} {args:?}");
    };
    let base = place.create("base", "dir");
    lxc("lxc-copy", &["-n", "base", "-N", "theirs", "-s"]);
    assert_eq!(base.dependants().unwrap(), [place.lxcpath().join("theirs")]);
    let options = CopyOptions {
        snapshot: true,
        ..named("ours")
    };
    let ours = place.container("theirs").copy_to(&options).unwrap();
    // As in LXC, a copy of a copy names both as what it rests on.
    assert!(place.container("theirs").destroy().is_err());
    ours.snapshot(None).unwrap();
    lxc("lxc-snapshot", &["-n", "ours", "-d", "snap0"]);
    lxc("lxc-destroy", &["-n", "ours"]);
    place.container("theirs").destroy().unwrap();
    lxc("lxc-snapshot", &["-n", "base"]);
    assert_eq!(base.snapshots().unwrap().len(), 1);
    lxc("lxc-destroy", &["-s", "-n", "base"]);
    assert!(!base.dir().exists());
}
