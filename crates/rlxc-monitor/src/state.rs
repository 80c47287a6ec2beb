use std::fmt;
use std::str::FromStr;

/// The state of a container, numbered as on the command socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// No monitor listens.
    Stopped = 0,
    /// Being set up.
    Starting = 1,
    /// Init has been executed.
    Running = 2,
    /// Init is gone, the container is being taken down.
    Stopping = 3,
    /// A start failed and is being undone.
    Aborting = 4,
    /// The freezer was asked to freeze.
    Freezing = 5,
    /// All processes are frozen.
    Frozen = 6,
    /// Announced after a thaw; never the current state, which is [`State::Running`] then.
    Thawed = 7,
}

impl State {
    /// How many states there are; as a number on the wire "none of them".
    pub const COUNT: usize = 8;

    /// All, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Stopped,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Aborting,
        Self::Freezing,
        Self::Frozen,
        Self::Thawed,
    ];

    /// Its number on the wire.
    pub fn number(self) -> i32 {
        i32::from(self as u8)
    }

    /// The state with that number.
    pub fn from_number(number: i32) -> Option<Self> {
        usize::try_from(number)
            .ok()
            .and_then(|n| Self::ALL.get(n))
            .copied()
    }

    /// Its name: `STOPPED`, `RUNNING`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
            Self::Aborting => "ABORTING",
            Self::Freezing => "FREEZING",
            Self::Frozen => "FROZEN",
            Self::Thawed => "THAWED",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for State {
    type Err = UnknownState;

    /// Case-sensitive, like `lxc-wait -s`.
    fn from_str(s: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == s)
            .ok_or_else(|| UnknownState(s.to_owned()))
    }
}

/// A name that is no container state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid state '{0}' (known: STOPPED STARTING RUNNING STOPPING ABORTING FREEZING FROZEN THAWED)"
)]
pub struct UnknownState(pub String);

/// A set of states that somebody waits for, as the array of `ADD_STATE_CLIENT`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateSet(u8);

impl StateSet {
    /// Adds `state`.
    #[must_use]
    pub fn with(self, state: State) -> Self {
        Self(self.0 | 1 << state as u8)
    }

    /// Whether `state` is in the set.
    pub fn contains(self, state: State) -> bool {
        self.0 & (1 << state as u8) != 0
    }
}

impl FromIterator<State> for StateSet {
    fn from_iter<I: IntoIterator<Item = State>>(states: I) -> Self {
        states.into_iter().fold(Self::default(), Self::with)
    }
}

impl From<State> for StateSet {
    fn from(state: State) -> Self {
        Self::default().with(state)
    }
}

impl FromStr for StateSet {
    type Err = UnknownState;

    /// Names joined by `|`, as `lxc-wait -s` takes them.
    fn from_str(s: &str) -> Result<Self, UnknownState> {
        let states: Self = s
            .split('|')
            .filter(|word| !word.is_empty())
            .map(State::from_str)
            .collect::<Result<_, _>>()?;
        match states.0 == 0 {
            true => Err(UnknownState(s.to_owned())),
            false => Ok(states),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree_in_both_directions() {
        for (number, state) in (0..).zip(State::ALL) {
            assert_eq!(state.number(), number);
            assert_eq!(State::from_number(number), Some(state));
            assert_eq!(state.name().parse(), Ok(state));
        }
        assert_eq!(State::from_number(8), None);
        assert_eq!(State::from_number(-1), None);
    }

    #[test]
    fn a_list_of_states_is_split_at_bars_and_typos_are_named() {
        let set: StateSet = "RUNNING|STOPPED".parse().unwrap();
        assert!(set.contains(State::Running) && set.contains(State::Stopped));
        assert!(!set.contains(State::Frozen));
        let error = "RUNNING|stopped".parse::<StateSet>().unwrap_err();
        assert_eq!(error, UnknownState("stopped".into()));
    }
}
