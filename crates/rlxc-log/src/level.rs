use std::fmt;
use std::str::FromStr;

/// LXC's log levels, `lxc.log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum Level {
    Trace = 0,
    Debug = 1,
    Info = 2,
    Notice = 3,
    Warn = 4,
    Error = 5,
    Crit = 6,
    Alert = 7,
    Fatal = 8,
}

impl Level {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Trace, "TRACE"),
        (Self::Debug, "DEBUG"),
        (Self::Info, "INFO"),
        (Self::Notice, "NOTICE"),
        (Self::Warn, "WARN"),
        (Self::Error, "ERROR"),
        (Self::Crit, "CRIT"),
        (Self::Alert, "ALERT"),
        (Self::Fatal, "FATAL"),
    ];

    /// The level of that number, 0 to 8.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).map(|(level, _)| *level)
    }

    /// Its name in upper case.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The level of a tracing event.
    pub fn of(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::INFO => Self::Info,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::TRACE => Self::Trace,
        }
    }

    /// Its syslog priority (syslog(3)).
    pub(crate) fn priority(self) -> u8 {
        match self {
            Self::Trace | Self::Debug => 7,
            Self::Info => 6,
            Self::Notice => 5,
            Self::Warn => 4,
            Self::Error => 3,
            Self::Crit => 2,
            Self::Alert => 1,
            Self::Fatal => 0,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    /// A number 0 to 8 or a name in any case.
    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        let by_name = || {
            Self::ALL
                .iter()
                .find(|(_, name)| name.eq_ignore_ascii_case(text))
                .map(|(level, _)| *level)
        };
        text.parse()
            .ok()
            .and_then(Self::from_number)
            .or_else(by_name)
            .ok_or_else(|| UnknownLevel(text.to_owned()))
    }
}

/// A text that names no log level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown log level '{0}' (0 to 8, or TRACE DEBUG INFO NOTICE WARN ERROR CRIT ALERT FATAL)")]
pub struct UnknownLevel(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_levels() {
        assert_eq!("warn".parse(), Ok(Level::Warn));
        assert_eq!("0".parse(), Ok(Level::Trace));
        assert_eq!("8".parse(), Ok(Level::Fatal));
        assert!("9".parse::<Level>().is_err());
        assert!("loud".parse::<Level>().is_err());
    }
}
