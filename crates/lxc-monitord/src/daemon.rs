use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, getsockopt, listen, socket, sockopt,
};
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo, setsid};
use rlxc_monitor::events::{QUIT, make_fifo_dir};
use rlxc_monitor::name::monitor_socket_name;
use rlxc_monitor::protocol::MESSAGE;
use rlxc_monitor::{Error, Result};
use rlxc_sys::socket::{accept, receive, send};

/// How long it stays without a client.
const LONELY: Duration = Duration::from_secs(30);
/// More clients than that are refused.
const MAX_CLIENTS: usize = 256;

const FIFO: u64 = 0;
const LISTENER: u64 = 1;
const SIGNALS: u64 = 2;
const FIRST_CLIENT: u64 = 3;

/// When it ends by itself.
#[derive(Debug)]
pub(crate) enum Life {
    /// Never
    Forever,
    /// Half a minute after the last client; says on `ready` when it serves
    WithClients {
        /// Who waits for it
        ready: OwnedFd,
    },
}

/// The daemon of one lxcpath.
#[derive(Debug)]
pub(crate) struct Daemon {
    path: PathBuf,
    fifo: File,
    /// Of the FIFO's bytes, what is not yet a whole message
    partial: Vec<u8>,
    listener: OwnedFd,
    signals: SignalFd,
    epoll: Epoll,
    clients: BTreeMap<u64, OwnedFd>,
    next: u64,
    /// Ends when alone until then
    lonely: Option<Instant>,
    forever: bool,
}

