//! Signals by number or name (config-keys: `lxc.signal.*`; also the tools' signal arguments).

use crate::error::ValueError;
use crate::value;

/// A signal number, as `lxc.signal.*` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(pub i32);

/// First real-time signal that glibc gives to programs (signal(7)).
const SIGRTMIN: i32 = 34;
const SIGRTMAX: i32 = 64;

const NAMES: [(&str, i32); 33] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("ABRT", libc::SIGABRT),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("SEGV", libc::SIGSEGV),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("TRAP", libc::SIGTRAP),
    ("IOT", libc::SIGIOT),
    ("BUS", libc::SIGBUS),
    ("STKFLT", libc::SIGSTKFLT),
    ("CLD", libc::SIGCHLD),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

impl Signal {
    /// Parses a number (of any size up to 2147483647, as LXC does), `SIGNAME` or `SIGRTMIN+n` / `SIGRTMAX-n`; names in any case.
    ///
    /// # Errors
    /// Anything else, also a name without `SIG`.
    pub fn parse(value: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::expected("a signal: a number, SIGNAME or SIGRTMIN+n");
        if value.starts_with(|c: char| c.is_ascii_digit()) {
            return value::uint(value)
                .ok()
                .and_then(|n| i32::try_from(n).ok())
                .map(Self)
                .ok_or_else(wrong);
        }
        let upper = value.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").ok_or_else(wrong)?;
        if let Some(offset) = name.strip_prefix("RTMIN+") {
            return real_time(offset)
                .map(|n| Self(SIGRTMIN + n))
                .ok_or_else(wrong);
        }
        if let Some(offset) = name.strip_prefix("RTMAX-") {
            return real_time(offset)
                .map(|n| Self(SIGRTMAX - n))
                .ok_or_else(wrong);
        }
        match name {
            "POLL" => Ok(Self(libc::SIGIO)),
            "UNUSED" => Ok(Self(libc::SIGSYS)),
            _ => NAMES
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, number)| Self(*number))
                .ok_or_else(wrong),
        }
    }
}

fn real_time(offset: &str) -> Option<i32> {
    let n = i32::try_from(value::uint(offset).ok()?).ok()?;
    (n <= SIGRTMAX - SIGRTMIN).then_some(n)
}

impl std::str::FromStr for Signal {
    type Err = ValueError;
    fn from_str(s: &str) -> Result<Self, ValueError> {
        Self::parse(s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_numbers_or_sig_names() {
        assert_eq!(Signal::parse("sigrtmin+3"), Ok(Signal(37)));
        assert_eq!(Signal::parse("SIGRTMAX-1"), Ok(Signal(63)));
        assert_eq!(Signal::parse("SIGPWR"), Ok(Signal(30)));
        assert_eq!(Signal::parse("999"), Ok(Signal(999)));
        for bad in ["PWR", "SIGRTMIN", "SIGRTMIN+31", "5 ", "-5", "", "SIG"] {
            assert!(Signal::parse(bad).is_err(), "{bad:?}");
        }
    }
}
