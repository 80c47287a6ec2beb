//! What every verb gets: who it was called as, the common options, and the container they name.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use rlxc::Container;

use crate::output::Format;

/// The options that all tools share.
#[derive(Debug, Clone, Default, Args)]
pub struct Common {
    /// Name of the container (also the first argument)
    #[arg(short = 'n', long, value_name = "NAME")]
    pub name: Option<String>,
    /// Write the log to FILE
    #[arg(short = 'o', long, value_name = "FILE", visible_alias = "log-file")]
    pub logfile: Option<PathBuf>,
    /// Write log lines of LEVEL and worse
    #[arg(
        short = 'l',
        long,
        value_name = "LEVEL",
        visible_alias = "log-priority"
    )]
    pub logpriority: Option<String>,
    /// Print no errors
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Look for containers below PATH
    #[arg(short = 'P', long, value_name = "PATH")]
    pub lxcpath: Vec<PathBuf>,
    /// Read the configuration from FILE
    #[arg(long, value_name = "FILE")]
    pub rcfile: Option<PathBuf>,
    /// Form of the output
    #[arg(long, value_name = "FORM", value_enum, default_value = "table")]
    pub format: Format,
}

/// One call of a verb.
#[derive(Debug)]
pub struct Context {
    /// `lxc-start` or `rlxc start`
    pub tool: String,
    /// Whether LXC's tool of that name was called
    pub lxc: bool,
    /// The common options
    pub common: Common,
}

/// How a verb ended: its exit status.
pub type Outcome = Result<u8, Failure>;

/// Why a verb failed.
#[derive(Debug)]
pub struct Failure {
    /// The exit status
    pub status: u8,
    /// What is printed; empty: everything was said already
    pub message: String,
    /// What the user can do
    pub remedy: Option<String>,
}

impl Failure {
    /// A failure with status 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            status: 1,
            message: message.into(),
            remedy: None,
        }
    }

    /// The same with another exit status.
    #[must_use]
    pub fn status(mut self, status: u8) -> Self {
        self.status = status;
        self
    }

    /// The same with something the user can do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl From<rlxc::Error> for Failure {
    fn from(error: rlxc::Error) -> Self {
        let remedy = error.remedy();
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self {
            status: 1,
            message,
            remedy,
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(format!("cannot write the output: {error}"))
    }
}

impl Context {
    /// The last lxcpath given, else `lxc.lxcpath`.
    pub fn lxcpath(&self) -> PathBuf {
        match self.common.lxcpath.last() {
            Some(path) => trimmed(path),
            None => rlxc::default_lxcpath(),
        }
    }

    /// All lxcpaths given, else `lxc.lxcpath`.
    pub fn lxcpaths(&self) -> Vec<PathBuf> {
        match self.common.lxcpath.as_slice() {
            [] => vec![rlxc::default_lxcpath()],
            paths => paths.iter().map(|path| trimmed(path)).collect(),
        }
    }

    /// The container's name: `-n`, else the first of `words`, which is taken off.
    ///
    /// # Errors
    /// There is none.
    pub fn name(&self, words: &mut Vec<String>) -> Result<String, Failure> {
        match &self.common.name {
            Some(name) => Ok(name.clone()),
            None if words.is_empty() => Err(Failure::new("No container name specified")),
            None => Ok(words.remove(0)),
        }
    }

    /// The named container without its configuration: for questions to a running one.
    ///
    /// # Errors
    /// A name that cannot be one.
    pub fn bare(&self, words: &mut Vec<String>) -> Result<Container, Failure> {
        let name = self.name(words)?;
        let mut container = Container::without_config(&name, Some(&self.lxcpath()))?;
        if let Some(file) = &self.common.rcfile {
            container.set_config_file(file);
        }
        Ok(container)
    }

    /// The named container with its configuration, if it has one.
    ///
    /// # Errors
    /// A name that cannot be one, a configuration that is wrong.
    pub fn container(&self, words: &mut Vec<String>) -> Result<Container, Failure> {
        let mut container = self.bare(words)?;
        if let Some(file) = &self.common.rcfile {
            container.load_config(Some(file))?;
        } else if container.is_defined() {
            container.load_config(None)?;
        }
        Ok(container)
    }

    /// Says something on standard error, unless told to be quiet.
    pub fn say(&self, text: &str) {
        if !self.common.quiet {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// Reports an error in the manner of the personality.
    pub fn report(&self, failure: &Failure) {
        if self.common.quiet || failure.message.is_empty() {
            return;
        }
        if self.lxc {
            self.say(&format!("{}: {}", self.tool, failure.message));
        } else {
            let mut text = failure.message.replace('\n', "\n  ");
            if let Some(at) = text.find(": ").filter(|_| text.len() > 100) {
                text.replace_range(at..at + 2, ":\n  ");
            }
            self.say(&format!("{} {text}", crate::output::red("error:")));
        }
        if let Some(remedy) = &failure.remedy {
            let label = if self.lxc {
                format!("{}: hint:", self.tool)
            } else {
                "remedy:".into()
            };
            self.say(&format!("{label} {remedy}"));
        }
    }

    /// Whether the caller may control a container; LXC's complaint if not.
    ///
    /// # Errors
    /// It may not.
    pub fn check_control(&self, container: &Container) -> Result<(), Failure> {
        match container.may_control() {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "Insufficent privileges to control {}",
                container.name()
            ))),
        }
    }
}

fn trimmed(path: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    let end = bytes
        .iter()
        .rposition(|b| *b != b'/')
        .map_or(1, |at| at + 1);
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes[..end.min(bytes.len())]))
}
