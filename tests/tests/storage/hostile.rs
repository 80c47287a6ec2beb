//! Trees that their owner made to lead us astray: nothing leaves them, nothing crashes, all of them can be removed.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rlxc_tests::{ok, said};

use crate::host::{Host, Kind};

const LEVELS: usize = 4000;

/// A directory in a directory, so deep that no path leads there, each with a brother and a file.
fn deep(top: &Path) {
    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::{Mode, mkdirat};
    let mut at = OwnedFd::from(std::fs::File::open(top).unwrap());
    for _ in 0..LEVELS {
        mkdirat(&at, "brother", Mode::S_IRWXU).unwrap();
        mkdirat(&at, "d", Mode::S_IRWXU).unwrap();
        at = openat(&at, "d", OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    }
    openat(&at, "end", OFlag::O_CREAT, Mode::S_IRWXU).unwrap();
}

/// Whether the file at the end of the deep tree is there.
fn end_is_there(top: &Path) -> bool {
    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::Mode;
    let mut at = OwnedFd::from(std::fs::File::open(top).unwrap());
    for _ in 0..LEVELS {
        match openat(&at, "d", OFlag::O_DIRECTORY, Mode::empty()) {
            Ok(next) => at = next,
            Err(_) => return false,
        }
    }
    openat(&at, "end", OFlag::O_PATH, Mode::empty()).is_ok()
}

#[test]
fn odd_trees_are_copied_compared_and_removed() {
    let Some(host) = Host::new(Kind::Dir) else {
        return;
    };
    host.create("a");
    let rootfs = host.lxcpath().join("a/rootfs");
    // A program of the host's that gives rights, under another name in the container.
    let outside = host.path("setuid");
    std::fs::write(&outside, "program").unwrap();
    std::fs::set_permissions(&outside, std::fs::Permissions::from_mode(0o4755)).unwrap();
    std::fs::hard_link(&outside, rootfs.join("link to it")).unwrap();
    symlink(host.path("").join("nowhere"), rootfs.join("dangling")).unwrap();
    symlink("loop", rootfs.join("loop")).unwrap();
    let odd: [&[u8]; 4] = [b"new\nline", b"bad\xff\xfe", b"-rf", b"\x1b[31mred"];
    for name in odd {
        std::fs::write(rootfs.join(OsStr::from_bytes(name)), "x").unwrap();
        let dir = [name, b".d"].concat();
        std::fs::create_dir(rootfs.join(OsStr::from_bytes(&dir))).unwrap();
    }
    std::fs::create_dir(rootfs.join("deep")).unwrap();
    deep(&rootfs.join("deep"));

    ok(&host.rlxc("copy", &["-n", "a", "-N", "b"]));
    let copied = host.lxcpath().join("b/rootfs");
    for name in odd {
        assert!(copied.join(OsStr::from_bytes(name)).is_file());
    }
    assert!(end_is_there(&copied.join("deep")));
    let (program, copy) = (
        std::fs::metadata(&outside).unwrap(),
        std::fs::metadata(copied.join("link to it")).unwrap(),
    );
    assert_ne!(program.ino(), copy.ino());
    assert_eq!((program.nlink(), copy.nlink()), (2, 1));
    assert_eq!(
        std::fs::read_link(copied.join("loop")).unwrap(),
        PathBuf::from("loop")
    );

    ok(&host.rlxc("snapshot", &["-n", "b"]));
    assert_eq!(ok(&host.rlxc("snapshot", &["diff", "b", "snap0"])), "");
    for name in odd {
        std::fs::write(copied.join(OsStr::from_bytes(name)), "changed").unwrap();
    }
    std::fs::rename(copied.join("deep/d/brother"), copied.join("deep/d/sister")).unwrap();
    let changes = ok(&host.rlxc("snapshot", &["diff", "b", "snap0"]));
    let expected = [
        "~ /-rf\n",
        "~ /\\u{1b}[31mred\n",
        "~ /bad\u{fffd}\u{fffd}\n",
        "- /deep/d/brother\n",
        "+ /deep/d/sister\n",
        "~ /new\\nline\n",
    ];
    for line in expected {
        assert!(changes.contains(line), "no {line:?} in {changes:?}");
    }
    assert!(!changes.contains('\x1b'), "the terminal would obey");
    ok(&host.rlxc("snapshot", &["-n", "b", "-r", "snap0"]));
    assert!(end_is_there(&copied.join("deep")));

    for name in ["a", "b"] {
        ok(&host.rlxc("destroy", &["-s", "-n", name]));
        assert!(!host.has(name));
    }
    let program = std::fs::metadata(&outside).unwrap();
    assert_eq!((program.nlink(), program.mode() & 0o7777), (1, 0o4755));
}

/// A directory and a link to the outside that change places in a container's root file system.
fn race(host: &Host, name: &str, secret: &Path) -> Child {
    let script = format!(
        "cd {}/{name}/rootfs/many; mkdir -p swap/in; echo in > swap/f; ln -s {} link
         while :; do mv swap t; mv -T link swap; mv -T swap link; mv t swap; done 2>/dev/null",
        host.lxcpath().display(),
        secret.display()
    );
    host.command("/bin/sh")
        .args(["-c", &script])
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn trees_that_change_under_a_destroy_or_a_comparison_do_not_lead_it_astray() {
    let Some(host) = Host::new(Kind::Dir) else {
        return;
    };
    let secret = host.path("secret");
    std::fs::create_dir_all(secret.join("in")).unwrap();
    std::fs::write(secret.join("outside"), "x").unwrap();
    std::fs::write(secret.join("in/outside"), "x").unwrap();
    host.create("base");
    let many = host.lxcpath().join("base/rootfs/many");
    for n in 0..40 {
        let below = many.join(n.to_string());
        std::fs::create_dir_all(&below).unwrap();
        (0..20).for_each(|f| std::fs::write(below.join(f.to_string()), "").unwrap());
    }
    ok(&host.rlxc("snapshot", &["-n", "base"]));
    let mut racing = race(&host, "base", &secret);
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        // It may fail: what was seen is gone.
        let seen = said(&host.rlxc("snapshot", &["diff", "base", "snap0"]));
        assert!(!seen.contains("outside"), "{seen}");
    }
    let _ = racing.kill();
    let _ = racing.wait();
    ok(&host.rlxc("snapshot", &["-n", "base", "-r", "snap0"]));
    for _ in 0..8 {
        ok(&host.rlxc("copy", &["-n", "base", "-N", "a"]));
        let mut racing = race(&host, "a", &secret);
        std::thread::sleep(Duration::from_millis(20));
        // What is made meanwhile may keep a directory from going; a second call takes it.
        let _ = host.rlxc("destroy", &["-n", "a"]);
        let _ = racing.kill();
        let _ = racing.wait();
        let second = host.rlxc("destroy", &["-n", "a"]);
        assert!(
            second.status.success() || said(&second).contains("not defined"),
            "{}",
            said(&second)
        );
        assert!(!host.has("a"));
        assert!(secret.join("outside").exists() && secret.join("in/outside").exists());
    }
}
