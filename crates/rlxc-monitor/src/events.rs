//! The stream of events that `lxc-monitor` shows: the senders' FIFO and the daemon's socket.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::name::monitor_socket_name;
use crate::protocol::{Event, MESSAGE, Message};
use crate::rundir::{make_dirs, run_dir};
use crate::{Error, Result, State, wire};

/// What a client writes to make the daemon end.
pub const QUIT: &[u8; 4] = b"quit";

/// How long to wait before each further try to reach a daemon that may be starting.
const RETRIES: [Duration; 3] = [
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(100),
];

/// How long a daemon may take to say that it is ready.
const DAEMON_PATIENCE: Duration = Duration::from_secs(5);

/// The FIFO that the monitors of an lxcpath write their events to.
///
/// # Errors
/// [`Error::NoRunDir`].
pub fn fifo_path(lxcpath: &Path) -> Result<PathBuf> {
    let relative = lxcpath.strip_prefix("/").unwrap_or(lxcpath);
    Ok(run_dir()?.join("lxc").join(relative).join("monitor-fifo"))
}

/// As [`fifo_path`], with its directories made.
///
/// # Errors
/// [`Error::Path`] when a directory cannot be made or belongs to somebody else.
pub fn make_fifo_dir(lxcpath: &Path) -> Result<PathBuf> {
    Ok(make_dirs(&run_dir()?, None, lxcpath)?.join("monitor-fifo"))
}

/// Tells the daemon of an lxcpath about an event. Without a daemon nothing happens; never waits.
///
/// # Errors
/// [`Error::Path`] for anything but an absent daemon or FIFO.
pub fn send_to_monitord(lxcpath: &Path, message: &Message) -> Result<()> {
    let path = fifo_path(lxcpath)?;
    let result = OpenOptions::new()
        .write(true)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits())
        .open(&path)
        .and_then(|mut fifo| match fifo.metadata()?.file_type().is_fifo() {
            true => fifo.write_all(&message.encode()),
            false => Err(Errno::EINVAL.into()),
        });
    match result {
        Ok(()) => Ok(()),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENXIO | Errno::ENOENT) => Ok(()),
            // The daemon is stuck; one lost event is better than a stuck container.
            Some(Errno::EAGAIN) => {
                tracing::warn!(fifo = %path.display(), "event lost: lxc-monitord does not read");
                Ok(())
            }
            _ => Err(Error::Path {
                operation: "write an event to",
                path,
                source: error,
            }),
        },
    }
}

/// [`send_to_monitord`] for a state.
///
/// # Errors
/// As [`send_to_monitord`].
pub fn send_state(lxcpath: &Path, name: &str, state: State) -> Result<()> {
    let message = Message {
        name: name.to_owned(),
        event: Event::State(state),
    };
    send_to_monitord(lxcpath, &message)
}

/// [`send_to_monitord`] for init's raw wait status.
///
/// # Errors
/// As [`send_to_monitord`].
pub fn send_exit_status(lxcpath: &Path, name: &str, status: i32) -> Result<()> {
    let message = Message {
        name: name.to_owned(),
        event: Event::ExitCode(status),
    };
    send_to_monitord(lxcpath, &message)
}

