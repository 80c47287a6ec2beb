//! A monitor of our own for tests: serves a made-up container from a thread.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rlxc_monitor::protocol::{CgroupCtx, CgroupFd, CgroupLayout, ConsoleLogRequest, DeviceRule};
use rlxc_monitor::server::{Answer, Completion, Handler, Listener, Server, Token, TtyGrant};
use rlxc_monitor::{Client, State};

/// The made-up container.
pub struct Fake {
    pub name: String,
    pub lxcpath: PathBuf,
    pub log: Vec<u8>,
    pub tty_taken: bool,
    pub later: Option<Token>,
}

fn some_fd() -> OwnedFd {
    std::fs::File::open("/dev/null").unwrap().into()
}

impl Handler for Fake {
    fn name(&self) -> &str {
        &self.name
    }
    fn lxcpath(&self) -> &Path {
        &self.lxcpath
    }
    fn init_pid(&mut self) -> Answer<i32> {
        Ok(std::process::id() as i32)
    }
    fn clone_flags(&mut self) -> Answer<u32> {
        Ok(0x2c02_0000)
    }
    fn stop(&mut self) -> Answer<()> {
        Ok(())
    }
    fn tty(&mut self, wanted: i32) -> Answer<TtyGrant> {
        if self.tty_taken || wanted > 1 {
            return Err(Errno::EBUSY);
        }
        self.tty_taken = true;
        Ok(TtyGrant {
            number: wanted.max(1),
            ptx: some_fd(),
        })
    }
    fn tty_returned(&mut self, _number: i32) {
        self.tty_taken = false;
    }
    fn cgroup(&mut self, controller: Option<&str>) -> Option<String> {
        (controller != Some("none")).then(|| "/lxc.payload.x".to_owned())
    }
    fn config_item(&mut self, key: &str) -> Option<String> {
        (key == "lxc.arch").then(|| "x86_64".to_owned())
    }
    fn console_log(&mut self, request: ConsoleLogRequest) -> Answer<Vec<u8>> {
        match (request.read, self.log.is_empty()) {
            (true, true) => Err(Errno::ENODATA),
            _ => Ok(std::mem::take(&mut self.log)),
        }
    }
    fn add_device_rule(&mut self, rule: DeviceRule) -> Answer<()> {
        match rule.major {
            1 => Ok(()),
            _ => Err(Errno::EINVAL),
        }
    }
    fn freeze(&mut self, token: Token, _timeout: i32) -> Answer<Completion> {
        self.later = Some(token);
        Ok(Completion::Later)
    }
    fn init_pidfd(&mut self) -> Answer<OwnedFd> {
        Ok(some_fd())
    }
    fn cgroup_ctx(&mut self) -> Answer<(CgroupCtx, Vec<OwnedFd>)> {
        let ctx = CgroupCtx {
            layout: CgroupLayout::Hybrid,
            utilities: 3,
            fd_len: 0,
        };
        Ok((ctx, (0..10).map(|_| some_fd()).collect()))
    }
    fn cgroup_fd(&mut self, controller: &str, _limit: bool) -> Answer<(CgroupFd, OwnedFd)> {
        if controller != "freezer" {
            return Err(Errno::ENOENT);
        }
        let found = CgroupFd {
            controller: controller.to_owned(),
            ..CgroupFd::default()
        };
        Ok((found, some_fd()))
    }
}

/// What a test tells its monitor.
pub enum Order {
    Announce(State),
    Reboot,
    FinishFreeze,
    Hang(Duration),
    End,
}

/// A serving thread; ends when dropped.
pub struct Monitor {
    pub client: Client,
    orders: Sender<Order>,
    wake: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    pub fn start(test: &str) -> Self {
        let name = format!("{test}-{}", std::process::id());
        Self::start_named(Path::new("/rlxc-monitor-test"), &name)
    }

    pub fn start_named(lxcpath: &Path, name: &str) -> Self {
        let listener = Listener::bind(lxcpath, name).unwrap();
        let mut server = Server::new(listener, lxcpath, name, State::Running).unwrap();
        let mut fake = Fake {
            name: name.to_owned(),
            lxcpath: lxcpath.to_owned(),
            log: vec![b'x'; 3_000_000],
            tty_taken: false,
            later: None,
        };
        let (orders, inbox): (_, Receiver<Order>) = channel();
        let (wake_read, wake) = nix::unistd::pipe().unwrap();
        let thread = std::thread::spawn(move || {
            loop {
                let mut polls = [
                    PollFd::new(server.as_fd(), PollFlags::POLLIN),
                    PollFd::new(wake_read.as_fd(), PollFlags::POLLIN),
                ];
                poll(&mut polls, PollTimeout::NONE).unwrap();
                if polls[1].any().unwrap() {
                    nix::unistd::read(&wake_read, &mut [0]).unwrap();
                    match inbox.recv().unwrap() {
                        Order::Announce(state) => server.announce(state),
                        Order::Reboot => server.reboot(),
                        Order::FinishFreeze => {
                            let token = fake.later.take().unwrap();
                            server.answer(token, Ok(()), &mut fake);
                        }
                        Order::Hang(time) => std::thread::sleep(time),
                        Order::End => return,
                    }
                }
                server.dispatch(&mut fake).unwrap();
            }
        });
        Self {
            client: Client::new(lxcpath, name),
            orders,
            wake,
            thread: Some(thread),
        }
    }

    pub fn order(&self, order: Order) {
        self.orders.send(order).unwrap();
        assert!(self.wake.as_raw_fd() >= 0);
        nix::unistd::write(&self.wake, b"x").unwrap();
    }

    pub fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.order(Order::End);
            thread.join().unwrap();
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.end();
    }
}
