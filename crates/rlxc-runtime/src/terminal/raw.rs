use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use super::{TerminalError, failed};

/// A terminal in raw mode, put back as it was when this is dropped.
#[derive(Debug)]
pub struct RawMode {
    tty: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Puts a terminal in raw mode.
    ///
    /// # Errors
    /// [`TerminalError::Call`] with ENOTTY when it is none.
    pub fn enter(tty: BorrowedFd<'_>) -> Result<Self, TerminalError> {
        let before = tcgetattr(tty).map_err(failed("read the terminal's settings"))?;
        let tty = tty
            .try_clone_to_owned()
            .map_err(failed("duplicate the terminal"))?;
        make_raw(tty.as_fd())?;
        Ok(Self { tty, before })
    }
}

/// Puts a terminal in raw mode for good.
pub(super) fn make_raw(tty: BorrowedFd<'_>) -> Result<(), TerminalError> {
    let mut settings = tcgetattr(tty).map_err(failed("read the terminal's settings"))?;
    cfmakeraw(&mut settings);
    tcsetattr(tty, SetArg::TCSANOW, &settings).map_err(failed("set the terminal to raw mode"))
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Not after a drain: a stopped terminal would keep us here. What was written is processed.
        let _ = tcsetattr(self.tty.as_fd(), SetArg::TCSANOW, &self.before);
    }
}
