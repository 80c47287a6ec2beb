//! Terminals: pty pairs, the console's pump in the monitor, ttys to give away, and the client's side.
//!
//! The monitor owns a [`Terminals`] and polls it in its event loop; a client that takes a tty or
//! the console relays it to its own terminal by [`relay()`].

mod log;
mod pty;
mod pump;
mod raw;
mod relay;
mod ring;
mod ttys;

use std::io;
use std::path::PathBuf;

pub use log::ConsoleLog;
pub use pty::Pty;
pub use pump::{ConsolePump, ConsoleSetup};
pub use raw::RawMode;
pub use relay::{End, Relay, relay};
pub use ring::RingBuffer;
pub use ttys::Terminals;

/// Why something about a terminal failed.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// A system call on a terminal failed
    #[error("{operation}")]
    Call {
        /// What was tried
        operation: &'static str,
        /// Why
        #[source]
        source: io::Error,
    },
    /// A file operation failed
    #[error("{operation} {}", path.display())]
    Path {
        /// What was tried
        operation: &'static str,
        /// On what
        path: PathBuf,
        /// Why
        #[source]
        source: io::Error,
    },
}

impl TerminalError {
    /// The errno behind it, if there is one.
    pub fn errno(&self) -> Option<nix::errno::Errno> {
        let (Self::Call { source, .. } | Self::Path { source, .. }) = self;
        source.raw_os_error().map(nix::errno::Errno::from_raw)
    }

    pub(crate) fn stdio(source: io::Error) -> Self {
        failed("use the standard descriptors")(source)
    }
}

/// Turns an errno into the error of `operation`.
fn failed<E: Into<io::Error>>(operation: &'static str) -> impl Fn(E) -> TerminalError {
    move |source| TerminalError::Call {
        operation,
        source: source.into(),
    }
}
