use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{LocalFlags, SpecialCharacterIndices, tcgetattr};
use rlxc_sys::tty::{self, WindowSize};

use super::{RawMode, TerminalError, failed};

/// Most input that waits for a terminal that does not take it.
const MAX_INPUT: usize = 64 * 1024;
/// The key that leaves, after the escape key.
const LEAVE: u8 = b'q';

/// A terminal to show.
pub struct Relay<'a> {
    /// The terminal's ptx
    pub ptx: BorrowedFd<'a>,
    /// Where its input comes from, if anywhere; put in raw mode when it is a terminal
    pub stdin: Option<BorrowedFd<'a>>,
    /// Where its output goes
    pub stdout: BorrowedFd<'a>,
    /// The key (1 is Ctrl-a) that leaves when followed by `q`, and is sent when doubled
    pub escape: Option<u8>,
    /// Readable when the other side has ended: a pidfd, or the connection that holds the tty
    pub ended: Option<BorrowedFd<'a>>,
    /// Called when the window's size has been given to the ptx
    pub resized: Option<&'a dyn Fn()>,
}

impl std::fmt::Debug for Relay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay")
            .field("ptx", &self.ptx)
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("escape", &self.escape)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Why a [`relay()`] is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The user typed the escape sequence
    Escaped,
    /// The other side ended; all its output has been shown
    Ended,
    /// A signal that would have killed us came; the terminal has been restored
    Signalled(Signal),
}

/// Shows a terminal on another one until something ends it; window sizes follow.
///
/// The calling thread takes SIGTERM, SIGHUP, SIGINT and SIGQUIT meanwhile, to leave in order.
///
/// # Errors
/// [`TerminalError::Call`]: reading or writing fails, e.g. EPIPE when nobody reads the output.
pub fn relay(relay: &Relay<'_>) -> Result<End, TerminalError> {
    let signals = Signals::take()?;
    let raw = match relay.stdin {
        Some(stdin) if tty::is_terminal(stdin) => Some(RawMode::enter(stdin)?),
        _ => None,
    };
    let flags = Nonblocking::set(relay.ptx)?;
    let end = Loop {
        relay,
        signals: &signals,
        keys: Keys::new(relay.escape),
        input: Vec::new(),
        input_open: relay.stdin.is_some(),
        on_terminal: raw.is_some(),
        hung_up: false,
        at_line_start: true,
        size: None,
    }
    .run();
    drop((flags, raw, signals));
    end
}

struct Loop<'a> {
    relay: &'a Relay<'a>,
    signals: &'a Signals,
    keys: Keys,
    /// Not taken by the ptx yet
    input: Vec<u8>,
    input_open: bool,
    /// Whether the input is a terminal
    on_terminal: bool,
    /// It is gone, which a process that ignores SIGHUP is not told
    hung_up: bool,
    at_line_start: bool,
    size: Option<WindowSize>,
}

