use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;

use crate::protocol::{Command, Event, MESSAGE, Message};
use crate::state::{State, StateSet};
use crate::{Error, Result, wire};

/// Waits for states; made by [`crate::Client::watch`].
#[derive(Debug)]
pub struct Watch {
    pub(super) name: String,
    pub(super) socket: OwnedFd,
    pub(super) states: StateSet,
}

impl Watch {
    /// Waits for one of the states, at most until `until` (`None`: for ever).
    ///
    /// A monitor that hangs up has ended with its container: [`State::Stopped`].
    /// Returns `None` when the time is up.
    ///
    /// # Errors
    /// [`Error::Malformed`] and socket errors.
    pub fn wait(&self, until: Option<Instant>) -> Result<Option<State>> {
        loop {
            let mut bytes = [0; MESSAGE];
            match wire::receive_until(self.socket.as_fd(), &mut bytes, until) {
                Ok(_) => {}
                Err(Errno::ETIMEDOUT) => return Ok(None),
                Err(Errno::ECONNRESET) => return Ok(Some(State::Stopped)),
                Err(errno) => {
                    return Err(Error::Socket {
                        operation: "recvmsg",
                        name: self.name.clone(),
                        errno,
                    });
                }
            }
            let message = Message::decode(&bytes).map_err(|source| Error::Malformed {
                name: self.name.clone(),
                command: Command::AddStateClient,
                source,
            })?;
            if let Event::State(state) = message.event {
                return Ok(Some(state));
            }
        }
    }

    /// The states it was registered for.
    pub fn states(&self) -> StateSet {
        self.states
    }
}

impl AsFd for Watch {
    /// Readable when the message is there or the monitor is gone.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
