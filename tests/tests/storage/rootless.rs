//! Ordinary users with subordinate ids: every operation, and copies between users and between id maps.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rlxc_tests::{Actor, Place, ok, run, said, skipped};

/// The first id of the test user's containers.
const FIRST: u32 = 1_200_000;

/// Her place, and what is mounted there; in that order they go.
struct User(Place, Option<Mounted>);

/// A btrfs on a loop device.
struct Mounted {
    at: PathBuf,
    image: PathBuf,
}

impl Mounted {
    fn new(at: &Path, options: &str) -> Option<Self> {
        let tools = ["/sbin/mkfs.btrfs", "/usr/sbin/mkfs.btrfs"];
        if !rlxc_tests::is_root() || !tools.iter().any(|tool| Path::new(tool).exists()) {
            skipped("root and mkfs.btrfs (package btrfs-progs)");
            return None;
        }
        let mounted = Self {
            at: at.to_owned(),
            image: at.with_extension("btrfs"),
        };
        let script = format!(
            "O=$(stat -c %u:%g {0}); truncate -s 512M {1}; mkfs.btrfs -q {1}; mount -o loop{options} {1} {0}; chown $O {0}",
            at.display(),
            mounted.image.display()
        );
        let output = run(std::process::Command::new("/bin/sh").args(["-euc", &script]));
        if !output.status.success() {
            skipped(&format!("btrfs on a loop device: {}", said(&output)));
            return None;
        }
        Some(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let script = format!(
            "umount {0} || umount -l {0}; rm -f {1}; rmdir {0}",
            self.at.display(),
            self.image.display()
        );
        let _ = run(std::process::Command::new("/bin/sh").args(["-c", &script]));
    }
}

impl User {
    fn new() -> Option<Self> {
        Self::at(Place::new(Actor::UserWithIds)?, None)
    }

    /// Her place is on a btrfs that is mounted with these options.
    fn on_btrfs(options: &str) -> Option<Self> {
        let place = Place::new(Actor::UserWithIds)?;
        let mounted = Mounted::new(place.path(), options)?;
        Self::at(place, Some(mounted))
    }

    fn at(place: Place, mounted: Option<Mounted>) -> Option<Self> {
        let template = place.path().join("template");
        std::fs::write(&template, crate::host::TEMPLATE).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&template, mode).unwrap();
        let config = format!("{}lxc.net.0.type = empty\n", place.id_maps());
        std::fs::write(place.path().join("user.conf"), config).unwrap();
        Some(Self(place, mounted))
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn create(&self, name: &str, backend: &str) {
        let text = |below: &str| self.path(below).display().to_string();
        let (file, template) = (text("user.conf"), text("template"));
        let args = ["-n", name, "-f", &file, "-t", &template, "-B", backend];
        ok(&self.0.rlxc("create", &args));
    }

    #[track_caller]
    fn inside(&self, name: &str, script: &str) -> String {
        let args = ["-n", name, "--", "/bin/busybox", "sh", "-c", script];
        ok(&self.0.rlxc("execute", &args))
    }

    fn rlxc(&self, verb: &str, args: &[&str]) -> String {
        ok(&self.0.rlxc(verb, args))
    }