impl Loop<'_> {
    fn run(mut self) -> Result<End, TerminalError> {
        loop {
            self.follow_size();
            let ready = self.wait()?;
            if let Some(signal) = ready.signal.then(|| self.signals.next()).flatten()
                && signal != Signal::SIGWINCH
            {
                return Ok(End::Signalled(signal));
            }
            if ready.ptx && !self.show()? {
                return Ok(End::Ended);
            }
            let leave = ready.stdin && self.read_keys()?;
            if self.hung_up {
                return Ok(End::Signalled(Signal::SIGHUP));
            }
            self.pass_input()?;
            if leave {
                return Ok(End::Escaped);
            }
            if ready.ended {
                // What it wrote last is in the terminal by now; nothing else can follow.
                self.show_rest()?;
                return Ok(End::Ended);
            }
        }
    }

    fn wait(&self) -> Result<Ready, TerminalError> {
        let Relay {
            ptx, stdin, ended, ..
        } = self.relay;
        let mut ptx_events = PollFlags::POLLIN;
        ptx_events.set(PollFlags::POLLOUT, !self.input.is_empty());
        let listen = self.input_open && self.input.len() < MAX_INPUT;
        let mut polls = vec![
            PollFd::new(ptx.as_fd(), ptx_events),
            PollFd::new(self.signals.fd.as_fd(), PollFlags::POLLIN),
        ];
        polls.extend(
            ended
                .iter()
                .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)),
        );
        if let Some(stdin) = stdin.filter(|_| listen) {
            polls.push(PollFd::new(stdin, PollFlags::POLLIN));
        }
        match poll(&mut polls, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Ready::default()),
            Err(errno) => return Err(failed("wait for the terminal")(errno)),
        }
        let any = |index: usize| polls.get(index).and_then(PollFd::any).unwrap_or(false);
        let ended = ended.is_some();
        Ok(Ready {
            ptx: any(0),
            signal: any(1),
            ended: ended && any(2),
            stdin: listen && any(2 + usize::from(ended)),
        })
    }

    /// Shows one piece of output. `false`: the other side has hung up.
    fn show(&self) -> Result<bool, TerminalError> {
        let mut buffer = [0; 16 * 1024];
        match nix::unistd::read(self.relay.ptx, &mut buffer) {
            Ok(0) | Err(Errno::EIO) => Ok(false),
            Ok(count) => {
                write_all(self.relay.stdout, &buffer[..count])?;
                Ok(true)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(true),
            Err(errno) => Err(failed("read the terminal")(errno)),
        }
    }

    fn show_rest(&self) -> Result<(), TerminalError> {
        let mut polls = [PollFd::new(self.relay.ptx, PollFlags::POLLIN)];
        // A background process may keep the terminal and write for ever: end at the first pause.
        while let Ok(1..) = poll(&mut polls, PollTimeout::ZERO)
            && self.show()?
        {}
        Ok(())
    }

    /// Takes what was typed. `true`: the user wants to leave.
    fn read_keys(&mut self) -> Result<bool, TerminalError> {
        let Some(stdin) = self.relay.stdin else {
            return Ok(false);
        };
        let mut buffer = [0; 4096];
        match nix::unistd::read(stdin, &mut buffer) {
            Ok(0) | Err(Errno::EIO) => {
                self.input_open = false;
                self.hung_up = self.on_terminal;
                self.type_end_of_file();
                Ok(false)
            }
            Ok(count) => {
                self.at_line_start = buffer[count - 1] == b'\n';
                Ok(self.keys.filter(&buffer[..count], &mut self.input))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
            Err(errno) => Err(failed("read the input")(errno)),
        }
    }

    /// The input has ended: who reads lines on the other side is to see that.
    fn type_end_of_file(&mut self) {
        let settings = tcgetattr(self.relay.ptx);
        if let Ok(settings) = settings
            && settings.local_flags.contains(LocalFlags::ICANON)
        {
            let key = settings.control_chars[SpecialCharacterIndices::VEOF as usize];
            // In the middle of a line the first one only hands over what is there.
            let times = if self.at_line_start { 1 } else { 2 };
            self.input.extend(std::iter::repeat_n(key, times));
        }
    }

    fn pass_input(&mut self) -> Result<(), TerminalError> {
        while !self.input.is_empty() {
            match nix::unistd::write(self.relay.ptx, &self.input) {
                Ok(count) => drop(self.input.drain(..count)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                // Nobody reads it any more; what it said before is still shown.
                Err(Errno::EIO) => self.input.clear(),
                Err(errno) => return Err(failed("write to the terminal")(errno)),
            }
        }
        Ok(())
    }

    /// Looks at every turn: in a process with many threads SIGWINCH may go to another one.
    fn follow_size(&mut self) {
        let of = |fd| tty::window_size(fd).ok();
        let size = self.relay.stdin.and_then(of);
        let size = size.or_else(|| of(self.relay.stdout));
        if let Some(now) = size.filter(|now| Some(*now) != self.size) {
            self.size = Some(now);
            let _ = tty::set_window_size(self.relay.ptx, now);
            if let Some(resized) = self.relay.resized {
                resized();
            }
        }
    }
}

#[derive(Default)]
struct Ready {
    ptx: bool,
    signal: bool,
    ended: bool,
    stdin: bool,
}

/// Finds the escape sequence in what is typed, over the borders of reads.
struct Keys {
    escape: Option<u8>,
    escaped: bool,
}

impl Keys {
    fn new(escape: Option<u8>) -> Self {
        Self {
            escape,
            escaped: false,
        }
    }

    /// Adds what goes to the terminal to `out`. `true`: the sequence was typed.
    fn filter(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(escape) = self.escape else {
            out.extend_from_slice(typed);
            return false;
        };
        for key in typed {
            match (self.escaped, *key) {
                (true, LEAVE) => return true,
                (false, key) if key == escape => self.escaped = true,
                (_, key) => {
                    // A doubled escape key is sent once; before any other key it is dropped.
                    self.escaped = false;
                    out.push(key);
                }
            }
        }
        false
    }
}

/// Deadly signals and SIGWINCH of this thread as a descriptor; given back when dropped.
struct Signals {
    fd: SignalFd,
    before: SigSet,
}

impl Signals {
    fn take() -> Result<Self, TerminalError> {
        let deadly = [
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGQUIT,
        ];
        // A signal that is ignored, as by nohup(1), would arrive all the same once it is blocked.
        let heeded = deadly
            .into_iter()
            .filter(|signal| !rlxc_sys::signal::is_ignored(*signal as i32));
        let taken: SigSet = heeded.chain([Signal::SIGWINCH]).collect();
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let fd = SignalFd::with_flags(&taken, flags).map_err(failed("make a signalfd"))?;
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&taken), Some(&mut before))
            .map_err(failed("block signals"))?;
        Ok(Self { fd, before })
    }

    fn next(&self) -> Option<Signal> {
        let info = self.fd.read_signal().ok().flatten()?;
        Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// Non-blocking mode, taken back when dropped: the monitor gives the same description to others.
struct Nonblocking<'a> {
    fd: BorrowedFd<'a>,
    before: OFlag,
}

impl<'a> Nonblocking<'a> {
    fn set(fd: BorrowedFd<'a>) -> Result<Self, TerminalError> {
        let before = fcntl(fd, FcntlArg::F_GETFL).map_err(failed("read the terminal's flags"))?;
        super::pump::set_nonblocking(fd)?;
        Ok(Self {
            fd,
            before: OFlag::from_bits_retain(before),
        })
    }
}

impl Drop for Nonblocking<'_> {
    fn drop(&mut self) {
        let _ = fcntl(self.fd, FcntlArg::F_SETFL(self.before));
    }
}

