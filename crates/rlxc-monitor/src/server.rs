//! The monitor's end of the command socket: a state machine for an event loop, never waiting.
//!
//! [`Server`] has one descriptor to poll; when it is readable, [`Server::dispatch`] does what can
//! be done at once and asks a [`Handler`] for what only the monitor knows. A client that sends
//! slowly, reads slowly or not at all costs one connection and nothing else.

mod connection;
mod serve;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, setsockopt, socket, sockopt,
};

use crate::name::socket_name;
use crate::protocol::{CgroupCtx, CgroupFd, ConsoleLogRequest, DeviceRule};
use crate::{Error, Result, State};

use connection::{Connection, Step};

/// Connections that have not yet sent a whole request or taken their whole answer.
const MAX_PENDING: usize = 64;
/// All connections.
const MAX_CONNECTIONS: usize = 512;
const LISTENER: u64 = 0;

/// The bound, listening command socket of a container.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

impl Listener {
    /// Binds the socket and listens.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`] when somebody listens there; else [`Error::Socket`].
    pub fn bind(lxcpath: &Path, name: &str) -> Result<Self> {
        let failed = |operation| {
            move |errno| Error::Socket {
                operation,
                name: name.to_owned(),
                errno,
            }
        };
        let fd = socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )
        .map_err(failed("socket"))?;
        // Inherited by accepted connections, so that no message comes without its sender.
        setsockopt(&fd, sockopt::PassCred, &true).map_err(failed("setsockopt"))?;
        let address =
            UnixAddr::new_abstract(&socket_name(lxcpath, name)).map_err(failed("address"))?;
        match bind(fd.as_raw_fd(), &address) {
            Err(Errno::EADDRINUSE) => {
                return Err(Error::AlreadyRunning {
                    name: name.to_owned(),
                    lxcpath: lxcpath.to_owned(),
                });
            }
            other => other.map_err(failed("bind"))?,
        }
        let backlog = Backlog::new(100).map_err(failed("listen"))?;
        listen(&fd, backlog).map_err(failed("listen"))?;
        Ok(Self { fd })
    }

    /// Takes over a socket that [`Listener::bind`] made in the process that handed it to us.
    ///
    /// # Errors
    /// The errno of fcntl(2).
    pub fn inherited(fd: OwnedFd) -> std::result::Result<Self, Errno> {
        use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
        fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        setsockopt(&fd, sockopt::PassCred, &true)?;
        Ok(Self { fd })
    }

    /// The socket, to be handed to the monitor.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Names a connection whose answer comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

/// A tty given away.
#[derive(Debug)]
pub struct TtyGrant {
    /// Its number, 0 the console
    pub number: i32,
    /// The pty's own (ptx) side for the client
    pub ptx: OwnedFd,
}

/// What the monitor leaves to a client that asked for it.
#[derive(Debug)]
pub struct ToTidy {
    /// The monitor itself, as a pidfd
    pub monitor: OwnedFd,
    /// The cgroups that it is in, to be removed after its end
    pub dirs: Vec<PathBuf>,
}

impl ToTidy {
    /// Waits for the monitor's end, at most until `until`. Whether it has ended.
    #[must_use]
    pub fn wait(&self, until: Instant) -> bool {
        let readable = nix::poll::PollFlags::POLLIN;
        crate::wire::wait(self.monitor.as_fd(), readable, Some(until)).is_ok()
    }
}

/// Whether a [`Handler`] has finished or will call [`Server::answer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// Done
    Now,
    /// The answer comes by [`Server::answer`]
    Later,
}

/// What a handler's method answers; the errno goes to the client.
pub type Answer<T> = std::result::Result<T, Errno>;

