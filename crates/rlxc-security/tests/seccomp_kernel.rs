//! Programs loaded into the kernel. A filter holds for one thread, so each test loads it on a thread of its own.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, accept,
    bind, listen, recvmsg, sendmsg, socket,
};
use nix::sys::utsname::uname;
use nix::unistd::{getpgid, getsid};
use rlxc_security::seccomp::notify::{Message, Proxy};
use rlxc_security::seccomp::{Arch, Policy, Program, compile};

fn program(text: &str) -> Program {
    let policy = Policy::parse(text.as_bytes(), Path::new("policy")).unwrap();
    compile(&policy, &Arch::of_machine().unwrap())
        .unwrap()
        .program
}

fn may_load() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("skipped: CAP_SYS_ADMIN is missing");
    }
    root
}

#[test]
fn listed_calls_fail_with_their_errno_and_no_new_privs_stays_off() {
    if !may_load() {
        return;
    }
    thread::spawn(|| {
        let text = "2\ndenylist\nreject_force_umount\n[all]\nuname errno 95\ngetsid errno 5 [0,7,SCMP_CMP_EQ]\n\
                    getpgid errno 6 [0,5,==]\n";
        assert!(program(text).load().unwrap().is_none());
        assert_eq!(uname().unwrap_err(), Errno::EOPNOTSUPP);
        assert_eq!(getsid(Some(nix::unistd::Pid::from_raw(7))).unwrap_err(), Errno::EIO);
        assert_ne!(getsid(None).err(), Some(Errno::EIO));
        assert_eq!(getpgid(Some(nix::unistd::Pid::from_raw(5))).unwrap_err(), Errno::ENXIO);
        assert_ne!(getpgid(Some(nix::unistd::Pid::from_raw(1))).err(), Some(Errno::ENXIO));
        assert_eq!(umount2("/nonexistent", MntFlags::MNT_FORCE).unwrap_err(), Errno::EACCES);
        assert_eq!(umount2("/nonexistent", MntFlags::empty()).unwrap_err(), Errno::ENOENT);
        assert!(!rlxc_sys::capability::no_new_privs());
    })
    .join()
    .unwrap();
}

#[test]
fn without_a_proxy_the_task_gets_enosys() {
    if !may_load() {
        return;
    }
    assert_eq!(ask(None), Err(Errno::ENOSYS));
}

#[test]
fn a_proxy_that_is_not_there_gives_enosys() {
    if !may_load() {
        return;
    }
    assert_eq!(ask(Some("/nonexistent/proxy".into())), Err(Errno::ENOSYS));
}

/// The answer that the proxy gives to the task: an errno.
fn serve(answer: impl Fn(&mut Message) + Send + 'static) -> String {
    let name = format!(
        "rlxc-security-{}-{:?}",
        std::process::id(),
        thread::current().id()
    );
    let address = UnixAddr::new_abstract(name.as_bytes()).unwrap();
    let server = socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    bind(server.as_raw_fd(), &address).unwrap();
    listen(&server, Backlog::new(1).unwrap()).unwrap();
    thread::spawn(move || {
        let connection = accept(server.as_raw_fd()).unwrap();
        let mut bytes = [0; 4096];
        let mut space = cmsg_space!([i32; 3]);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg::<UnixAddr>(
            connection,
            &mut buffers,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        )
        .unwrap();
        let descriptors: Vec<i32> = received
            .cmsgs()
            .unwrap()
            .flat_map(|message| match message {
                ControlMessageOwned::ScmRights(fds) => fds,
                _ => Vec::new(),
            })
            .collect();
        assert_eq!(descriptors.len(), 3);
        let len = received.bytes;
        let mut message = Message::decode(&bytes[..len]).unwrap();
        assert_eq!(
            (message.header.monitor_pid, message.header.init_pid),
            (11, 12)
        );
        assert_eq!(message.cookie, b"secret");
        answer(&mut message);
        let bytes = message.encode();
        sendmsg::<UnixAddr>(
            connection,
            &[IoSlice::new(&bytes)],
            &[],
            MsgFlags::empty(),
            None,
        )
        .unwrap();
    });
    format!("@{name}")
}

#[test]
fn the_proxys_answer_reaches_the_task() {
    if !may_load() {
        return;
    }
    let address =
        serve(|message| message.response[16..20].copy_from_slice(&(-42i32).to_ne_bytes()));
    assert_eq!(ask(Some(address)), Err(Errno::from_raw(42)));
}

/// As Incus and LXD answer.
#[test]
fn an_answer_without_the_cookie_reaches_the_task() {
    if !may_load() {
        return;
    }
    let address = serve(|message| {
        message.cookie.clear();
        message.response[16..20].copy_from_slice(&(-43i32).to_ne_bytes());
    });
    assert_eq!(ask(Some(address)), Err(Errno::from_raw(43)));
}

#[test]
fn an_answer_for_another_notification_is_not_believed() {
    if !may_load() {
        return;
    }
    let address = serve(|message| message.response[0] ^= 1);
    assert_eq!(ask(Some(address)), Err(Errno::ENOSYS));
}

/// Calls uname(2) under a notify filter while this thread plays the monitor.
fn ask(address: Option<String>) -> Result<(), Errno> {
    let (send, listener) = mpsc::channel();
    let task = thread::spawn(move || {
        send.send(
            program("2\ndenylist\nuname notify\n")
                .load()
                .unwrap()
                .unwrap(),
        )
        .unwrap();
        uname().map(drop)
    });
    let mut proxy = Proxy::new(listener.recv().unwrap(), address, Some("secret"), 11, 12).unwrap();
    while !task.is_finished() {
        let readable = |fd| {
            let mut polled = [PollFd::new(fd, PollFlags::POLLIN)];
            poll(&mut polled, PollTimeout::from(20u16)).unwrap() > 0
        };
        if proxy.wants_notification() {
            if readable(proxy.listener().as_fd()) {
                proxy.on_listener().unwrap();
            }
        } else if proxy.connection().is_some_and(readable) {
            proxy.on_connection().unwrap();
        }
    }
    task.join().unwrap()
}
