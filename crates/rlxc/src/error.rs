use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something could not be done with a container.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name cannot be one
    #[error("'{0}' cannot be a container's name: no '/', not '.' or '..', 1 to 255 bytes")]
    Name(String),
    /// There is no such container
    #[error("container {name} is not defined below {}", lxcpath.display())]
    NotDefined {
        /// The container
        name: String,
        /// Where it was looked for
        lxcpath: PathBuf,
    },
    /// It has to run for this
    #[error("container {name} is not running")]
    NotRunning {
        /// The container
        name: String,
    },
    /// It must not run for this
    #[error("container {name} is running")]
    Running {
        /// The container
        name: String,
    },
    /// No configuration was loaded or set
    #[error("container {0} has no configuration")]
    NoConfig(String),
    /// A configuration file
    #[error(transparent)]
    Config(#[from] rlxc_config::LoadError),
    /// A configuration key
    #[error(transparent)]
    Key(#[from] rlxc_config::KeyError),
    /// A key of lxc.conf
    #[error(transparent)]
    Global(#[from] rlxc_config::GlobalError),
    /// The configuration cannot become a plan
    #[error(transparent)]
    Plan(#[from] rlxc_runtime::PlanError),
    /// A step of the start
    #[error(transparent)]
    Start(#[from] rlxc_runtime::StartError),
    /// Stop, freeze, wait, console
    #[error(transparent)]
    Control(#[from] rlxc_runtime::control::ControlError),
    /// Attach
    #[error(transparent)]
    Attach(#[from] rlxc_runtime::attach::AttachError),
    /// The command socket, or a lock
    #[error(transparent)]
    Monitor(#[from] rlxc_monitor::Error),
    /// Root file systems
    #[error(transparent)]
    Storage(#[from] rlxc_storage::Error),
    /// Links and addresses
    #[error(transparent)]
    Network(#[from] rlxc_network::Error),
    /// A file operation
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
    /// An external program
    #[error("{program} failed: {reason}")]
    Program {
        /// Its name
        program: &'static str,
        /// Its status and the end of what it said
        reason: String,
        /// What the user can do
        remedy: Option<String>,
    },
    /// The arguments contradict each other or the configuration
    #[error("{message}")]
    Refused {
        /// What is wrong
        message: String,
        /// The errno of the C API
        errno: i32,
        /// What the user can do
        remedy: Option<String>,
    },
}

impl Error {
    /// The errno of the C API; EIO where nothing better is known.
    pub fn errno(&self) -> i32 {
        let of = |errno: Option<Errno>| errno.map_or(Errno::EIO as i32, |e| e as i32);
        match self {
            Self::Name(_) | Self::Global(_) | Self::Plan(_) => Errno::EINVAL as i32,
            Self::NotDefined { .. } | Self::NoConfig(_) => Errno::ENOENT as i32,
            Self::NotRunning { .. } => Errno::ESRCH as i32,
            Self::Running { .. } => Errno::EBUSY as i32,
            Self::Config(error) => error.errno(),
            Self::Key(error) => error.errno(),
            Self::Start(error) => error.errno.unwrap_or(Errno::EIO as i32),
            Self::Control(error) => of(error.errno()),
            Self::Attach(error) => of(error.errno()),
            Self::Monitor(error) => of(error.errno()),
            Self::Path { source, .. } => source.raw_os_error().unwrap_or(Errno::EIO as i32),
            Self::Storage(error) => error.errno(),
            Self::Refused { errno, .. } => *errno,
            Self::Network(_) | Self::Program { .. } => Errno::EIO as i32,
        }
    }

    /// What the user can do about it, where something is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Start(error) => error.remedy.clone(),
            Self::Config(error) => error.remedy(),
            Self::Program { remedy, .. } | Self::Refused { remedy, .. } => remedy.clone(),
            Self::NotRunning { name } => Some(format!("start it first: rlxc start {name}")),
            Self::Running { name } => Some(format!("stop it first: rlxc stop {name}")),
            Self::Monitor(error) => of_monitor(error),
            Self::Control(rlxc_runtime::control::ControlError::Monitor(error)) => of_monitor(error),
            Self::Control(error) => error.remedy().map(str::to_owned),
            Self::Path { source, path, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                let path = path.display();
                Some(format!(
                    "check the permissions along the way: namei -l {path}"
                ))
            }
            _ => None,
        }
    }

    /// Whether the reason is that the container does not run.
    pub fn is_not_running(&self) -> bool {
        match self {
            Self::NotRunning { .. } => true,
            Self::Monitor(error)
            | Self::Attach(rlxc_runtime::attach::AttachError::Monitor(error))
            | Self::Control(rlxc_runtime::control::ControlError::Monitor(error)) => {
                error.is_not_running()
            }
            _ => false,
        }
    }

    pub(crate) fn refused(errno: Errno, message: impl Into<String>) -> Self {
        Self::Refused {
            message: message.into(),
            errno: errno as i32,
            remedy: None,
        }
    }

    /// Turns an errno into the error of `operation` on `path`.
    pub(crate) fn path<E: Into<io::Error>>(
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
}

fn of_monitor(error: &rlxc_monitor::Error) -> Option<String> {
    match error {
        rlxc_monitor::Error::NotRunning { name, .. } => {
            Some(format!("start it first: rlxc start {name}"))
        }
        rlxc_monitor::Error::Unresponsive { name, .. } => Some(format!(
            "its monitor may be stopped or stuck: look at it with ps, or end the container with rlxc stop -k {name}"
        )),
        _ => None,
    }
}
