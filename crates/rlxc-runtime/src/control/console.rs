use std::os::fd::{AsFd, BorrowedFd};

use rlxc_monitor::Client;

use super::ControlError;
use crate::terminal::{End, Relay, relay};

/// How to show a tty.
#[derive(Debug)]
pub struct ConsoleOptions<'a> {
    /// 0 the console, −1 the next free tty, else that one
    pub tty: i32,
    /// The user's terminal
    pub stdin: BorrowedFd<'a>,
    /// Where the output goes
    pub stdout: BorrowedFd<'a>,
    /// The key (1 is Ctrl-a) that leaves when followed by `q`
    pub escape: Option<u8>,
}

/// Shows a tty or the console of a container until the user leaves or it stops.
///
/// `connected` is called with the tty's number before the terminal goes to raw mode.
///
/// # Errors
/// [`ControlError::Monitor`] with EBUSY when the tty is taken or does not exist;
/// [`ControlError::Terminal`].
pub fn console(
    client: &Client,
    options: &ConsoleOptions<'_>,
    connected: impl FnOnce(i32),
) -> Result<End, ControlError> {
    let tty = client.tty(options.tty)?;
    connected(tty.number);
    let resized = || client.window_changed();
    Ok(relay(&Relay {
        ptx: tty.ptx.as_fd(),
        stdin: Some(options.stdin),
        stdout: options.stdout,
        escape: options.escape,
        ended: Some(tty.holder.as_fd()),
        resized: (tty.number == 0).then_some(&resized),
    })?)
}