impl Daemon {
    /// Takes the FIFO and the socket of an lxcpath; `None` when another daemon has them.
    pub(crate) fn begin(lxcpath: &Path, life: Life) -> Result<Option<Self>> {
        let path = make_fifo_dir(lxcpath)?;
        let Some(fifo) = take_fifo(&path)? else {
            return Ok(None);
        };
        let name = lxcpath.display().to_string();
        let failed = |operation| {
            let name = name.clone();
            move |errno| Error::Socket {
                operation,
                name,
                errno,
            }
        };
        let listener = bind_socket(lxcpath).map_err(failed("bind"))?;
        SigSet::all()
            .thread_block()
            .map_err(failed("sigprocmask"))?;
        let term = SigSet::from(Signal::SIGTERM);
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&term, flags).map_err(failed("signalfd"))?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed("epoll_create"))?;
        let watched = [
            (fifo.as_fd(), FIFO),
            (listener.as_fd(), LISTENER),
            (signals.as_fd(), SIGNALS),
        ];
        for (fd, token) in watched {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, token);
            epoll.add(fd, event).map_err(failed("epoll_ctl"))?;
        }
        let forever = matches!(life, Life::Forever);
        // Not to end with the terminal of whoever started us.
        let _ = setsid();
        if let Life::WithClients { ready } = life {
            let _ = nix::unistd::write(&ready, b"S");
        }
        Ok(Some(Self {
            path,
            fifo,
            partial: Vec::new(),
            listener,
            signals,
            epoll,
            clients: BTreeMap::new(),
            next: FIRST_CLIENT,
            lonely: Some(Instant::now() + LONELY),
            forever,
        }))
    }

    /// Serves until told to end, or until nobody has listened for long.
    pub(crate) fn run(mut self) -> Result<()> {
        let result = self.serve();
        // While we still hold its lock, so that no other daemon can be using it.
        let _ = fs::remove_file(&self.path);
        result
    }

    fn serve(&mut self) -> Result<()> {
        loop {
            let mut events = [EpollEvent::empty(); 16];
            let count = match self.epoll.wait(&mut events, self.timeout()) {
                Ok(0) if self.is_lonely() => return Ok(()),
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(errno) => {
                    return Err(Error::Socket {
                        operation: "epoll_wait",
                        name: self.path.display().to_string(),
                        errno,
                    });
                }
            };
            for event in events.iter().take(count) {
                match event.data() {
                    FIFO => self.read_fifo(),
                    LISTENER => self.admit(),
                    SIGNALS => {
                        if matches!(self.signals.read_signal(), Ok(Some(_))) {
                            return Ok(());
                        }
                    }
                    token => {
                        if self.hear(token) {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    fn timeout(&self) -> EpollTimeout {
        let left = self
            .lonely
            .filter(|_| !self.forever)
            .map(|until| until.saturating_duration_since(Instant::now()));
        left.map_or(EpollTimeout::NONE, |left| {
            EpollTimeout::try_from(left.as_millis() + 1).unwrap_or(EpollTimeout::MAX)
        })
    }

    fn is_lonely(&self) -> bool {
        !self.forever && self.lonely.is_some_and(|until| Instant::now() >= until)
    }

    /// Passes on every whole message that is there.
    fn read_fifo(&mut self) {
        let mut bytes = [0; MESSAGE * 16];
        let Ok(count) = self.fifo.read(&mut bytes) else {
            return;
        };
        self.partial.extend_from_slice(&bytes[..count]);
        let whole = self.partial.len() / MESSAGE * MESSAGE;
        let messages: Vec<u8> = self.partial.drain(..whole).collect();
        for message in messages.chunks_exact(MESSAGE) {
            let broken = self.clients.iter().filter(|(_, client)| {
                // A client that does not read is not waited for, and must not see half a message.
                send(client.as_fd(), message, &[], false) != Ok(MESSAGE)
            });
            for token in broken.map(|(token, _)| *token).collect::<Vec<_>>() {
                self.dismiss(token);
            }
        }
    }

    fn admit(&mut self) {
        let Ok(client) = accept(self.listener.as_fd()) else {
            return;
        };
        let allowed = getsockopt(&client, sockopt::PeerCredentials)
            .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == geteuid().as_raw());
        if !allowed || self.clients.len() >= MAX_CLIENTS {
            return;
        }
        let event = EpollEvent::new(EpollFlags::EPOLLIN, self.next);
        if self.epoll.add(&client, event).is_ok() {
            self.clients.insert(self.next, client);
            self.next += 1;
            self.lonely = None;
        }
    }

    fn dismiss(&mut self, token: u64) {
        self.clients.remove(&token);
        if self.clients.is_empty() {
            self.lonely = Some(Instant::now() + LONELY);
        }
    }

    /// Reads from a client; true when it wants us to end.
    fn hear(&mut self, token: u64) -> bool {
        let Some(client) = self.clients.get(&token) else {
            return false;
        };
        let mut word = [0; QUIT.len()];
        match receive(client.as_fd(), &mut word) {
            Ok(received) if received.len == 0 => self.dismiss(token),
            Ok(_) => return word == *QUIT,
            Err(Errno::EAGAIN) => {}
            Err(_) => self.dismiss(token),
        }
        false
    }
}

/// Opens and locks the FIFO; `None` when another daemon holds the lock.
fn take_fifo(path: &Path) -> Result<Option<File>> {
    let failed = |operation| {
        move |source| Error::Path {
            operation,
            path: path.to_owned(),
            source,
        }
    };
    loop {
        match mkfifo(path, Mode::from_bits_truncate(0o600)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(failed("make the FIFO")(errno.into())),
        }
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags.bits())
            .open(path);
        let fifo = match opened {
            // A daemon that was ending has just removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(failed("open the FIFO"))?,
        };
        let meta = fifo.metadata().map_err(failed("look at the FIFO"))?;
        if !meta.file_type().is_fifo() {
            return Err(failed("use as a FIFO")(Errno::EINVAL.into()));
        }
        match fcntl(&fifo, FcntlArg::F_SETLK(&whole_file())) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(None),
            Err(errno) => return Err(failed("lock the FIFO")(errno.into())),
        }
        if fs::symlink_metadata(path).is_ok_and(|now| now.ino() == meta.ino()) {
            return Ok(Some(fifo));
        }
    }
}

/// A write lock as LXC's daemon takes it, so that both exclude each other.
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn bind_socket(lxcpath: &Path) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let address = UnixAddr::new_abstract(&monitor_socket_name(lxcpath))?;
    bind(listener.as_raw_fd(), &address)?;
    listen(&listener, Backlog::new(100)?)?;
    Ok(listener)
}