/// Starts the daemon of an lxcpath and waits until it serves. One that runs already is fine.
///
/// # Errors
/// [`Error::Path`] when the program cannot be run; ETIMEDOUT when it never gets ready.
pub fn start_monitord(program: &Path, lxcpath: &Path) -> Result<()> {
    let failed = |source: io::Error| Error::Path {
        operation: "start",
        path: program.to_owned(),
        source,
    };
    // The daemon writes to the descriptor whose number it is given; it is its standard output.
    let (ready, theirs) = io::pipe().map_err(failed)?;
    let mut child = Program::new(program)
        .arg(lxcpath)
        .arg("1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(theirs)
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let until = Instant::now() + DAEMON_PATIENCE;
    wire::wait(ready.as_fd(), PollFlags::POLLIN, Some(until)).map_err(|e| failed(e.into()))?;
    let mut word = [0];
    let mut ready = ready;
    let got = ready.read(&mut word).map_err(failed)?;
    if got == 0 {
        // It left without a word: another one holds the FIFO, or it failed. The caller finds out
        // by connecting.
        let _ = child.wait();
    }
    Ok(())
}

/// A subscription to the events of one or more lxcpaths.
#[derive(Debug)]
pub struct Events {
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    lxcpath: PathBuf,
    socket: OwnedFd,
    partial: Vec<u8>,
}

impl Events {
    /// Connects to the daemons of all `lxcpaths`; one that is just starting gets 160 ms.
    ///
    /// # Errors
    /// [`Error::Socket`] with ECONNREFUSED when there is no daemon.
    pub fn connect<P: AsRef<Path>>(lxcpaths: &[P]) -> Result<Self> {
        let connect = |lxcpath: &P| {
            Ok(Source {
                lxcpath: lxcpath.as_ref().to_owned(),
                socket: connect(lxcpath.as_ref())?,
                partial: Vec::with_capacity(MESSAGE),
            })
        };
        Ok(Self {
            sources: lxcpaths.iter().map(connect).collect::<Result<_>>()?,
        })
    }

    /// The next event and the lxcpath it comes from; `None` when the time is up or all daemons
    /// have ended. Messages of an unknown kind are skipped.
    ///
    /// # Errors
    /// [`Error::Socket`].
    pub fn next_until(&mut self, until: Option<Instant>) -> Result<Option<(PathBuf, Message)>> {
        while !self.sources.is_empty() {
            let mut polls: Vec<PollFd<'_>> = self
                .sources
                .iter()
                .map(|s| PollFd::new(s.socket.as_fd(), PollFlags::POLLIN))
                .collect();
            let left = until.map(|u| u.saturating_duration_since(Instant::now()));
            let timeout = match left {
                None => PollTimeout::NONE,
                Some(left) => PollTimeout::try_from(left.as_micros().div_ceil(1000))
                    .unwrap_or(PollTimeout::MAX),
            };
            match poll(&mut polls, timeout) {
                Ok(0) if left.is_some_and(|l| l.is_zero()) => return Ok(None),
                Ok(0) | Err(Errno::EINTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(socket_error("poll", "lxc-monitord", errno)),
            }
            let ready: Vec<bool> = polls.iter().map(|p| p.any().unwrap_or(false)).collect();
            for index in (0..ready.len()).rev().filter(|i| ready[*i]) {
                match self.sources[index].advance()? {
                    Progress::Message(message) => {
                        return Ok(Some((self.sources[index].lxcpath.clone(), message)));
                    }
                    Progress::More => {}
                    Progress::Closed => drop(self.sources.remove(index)),
                }
            }
        }
        Ok(None)
    }
}

impl Iterator for Events {
    type Item = Result<(PathBuf, Message)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_until(None).transpose()
    }
}

enum Progress {
    Message(Message),
    More,
    Closed,
}

impl Source {
    fn advance(&mut self) -> Result<Progress> {
        let mut bytes = [0; MESSAGE];
        let room = MESSAGE - self.partial.len();
        match rlxc_sys::socket::receive(self.socket.as_fd(), &mut bytes[..room]) {
            Ok(received) if received.len == 0 => return Ok(Progress::Closed),
            Ok(received) => self.partial.extend_from_slice(&bytes[..received.len]),
            Err(Errno::EAGAIN) => return Ok(Progress::More),
            Err(Errno::ECONNRESET) => return Ok(Progress::Closed),
            Err(errno) => {
                let name = self.lxcpath.display().to_string();
                return Err(socket_error("recvmsg", &name, errno));
            }
        }
        if self.partial.len() < MESSAGE {
            return Ok(Progress::More);
        }
        let message = Message::decode(&self.partial);
        self.partial.clear();
        match message {
            Ok(message) => Ok(Progress::Message(message)),
            Err(error) => {
                tracing::warn!(lxcpath = %self.lxcpath.display(), "event skipped: {error}");
                Ok(Progress::More)
            }
        }
    }
}

/// Makes the daemon of an lxcpath end. Returns whether there was one.
///
/// # Errors
/// [`Error::Socket`].
pub fn quit_monitord(lxcpath: &Path) -> Result<bool> {
    let socket = match connect(lxcpath) {
        Err(error) if error.errno() == Some(Errno::ECONNREFUSED) => return Ok(false),
        other => other?,
    };
    let until = Instant::now() + DAEMON_PATIENCE;
    wire::send_all(socket.as_fd(), QUIT, &[], false, until)
        .map_err(|errno| socket_error("send", &lxcpath.display().to_string(), errno))?;
    Ok(true)
}

fn connect(lxcpath: &Path) -> Result<OwnedFd> {
    let address = monitor_socket_name(lxcpath);
    let mut retries = RETRIES.iter();
    loop {
        match wire::connect(&address, Instant::now() + DAEMON_PATIENCE) {
            Ok(socket) => return Ok(socket),
            Err(errno) => match retries.next() {
                Some(pause) if errno == Errno::ECONNREFUSED => std::thread::sleep(*pause),
                _ => {
                    let name = lxcpath.display().to_string();
                    return Err(socket_error("connect", &name, errno));
                }
            },
        }
    }
}

fn socket_error(operation: &'static str, name: &str, errno: Errno) -> Error {
    Error::Socket {
        operation,
        name: name.to_owned(),
        errno,
    }
}
