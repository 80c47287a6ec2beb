//! Why a start failed, in one serialisable shape that crosses process borders.

use std::error::Error;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A failed step of a start: what was tried, on what, with which errno, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartError {
    /// The step's name, as in `--timings` and `--dry-run`.
    pub step: String,
    /// The path, key, device or program it was about; empty if nothing in particular.
    pub target: String,
    /// The kernel's errno, if there was one.
    pub errno: Option<i32>,
    /// What went wrong, without the target.
    pub message: String,
    /// What the user can do.
    pub remedy: Option<String>,
}

impl StartError {
    /// A failure that has no errno.
    pub fn new(step: &str, target: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self {
            step: step.to_owned(),
            target: target.to_string(),
            errno: None,
            message: message.to_string(),
            remedy: None,
        }
    }

    /// A failure with an error's chain as the message and the first errno found in it.
    pub fn from_error(
        step: &str,
        target: impl fmt::Display,
        error: &(dyn Error + 'static),
    ) -> Self {
        let mut message = error.to_string();
        let mut errno = errno_of(error);
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            errno = errno.or_else(|| errno_of(cause));
            source = cause.source();
        }
        Self {
            errno,
            ..Self::new(step, target, message)
        }
    }

    /// The same with something the user can do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

fn errno_of(error: &(dyn Error + 'static)) -> Option<i32> {
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return error.raw_os_error();
    }
    error
        .downcast_ref::<nix::errno::Errno>()
        .map(|errno| *errno as i32)
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.step)?;
        if !self.target.is_empty() {
            write!(f, "{}: ", self.target)?;
        }
        f.write_str(&self.message)
    }
}

impl Error for StartError {}

/// Names the step and the target of a failed call.
pub(crate) trait Context<T> {
    /// Turns the error into a [`StartError`].
    fn at(self, step: &str, target: impl fmt::Display) -> Result<T, StartError>;

    /// As [`Context::at`] for a path.
    fn at_path(self, step: &str, path: impl AsRef<Path>) -> Result<T, StartError>
    where
        Self: Sized,
    {
        self.at(step, path.as_ref().display())
    }
}

impl<T, E: Error + 'static> Context<T> for Result<T, E> {
    fn at(self, step: &str, target: impl fmt::Display) -> Result<T, StartError> {
        self.map_err(|error| StartError::from_error(step, target, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errno_is_found_in_the_chain() {
        let io: std::io::Result<()> = Err(std::io::Error::from_raw_os_error(libc_enoent()));
        let error = io.at("rootfs", "/x").err();
        assert_eq!(error.as_ref().and_then(|e| e.errno), Some(libc_enoent()));
        assert!(error.is_some_and(|e| e.to_string().starts_with("rootfs: /x: No such file")));
    }

    fn libc_enoent() -> i32 {
        nix::errno::Errno::ENOENT as i32
    }
}
