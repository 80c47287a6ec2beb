//! What can go wrong with an image.

use std::io;
use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error; what is refused is named with the reason.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on a path failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Path {
        /// What was tried
        what: &'static str,
        /// On which path
        path: PathBuf,
        /// Why it failed
        source: io::Error,
    },
    /// A request failed.
    #[error("cannot fetch {url}: {reason}")]
    Fetch {
        /// The address, without credentials
        url: String,
        /// Why
        reason: String,
    },
    /// A server's answer was none of those that help.
    #[error("{url} answered {status}{hint}")]
    Status {
        /// The address
        url: String,
        /// The HTTP status
        status: u16,
        /// What may help, beginning with a separator
        hint: String,
    },
    /// The content is not what was announced.
    #[error("{what} is damaged or forged: expected {expected}, found {found}")]
    Digest {
        /// Which file
        what: String,
        /// The announced digest
        expected: String,
        /// That of the content
        found: String,
    },
    /// An archive's entry that an honest image does not have.
    #[error("the archive is refused: entry {entry:?} {reason}")]
    Hostile {
        /// The entry's name as it stands there
        entry: String,
        /// What is wrong with it
        reason: String,
    },
    /// Something cannot be read as what it should be.
    #[error("{what}: {reason}")]
    Format {
        /// What was read
        what: String,
        /// What is wrong
        reason: String,
    },
    /// Nothing verified the signature.
    #[error("the signature of {what} does not hold: {reason}")]
    Signature {
        /// What was signed
        what: String,
        /// Why it does not hold
        reason: String,
    },
    /// A plain message: a wrong call, something missing.
    #[error("{0}")]
    Message(String),
}

impl Error {
    /// For `map_err`: what failed on which path.
    pub(crate) fn path<E: Into<io::Error>>(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Path {
            what,
            path,
            source: source.into(),
        }
    }

    /// An entry that is refused.
    pub(crate) fn hostile(entry: &[u8], reason: impl Into<String>) -> Self {
        Self::Hostile {
            entry: shorten(&String::from_utf8_lossy(entry)),
            reason: reason.into(),
        }
    }

    /// Something that cannot be read.
    pub(crate) fn format(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Format {
            what: what.into(),
            reason: reason.to_string(),
        }
    }

    /// A plain message.
    pub(crate) fn message(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }
}

/// A name that is safe to show in one line.
fn shorten(name: &str) -> String {
    match name.char_indices().nth(120) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.to_owned(),
    }
}
