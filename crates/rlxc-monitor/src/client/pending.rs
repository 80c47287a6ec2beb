use std::os::fd::OwnedFd;
use std::time::Instant;

use super::exchange::Answer;
use super::{Cgroups, Client};
use crate::protocol::{CgroupCtx, Command, Malformed, decode_text};
use crate::state::State;
use crate::{Error, Result};

/// A question on its way; see [`Client::ask`].
#[derive(Debug)]
pub struct Pending<'a> {
    pub(super) client: &'a Client,
    pub(super) command: Command,
    pub(super) until: Instant,
    pub(super) socket: Result<OwnedFd>,
}

impl Pending<'_> {
    pub(super) fn answer(self) -> Result<Answer> {
        let answer = self
            .client
            .receive(self.command, self.socket?, self.until)?;
        self.client.check(self.command, &answer.response)?;
        Ok(answer)
    }

    /// The answer as a state; [`State::Stopped`] when nobody listens.
    ///
    /// # Errors
    /// As [`Client::state`].
    pub fn state(self) -> Result<State> {
        let (client, command) = (self.client, self.command);
        match self.answer() {
            Ok(answer) => State::from_number(answer.response.data).ok_or_else(|| {
                let source = Malformed::Value {
                    field: "state",
                    value: i64::from(answer.response.data),
                };
                client.malformed(command, source)
            }),
            Err(Error::NotRunning { .. }) => Ok(State::Stopped),
            Err(error) => Err(error),
        }
    }

    /// The answer as a string.
    ///
    /// # Errors
    /// The general ones.
    pub fn text(self) -> Result<String> {
        let (client, command) = (self.client, self.command);
        let answer = self.answer()?;
        match decode_text(&answer.payload) {
            Ok(text) => Ok(text.to_owned()),
            Err(source) => Err(client.malformed(command, source)),
        }
    }

    /// The answer as the value of a configuration key.
    ///
    /// # Errors
    /// As [`Client::config_item`].
    pub fn config_item(self) -> Result<Option<String>> {
        match self.text() {
            Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
            Err(Error::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The answer as one descriptor.
    ///
    /// # Errors
    /// [`Error::Refused`] with EBADF when none came.
    pub fn fd(self) -> Result<OwnedFd> {
        let (client, command) = (self.client, self.command);
        client.one_fd(command, self.answer()?.fds)
    }

    /// The answer as the container's cgroups.
    ///
    /// # Errors
    /// As [`Client::cgroups`].
    pub fn cgroups(self) -> Result<Cgroups> {
        let (client, command) = (self.client, self.command);
        let answer = self.answer()?;
        let ctx = CgroupCtx::decode(&answer.payload).map_err(|e| client.malformed(command, e))?;
        let (got, wanted) = (answer.fds.len(), ctx.fd_len as usize);
        if got != wanted {
            return Err(client.malformed(command, Malformed::Descriptors { got, wanted }));
        }
        Ok(Cgroups {
            ctx,
            dirs: answer.fds,
        })
    }
}
