//! The small init of application containers: reaps, forwards signals, reports its command's status.
//!
//! The container's first process calls [`supervise`] after everything else is set up; the program
//! `init.lxc` is the same for rootfs that call it by name.

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rlxc_sys::process;

/// Where a program without a slash is looked for when the environment has no PATH.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long processes have between SIGTERM and SIGKILL, from the last one that ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs a command, forwards signals to it, reaps everything, and returns its status
/// (128 + signal if it was killed) when no process is left.
///
/// `started` is called once in each process: in the supervisor with `Ok` as soon as the command's
/// process exists, in that process with the error if the command cannot be executed.
pub fn supervise(
    argv: &[CString],
    environment: &[CString],
    started: impl FnOnce(Result<(), Errno>),
) -> i32 {
    let _ = process::set_title(c"init");
    let _ = nix::sys::prctl::set_name(c"init");
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&waited_for()), None);
    let started = Cell::new(Some(started));
    let tell = |result| {
        if let Some(started) = started.take() {
            started(result);
        }
    };
    // Not clone3(2) and close_range(2): a seccomp policy may hold already, and few name them.
    let child = rlxc_sys::fork::spawn(0, || {
        let errno = execute(argv, environment);
        tell(Err(errno));
        if errno == Errno::ENOENT { 127 } else { 126 }
    });
    match child {
        Ok(pid) => {
            tell(Ok(()));
            process::close_fds_one_by_one();
            errors_to_console();
            Supervisor::new(pid).run()
        }
        Err(error) => {
            tell(Err(Errno::from_raw(error.raw_os_error().unwrap_or(0))));
            1
        }
    }
}

/// All signals but those that report a fault of our own.
fn waited_for() -> SigSet {
    let mut set = SigSet::all();
    for signal in [Signal::SIGILL, Signal::SIGSEGV, Signal::SIGBUS] {
        set.remove(signal);
    }
    set
}

fn execute(argv: &[CString], environment: &[CString]) -> Errno {
    // What we, or whoever started us, ignore is not for the command.
    rlxc_sys::signal::default_all();
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    let _ = nix::unistd::setsid();
    if rlxc_sys::tty::is_terminal(io::stdin().as_fd()) {
        let _ = rlxc_sys::tty::set_controlling(io::stdin().as_fd());
    }
    let Some(program) = argv.first() else {
        return Errno::EINVAL;
    };
    let mut failed = Errno::ENOENT;
    for candidate in candidates(program, environment) {
        let Err(errno) = nix::unistd::execve(&candidate, argv, environment);
        if errno != Errno::ENOENT && errno != Errno::ENOTDIR {
            failed = errno;
        }
    }
    failed
}

fn candidates(program: &CStr, environment: &[CString]) -> Vec<CString> {
    if program.to_bytes().contains(&b'/') {
        return vec![program.to_owned()];
    }
    let path = environment
        .iter()
        .find_map(|variable| variable.as_bytes().strip_prefix(b"PATH="))
        .unwrap_or(DEFAULT_PATH);
    path.split(|byte| *byte == b':')
        .filter_map(|dir| {
            let mut file = dir.to_vec();
            file.push(b'/');
            file.extend_from_slice(program.to_bytes());
            CString::new(file).ok()
        })
        .collect()
}

fn errors_to_console() {
    if let Ok(console) = std::fs::OpenOptions::new().write(true).open("/dev/console") {
        let _ = nix::unistd::dup2_stderr(console);
    }
}

struct Supervisor {
    command: i32,
    status: Option<i32>,
    stopping: Option<Instant>,
}

impl Supervisor {
    fn new(command: i32) -> Self {
        Self {
            command,
            status: None,
            stopping: None,
        }
    }

    fn run(mut self) -> i32 {
        let set = waited_for();
        loop {
            if !self.reap() {
                return self.status.unwrap_or(1);
            }
            let left = self
                .stopping
                .map(|until| until.saturating_duration_since(Instant::now()));
            match process::wait_signal(&set, left) {
                Ok(Some(signal)) => self.handle(signal),
                // The time is up: whatever is left is killed.
                Ok(None) => {
                    self.signal_all(Signal::SIGKILL);
                    self.stopping = Some(Instant::now() + PATIENCE);
                }
                Err(_) => {}
            }
        }
    }

    fn handle(&mut self, signal: i32) {
        let is = |other: Signal| signal == other as i32;
        if is(Signal::SIGCHLD) || is(Signal::SIGALRM) {
        } else if is(Signal::SIGTERM) || signal == libc_sigpwr() {
            if self.stopping.is_none() {
                self.signal_all(Signal::SIGTERM);
                self.stopping = Some(Instant::now() + PATIENCE);
            }
        } else if self.status.is_none() {
            // By number: a real-time signal has no name in nix.
            if let Ok(pidfd) = process::pidfd_open(self.command) {
                let _ = process::pidfd_send_signal(&pidfd, signal);
            }
        }
    }

    fn signal_all(&self, signal: Signal) {
        if nix::unistd::getpid().as_raw() == 1 {
            let _ = kill(Pid::from_raw(-1), signal);
        } else {
            // Not the init of a pid namespace: only our own command and its group.
            let _ = kill(Pid::from_raw(-self.command), signal);
            let _ = kill(Pid::from_raw(self.command), signal);
        }
    }

    /// Reaps all that ended; false when no child is left.
    fn reap(&mut self) -> bool {
        loop {
            match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return true,
                Ok(WaitStatus::Exited(pid, code)) => self.ended(pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => self.ended(pid, 128 + signal as i32),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return false,
            }
        }
    }

    fn ended(&mut self, pid: Pid, status: i32) {
        if pid.as_raw() == self.command {
            self.status = Some(status);
        }
        if let Some(until) = &mut self.stopping {
            *until = Instant::now() + PATIENCE;
        }
    }
}

fn libc_sigpwr() -> i32 {
    Signal::SIGPWR as i32
}
