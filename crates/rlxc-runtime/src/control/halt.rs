use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sys::stat::Mode;
use rlxc_config::{Config, Namespace};
use rlxc_monitor::protocol::StateWish;
use rlxc_monitor::{Client, Error, State};
use rlxc_sys::process::{pidfd_open, pidfd_send_signal};

use super::ControlError;

/// What init makes of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// It has a handler, or waits for it with the signal blocked (as systemd does)
    Expected,
    /// It does not expect it, and as init of a pid namespace it never gets it
    Ignored,
    /// It does not expect it, and the default action ends it
    Deadly,
}

/// A signal that is about to be sent to a container's init.
#[derive(Debug)]
pub struct Halt {
    pidfd: OwnedFd,
    name: String,
    /// Init's pid
    pub pid: i32,
    /// The signal's number
    pub signal: i32,
    /// What init will make of it
    pub reception: Reception,
}

/// How a shutdown or reboot went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The container is where it was wanted
    Done,
    /// The signal was sent; nobody waited
    Sent,
    /// The time was up before
    TimedOut,
}

/// How long the ended monitor may hold up its cgroups.
const LEFT_CGROUPS: Duration = Duration::from_secs(1);

/// Default of `lxc.signal.halt`: glibc's SIGRTMIN+3 for an init that blocks it, else SIGPWR.
const SIGRTMIN_PLUS_3: i32 = 37;

impl Halt {
    /// The halt signal (`lxc.signal.halt`, or what suits init) and its prospects.
    ///
    /// # Errors
    /// [`ControlError::Monitor`] when the container does not run.
    pub fn to_halt(client: &Client, config: &Config) -> Result<Self, ControlError> {
        Self::new(client, |masks| {
            let systemd = has(masks.blocked, SIGRTMIN_PLUS_3);
            let default = if systemd {
                SIGRTMIN_PLUS_3
            } else {
                libc::SIGPWR
            };
            config.signals.halt.unwrap_or(default)
        })
    }

    /// The reboot signal (`lxc.signal.reboot`, default SIGINT) and its prospects.
    ///
    /// # Errors
    /// As [`Halt::to_halt`].
    pub fn to_reboot(client: &Client, config: &Config) -> Result<Self, ControlError> {
        Self::new(client, |_| config.signals.reboot.unwrap_or(libc::SIGINT))
    }

    fn new(client: &Client, choose: impl Fn(&Masks) -> i32) -> Result<Self, ControlError> {
        let pid = client.init_pid()?;
        let pidfd = match client.init_pidfd() {
            Err(Error::Refused { .. }) => {
                pidfd_open(pid).map_err(ControlError::call("reach the init of", client.name()))?
            }
            other => other?,
        };
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .map_err(ControlError::call("look at the init of", client.name()))?;
        let masks = Masks::parse(&status);
        let signal = choose(&masks);
        let own_pids = client.clone_flags()? & Namespace::Pid.clone_flag() as u32 != 0;
        Ok(Self {
            pidfd,
            name: client.name().to_owned(),
            pid,
            signal,
            reception: masks.reception(signal, own_pids),
        })
    }

    /// Sends the signal.
    ///
    /// # Errors
    /// [`ControlError::Call`] when init cannot be signalled.
    pub fn send(&self) -> Result<(), ControlError> {
        match pidfd_send_signal(&self.pidfd, self.signal) {
            // It has ended by itself.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other.map_err(ControlError::call("signal the init of", &self.name)),
        }
    }
}

/// Signal masks of /proc/PID/status.
#[derive(Debug, Default, PartialEq, Eq)]
struct Masks {
    blocked: u64,
    ignored: u64,
    caught: u64,
}

impl Masks {
    fn parse(status: &str) -> Self {
        let mask = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
                .unwrap_or(0)
        };
        Self {
            blocked: mask("SigBlk:"),
            ignored: mask("SigIgn:"),
            caught: mask("SigCgt:"),
        }
    }

    fn reception(&self, signal: i32, own_pids: bool) -> Reception {
        match signal {
            libc::SIGKILL => Reception::Deadly,
            _ if has(self.caught, signal) => Reception::Expected,
            _ if has(self.ignored, signal) => Reception::Ignored,
            _ if has(self.blocked, signal) => Reception::Expected,
            // The kernel keeps default actions from the init of a pid namespace.
            _ if own_pids => Reception::Ignored,
            _ => Reception::Deadly,
        }
    }
}

fn has(mask: u64, signal: i32) -> bool {
    (1..=64).contains(&signal) && mask & (1 << (signal - 1)) != 0
}

/// Ends a container at once (`lxc.signal.stop`, SIGKILL by default) and waits until its monitor has
/// taken it down, at most `timeout`. One that does not run is stopped.
///
/// # Errors
/// [`ControlError::Monitor`], with `Unresponsive` at the timeout.
pub fn stop(client: &Client, timeout: Duration) -> Result<(), ControlError> {
    let until = Instant::now() + timeout;
    let Some(tidy) = client.clone().with_deadline(timeout).stop_and_tidy()? else {
        return Ok(());
    };
    let left = rlxc_cgroup::Left::note(tidy.dirs.clone());
    if tidy.wait(until) {
        left.remove(LEFT_CGROUPS);
    }
    Ok(())
}

