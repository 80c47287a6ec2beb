//! What is done to a running container from outside: stop, shut down, reboot, freeze, wait, console.
//!
//! All of it asks the container's monitor by [`rlxc_monitor::Client`], whose deadline keeps a stuck
//! monitor from keeping the caller: then the error is `Unresponsive`. Simple questions (state, init's
//! pid and pidfd, items of the running configuration, the console's log, whether the caller may
//! control the container) are methods of that client.

mod console;
mod device;
mod freezer;
mod halt;
mod wait;

use std::io;

use nix::errno::Errno;

pub use console::{ConsoleOptions, console};
pub use device::{DeviceAccess, change_all_devices, change_device};
pub use freezer::{freeze, unfreeze};
pub use halt::{Halt, Outcome, Reception, processes, reboot, reboot_wait, shutdown, stop};
pub use wait::wait;

use crate::terminal::TerminalError;

/// Why a container has no freezer, and what gives it one.
const NO_FREEZER: &str = "no cgroup was delegated to who started it, or lxc.cgroup.use leaves the freezer out: stop it and start it by \
                          `systemd-run --user --scope -p Delegate=yes`, or let root give that user a cgroup";

/// Why something could not be done to a container.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The monitor cannot be asked, or said no
    #[error(transparent)]
    Monitor(#[from] rlxc_monitor::Error),
    /// The terminal failed
    #[error(transparent)]
    Terminal(#[from] TerminalError),
    /// Something about the container failed
    #[error("cannot {operation} container {name}")]
    Call {
        /// What was tried
        operation: &'static str,
        /// The container
        name: String,
        /// Why
        #[source]
        source: io::Error,
    },
    /// Nothing by which it could be frozen or thawed
    #[error("container {name} cannot be frozen: it has no cgroup with a freezer")]
    NoFreezer {
        /// The container
        name: String,
    },
    /// It took longer than the caller would wait
    #[error("container {name} did not {operation} in time")]
    TimedOut {
        /// What should have happened
        operation: &'static str,
        /// The container
        name: String,
    },
}

impl ControlError {
    /// The errno behind it, if there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Monitor(error) => error.errno(),
            Self::Terminal(error) => error.errno(),
            Self::Call { source, .. } => source.raw_os_error().map(Errno::from_raw),
            Self::NoFreezer { .. } => Some(Errno::ENOENT),
            Self::TimedOut { .. } => Some(Errno::ETIMEDOUT),
        }
    }

    /// What the user can do about it, if anything is known to help.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Monitor(error) => error.remedy(),
            Self::NoFreezer { .. } => Some(NO_FREEZER),
            _ => None,
        }
    }

    fn call<E: Into<io::Error>>(operation: &'static str, name: &str) -> impl Fn(E) -> Self {
        move |source| Self::Call {
            operation,
            name: name.to_owned(),
            source: source.into(),
        }
    }
}
