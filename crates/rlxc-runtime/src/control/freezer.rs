use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use rlxc_monitor::{Client, Error, State, events};

use super::ControlError;

/// How often the v1 freezer is asked again; it has no events.
const PAUSE: Duration = Duration::from_millis(2);

/// Freezes all processes of the container; `None` waits for ever. A frozen one is fine.
///
/// # Errors
/// [`ControlError::NoFreezer`] where it has no cgroup with one, [`ControlError::TimedOut`] (the
/// freezing goes on), [`ControlError::Monitor`], [`ControlError::Call`].
pub fn freeze(client: &Client, timeout: Option<Duration>) -> Result<(), ControlError> {
    match client.state()? {
        State::Frozen => Ok(()),
        State::Stopped => Err(not_running(client)),
        _ => change(client, &FREEZE, timeout),
    }
}

/// Thaws the container; `None` waits for ever. One that is not frozen is fine.
///
/// # Errors
/// As [`freeze`].
pub fn unfreeze(client: &Client, timeout: Option<Duration>) -> Result<(), ControlError> {
    match client.state()? {
        State::Frozen | State::Freezing => change(client, &THAW, timeout),
        State::Stopped => Err(not_running(client)),
        _ => Ok(()),
    }
}

fn not_running(client: &Client) -> ControlError {
    ControlError::Monitor(Error::NotRunning {
        name: client.name().to_owned(),
        lxcpath: client.lxcpath().to_owned(),
    })
}

struct Change {
    freeze: bool,
    word: &'static str,
    operation: &'static str,
    /// Announced before, if anything
    during: Option<State>,
    after: State,
}

const FREEZE: Change = Change {
    freeze: true,
    word: "FROZEN",
    operation: "freeze",
    during: Some(State::Freezing),
    after: State::Frozen,
};

const THAW: Change = Change {
    freeze: false,
    word: "THAWED",
    operation: "thaw",
    during: None,
    after: State::Thawed,
};

fn change(client: &Client, change: &Change, timeout: Option<Duration>) -> Result<(), ControlError> {
    // In a pure cgroup2 layout the monitor does it and tells everybody.
    let seconds = timeout.map_or(-1, |t| {
        i32::try_from(t.as_secs().max(1)).unwrap_or(i32::MAX)
    });
    let asked = match change.freeze {
        true => client.freeze(seconds),
        false => client.unfreeze(seconds),
    };
    match asked {
        Err(Error::Refused {
            errno: Errno::ENOENT,
            ..
        }) => {}
        other => return Ok(other?),
    }
    let (_, dir) = match client.cgroup_fd("freezer", true) {
        // It is in no cgroup of its own, or in none with a freezer.
        Err(Error::Refused {
            errno: Errno::ENOENT | Errno::EBADF,
            ..
        }) => {
            return Err(ControlError::NoFreezer {
                name: client.name().to_owned(),
            });
        }
        found => found?,
    };
    if let Some(during) = change.during {
        announce(client, during)?;
    }
    match write_and_wait(dir.as_fd(), change.word, timeout) {
        Ok(true) => announce(client, change.after),
        Ok(false) => Err(ControlError::TimedOut {
            operation: change.operation,
            name: client.name().to_owned(),
        }),
        Err(source) => Err(ControlError::call(change.operation, client.name())(source)),
    }
}

/// On v1 the caller tells the monitor, its state clients and `lxc-monitord`.
fn announce(client: &Client, state: State) -> Result<(), ControlError> {
    client.serve_state(state)?;
    if let Err(error) = events::send_state(client.lxcpath(), client.name(), state) {
        tracing::warn!("cannot tell lxc-monitord: {error}");
    }
    Ok(())
}

/// Writes freezer.state until it shows `word`; `false` when the time is up.
fn write_and_wait(dir: BorrowedFd<'_>, word: &str, timeout: Option<Duration>) -> io::Result<bool> {
    let until = timeout.map(|t| Instant::now() + t);
    let open = |flags: OFlag| -> io::Result<File> {
        Ok(openat(
            dir,
            "freezer.state",
            flags | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?
        .into())
    };
    loop {
        // Written again each time: processes that fork meanwhile can escape one pass.
        open(OFlag::O_WRONLY)?.write_all(word.as_bytes())?;
        let mut state = String::new();
        open(OFlag::O_RDONLY)?.read_to_string(&mut state)?;
        if state.trim_end() == word {
            return Ok(true);
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
}
