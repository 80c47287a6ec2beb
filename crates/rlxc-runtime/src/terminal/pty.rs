use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use rlxc_sys::tty;

use super::{TerminalError, failed};

/// A new pair of terminal ends.
#[derive(Debug)]
pub struct Pty {
    /// The side of whoever plays the terminal
    pub ptx: OwnedFd,
    /// The side that programs see as their terminal
    pub pts: OwnedFd,
    /// Its number, `/dev/pts/N`
    pub index: u32,
}

const FLAGS: OFlag = OFlag::O_RDWR.union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

impl Pty {
    /// Makes a pair in the devpts instance whose root directory `devpts` is.
    ///
    /// # Errors
    /// [`TerminalError::Call`]: no more ptys, or no devpts.
    pub fn from_devpts(devpts: BorrowedFd<'_>) -> Result<Self, TerminalError> {
        let ptx = openat(devpts, "ptmx", FLAGS | OFlag::O_NOFOLLOW, Mode::empty())
            .map_err(failed("open ptmx in the container's devpts"))?;
        Self::of(ptx)
    }

    /// Makes a pair in the host's devpts.
    ///
    /// # Errors
    /// As [`Pty::from_devpts`].
    pub fn from_host() -> Result<Self, TerminalError> {
        // Not /dev/ptmx first: in a container it may be the host's node, for another instance.
        let ptx = open("/dev/pts/ptmx", FLAGS, Mode::empty())
            .or_else(|_| open("/dev/ptmx", FLAGS, Mode::empty()))
            .map_err(failed("open /dev/ptmx"))?;
        Self::of(ptx)
    }

    /// Has it pass every byte on as it is.
    ///
    /// # Errors
    /// As tcsetattr(3).
    pub(crate) fn make_raw(&self) -> Result<(), TerminalError> {
        super::raw::make_raw(self.pts.as_fd())
    }

    fn of(ptx: OwnedFd) -> Result<Self, TerminalError> {
        tty::unlock(ptx.as_fd()).map_err(failed("unlock the pty"))?;
        Ok(Self {
            pts: tty::peer(ptx.as_fd()).map_err(failed("open the pty's peer"))?,
            index: tty::index(ptx.as_fd()).map_err(failed("ask for the pty's number"))?,
            ptx,
        })
    }
}
