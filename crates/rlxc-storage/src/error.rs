use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a storage operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on a path
    #[error("cannot {operation} {}", path.display())]
    Path {
        /// What was tried
        operation: &'static str,
        /// On what
        path: PathBuf,
        /// Why
        #[source]
        source: io::Error,
    },
    /// Something is mounted where files were to be removed
    #[error("{} has a file system mounted on it: unmount it first", .0.display())]
    MountBelow(PathBuf),
    /// `lxc.rootfs.path` cannot be understood
    #[error("lxc.rootfs.path = {path}: {reason}")]
    RootfsPath {
        /// The value
        path: String,
        /// What is wrong
        reason: &'static str,
    },
    /// This kind of storage cannot do it
    #[error("storage of type {backend} cannot {operation}")]
    Unsupported {
        /// The type
        backend: String,
        /// What was asked
        operation: &'static str,
    },
    /// The worker program could not be run, or said no
    #[error("the worker {}: {reason}", program.display())]
    Worker {
        /// The program
        program: PathBuf,
        /// What happened
        reason: String,
    },
    /// A program that this kind of storage needs is not installed
    #[error("the program {program} is missing; {remedy}")]
    MissingTool {
        /// Its name
        program: String,
        /// Where to get it
        remedy: String,
    },
    /// What is to be made is there already
    #[error("{0} exists already")]
    Exists(String),
    /// The type of a file system is no name
    #[error("'{0}' cannot be a file system's type")]
    FsType(String),
    /// Something else needs it
    #[error("{what} is needed by {by}: remove that first")]
    Needed {
        /// What was to be removed
        what: String,
        /// Who needs it
        by: String,
    },
    /// The caller asked to stop
    #[error("interrupted")]
    Cancelled,
    /// A job failed in the worker
    #[error("{message}")]
    Remote {
        /// What it reported
        message: String,
        /// Its errno, 0 when there was none
        errno: i32,
    },
    /// A program ended with a bad status
    #[error("{program} failed: {status}")]
    Program {
        /// The program
        program: String,
        /// How it ended
        status: String,
    },
    /// Id maps
    #[error(transparent)]
    Namespace(#[from] rlxc_namespace::Error),
}

impl Error {
    /// The errno, EIO where there is none.
    pub fn errno(&self) -> i32 {
        use nix::errno::Errno;
        match self {
            Self::Path { source, .. } => source.raw_os_error().unwrap_or(Errno::EIO as i32),
            Self::MountBelow(_) | Self::Needed { .. } => Errno::EBUSY as i32,
            Self::MissingTool { .. } => Errno::ENOENT as i32,
            Self::Exists(_) => Errno::EEXIST as i32,
            Self::Cancelled => Errno::EINTR as i32,
            Self::RootfsPath { .. } | Self::FsType(_) => Errno::EINVAL as i32,
            Self::Unsupported { .. } => Errno::EOPNOTSUPP as i32,
            Self::Remote { errno, .. } if *errno != 0 => *errno,
            _ => Errno::EIO as i32,
        }
    }

    pub(crate) fn at<E: Into<io::Error>>(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Path {
            operation,
            path,
            source: source.into(),
        }
    }

    pub(crate) fn below<E: Into<io::Error>>(
        operation: &'static str,
        dir: &Path,
        name: &[u8],
        source: E,
    ) -> Self {
        Self::Path {
            operation,
            path: dir.join(OsStr::from_bytes(name)),
            source: source.into(),
        }
    }
}
