//! The cache of the template `download`: interrupted runs, several at once, one that cannot be
//! written to.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod common;

use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};

use common::site::{IMAGE, NEVER, meta, rootfs, set, site};
use common::{Container, Server, failure, ok, program, text};

const SLOT: &str = "download/test/1.0/amd64";

#[test]
fn what_a_killed_run_left_is_gone_on_with_or_removed() {
    let Some(set) = set() else { return };
    let site = site(&rootfs("hello"), &meta(NEVER));
    let files = site.clone();
    let (asked, waiting) = mpsc::channel();
    let (go, held) = mpsc::channel::<()>();
    let (asked, held) = (Mutex::new(asked), Mutex::new(held));
    let server = Server::new(&set.certificates, move |request| {
        let reply = files.reply(request);
        match request.path.ends_with("rootfs.tar.xz") {
            true if request.header("range").is_some() => {
                let _ = asked.lock().unwrap().send(());
                // Until whoever asked is dead.
                let _ = held.lock().unwrap().recv();
                reply
            }
            true => reply.cut(60_000),
            false => reply,
        }
    });
    let mut command = set.container.command("download");
    command
        .args(IMAGE)
        .args(["--server", &server.host()])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    waiting.recv().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    drop(go);
    // Other leftovers: of a build that is no more, of a run that was filling the slot; and what
    // belongs to another image.
    let dir = set.container.cache().join(SLOT);
    let old = dir.join(".default.rootfs.0123456789abcdef.part");
    let other = dir.join(".cloud.rootfs.0123456789abcdef.part");
    let half = dir.join(".default.new");
    std::fs::write(&old, "old").unwrap();
    std::fs::write(&other, "other").unwrap();
    std::fs::create_dir(&half).unwrap();
    std::fs::write(half.join("config"), "half").unwrap();
    let second = set.server(&site);
    ok(&set.download(&second.host(), &[]));
    let ranges: Vec<_> = second
        .requests()
        .iter()
        .filter_map(|request| request.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges.len(), 1, "{ranges:?}");
    assert_ne!(ranges[0], "bytes=0-");
    assert_eq!(set.container.read("etc/word"), "hello");
    let mut left: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let expected = [
        ".cloud.rootfs.0123456789abcdef.part",
        ".default.lock",
        "default",
    ];
    assert_eq!(left, expected);
}

#[test]
fn two_at_once_fetch_once() {
    let Some(set) = set() else { return };
    let server = set.server(&site(&rootfs("hello"), &meta(NEVER)));
    let host = server.host();
    let second = Container::trusting(&set.certificates);
    std::thread::scope(|scope| {
        for container in [&set.container, &second] {
            let host = &host;
            let cache = set.container.cache();
            scope.spawn(move || {
                let mut command = container.command("download");
                command.args(IMAGE).args(["--server", host]);
                ok(&command.env("LXC_CACHE_PATH", cache).output().unwrap());
                assert_eq!(container.read("etc/word"), "hello");
            });
        }
    });
    let paths = server.paths();
    let roots = paths.iter().filter(|path| path.ends_with("rootfs.tar.xz"));
    assert_eq!(roots.count(), 1, "{paths:?}");
}

/// Runs the template where the cache is mounted read-only.
fn read_only(set: &common::site::Set, server: &str, more: &[&str]) -> std::process::Output {
    let cache = set.container.cache();
    let script =
        "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    let template = set.container.command("download");
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(&cache)
        .arg(template.get_program())
        .args(template.get_args())
        .args(IMAGE)
        .args(["--server", server])
        .args(more)
        .env_clear();
    for (name, value) in template.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.output().unwrap()
}

#[test]
fn a_cache_that_can_only_be_read_is_used_and_not_filled() {
    let Some(set) = set() else { return };
    if program("unshare").is_none() {
        return;
    }
    let server = set.server(&site(&rootfs("hello"), &meta(NEVER)));
    std::fs::create_dir(set.container.cache()).unwrap();
    let said = failure(&read_only(&set, &server.host(), &[]));
    assert!(
        said.contains("Read-only file system") && said.contains("LXC_CACHE_PATH"),
        "{said}"
    );
    ok(&set.download(&server.host(), &[]));
    set.again();
    let used = read_only(&set, &server.host(), &[]);
    assert!(
        ok(&used).contains("Using image from local cache"),
        "{}",
        text(&used)
    );
    assert_eq!(set.container.read("etc/word"), "hello");
    set.again();
    let flush = failure(&read_only(&set, &server.host(), &["--flush-cache"]));
    assert!(flush.contains("Read-only file system"), "{flush}");
}
