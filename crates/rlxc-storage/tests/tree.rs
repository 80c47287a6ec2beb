//! Copies and removals of real trees, compared entry by entry.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rlxc_storage::{Error, Progress, copy_tree, remove_tree};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("rlxc-storage-{name}-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove_tree(&self.0);
    }
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("skipped: needs root");
    }
    root
}

/// Everything that is to be kept, as text, by path.
fn describe(top: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut links: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut stack = vec![top.to_owned()];
    let mut seen = Vec::new();
    while let Some(dir) = stack.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                stack.push(path.clone());
            }
            seen.push(path);
        }
    }
    seen.push(top.to_owned());
    seen.sort();
    for path in seen {
        let meta = fs::symlink_metadata(&path).unwrap();
        let below = path.strip_prefix(top).unwrap().to_owned();
        let first = links.entry(meta.ino()).or_insert_with(|| below.clone());
        let content = match () {
            () if meta.is_file() => format!("{:?}", fs::read(&path).unwrap()),
            () if meta.is_symlink() => format!("{:?}", fs::read_link(&path).unwrap()),
            () => format!("dev {}", meta.rdev()),
        };
        let fd = nix::fcntl::open(
            &path,
            nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_NOFOLLOW,
            nix::sys::stat::Mode::empty(),
        )
        .unwrap();
        let names = rlxc_sys::fs::list_xattrs(&fd).unwrap_or_default();
        let attributes: BTreeMap<_, _> = names
            .into_iter()
            .map(|name| (name.clone(), rlxc_sys::fs::get_xattr(&fd, &name).ok()))
            .collect();
        let text = format!(
            "{:o} {}:{} {}.{} {first:?} {content} {attributes:?}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec()
        );
        all.insert(below, text);
    }
    all
}

fn shell(script: &str, dir: &Path) {
    let status = Command::new("/bin/sh")
        .arg("-euc")
        .arg(script)
        .current_dir(dir)
        .status();
    assert!(status.unwrap().success(), "{script}");
}

fn odd_tree(top: &Path) {
    fs::create_dir_all(top.join("d/e")).unwrap();
    fs::write(top.join("d/file"), b"text").unwrap();
    fs::write(top.join("empty"), b"").unwrap();
    fs::write(top.join("big"), vec![7u8; 300_000]).unwrap();
    fs::hard_link(top.join("big"), top.join("d/e/second")).unwrap();
    fs::write(top.join(OsStr::from_bytes(b"bad\xff\nname")), b"x").unwrap();
    symlink("/etc/passwd", top.join("d/link")).unwrap();
    let sparse = fs::File::create(top.join("sparse")).unwrap();
    sparse.set_len(50_000_000).unwrap();
    sparse.write_all_at(b"middle", 20_000_000).unwrap();
    let program = top.join("setuid");
    fs::write(&program, b"#!").unwrap();
    shell(
        "mkfifo d/fifo; mknod d/null c 1 3; mknod d/loop b 7 0; chown 1000:1001 setuid d/link -h; chmod 4755 setuid
         touch -d '2001-02-03 04:05:06.789012345' d/file d/fifo d; touch -hd '2002-02-03 04:05:06.7' d/link
         python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"d/socket\")' || true
         if command -v setfattr >/dev/null; then setfattr -n user.note -v hello d/file; fi
         if command -v setfacl >/dev/null; then setfacl -m u:1234:r d/file; fi
         if command -v setcap >/dev/null; then setcap cap_net_raw+ep empty; fi",
        top,
    );
    fs::set_permissions(top.join("d/e"), fs::Permissions::from_mode(0o500)).unwrap();
}

#[test]
fn a_copy_is_the_same_in_every_respect() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new("copy");
    let (from, to) = (scratch.0.join("from"), scratch.0.join("to"));
    fs::create_dir(&from).unwrap();
    odd_tree(&from);
    fs::create_dir(&to).unwrap();
    let progress = Progress::default();
    copy_tree(&from, &to, &progress).unwrap();
    assert_eq!(describe(&from), describe(&to));
    let blocks = fs::metadata(to.join("sparse")).unwrap().blocks();
    assert!(
        blocks * 512 < 1_000_000,
        "the hole was filled: {blocks} blocks"
    );
    let entries = progress.entries.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(usize::try_from(entries).unwrap() + 1, describe(&from).len());
}

#[test]
fn four_thousand_levels_are_copied_and_removed() {
    let scratch = Scratch::new("deep");
    let (from, to) = (scratch.0.join("from"), scratch.0.join("to"));
    fs::create_dir(&from).unwrap();
    let mut at = std::os::fd::OwnedFd::from(fs::File::open(&from).unwrap());
    for _ in 0..4000 {
        use nix::fcntl::{OFlag, openat};
        use nix::sys::stat::{Mode, mkdirat};
        mkdirat(&at, "d", Mode::S_IRWXU).unwrap();
        at = openat(&at, "d", OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        openat(&at, "f", OFlag::O_CREAT, Mode::S_IRWXU).unwrap();
    }
    fs::create_dir(&to).unwrap();
    let progress = Progress::default();
    copy_tree(&from, &to, &progress).unwrap();
    assert_eq!(
        progress.entries.load(std::sync::atomic::Ordering::Relaxed),
        8000
    );
    remove_tree(&to).unwrap();
    assert!(!to.exists());
}

#[test]
fn removal_follows_no_link_and_stops_at_a_mount() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new("remove");
    let (kept, tree) = (scratch.0.join("kept"), scratch.0.join("tree"));
    fs::create_dir_all(kept.join("sub")).unwrap();
    fs::create_dir_all(tree.join("a/mounted")).unwrap();
    symlink(&kept, tree.join("a/link")).unwrap();
    let mounted = tree.join("a/mounted");
    let bound = Command::new("mount")
        .arg("--bind")
        .args([&kept, &mounted])
        .status()
        .unwrap();
    assert!(bound.success());
    let refused = remove_tree(&tree);
    assert!(
        Command::new("umount")
            .arg(&mounted)
            .status()
            .unwrap()
            .success()
    );
    assert!(matches!(refused, Err(Error::MountBelow(_))), "{refused:?}");
    remove_tree(&tree).unwrap();
    assert!(!tree.exists() && kept.join("sub").exists());
    remove_tree(&tree).unwrap();
}
