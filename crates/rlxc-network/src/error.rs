//! What can fail, with what was tried.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// Why a network operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No netlink socket could be had.
    #[error("cannot open a netlink socket")]
    Open(#[source] io::Error),
    /// The socket failed in the middle of an exchange.
    #[error("netlink exchange failed while trying to {what}")]
    Exchange {
        /// The request
        what: String,
        /// The socket's error
        source: io::Error,
    },
    /// The kernel refused a request.
    #[error("cannot {what}{}", .message.as_deref().map(|m| format!(" ({m})")).unwrap_or_default())]
    Kernel {
        /// The request
        what: String,
        /// The kernel's own words, if it gave some
        message: Option<String>,
        /// The kernel's errno
        source: Errno,
    },
    /// There is no such interface in the namespace looked at.
    #[error("there is no network interface \"{name}\"{remedy}")]
    NoSuchLink {
        /// The name
        name: String,
        /// What to do, or nothing
        remedy: &'static str,
    },
    /// A value of a nic's configuration cannot work.
    #[error("lxc.net.{index}.{key}: {reason}")]
    Value {
        /// N of lxc.net.N
        index: u32,
        /// The subkey
        key: &'static str,
        /// What is wrong, and what would be right
        reason: String,
    },
    /// A step for one nic failed.
    #[error("lxc.net.{index} ({kind})")]
    Nic {
        /// N of lxc.net.N
        index: u32,
        /// The nic's type
        kind: &'static str,
        /// The step's error
        source: Box<Error>,
    },
    /// A file (a sysctl, mostly) could not be read or written.
    #[error("cannot {op} {path}")]
    File {
        /// `read`, `write`, `open`, …
        op: &'static str,
        /// The file
        path: PathBuf,
        /// The error
        source: io::Error,
    },
    /// A program could not be run.
    #[error("cannot run {program}")]
    Spawn {
        /// The program
        program: String,
        /// The error
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("{program} failed ({status}){}", if .output.is_empty() { String::new() } else { format!(": {}", .output) })]
    Program {
        /// Program and arguments
        program: String,
        /// How it ended
        status: String,
        /// The last of what it printed
        output: String,
    },
    /// The other namespace could not be entered.
    #[error("cannot enter the network namespace {namespace}")]
    Enter {
        /// Which one
        namespace: String,
        /// The error
        source: Errno,
    },
    /// A plain statement with its remedy.
    #[error("{0}")]
    Unsupported(String),
}

impl Error {
    /// The errno at the bottom, if there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Open(source) | Self::Exchange { source, .. } => source.raw_os_error(),
            Self::File { source, .. } | Self::Spawn { source, .. } => source.raw_os_error(),
            Self::Kernel { source, .. } | Self::Enter { source, .. } => Some(*source as i32),
            Self::NoSuchLink { .. } => Some(Errno::ENODEV as i32),
            Self::Value { .. } => Some(Errno::EINVAL as i32),
            Self::Nic { source, .. } => source.errno(),
            Self::Program { .. } | Self::Unsupported(_) => None,
        }
    }

    /// Whether the kernel's answer was `errno`.
    pub(crate) fn is(&self, errno: Errno) -> bool {
        self.errno() == Some(errno as i32)
    }

    /// This error as one of nic `index`.
    pub(crate) fn of_nic(self, index: u32, kind: &'static str) -> Self {
        match self {
            Self::Value { .. } | Self::Nic { .. } => self,
            other => Self::Nic {
                index,
                kind,
                source: Box::new(other),
            },
        }
    }
}

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;
