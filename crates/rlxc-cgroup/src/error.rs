//! What can go wrong with cgroups.

use std::io;
use std::path::PathBuf;

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// A failed cgroup operation. The source is not repeated in the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refused a value.
    #[error("cannot write {value:?} to {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A directory could not be made.
    #[error("cannot make the cgroup {path}")]
    Make {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A directory could not be removed.
    #[error("cannot remove the cgroup {path}")]
    Remove {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Owner or mode could not be changed.
    #[error("cannot delegate {path}")]
    Delegate {
        /// File or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file or directory name that would leave the tree, or is none.
    #[error("bad cgroup name {0:?}: relative, without `..`, wanted")]
    Name(String),
    /// No hierarchy has this controller, or it is not writable.
    #[error("no writable cgroup hierarchy for {0}")]
    Controller(String),
    /// All of NAME, NAME-1 … NAME-999 are taken.
    #[error("all cgroup names {0}, {0}-1 … {0}-999 are taken")]
    Clash(String),
    /// A bad device rule.
    #[error("bad device rule {0:?}: `a` or `TYPE MAJOR:MINOR ACCESS` wanted")]
    Rule(String),
    /// The device program could not be loaded or attached.
    #[error("cannot attach the device program to {path}")]
    Devices {
        /// The cgroup.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen in time in {path}")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// The cgroup.
        path: PathBuf,
    },
}

impl Error {
    /// The kernel's errno, if there is one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Read { source, .. }
            | Self::Write { source, .. }
            | Self::Make { source, .. }
            | Self::Remove { source, .. }
            | Self::Delegate { source, .. }
            | Self::Devices { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}
