use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::protocol::{Command, Malformed};

/// Why a conversation with a monitor, or the set-up of one, failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens on the container's command socket, or it went away while we asked.
    #[error("container {name} is not running (lxcpath {})", lxcpath.display())]
    NotRunning {
        /// The container
        name: String,
        /// Its lxcpath
        lxcpath: PathBuf,
    },
    /// Somebody else listens on the container's command socket already.
    #[error("container {name} appears to be already running (lxcpath {})", lxcpath.display())]
    AlreadyRunning {
        /// The container
        name: String,
        /// Its lxcpath
        lxcpath: PathBuf,
    },
    /// The socket belongs to somebody who cannot be the container's monitor.
    #[error(
        "the command socket of container {name} is held by user {uid}, neither root nor the owner of {}",
        lxcpath.display()
    )]
    Impostor {
        /// The container
        name: String,
        /// Its lxcpath
        lxcpath: PathBuf,
        /// Who listens
        uid: u32,
    },
    /// The monitor exists but gave no answer in time: stopped, stuck or overloaded.
    #[error("the monitor of container {name} is unresponsive: no answer to {} within {millis} ms", command.name())]
    Unresponsive {
        /// The container
        name: String,
        /// What was asked
        command: Command,
        /// How long we waited
        millis: u128,
    },
    /// The monitor answered with an error.
    #[error("the monitor of container {name} refused {}", command.name())]
    Refused {
        /// The container
        name: String,
        /// What was asked
        command: Command,
        /// The error that it named
        #[source]
        errno: Errno,
    },
    /// The answer breaks the protocol.
    #[error("the monitor of container {name} sent a malformed answer to {}", command.name())]
    Malformed {
        /// The container
        name: String,
        /// What was asked
        command: Command,
        /// What is wrong with it
        #[source]
        source: Malformed,
    },
    /// A system call on a socket failed.
    #[error("{operation} on the socket of {name}")]
    Socket {
        /// The system call
        operation: &'static str,
        /// The container, or the lxcpath for a monitor socket
        name: String,
        /// Why
        #[source]
        errno: Errno,
    },
    /// A file operation failed.
    #[error("{operation} {}", path.display())]
    Path {
        /// What was tried
        operation: &'static str,
        /// On what
        path: PathBuf,
        /// Why
        #[source]
        source: io::Error,
    },
    /// No directory for run-time files can be found.
    #[error(
        "no run-time directory: {0} belongs to somebody else, and neither XDG_RUNTIME_DIR nor HOME is set"
    )]
    NoRunDir(&'static str),
}

impl Error {
    /// The errno behind it, if there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } | Self::Socket { errno, .. } => Some(*errno),
            Self::NotRunning { .. } => Some(Errno::ECONNREFUSED),
            Self::AlreadyRunning { .. } => Some(Errno::EADDRINUSE),
            Self::Impostor { .. } => Some(Errno::EPERM),
            Self::Unresponsive { .. } => Some(Errno::ETIMEDOUT),
            Self::Malformed { .. } => Some(Errno::EBADMSG),
            Self::NoRunDir(_) => Some(Errno::ENOENT),
            Self::Path { source, .. } => source.raw_os_error().map(Errno::from_raw),
        }
    }

    /// What the user can do about it, if anything is known to help.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::NotRunning { .. } => Some("start the container first"),
            Self::AlreadyRunning { .. } => Some("stop the running container first"),
            Self::Unresponsive { .. } => Some(
                "look at the process titled `[lxc monitor] LXCPATH NAME`: is it stopped (state T), or waiting (state D)?",
            ),
            Self::Impostor { .. } => Some("find and end the process that listens there (ss -xlp)"),
            Self::Refused {
                errno: Errno::EPERM,
                ..
            } => Some("only root and the user who started the container may control it"),
            _ => None,
        }
    }

    /// Whether it says that the container is not running.
    pub fn is_not_running(&self) -> bool {
        matches!(self, Self::NotRunning { .. })
    }
}
