use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use rlxc_config::Console;
use rlxc_monitor::protocol::ConsoleLogRequest;
use rlxc_monitor::server::Answer;
use rlxc_sys::tty::{self, WindowSize};

use super::raw::make_raw;
use super::{ConsoleLog, Pty, RingBuffer, TerminalError, failed};

const CONSOLE: u64 = 0;
const PEER: u64 = 1;
const TIMER: u64 = 2;

/// Above so many unread bytes the console is read no further, until the peer has taken some.
const HIGH_WATER: usize = 256 * 1024;
/// How long a peer may take nothing before its output is dropped to keep the console flowing.
const PATIENCE: Duration = Duration::from_secs(2);
/// Reads of one dispatch, so that a chatty container does not keep the monitor here.
const TURNS: usize = 16;

/// What a console is made of.
#[derive(Debug)]
pub struct ConsoleSetup<'a> {
    /// The console's ptx, from the container's devpts or the host's
    pub ptx: OwnedFd,
    /// `lxc.console.*`; the path must be `None` when the foreground's terminal is `peer`
    pub config: &'a Console,
    /// The terminal of a foreground start, if it is to show the console
    pub peer: Option<OwnedFd>,
}

/// Moves what the container's console says to its log, ring buffer and peer, and the peer's input
/// to the console; never waits for any of them.
#[derive(Debug)]
pub struct ConsolePump {
    epoll: Epoll,
    timer: TimerFd,
    ptx: OwnedFd,
    /// Kept open, so that the ptx never reports a hang-up while the container has closed its side
    _pts: Option<OwnedFd>,
    reading: bool,
    log: Option<ConsoleLog>,
    ring: Option<RingBuffer>,
    peer: Option<Peer>,
    /// Input that the console has not taken yet
    input: VecDeque<u8>,
}

#[derive(Debug)]
struct Peer {
    fd: OwnedFd,
    /// Made for a client; gone with it
    proxy: bool,
    output: VecDeque<u8>,
    /// It took nothing for too long: its output is dropped until it takes some again
    stuck: bool,
    size: Option<WindowSize>,
}

