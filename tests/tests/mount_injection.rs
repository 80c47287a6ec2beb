//! Mounts put into a running container and taken out again, with links of the container's at every target.
#![allow(clippy::unwrap_used, missing_docs)]

mod inside;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use inside::{Inside, World};
use rlxc::Container;
use rlxc_monitor::Client;

const MS_RDONLY: u64 = 1;
const MS_NOSUID: u64 = 2;
const MS_BIND: u64 = 4096;

/// A running container and what of the host its links lead to.
struct Running {
    inside: Inside,
    init: i32,
    container: Container,
    /// Must neither change nor be a mount point.
    victim: PathBuf,
}

impl Running {
    fn start(world: &World, name: &str, config: &str, owner: u32) -> Self {
        let config = format!("lxc.mount.auto = proc:mixed sys:mixed\n{config}");
        let inside = world.define(name, "echo up; exec sleep 1000", &config, owner);
        let victim = world.lxcpath.join(format!("{name}-victim"));
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("file"), "precious").unwrap();
        let init = inside.start(true).unwrap().init;
        let container = Container::new(name, Some(&world.lxcpath)).unwrap();
        Self {
            inside,
            init,
            container,
            victim,
        }
    }

    fn mount(&self, source: Option<&Path>, target: &str, fstype: Option<&str>, flags: u64) -> bool {
        let target = Path::new(target);
        let result = self
            .container
            .inject_mount(source, target, fstype, flags, None);
        result.is_ok()
    }

    fn umount(&self, target: &str) -> Result<(), String> {
        let result = self.container.inject_umount(Path::new(target), 0);
        result.map_err(|error| error.to_string())
    }

    /// mount points inside, with their options
    fn mounts(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(format!("/proc/{}/mountinfo", self.init)).unwrap();
        let words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        words
            .map(|words| (words[4].to_owned(), words[5].to_owned()))
            .collect()
    }

    fn is_mounted(&self, target: &str) -> bool {
        self.mounts().iter().any(|(point, _)| point == target)
    }

    fn seen(&self, path: &str) -> String {
        let path = format!("/proc/{}/root{path}", self.init);
        fs::read_to_string(path).unwrap_or_default()
    }

    /// A link of the container's.
    fn link(&self, name: &str, target: impl AsRef<Path>) {
        symlink(target, self.inside.rootfs.join(name)).unwrap();
    }

    fn assert_host_untouched(&self) {
        assert_eq!(
            fs::read_to_string(self.victim.join("file")).unwrap(),
            "precious"
        );
        assert_eq!(fs::read_dir(&self.victim).unwrap().count(), 1);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(
            !mounts.contains(&*self.victim.to_string_lossy()),
            "{mounts}"
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Client::new(&self.inside.lxcpath, &self.inside.name).stop();
    }
}

fn world(test: &str) -> Option<World> {
    if let Some(what) = inside::missing() {
        println!("skipped: {what} is missing");
        return None;
    }
    Some(World::new(test))
}

#[test]
fn binds_and_file_systems_come_and_go() {
    let Some(world) = world("inject") else {
        return;
    };
    let maps = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536";
    for (name, config, owner) in [("plain", "", 0), ("mapped", maps, 100_000)] {
        let running = Running::start(&world, name, config, owner);
        let source = world.lxcpath.join(format!("{name}-source"));
        fs::create_dir(&source).unwrap();
        fs::write(source.join("file"), "brought in").unwrap();
        // A directory that is there, one that is not, a file that is not, a file system.
        assert!(running.mount(Some(&source), "/mnt", None, MS_BIND));
        assert_eq!(running.seen("/mnt/file"), "brought in");
        assert!(running.mount(
            Some(&source),
            "/var/new/deep",
            None,
            MS_BIND | MS_RDONLY | MS_NOSUID
        ));
        let options = running.mounts().pop().unwrap();
        assert_eq!(options.0, "/var/new/deep");
        assert!(options.1.starts_with("ro,nosuid"), "{options:?}");
        let file = source.join("file");
        assert!(running.mount(Some(&file), "/var/file", None, MS_BIND));
        assert_eq!(running.seen("/var/file"), "brought in");
        assert!(running.mount(None, "/root", Some("tmpfs"), 0));
        for target in ["/mnt", "/var/new/deep", "/var/file", "/root"] {
            assert!(running.is_mounted(target), "{target}");
            running.umount(target).unwrap();
            assert!(!running.is_mounted(target), "{target}");
            assert!(running.umount(target).is_err(), "{target}, a second time");
        }
        // What was made for them is the container's own.
        use std::os::unix::fs::MetadataExt;
        let made = fs::metadata(running.inside.rootfs.join("var/new")).unwrap();
        assert_eq!(made.uid(), owner, "{name}");
        running.assert_host_untouched();
    }
}

/// CVE-2013-6441, CVE-2015-1335: the container has put a link where something is to be mounted. Absolute links are taken
/// below its own root, magic ones not at all.
#[test]
fn links_at_the_target_do_not_lead_out_of_the_container() {
    let Some(world) = world("inject-links") else {
        return;
    };
    let running = Running::start(&world, "links", "", 0);
    let victim = running.victim.clone();
    let climb = PathBuf::from("../".repeat(20)).join(victim.strip_prefix("/").unwrap());
    let host_root = format!("/proc/{}/root", std::process::id());
    for (name, target) in [
        ("abs", victim.clone()),
        ("climb", climb),
        ("magic", format!("{host_root}{}", victim.display()).into()),
        ("fd", "/proc/self/fd/3".into()),
        ("self", "/proc/self/root".into()),
    ] {
        running.link(name, &target);
        for target in [
            format!("/{name}"),
            format!("/{name}/new"),
            format!("/{name}/file"),
        ] {
            // Mounted somewhere inside, or refused.
            let _ = running.mount(Some(Path::new("/etc")), &target, None, MS_BIND);
            let _ = running.mount(Some(Path::new("/etc/hostname")), &target, None, MS_BIND);
            let _ = running.mount(None, &target, Some("tmpfs"), 0);
            running.assert_host_untouched();
        }
    }
}

/// The read-only parts of /proc are mounts: a link must not make the host take one away.
#[test]
fn links_do_not_have_a_mask_of_proc_unmounted() {
    let Some(world) = world("inject-masks") else {
        return;
    };
    let running = Running::start(&world, "masks", "lxc.cap.drop = sys_admin", 0);
    running.link("mask", "/proc/sys");
    running.link("up", "proc/sys/net");
    running.link("tree", "/sys/devices/virtual");
    let before = running.mounts();
    for target in ["/mask", "/up", "/tree/net", "/mask/net"] {
        let why = running.umount(target).unwrap_err();
        assert!(why.contains(target), "{why}");
        assert_eq!(running.mounts(), before, "{target}");
    }
    // Who says so may.
    running.umount("/proc/sys/net").unwrap();
    assert!(!running.is_mounted("/proc/sys/net"));
}
