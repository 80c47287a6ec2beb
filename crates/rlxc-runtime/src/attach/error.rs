use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use rlxc_sys::child::Step;

use crate::terminal::TerminalError;

/// Why an attach failed.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The monitor cannot be asked, or the container does not run
    #[error(transparent)]
    Monitor(#[from] rlxc_monitor::Error),
    /// Processes that enter a frozen cgroup stop at once
    #[error(
        "container {name} is frozen: unfreeze it first, or attach without moving to its cgroup"
    )]
    Frozen {
        /// The container
        name: String,
    },
    /// There is no program to execute
    #[error("no program to execute in the container")]
    NoProgram,
    /// A string with a NUL cannot be passed to a program
    #[error("{0:?} contains a NUL")]
    Nul(String),
    /// A system call failed
    #[error("cannot {operation}")]
    Call {
        /// What was tried
        operation: &'static str,
        /// Why
        #[source]
        source: io::Error,
    },
    /// A file operation failed
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
    /// A file of /proc says something that is not understood
    #[error("{} has no valid {field}", path.display())]
    Proc {
        /// Which file
        path: PathBuf,
        /// What was looked for
        field: &'static str,
    },
    /// The terminal failed
    #[error(transparent)]
    Terminal(#[from] TerminalError),
    /// The container's seccomp policy cannot be used
    #[error(transparent)]
    Security(#[from] rlxc_security::Error),
    /// A limit of `lxc.prlimit.*` cannot be set
    #[error(transparent)]
    Limit(Box<crate::StartError>),
    /// A child could not do a step
    #[error("the attaching process cannot {}", step.text())]
    Step {
        /// Which step
        step: Step,
        /// Why
        #[source]
        errno: Errno,
    },
    /// A child ended without saying why
    #[error("the attaching process ended unexpectedly (wait status {status:#x})")]
    Died {
        /// Its raw wait status
        status: i32,
    },
}

impl AttachError {
    /// The errno behind it, if there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Monitor(error) => error.errno(),
            Self::Frozen { .. } => Some(Errno::EBUSY),
            Self::NoProgram | Self::Nul(_) | Self::Proc { .. } => Some(Errno::EINVAL),
            Self::Call { source, .. } | Self::Path { source, .. } => {
                source.raw_os_error().map(Errno::from_raw)
            }
            Self::Terminal(error) => error.errno(),
            Self::Step { errno, .. } => Some(*errno),
            Self::Died { .. } | Self::Limit(_) | Self::Security(_) => None,
        }
    }

    /// What the user can do about it, if anything is known to help.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Monitor(error) => error.remedy(),
            Self::Step {
                step: Step::EnterNamespaces,
                errno: Errno::EPERM,
            } => Some("only root and the user who started the container may enter it"),
            Self::Step {
                step: Step::Groups,
                errno: Errno::EPERM,
            } => Some("the container's user namespace does not allow groups to be set"),
            Self::Step {
                step: Step::Ids | Step::SetupIds,
                errno: Errno::EINVAL,
            } => Some("choose ids that the container's lxc.idmap maps"),
            Self::Terminal(error) if error.errno() == Some(Errno::ENOSPC) => {
                Some("all ptys of the container are in use: raise lxc.pty.max")
            }
            _ => None,
        }
    }

    pub(super) fn path(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Path {
            operation,
            path,
            source,
        }
    }

    pub(super) fn call<E: Into<io::Error>>(operation: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Call {
            operation,
            source: source.into(),
        }
    }
}