impl ConsolePump {
    /// Takes over a console: opens its log and its `lxc.console.path`.
    ///
    /// # Errors
    /// [`TerminalError`]: the log or the path cannot be opened.
    pub fn new(setup: ConsoleSetup<'_>) -> Result<Self, TerminalError> {
        let ConsoleSetup { ptx, config, peer } = setup;
        set_nonblocking(ptx.as_fd())?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed("make an epoll"))?;
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
        )
        .map_err(failed("make a timer"))?;
        let log = match &config.logfile {
            Some(path) => Some(ConsoleLog::open(
                Path::new(path),
                config.log_size,
                config.rotate,
            )?),
            None => None,
        };
        let mut pump = Self {
            _pts: tty::peer(ptx.as_fd()).ok(),
            reading: true,
            log,
            ring: (config.buffer_size > 0).then(|| RingBuffer::new(config.buffer_size)),
            peer: None,
            input: VecDeque::new(),
            epoll,
            timer,
            ptx,
        };
        pump.watch(pump.ptx.as_fd(), EpollFlags::EPOLLIN, CONSOLE)?;
        pump.watch(pump.timer.as_fd(), EpollFlags::EPOLLIN, TIMER)?;
        let peer = match (&config.path, peer) {
            (Some(path), _) if path != "none" => Some(open_peer(Path::new(path))?),
            (_, peer) => peer.map(reopen),
        };
        if let Some(fd) = peer {
            pump.set_peer(fd, false)?;
        }
        Ok(pump)
    }

    fn watch(
        &self,
        fd: BorrowedFd<'_>,
        events: EpollFlags,
        token: u64,
    ) -> Result<(), TerminalError> {
        self.epoll
            .add(fd, EpollEvent::new(events, token))
            .map_err(failed("watch a terminal"))
    }

    fn set_peer(&mut self, fd: OwnedFd, proxy: bool) -> Result<(), TerminalError> {
        set_nonblocking(fd.as_fd())?;
        match self
            .epoll
            .add(&fd, EpollEvent::new(EpollFlags::EPOLLIN, PEER))
        {
            // A regular file: always ready, never an input.
            Ok(()) | Err(Errno::EPERM) => {}
            Err(errno) => return Err(failed("watch the console's peer")(errno)),
        }
        self.peer = Some(Peer {
            fd,
            proxy,
            output: VecDeque::new(),
            stuck: false,
            size: None,
        });
        Ok(())
    }

    /// Makes a proxy terminal for a client; what it returns is the client's end.
    ///
    /// # Errors
    /// EBUSY when the console has a peer already; else why no pty could be made.
    pub fn attach_proxy(&mut self, devpts: Option<BorrowedFd<'_>>) -> Answer<OwnedFd> {
        if self.peer.is_some() {
            return Err(Errno::EBUSY);
        }
        let made = Pty::from_host().or_else(|error| match devpts {
            Some(devpts) => Pty::from_devpts(devpts),
            None => Err(error),
        });
        let proxy = made.and_then(|pty| {
            make_raw(pty.pts.as_fd())?;
            if let Ok(size) = tty::window_size(self.ptx.as_fd()) {
                let _ = tty::set_window_size(pty.pts.as_fd(), size);
            }
            self.set_peer(pty.pts, true)?;
            Ok(pty.ptx)
        });
        proxy.map_err(|error| {
            tracing::error!("no terminal for the console's client: {error}");
            Errno::ENXIO
        })
    }

    /// The proxy's client is gone.
    pub fn detach_proxy(&mut self) {
        if self.peer.as_ref().is_some_and(|peer| peer.proxy) {
            self.drop_peer();
        }
    }

    fn drop_peer(&mut self) {
        if let Some(peer) = self.peer.take() {
            let _ = self.epoll.delete(&peer.fd);
        }
        self.resume();
    }

    /// Reads or clears the ring buffer for a client.
    ///
    /// # Errors
    /// EFAULT without a ring buffer, ENODATA when a read finds it empty.
    pub fn console_log(&mut self, request: ConsoleLogRequest) -> Answer<Vec<u8>> {
        // What has been written just now belongs to it.
        self.read_console();
        let ring = self.ring.as_mut().ok_or(Errno::EFAULT)?;
        if request.read && ring.is_empty() {
            return Err(Errno::ENODATA);
        }
        let data = match request.read {
            true => ring.peek(request.read_max),
            false => Vec::new(),
        };
        match request.clear {
            true => ring.clear(),
            false if request.read || request.read_max > 0 => ring.discard(request.read_max),
            false => {}
        }
        Ok(data)
    }

    /// Does what can be done at once.
    pub fn dispatch(&mut self) {
        let mut events = [EpollEvent::empty(); 4];
        let count = self
            .epoll
            .wait(&mut events, EpollTimeout::ZERO)
            .unwrap_or(0);
        for event in events.iter().take(count) {
            let flags = event.events();
            match event.data() {
                TIMER => self.patience_is_over(),
                CONSOLE => {
                    self.flush_input();
                    if !self.read_console() && flags.contains(EpollFlags::EPOLLHUP) {
                        let _ = self.epoll.delete(&self.ptx);
                        self.reading = false;
                    }
                }
                _ => {
                    if let Some(peer) = &mut self.peer
                        && flags.contains(EpollFlags::EPOLLOUT)
                    {
                        peer.stuck = false;
                    }
                    self.flush_output();
                    self.read_peer();
                }
            }
        }
        self.set_interest();
    }

    /// Reads what is left, and writes the ring buffer to the log file. For the container's end.
    pub fn finish(&mut self) {
        for _ in 0..1024 {
            if self.peer.as_ref().is_some_and(Peer::is_full) {
                self.patience_is_over();
            }
            if !self.read_console() {
                break;
            }
        }
        if let (Some(ring), Some(log)) = (&self.ring, &mut self.log)
            && let Err(error) = log.replace(&ring.peek(0))
        {
            tracing::error!("{error}");
        }
    }

    /// Brings the proxy's window size to the console.
    pub fn propagate_window_size(&mut self) {
        let Some(peer) = self.peer.as_mut() else {
            return;
        };
        let size = tty::window_size(peer.fd.as_fd()).ok();
        if let Some(size) = size.filter(|s| Some(*s) != peer.size && s.rows > 0) {
            peer.size = Some(size);
            let _ = tty::set_window_size(self.ptx.as_fd(), size);
        }
    }

    /// Reads some of what the console says. Whether there was something.
    fn read_console(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let mut any = false;
        for _ in 0..TURNS {
            if self.peer.as_ref().is_some_and(Peer::is_full) {
                self.flush_output();
            }
            if self.peer.as_ref().is_some_and(Peer::is_full) {
                break;
            }
            match nix::unistd::read(&self.ptx, &mut buffer) {
                Ok(count @ 1..) => {
                    any = true;
                    self.distribute(&buffer[..count]);
                }
                Err(Errno::EINTR) => {}
                _ => break,
            }
        }
        self.flush_output();
        any
    }

    fn distribute(&mut self, data: &[u8]) {
        if let Some(ring) = &mut self.ring {
            ring.push(data);
        }
        // With a ring buffer the file is written at the end, and shows what the ring holds then.
        if let Some(log) = &mut self.log
            && let Err(error) = log.write(data)
        {
            tracing::error!("console log given up: {error}");
            self.log = None;
        }
        if let Some(peer) = self.peer.as_mut().filter(|peer| !peer.stuck) {
            peer.output.extend(data);
        }
    }

    fn flush_output(&mut self) {
        let Some(peer) = &mut self.peer else { return };
        match write_some(&peer.fd, &mut peer.output) {
            Ok(0) => {}
            Ok(_) => disarm(&self.timer),
            // The other end is gone, or not there yet (a pts whose ptx was closed gives EIO).
            Err(_) => self.drop_peer(),
        }
    }

    fn read_peer(&mut self) {
        self.propagate_window_size();
        if self.input.len() >= HIGH_WATER {
            return;
        }
        let Some(peer) = &self.peer else { return };
        let mut buffer = [0; 4096];
        match nix::unistd::read(&peer.fd, &mut buffer) {
            Ok(count @ 1..) => {
                self.input.extend(&buffer[..count]);
                self.flush_input();
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            _ => self.drop_peer(),
        }
    }

    fn flush_input(&mut self) {
        if write_some(&self.ptx, &mut self.input).is_err() {
            self.input.clear();
        }
    }

    fn patience_is_over(&mut self) {
        disarm(&self.timer);
        self.flush_output();
        if let Some(peer) = self.peer.as_mut().filter(|peer| peer.is_full()) {
            tracing::warn!("the console's client takes nothing: its output is dropped");
            peer.output.clear();
            peer.stuck = true;
        }
    }

    fn resume(&mut self) {
        if !self.reading {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, CONSOLE);
            self.reading = self.epoll.add(&self.ptx, event).is_ok();
        }
    }

    /// Asks to be told of what there is to do, and of nothing else.
    fn set_interest(&mut self) {
        let full = self.peer.as_ref().is_some_and(Peer::is_full);
        if let Some(peer) = &self.peer {
            let mut flags = EpollFlags::empty();
            flags.set(EpollFlags::EPOLLIN, self.input.len() < HIGH_WATER);
            flags.set(EpollFlags::EPOLLOUT, peer.stuck || !peer.output.is_empty());
            let mut event = EpollEvent::new(flags, PEER);
            let _ = self.epoll.modify(&peer.fd, &mut event);
        }
        if self.reading {
            let mut flags = EpollFlags::empty();
            flags.set(EpollFlags::EPOLLIN, !full);
            flags.set(EpollFlags::EPOLLOUT, !self.input.is_empty());
            let mut event = EpollEvent::new(flags, CONSOLE);
            let _ = self.epoll.modify(&self.ptx, &mut event);
        }
        if full && matches!(self.timer.get(), Ok(None)) {
            let patience = Expiration::OneShot(TimeSpec::from_duration(PATIENCE));
            let _ = self.timer.set(patience, TimerSetTimeFlags::empty());
        }
    }
}

