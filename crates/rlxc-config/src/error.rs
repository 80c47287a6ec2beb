//! Errors of this crate: what failed, where, and what would have been right.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A position in a configuration file. Lines and columns count from 1, columns in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Location {
    /// The file.
    pub file: PathBuf,
    /// Line number, empty lines counted.
    pub line: usize,
    /// Column of the first offending byte.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// A value that its key does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ValueError {
    /// What is wrong, with the expected form.
    pub message: String,
    /// Offset and length of the offending part inside the value; `None` = all of it.
    pub span: Option<(usize, usize)>,
    /// The errno of the C API.
    pub errno: i32,
}

impl ValueError {
    /// An EINVAL with this message.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span: None,
            errno: libc::EINVAL,
        }
    }

    /// `expected WHAT`.
    pub(crate) fn expected(what: impl fmt::Display) -> Self {
        Self::new(format!("expected {what}"))
    }

    /// With another errno.
    pub(crate) fn errno(mut self, errno: i32) -> Self {
        self.errno = errno;
        self
    }

    /// Pointing at `part`, which must be a slice of `value`.
    pub(crate) fn at(mut self, value: &str, part: &str) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(value.as_ptr() as usize);
        if start <= value.len() && start + part.len() <= value.len() {
            self.span = Some((start, part.len()));
        }
        self
    }
}

/// The beginning of a text of any length, for a message.
pub(crate) fn short(text: &str) -> std::borrow::Cow<'_, str> {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

/// Why a key cannot be set, read or cleared.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No such key.
    #[error("unknown key {}{hint}", short(key))]
    Unknown {
        /// The key as given.
        key: String,
        /// `; did you mean …` or the way out for a legacy key, else empty.
        hint: String,
    },
    /// The key does not take this value.
    #[error("{} cannot be set to {:?}", short(key), short(value))]
    Value {
        /// The key.
        key: String,
        /// The value as given.
        value: String,
        /// What is wrong with it.
        #[source]
        source: ValueError,
    },
    /// The value would write more than one line into the configuration file.
    #[error("the value of {key} holds a line break or NUL byte at offset {offset}")]
    LineBreak {
        /// The key.
        key: String,
        /// Offset in the value (or in the key).
        offset: usize,
    },
    /// The key can only be written (`lxc.include`).
    #[error("{key} cannot be read")]
    NotReadable {
        /// The key.
        key: String,
    },
    /// The key names a network interface that is not configured.
    #[error("{key} names a network that is not configured")]
    NoSuchNic {
        /// The key.
        key: String,
    },
    /// The key belongs to networks of another type than this one's.
    #[error("{key} does not go with the type of its network")]
    WrongType {
        /// The key.
        key: String,
    },
    /// The key has no sub-keys to list.
    #[error("{key} has no sub-keys")]
    NoSubkeys {
        /// The prefix as given.
        key: String,
    },
    /// The file or directory named by `lxc.include` cannot be used.
    #[error("{key} of {} failed", short(value))]
    Include {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// Why.
        #[source]
        source: Box<LoadError>,
    },
}

impl KeyError {
    /// The errno that the C API gives for this error.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Value { source, .. } => source.errno,
            Self::NotReadable { .. } => libc::ENOSYS,
            Self::NoSuchNic { .. } => libc::ENOENT,
            Self::Include { source, .. } => source.errno(),
            Self::Unknown { .. }
            | Self::LineBreak { .. }
            | Self::WrongType { .. }
            | Self::NoSubkeys { .. } => libc::EINVAL,
        }
    }
}

/// What is wrong with one line of a file.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// A line that begins with `lxc.` has no `=`.
    #[error("a line that begins with \"lxc.\" must read \"key = value\": there is no \"=\"")]
    NoEquals,
    /// A NUL byte.
    #[error("a NUL byte: this is no text file")]
    Nul,
    /// Bytes in a key or value that are not UTF-8.
    #[error("not UTF-8 (a file in another encoding is converted by iconv -f latin1 -t utf-8)")]
    NotUtf8,
    /// The key or value is refused.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Why a file cannot be loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Opening or reading failed.
    #[error("cannot read {path}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Writing failed.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A FIFO, socket or device: reading it could block or never end.
    #[error("{path} is no regular file")]
    NotRegular {
        /// The path.
        path: PathBuf,
    },
    /// The file is larger than a configuration may be.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// A file includes itself, directly or through others.
    #[error("{path} includes itself")]
    IncludeLoop {
        /// The file met twice.
        path: PathBuf,
    },
    /// Includes are nested too deeply, or there are too many of them.
    #[error("{path}: more than {limit} {what}")]
    TooMany {
        /// The file at which the limit was met.
        path: PathBuf,
        /// The limit.
        limit: usize,
        /// `nested includes` or `included files`.
        what: &'static str,
    },
    /// A line is wrong.
    #[error("{at}: {}", key_of(source))]
    Line {
        /// Where.
        at: Location,
        /// What.
        #[source]
        source: Box<LineError>,
    },
}

/// The head of a line's message: the source's own text follows in the chain.
fn key_of(error: &LineError) -> &'static str {
    match error {
        LineError::NoEquals | LineError::Nul | LineError::NotUtf8 => "bad line",
        LineError::Key(KeyError::Unknown { .. }) => "bad key",
        LineError::Key(KeyError::Include { .. }) => "bad include",
        LineError::Key(_) => "bad value",
    }
}

impl LoadError {
    /// The wrong line itself, through the includes that led to it.
    fn innermost(&self) -> Option<(&Location, &LineError)> {
        let Self::Line { at, source } = self else {
            return None;
        };
        if let LineError::Key(KeyError::Include { source, .. }) = &**source
            && let Some(inner) = source.innermost()
        {
            return Some(inner);
        }
        Some((at, source))
    }

    /// What the user can do about it, where something is known.
    pub fn remedy(&self) -> Option<String> {
        let (at, error) = self.innermost()?;
        let file = at.file.display();
        match error {
            LineError::Key(KeyError::Unknown { key, .. })
                if crate::legacy::replacement(key).is_some() =>
            {
                Some(format!(
                    "convert the file, which keeps a copy: lxc-update-config -c {file} (or rlxc update-config -c {file})"
                ))
            }
            _ => Some(format!("every mistake at once: rlxc config check {file}")),
        }
    }

    /// The errno that the C API gives for this error.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => {
                source.raw_os_error().unwrap_or(libc::EIO)
            }
            Self::NotRegular { .. } => libc::EINVAL,
            Self::TooLarge { .. } => libc::EFBIG,
            Self::IncludeLoop { .. } | Self::TooMany { .. } => libc::ELOOP,
            Self::Line { source, .. } => match &**source {
                LineError::Key(key) => key.errno(),
                LineError::NoEquals | LineError::Nul => libc::EINVAL,
                LineError::NotUtf8 => libc::EILSEQ,
            },
        }
    }
}
