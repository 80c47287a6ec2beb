//! What every verb gets: who it was called as, the common options, and the container they name.

use std::io::Write;
use std::panic::Location;
use std::path::{Path, PathBuf};

use clap::Args;
use rlxc::Container;

use crate::output::{Format, safe};

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
    /// The program as it was called, with its path
    pub called: String,
    /// Whether LXC's tool of that name was called
    pub lxc: bool,
    /// The common options
    pub common: Common,
}

/// How a verb ended: its exit status.
pub type Outcome = Result<u8, Failure>;

/// How LXC's tools report an error; `rlxc` has one form for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// A line of the log: `TOOL: NAME: FILE: FUNCTION: LINE TEXT`
    Logged,
    /// `TOOL: TEXT`
    Said,
    /// The text alone
    Plain,
    /// `TOOL: could not parse command line`, whatever the text says
    Usage,
}

/// Why a verb failed.
#[derive(Debug)]
pub struct Failure {
    /// The exit status
    pub status: u8,
    /// What is printed; empty: everything was said already
    pub message: String,
    /// What led to it, if the message does not tell: a line of its own in LXC's form
    pub cause: Option<String>,
    /// What the user can do
    pub remedy: Option<String>,
    /// Whether LXC's tools tell the remedy too: not where LXC has just one line
    pub lxc_remedy: bool,
    /// LXC's form
    pub manner: Manner,
    /// Where it was found
    pub place: &'static Location<'static>,
}

impl Failure {
    /// A failure with status 1.
    #[track_caller]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            status: 1,
            message: message.into(),
            cause: None,
            remedy: None,
            lxc_remedy: false,
            manner: Manner::Logged,
            place: Location::caller(),
        }
    }

    /// As [`Failure::new`], in another of LXC's manners.
    #[track_caller]
    pub fn of(manner: Manner, message: impl Into<String>) -> Self {
        Self {
            manner,
            ..Self::new(message)
        }
    }

    /// Options that are wrong or do not go together.
    #[track_caller]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::of(Manner::Usage, message)
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

    /// The same with a line of its own before it, in LXC's form.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// LXC's closing line for an operation, with this failure as its cause.
    #[must_use]
    pub fn because_of(self, message: impl Into<String>) -> Self {
        let cause = match self.cause {
            Some(cause) => format!("{}: {cause}", self.message),
            None => self.message,
        };
        Self {
            cause: Some(cause).filter(|cause| !cause.is_empty()),
            message: message.into(),
            ..self
        }
    }
}

impl From<rlxc::Error> for Failure {
    #[track_caller]
    fn from(error: rlxc::Error) -> Self {
        let remedy = error.remedy();
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        let message = without_codes(&message);
        Self {
            remedy,
            lxc_remedy: true,
            ..Self::new(message)
        }
    }
}

impl From<std::io::Error> for Failure {
    #[track_caller]
    fn from(error: std::io::Error) -> Self {
        let text = format!("cannot write the output: {error}");
        Self::new(without_codes(&text))
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
    /// None was given.
    pub fn name(&self, words: &mut Vec<String>) -> Result<String, Failure> {
        match &self.common.name {
            Some(name) => Ok(name.clone()),
            None if words.is_empty() => {
                Err(Failure::of(Manner::Said, "No container name specified"))
            }
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
        container.recover();
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

    /// Reports an error in the manner of the personality, to the log too.
    pub fn report(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        match self.lxc {
            true => self.report_lxc(failure),
            false => self.report_own(failure),
        }
    }

    fn report_lxc(&self, failure: &Failure) {
        match failure.manner {
            Manner::Logged => {
                for text in failure.cause.iter().chain([&failure.message]) {
                    logged(failure.place, text);
                }
            }
            Manner::Said => self.say(&format!("{}: {}", self.tool, safe(&failure.message))),
            Manner::Plain => self.say(&safe_lines(&failure.message)),
            Manner::Usage => self.say(&format!("{}: could not parse command line", self.tool)),
        }
        if let Some(remedy) = failure.remedy.as_ref().filter(|_| failure.lxc_remedy) {
            self.say(&format!("{}: hint: {}", self.tool, safe(remedy)));
        }
    }

    fn report_own(&self, failure: &Failure) {
        let mut text = safe_lines(&failure.message);
        if let Some(cause) = &failure.cause {
            text.push_str(": ");
            text.push_str(&safe_lines(cause));
        }
        logged(failure.place, &text);
        let mut text = text.replace('\n', "\n  ");
        if let Some(at) = text.find(": ").filter(|_| text.len() > 100) {
            text.replace_range(at..at + 2, ":\n  ");
        }
        self.say(&format!("{} {text}", crate::output::red("error:")));
        if let Some(remedy) = &failure.remedy {
            self.say(&format!("remedy: {}", safe(remedy)));
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

/// The text without `(os error 2)`, which says nothing that the words before it do not.
pub(crate) fn without_codes(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((code, rest)) if code.bytes().all(|b| b.is_ascii_digit()) => clean.push_str(rest),
            _ => {
                clean.push_str(" (os error ");
                clean.push_str(part);
            }
        }
    }
    clean
}

/// An error line for the log, told as from where it was found.
fn logged(place: &Location<'_>, text: &str) {
    let line = u64::from(place.line());
    let text = safe(text);
    tracing::error!(
        target: "rlxc_cli::main",
        { log.file = place.file(), log.line = line },
        "{text}"
    );
}

fn safe_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(safe).collect();
    lines.join("\n")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_errors_are_left_out() {
        assert_eq!(
            without_codes("a: No (os error 2): b (os error 13)"),
            "a: No: b"
        );
        assert_eq!(without_codes("x (os error y) z"), "x (os error y) z");
    }
}