/// What only the monitor can answer. Every method has a default for a container that lacks it.
#[allow(unused_variables)]
pub trait Handler {
    /// The container's name.
    fn name(&self) -> &str;
    /// The container's lxcpath as given to start.
    fn lxcpath(&self) -> &Path;
    /// Init's pid in the monitor's pid namespace.
    ///
    /// # Errors
    /// The errno for the client.
    fn init_pid(&mut self) -> Answer<i32>;
    /// CLONE_NEW* mask of the namespaces that the container does not share.
    ///
    /// # Errors
    /// The errno for the client.
    fn clone_flags(&mut self) -> Answer<u32>;
    /// Sends `lxc.signal.stop` to init and thaws the container. The connection stays open until
    /// the server is dropped, which tells the client that all is over.
    ///
    /// # Errors
    /// The errno for the client.
    fn stop(&mut self) -> Answer<()>;

    /// Gives a tty away: 0 the console, −1 the next free one. It comes back by
    /// [`Handler::tty_returned`].
    ///
    /// # Errors
    /// Anything: the client is told EBADF, as the protocol has it.
    fn tty(&mut self, wanted: i32) -> Answer<TtyGrant> {
        Err(Errno::EBADF)
    }
    /// The holder of a tty hung up.
    fn tty_returned(&mut self, number: i32) {}
    /// The console's client changed the size of its window.
    fn window_changed(&mut self) {}
    /// Path of the container's cgroup for a controller (`None`: any); `None` if there is none.
    fn cgroup(&mut self, controller: Option<&str>) -> Option<String> {
        None
    }
    /// As [`Handler::cgroup`], for the cgroup with the limits.
    fn limit_cgroup(&mut self, controller: Option<&str>) -> Option<String> {
        self.cgroup(controller)
    }
    /// The running configuration's value of a key, `None` if unknown or empty.
    fn config_item(&mut self, key: &str) -> Option<String>;
    /// Reads or clears the console's ring buffer.
    ///
    /// # Errors
    /// EFAULT without a ring buffer, ENODATA when there is nothing.
    fn console_log(&mut self, request: ConsoleLogRequest) -> Answer<Vec<u8>> {
        Err(Errno::EFAULT)
    }
    /// A client changed the container's state; the state clients have just been told.
    fn state_served(&mut self, state: State) {}
    /// Takes a seccomp notify descriptor of an attached process.
    ///
    /// # Errors
    /// The errno for the client.
    fn seccomp_listener(&mut self, listener: OwnedFd) -> Answer<()> {
        Err(Errno::ENOSYS)
    }
    /// Adds a rule to the cgroup2 device program.
    ///
    /// # Errors
    /// EINVAL without such a program.
    fn add_device_rule(&mut self, rule: DeviceRule) -> Answer<()> {
        Err(Errno::EINVAL)
    }
    /// Freezes (pure v2); `timeout` in seconds, −1 for ever. Must not wait.
    ///
    /// # Errors
    /// ENOENT in other layouts.
    fn freeze(&mut self, token: Token, timeout: i32) -> Answer<Completion> {
        Err(Errno::ENOENT)
    }
    /// Thaws (pure v2), as [`Handler::freeze`].
    ///
    /// # Errors
    /// ENOENT in other layouts.
    fn unfreeze(&mut self, token: Token, timeout: i32) -> Answer<Completion> {
        Err(Errno::ENOENT)
    }
    /// The container's cgroup2 directory, or the one with the limits (pure v2).
    ///
    /// # Errors
    /// EINVAL in other layouts, EBADF when there is none.
    fn cgroup2_fd(&mut self, limit: bool) -> Answer<OwnedFd> {
        Err(Errno::EINVAL)
    }
    /// pidfd of init.
    ///
    /// # Errors
    /// EBADF when there is none.
    fn init_pidfd(&mut self) -> Answer<OwnedFd> {
        Err(Errno::EBADF)
    }
    /// The container's devpts mount.
    ///
    /// # Errors
    /// EBADF when there is none.
    fn devpts_fd(&mut self) -> Answer<OwnedFd> {
        Err(Errno::EBADF)
    }
    /// The seccomp notify descriptor.
    ///
    /// # Errors
    /// EBADF when there is none.
    fn seccomp_notify_fd(&mut self) -> Answer<OwnedFd> {
        Err(Errno::EBADF)
    }
    /// The container's cgroup directories (at most 20; `fd_len` is filled in by the caller).
    ///
    /// # Errors
    /// ENOENT when there are none.
    fn cgroup_ctx(&mut self) -> Answer<(CgroupCtx, Vec<OwnedFd>)> {
        Err(Errno::ENOENT)
    }
    /// The cgroup directory of one controller.
    ///
    /// # Errors
    /// ENOENT when the container has none.
    fn cgroup_fd(&mut self, controller: &str, limit: bool) -> Answer<(CgroupFd, OwnedFd)> {
        Err(Errno::ENOENT)
    }
    /// What to leave to a client that offers to tidy up; `None`: nothing. See
    /// [`STOP_AND_TIDY`](crate::protocol::STOP_AND_TIDY).
    fn to_tidy(&mut self) -> Option<ToTidy> {
        None
    }
    /// Base name of the systemd scope.
    fn systemd_scope(&mut self) -> Option<String> {
        None
    }
}

