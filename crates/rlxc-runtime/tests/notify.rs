//! Notifications of the seccomp policy, from the container through the monitor to a proxy and back.
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

mod common;

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::Container;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, accept,
    bind, listen, recvmsg, sendmsg, socket,
};
use rlxc_runtime::attach::{AttachOptions, AttachTask, arguments, attach_wait};
use rlxc_security::seccomp::notify::Message;

/// Answers each notification with errno 95, without the cookie, as Incus and LXD do.
fn serve(path: &Path) -> Arc<Mutex<Vec<Message>>> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let server = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
    bind(server.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    listen(&server, Backlog::new(4).unwrap()).unwrap();
    let all = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&all);
    thread::spawn(move || {
        loop {
            let connection = adopt(accept(server.as_raw_fd()).unwrap());
            let seen = Arc::clone(&seen);
            thread::spawn(move || answer(&connection, &seen));
        }
    });
    all
}

fn answer(connection: &OwnedFd, seen: &Mutex<Vec<Message>>) {
    while let Some(mut message) = receive(connection) {
        seen.lock().unwrap().push(message.clone());
        message.cookie.clear();
        message.response[16..20].copy_from_slice(&(-95i32).to_ne_bytes());
        let bytes = message.encode();
        let (sent, flags) = ([IoSlice::new(&bytes)], MsgFlags::empty());
        sendmsg::<UnixAddr>(connection.as_raw_fd(), &sent, &[], flags, None).unwrap();
    }
}

fn adopt(fd: i32) -> OwnedFd {
    rlxc_sys::process::adopt_fd(fd).unwrap()
}

fn receive(connection: &OwnedFd) -> Option<Message> {
    let mut bytes = [0; 4096];
    let mut space = nix::cmsg_space!([i32; 3]);
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let fd = connection.as_raw_fd();
    let received = recvmsg::<UnixAddr>(fd, &mut buffers, Some(&mut space), flags).unwrap();
    let descriptors: Vec<i32> = received
        .cmsgs()
        .unwrap()
        .flat_map(|message| match message {
            ControlMessageOwned::ScmRights(fds) => fds,
            _ => Vec::new(),
        })
        .collect();
    let len = received.bytes;
    if len == 0 {
        return None;
    }
    assert_eq!(descriptors.len(), 3);
    drop(descriptors.into_iter().map(adopt).collect::<Vec<_>>());
    Some(Message::decode(&bytes[..len]).unwrap())
}

const POLICY: &str = "2\ndenylist\n[all]\nmknod notify\nmknodat notify\n";

#[test]
fn the_proxy_answers_for_init_and_for_attached_processes() {
    need_root!();
    let mut container = Container::new("proxy");
    let (policy, path) = (
        container.lxcpath.join("policy"),
        container.lxcpath.join("proxy"),
    );
    std::fs::write(&policy, POLICY).unwrap();
    let seen = serve(&path);
    container.config.seccomp.profile = Some(policy);
    container.config.seccomp.notify_proxy = Some(path.to_string_lossy().into_owned());
    container.config.seccomp.notify_cookie = Some("the cookie".into());
    let script = "/bin/busybox mknod /made p 2>/said; sleep 1000";
    container.command(&["/bin/sh", "-c", script]);
    let started = container.start().unwrap();
    let said = container.rootfs().join("said");
    let begin = Instant::now();
    while std::fs::read_to_string(&said)
        .unwrap_or_default()
        .is_empty()
    {
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "{}",
            container.log()
        );
        thread::sleep(Duration::from_millis(10));
    }
    let said = std::fs::read_to_string(&said).unwrap();
    assert!(said.contains("Operation not supported"), "{said}");
    let task = AttachTask::Exec(arguments(&["/bin/busybox", "mknod", "/made", "p"]).unwrap());
    let options = AttachOptions::default();
    let (lxcpath, name) = (&container.lxcpath, &container.name);
    let status = attach_wait(lxcpath, name, &container.config, &options, task).unwrap();
    assert_eq!(status, 1 << 8);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    for message in seen.iter() {
        assert_eq!(message.cookie, b"the cookie");
        assert_eq!(message.header.monitor_pid, started.monitor);
        assert_eq!(message.header.init_pid, started.init);
    }
}

#[test]
fn a_proxy_that_is_not_there_ends_the_start() {
    need_root!();
    let mut container = Container::new("no-proxy");
    let policy = container.lxcpath.join("policy");
    std::fs::write(&policy, POLICY).unwrap();
    container.config.seccomp.profile = Some(policy);
    container.config.seccomp.notify_proxy = Some("/nonexistent/proxy".into());
    let error = container.start().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("/nonexistent/proxy"), "{text}");
    assert!(error.remedy.is_some());
    container.assert_clean();
}
