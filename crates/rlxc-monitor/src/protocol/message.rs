//! The message about one event.

use super::{MESSAGE, Malformed, check_size, i32_at, put};
use crate::state::State;

/// `struct lxc_msg`: one event, sent to state clients and through `lxc-monitord`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The container, cut to 255 bytes
    pub name: String,
    /// What happened
    pub event: Event,
}

/// What a [`Message`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The container reached a state
    State(State),
    /// A priority changed (LXC knows the message, nothing sends it)
    Priority(i32),
    /// Init ended; the raw wait status
    ExitCode(i32),
}

impl Message {
    /// The message's bytes.
    pub fn encode(&self) -> [u8; MESSAGE] {
        let mut bytes = [0; MESSAGE];
        let (kind, value): (i32, i32) = match self.event {
            Event::State(state) => (0, state.number()),
            Event::Priority(value) => (1, value),
            Event::ExitCode(status) => (2, status),
        };
        put(&mut bytes, 0, kind.to_ne_bytes());
        for (to, from) in bytes[4..259].iter_mut().zip(self.name.as_bytes()) {
            *to = *from;
        }
        put(&mut bytes, 260, value.to_ne_bytes());
        bytes
    }

    /// Reads a message. A name that is not UTF-8 is shown with replacement characters.
    ///
    /// # Errors
    /// A wrong size, an unknown type or state.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        check_size(bytes, MESSAGE)?;
        let value = i32_at(bytes, 260);
        let event = match i32_at(bytes, 0) {
            0 => Event::State(State::from_number(value).ok_or(Malformed::Value {
                field: "state",
                value: i64::from(value),
            })?),
            1 => Event::Priority(value),
            2 => Event::ExitCode(value),
            kind => {
                return Err(Malformed::Value {
                    field: "message type",
                    value: i64::from(kind),
                });
            }
        };
        let name = &bytes[4..260];
        let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
        Ok(Self {
            name: String::from_utf8_lossy(&name[..end]).into_owned(),
            event,
        })
    }
}