fn write_all(fd: BorrowedFd<'_>, mut data: &[u8]) -> Result<(), TerminalError> {
    while !data.is_empty() {
        match nix::unistd::write(fd, data) {
            Ok(count) => data = data.get(count..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            // Somebody else made our output non-blocking.
            Err(Errno::EAGAIN) => {
                let _ = poll(
                    &mut [PollFd::new(fd, PollFlags::POLLOUT)],
                    PollTimeout::NONE,
                );
            }
            Err(errno) => return Err(failed("show the terminal's output")(errno)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escape_sequence_is_found_over_reads_and_can_be_doubled() {
        let mut keys = Keys::new(Some(1));
        let mut out = Vec::new();
        assert!(!keys.filter(b"ab\x01", &mut out));
        assert!(!keys.filter(b"\x01c\x01x", &mut out));
        assert_eq!(out, b"ab\x01cx");
        assert!(!keys.filter(b"\x01", &mut out));
        assert!(keys.filter(b"qz", &mut out));
        assert_eq!(out, b"ab\x01cx");
    }

    #[test]
    fn without_an_escape_key_everything_passes() {
        let mut out = Vec::new();
        assert!(!Keys::new(None).filter(b"\x01q", &mut out));
        assert_eq!(out, b"\x01q");
    }
}