    fn containers(&self) -> Vec<String> {
        let text = ok(&self.0.rlxc("ls", &["-1"]));
        text.split_whitespace().map(str::to_owned).collect()
    }
}

/// create, start, copy, snapshot copy, snapshot, diff, restore, rename, destroy.
fn every_operation(backend: &str, user: &User) {
    user.create("a", backend);
    let file = match backend {
        "overlay" => "a/overlay/delta/file",
        _ => "a/rootfs/file",
    };
    let owner = std::fs::metadata(user.path(file)).unwrap().uid();
    assert_eq!(Some(owner), user.0.first_id());
    assert_eq!(user.inside("a", "cat /file /etc/hostname"), "one\na\n");
    user.inside(
        "a",
        "echo 1 > /state; mkdir /d; echo x > /d/f; chown 33:33 /d/f",
    );

    user.rlxc("copy", &["-n", "a", "-N", "full"]);
    let seen = user.inside("full", "cat /etc/hostname /state; stat -c %u:%g /d/f");
    assert_eq!(seen, "full1\n33:33\n");
    user.rlxc("copy", &["-n", "a", "-N", "thin", "-s"]);
    user.inside("thin", "rm -r /d; mkdir /d; echo thin > /file");
    assert_eq!(user.inside("thin", "ls /d; cat /file"), "thin\n");
    assert_eq!(user.inside("a", "ls /d; cat /file"), "f\none\n");
    if backend != "btrfs" {
        let refused = user.0.rlxc("destroy", &["-n", "a"]);
        assert!(said(&refused).contains("thin"), "{}", said(&refused));
    }

    user.rlxc("snapshot", &["-n", "thin"]);
    user.inside("thin", "echo > /came; rm /bin/stat; echo more >> /file");
    let changes = user.rlxc("snapshot", &["diff", "thin", "snap0"]);
    assert_eq!(
        changes.replace("~ /bin\n", ""),
        "- /bin/stat\n+ /came\n~ /file\n"
    );
    user.rlxc("snapshot", &["-n", "thin", "-r", "snap0"]);
    assert_eq!(
        user.inside("thin", "cat /file; ls /d; [ -e /came ] || echo gone"),
        "thin\ngone\n"
    );
    user.rlxc("snapshot", &["-n", "thin", "-r", "snap0", "-N", "again"]);
    assert_eq!(
        user.inside("again", "cat /etc/hostname /file"),
        "againthin\n"
    );
    user.rlxc("destroy", &["-n", "again"]);
    user.rlxc("destroy", &["-s", "-n", "thin"]);

    user.rlxc("snapshot", &["-n", "a"]);
    user.inside("a", "echo 2 > /state; rm -r /d");
    let changes = user.rlxc("snapshot", &["diff", "a", "snap0"]);
    assert_eq!(changes, "- /d\n~ /state\n");
    user.rlxc("snapshot", &["-n", "a", "-r", "snap0"]);
    assert_eq!(user.inside("a", "cat /state /d/f"), "1\nx\n");

    user.rlxc("copy", &["-n", "full", "-R", "-N", "other"]);
    assert_eq!(user.inside("other", "cat /etc/hostname"), "other");
    user.rlxc("destroy", &["-n", "other"]);
    user.rlxc("destroy", &["-s", "-n", "a"]);
    assert_eq!(user.containers(), Vec::<String>::new());
    let left = std::fs::read_dir(user.0.path()).unwrap();
    assert_eq!(left.count(), 2, "the two files of the test");
}

#[test]
fn a_user_does_all_with_directories() {
    let Some(user) = User::new() else { return };
    every_operation("dir", &user);
}

#[test]
fn a_user_does_all_with_overlays() {
    let Some(user) = User::new() else { return };
    every_operation("overlay", &user);
}

/// With the mount option that lets users delete subvolumes, and without it, when they are emptied.
#[test]
fn a_user_does_all_with_subvolumes() {
    for options in [",user_subvol_rm_allowed", ""] {
        let Some(user) = User::on_btrfs(options) else {
            return;
        };
        assert!(user.1.is_some());
        every_operation("btrfs", &user);
        let path = user.0.path().display().to_string();
        let list = run(std::process::Command::new("btrfs").args(["subvolume", "list", &path]));
        assert_eq!(ok(&list), "", "{options}");
    }
}

#[test]
fn a_users_container_becomes_roots_with_other_ids_and_goes_back() {
    let Some(user) = User::new() else { return };
    let Some(root) = Place::new(Actor::Root) else {
        return;
    };
    user.create("a", "dir");
    user.inside(
        "a",
        "echo x > /f; chown 33:44 /f; chmod 4751 /f; ln /f /g; ln -s f /l; mkfifo /p",
    );
    let host = |place: &Place, args: &[&str]| {
        let mut command = std::process::Command::new(rlxc_tests::bin_dir().join("rlxc"));
        command.arg("copy").arg("-P").arg(place.path()).args(args);
        run(&mut command)
    };
    let rootfs = user.path("a/rootfs");
    let has = |program: &str| PathBuf::from(program).exists();
    let marked = has("/sbin/setcap") && has("/usr/bin/setfacl");
    if marked {
        // Capabilities that count for the root of the container, and an ACL for one of its users.
        let script = format!(
            "cp {0}/f {0}/c; setcap -n {FIRST} cap_net_raw+ep {0}/c; setfacl -m u:{1}:r {0}/f",
            rootfs.display(),
            FIRST + 55
        );
        ok(&run(
            std::process::Command::new("/bin/sh").args(["-ec", &script])
        ));
    } else {
        skipped(
            "setcap and setfacl (packages libcap2-bin, acl): capabilities and ACLs are not looked at",
        );
    }
    let to = root.path().display().to_string();
    let state = |place: &Place, name: &str| {
        let file = |below: &str| place.path().join(name).join("rootfs").join(below);
        let f = std::fs::metadata(file("f")).unwrap();
        assert_eq!(f.nlink(), 2);
        (f.uid(), f.gid(), f.mode() & 0o7777)
    };
    let tool = |program: &str, args: &[&str], file: PathBuf| {
        let text = ok(&run(std::process::Command::new(program)
            .args(args)
            .arg(&file)));
        text.replace(&file.display().to_string(), "FILE")
    };
    for (name, maps, first) in [("plain", "none", 0), ("moved", "b:0:700000:65536", 700_000)] {
        ok(&host(
            &user.0,
            &["-n", "a", "-N", name, "-p", &to, "--idmap", maps],
        ));
        assert_eq!(
            state(&root, name),
            (first + 33, first + 44, 0o4751),
            "{name}"
        );
        let config = std::fs::read_to_string(root.path().join(name).join("config")).unwrap();
        assert_eq!(
            config.matches("lxc.idmap").count(),
            if first == 0 { 0 } else { 2 }
        );
        let fifo = std::fs::symlink_metadata(root.path().join(name).join("rootfs/p")).unwrap();
        assert_eq!(fifo.uid(), first);
        if marked {
            let below = |file: &str| root.path().join(name).join("rootfs").join(file);
            let capability = tool("/sbin/getcap", &["-n"], below("c"));
            let expected = match first {
                0 => "FILE cap_net_raw=ep\n".to_owned(),
                first => format!("FILE cap_net_raw=ep [rootid={first}]\n"),
            };
            assert_eq!(capability, expected);
            let acl = tool("/usr/bin/getfacl", &["-nc"], below("f"));
            assert!(acl.contains(&format!("user:{}:r--", first + 55)), "{acl}");
        }
        let args = [
            "-n",
            name,
            "--",
            "/bin/busybox",
            "stat",
            "-c",
            "%u:%g",
            "/f",
        ];
        assert_eq!(ok(&root.rlxc("execute", &args)), "33:44\n");
    }
    // And back to the user, who goes on with it as with her own.
    let back = ["-n", "moved", "-N", "b", "--owner", "rlxc-ids", "-p"];
    let path = user.0.path().display().to_string();
    ok(&host(&root, &[&back[..], &[&path]].concat()));
    assert_eq!(state(&user.0, "b"), (FIRST + 33, FIRST + 44, 0o4751));
    assert_eq!(user.inside("b", "cat /f; stat -c %u:%g /g"), "x\n33:44\n");
    user.rlxc("snapshot", &["-n", "b"]);
    user.rlxc("destroy", &["-s", "-n", "b"]);
    // What cannot be is refused, and says why.
    let refused = host(
        &root,
        &["-n", "plain", "-N", "t", "-s", "--idmap", "b:0:9:65536"],
    );
    assert!(said(&refused).contains("full copy"), "{}", said(&refused));
    let refused = user
        .0
        .rlxc("copy", &["-n", "a", "-N", "t", "--idmap", "none"]);
    assert!(said(&refused).contains("only root"), "{}", said(&refused));
}