/// Asks init to shut the container down and waits until it is stopped; `timeout` of `None`: for
/// ever, zero: does not wait. A container that does not run is done.
///
/// `before` is called with the signal before it is sent: with [`Reception::Ignored`] waiting is
/// futile, and the caller may say so or return `false` to give up at once.
///
/// # Errors
/// [`ControlError::Monitor`], [`ControlError::Call`].
pub fn shutdown(
    client: &Client,
    config: &Config,
    timeout: Option<Duration>,
    before: impl FnOnce(&Halt) -> bool,
) -> Result<Outcome, ControlError> {
    let wish = StateWish {
        states: State::Stopped.into(),
        over_reboot: false,
    };
    // Registered first, so that the end cannot be missed.
    let watch = match client.watch(wish) {
        Ok(Err(watch)) => watch,
        Ok(Ok(_)) | Err(Error::NotRunning { .. }) => return Ok(Outcome::Done),
        Err(error) => return Err(error.into()),
    };
    let halt = match Halt::to_halt(client, config) {
        Err(ControlError::Monitor(Error::NotRunning { .. })) => return Ok(Outcome::Done),
        other => other?,
    };
    if !before(&halt) {
        return Ok(Outcome::TimedOut);
    }
    halt.send()?;
    if timeout == Some(Duration::ZERO) {
        return Ok(Outcome::Sent);
    }
    match watch.wait(timeout.map(|t| Instant::now() + t))? {
        Some(_) => Ok(Outcome::Done),
        None => Ok(Outcome::TimedOut),
    }
}

/// Sends the reboot signal.
///
/// # Errors
/// [`ControlError::Monitor`] with `NotRunning`, [`ControlError::Call`].
pub fn reboot(client: &Client, config: &Config) -> Result<(), ControlError> {
    Halt::to_reboot(client, config)?.send()
}

/// Sends the reboot signal and waits until the container runs again; `timeout` as in [`shutdown`].
///
/// # Errors
/// As [`reboot`]; `before` as in [`shutdown`].
pub fn reboot_wait(
    client: &Client,
    config: &Config,
    timeout: Option<Duration>,
    before: impl FnOnce(&Halt) -> bool,
) -> Result<Outcome, ControlError> {
    let wish = StateWish {
        states: State::Running.into(),
        over_reboot: true,
    };
    let watch = client.watch(wish)?;
    let halt = Halt::to_reboot(client, config)?;
    if !before(&halt) {
        return Ok(Outcome::TimedOut);
    }
    halt.send()?;
    if timeout == Some(Duration::ZERO) {
        return Ok(Outcome::Sent);
    }
    let until = timeout.map(|t| Instant::now() + t);
    match watch {
        Err(watch) => match watch.wait(until)? {
            Some(State::Running) => Ok(Outcome::Done),
            // The monitor hung up: the container stopped instead.
            Some(_) => Err(ControlError::TimedOut {
                operation: "come up again after its reboot",
                name: client.name().to_owned(),
            }),
            None => Ok(Outcome::TimedOut),
        },
        // Answered at once by a monitor that does not keep wishes: nothing to wait for.
        Ok(_) => Ok(Outcome::Sent),
    }
}

/// The processes in the container's cgroup, as seen from here: pid and name.
///
/// # Errors
/// [`ControlError::Monitor`].
pub fn processes(client: &Client) -> Result<Vec<(i32, String)>, ControlError> {
    let cgroups = client.cgroups()?;
    let mut pids = String::new();
    for dir in &cgroups.dirs {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let Ok(file) = openat(dir, "cgroup.procs", flags, Mode::empty()) else {
            continue;
        };
        if fs::File::from(file).read_to_string(&mut pids).is_ok() && !pids.is_empty() {
            break;
        }
    }
    let name = |pid: &i32| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        comm.trim_end().to_owned()
    };
    let pids = pids.lines().filter_map(|line| line.parse().ok());
    Ok(pids.map(|pid| (pid, name(&pid))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_init_without_a_handler_never_gets_the_signal() {
        let masks = Masks::parse(
            "Name:\tinit\nSigBlk:\t0000001000000000\nSigIgn:\t0000000000000001\nSigCgt:\t0000000000004002\n",
        );
        let of = |signal| masks.reception(signal, true);
        assert_eq!(of(libc::SIGTERM), Reception::Expected);
        assert_eq!(of(SIGRTMIN_PLUS_3), Reception::Expected);
        assert_eq!(of(libc::SIGHUP), Reception::Ignored);
        assert_eq!(of(libc::SIGPWR), Reception::Ignored);
        assert_eq!(masks.reception(libc::SIGPWR, false), Reception::Deadly);
        assert_eq!(of(libc::SIGKILL), Reception::Deadly);
    }
}