/// The command socket with all its connections, and the container's state.
#[derive(Debug)]
pub struct Server {
    /// `None` once nobody can be served any more.
    listener: Option<Listener>,
    listening: bool,
    epoll: Epoll,
    connections: BTreeMap<u64, Connection>,
    next: u64,
    state: State,
    name: String,
    lxcpath: PathBuf,
}

impl Server {
    /// Serves `listener` for container `name`.
    ///
    /// # Errors
    /// [`Error::Socket`].
    pub fn new(listener: Listener, lxcpath: &Path, name: &str, state: State) -> Result<Self> {
        let failed = |errno| Error::Socket {
            operation: "epoll",
            name: name.to_owned(),
            errno,
        };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENER);
        epoll.add(&listener, event).map_err(failed)?;
        Ok(Self {
            listener: Some(listener),
            listening: true,
            epoll,
            connections: BTreeMap::new(),
            next: LISTENER + 1,
            state,
            name: name.to_owned(),
            lxcpath: lxcpath.to_owned(),
        })
    }

    /// The container's current state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether a client that was handed the monitor's cgroups is still there.
    pub fn is_tidied(&self) -> bool {
        self.connections.values().any(Connection::tidies)
    }

    /// Sets the state and tells the clients that wait for it and the daemon behind `lxc-monitor`.
    ///
    /// Announcing [`State::Thawed`] leaves [`State::Running`] as the current state.
    pub fn announce(&mut self, state: State) {
        self.notify(state);
        if let Err(error) = crate::events::send_state(&self.lxcpath, &self.name, state) {
            tracing::warn!("cannot tell lxc-monitord: {error}");
        }
    }

    /// As [`Server::announce`], without telling the daemon behind `lxc-monitor`.
    pub fn notify(&mut self, state: State) {
        self.state = match state {
            State::Thawed => State::Running,
            other => other,
        };
        let waiting = self.connections.iter().filter(|(_, c)| c.wants(state));
        let waiting: Vec<u64> = waiting.map(|(token, _)| *token).collect();
        for token in waiting {
            if let Some(connection) = self.connections.remove(&token) {
                connection.tell(&self.name, state);
            }
        }
    }

    /// Gives the container's name free: whoever hears of [`State::Stopped`] afterwards can start it
    /// again at once. Connections that are there stay.
    pub fn stop_listening(&mut self) {
        self.listening = false;
        self.listener = None;
    }

    /// Forgets, before a reboot, the state clients that did not ask to be kept over one, and the
    /// holders of ttys and of a stop.
    pub fn reboot(&mut self) {
        self.connections.retain(|_, c| c.survives_reboot());
        self.resume();
    }

    /// Handles what has happened on the socket and its connections; never waits.
    ///
    /// # Errors
    /// [`Error::Socket`] only when polling itself fails; a broken connection is dropped silently.
    pub fn dispatch(&mut self, handler: &mut dyn Handler) -> Result<()> {
        // A bound, so that a flood of connections cannot keep the monitor here.
        for _ in 0..MAX_PENDING {
            let mut events = [EpollEvent::empty(); 32];
            let count = match self.epoll.wait(&mut events, EpollTimeout::ZERO) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => {
                    return Err(Error::Socket {
                        operation: "epoll_wait",
                        name: self.name.clone(),
                        errno,
                    });
                }
            };
            let events = events.iter().take(count).map(EpollEvent::data);
            // Who has hung up goes before who comes: a tty that a client gives back is free for the
            // next, also when both are found at once.
            let mut knocked = false;
            for token in events {
                match token {
                    LISTENER => knocked = true,
                    token => self.advance(token, handler),
                }
            }
            if !knocked || !self.accept(handler) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Gives the answer that a handler's [`Completion::Later`] announced. A client that has hung
    /// up meanwhile is forgotten.
    pub fn answer(&mut self, token: Token, answer: Answer<()>, handler: &mut dyn Handler) {
        if let Some(connection) = self.connections.get_mut(&token.0) {
            connection.complete(answer);
            self.advance(token.0, handler);
        }
    }

    /// Takes the next connection; `false`: there may be more, but not now.
    fn accept(&mut self, handler: &mut dyn Handler) -> bool {
        let Some(listener) = &self.listener else {
            return false;
        };
        match rlxc_sys::socket::accept(listener.as_fd()) {
            Ok(socket) => self.admit(socket, handler),
            Err(Errno::EINTR | Errno::ECONNABORTED) => {}
            Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                if !self.evict(handler) {
                    self.pause();
                    return false;
                }
            }
            Err(_) => return false,
        }
        true
    }

    fn admit(&mut self, socket: OwnedFd, handler: &mut dyn Handler) {
        let pending = self.connections.values().filter(|c| c.pending()).count();
        if pending >= MAX_PENDING {
            self.evict(handler);
        }
        if self.connections.len() >= MAX_CONNECTIONS {
            tracing::warn!("too many connections on the command socket: one refused");
            return;
        }
        let token = self.next;
        self.next += 1;
        let connection = Connection::new(socket);
        let event = EpollEvent::new(connection.interest(), token);
        if self.epoll.add(connection.socket(), event).is_ok() {
            self.connections.insert(token, connection);
            // Mostly the request is there already.
            self.advance(token, handler);
        }
    }

    /// Drops the oldest connection that keeps us waiting. Whether there was one.
    fn evict(&mut self, handler: &mut dyn Handler) -> bool {
        let oldest = self.connections.iter().find(|(_, c)| c.pending());
        let Some(token) = oldest.map(|(token, _)| *token) else {
            return false;
        };
        tracing::warn!("a slow client of the command socket was dropped");
        self.close(token, handler);
        true
    }

    fn pause(&mut self) {
        let Some(listener) = &self.listener else {
            return;
        };
        if self.listening && self.epoll.delete(listener).is_ok() {
            self.listening = false;
        }
    }

    fn resume(&mut self) {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENER);
        let Some(listener) = &self.listener else {
            return;
        };
        if !self.listening && self.epoll.add(listener, event).is_ok() {
            self.listening = true;
        }
    }

    fn close(&mut self, token: u64, handler: &mut dyn Handler) {
        if let Some(connection) = self.connections.remove(&token) {
            if let Some(number) = connection.tty() {
                handler.tty_returned(number);
            }
            drop(connection);
            self.resume();
        }
    }

    fn advance(&mut self, token: u64, handler: &mut dyn Handler) {
        loop {
            let Some(connection) = self.connections.get_mut(&token) else {
                return;
            };
            match connection.step() {
                Step::Wait => {
                    let mut event = EpollEvent::new(connection.interest(), token);
                    if self.epoll.modify(connection.socket(), &mut event).is_err() {
                        self.close(token, handler);
                    }
                    return;
                }
                Step::Close => return self.close(token, handler),
                Step::Request(request) => {
                    let served = serve::answer(&request, self.state, Token(token), handler);
                    if let Some(state) = served.announce {
                        self.notify(state);
                        handler.state_served(state);
                    }
                    if let Some(connection) = self.connections.get_mut(&token) {
                        connection.reply(served);
                    }
                }
            }
        }
    }
}

impl AsFd for Server {
    /// Readable when [`Server::dispatch`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}