impl AsFd for ConsolePump {
    /// Readable when [`ConsolePump::dispatch`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl Peer {
    fn is_full(&self) -> bool {
        self.output.len() >= HIGH_WATER
    }
}

/// Writes as much of the queue as goes; how much went.
fn write_some(fd: &OwnedFd, queue: &mut VecDeque<u8>) -> Result<usize, Errno> {
    let mut total = 0;
    while !queue.is_empty() {
        let (front, _) = queue.as_slices();
        match nix::unistd::write(fd, front) {
            Ok(count) => {
                queue.drain(..count);
                total += count;
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(total)
}

fn disarm(timer: &TimerFd) {
    let _ = timer.unset();
}

pub(super) fn set_nonblocking(fd: BorrowedFd<'_>) -> Result<(), TerminalError> {
    let flags = fcntl(fd, FcntlArg::F_GETFL).map_err(failed("read a terminal's flags"))?;
    let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
    fcntl(fd, FcntlArg::F_SETFL(flags)).map_err(failed("set a terminal's flags"))?;
    Ok(())
}

/// A description of our own of a terminal that we share with a shell, which must stay blocking there.
fn reopen(tty: OwnedFd) -> OwnedFd {
    let own = format!("/proc/self/fd/{}", tty.as_raw_fd());
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    match tty::is_terminal(tty.as_fd()) {
        true => nix::fcntl::open(own.as_str(), flags, Mode::empty()).unwrap_or(tty),
        false => tty,
    }
}

/// Opens `lxc.console.path`: a terminal, or a file that is appended to.
fn open_peer(path: &Path) -> Result<OwnedFd, TerminalError> {
    let flags = OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(|source| TerminalError::Path {
            operation: "open the console's path",
            path: path.to_owned(),
            source,
        })?;
    Ok(file.into())
}
