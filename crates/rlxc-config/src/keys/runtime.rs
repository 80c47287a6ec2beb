//! `lxc.init.*`, `lxc.keyring`, `lxc.log.*`, `lxc.monitor.*`, `lxc.prlimit`, `lxc.pty`, `lxc.signal.*`,
//! `lxc.start.*`, `lxc.tty.*`, `lxc.uts`, `lxc.sysctl`, `lxc.proc`.

use super::{Fault, KeyRow, lines, text};
use crate::config::{Config, Pairs};
use crate::error::ValueError;
use crate::signal::Signal;
use crate::value;

/// Log levels by number.
pub(crate) const LEVELS: [&str; 9] = [
    "TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "ERROR", "CRIT", "ALERT", "FATAL",
];

fn level(value: &str) -> Result<u8, Fault> {
    let number = || {
        let n = value
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| value::uint(value))?;
        usize::try_from(n.ok()?).ok()
    };
    LEVELS
        .iter()
        .position(|level| level.eq_ignore_ascii_case(value))
        .or_else(number)
        .filter(|n| *n < LEVELS.len())
        .and_then(|n| u8::try_from(n).ok())
        .ok_or_else(|| {
            ValueError::new(format!("expected 0 to 8 or one of {}", LEVELS.join(" "))).into()
        })
}

/// Facilities that LXC can log to.
fn is_facility(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    lower == "daemon"
        || lower
            .strip_prefix("local")
            .is_some_and(|n| matches!(n.as_bytes(), [b'0'..=b'7']))
}

/// An id that LXC prints as `int`.
macro_rules! id_key {
    ($name:literal, $field:ident, $doc:literal) => {
        row!($name; "a number from 0 to 4294967295", "0", "2.1", $doc, "1000",
            |c, _, v| { c.init.$field = if v.is_empty() { 0 } else { value::uint(v)? }; Ok(()) },
            |c, _| Ok(c.init.$field.cast_signed().to_string()),
            |c, _| { c.init.$field = 0; Ok(()) })
    };
}

pub(super) const INIT_TO_MONITOR: &[KeyRow] = &[
    text_key!(
        "lxc.init.cmd",
        init.cmd,
        "a command line; quotes group words",
        "/sbin/init",
        "2.1",
        "Program run as the container's init when the start names none.",
        "/lib/systemd/systemd"
    ),
    id_key!(
        "lxc.init.gid",
        gid,
        "Group id that init runs with, inside the container."
    ),
    row!("lxc.init.groups", list; "numbers separated by commas", "unset (groups are dropped)", "5.0",
        "Supplementary groups that init runs with.", "27,100",
        |c, _, v| {
            if v.is_empty() { c.init.groups = None; return Ok(()); }
            let mut new = Vec::new();
            for word in v.split(',').filter(|w| !w.is_empty()) {
                new.push(value::uint(word).map_err(|e| e.at(v, word))?);
            }
            if new.is_empty() {
                return Err(ValueError::expected("numbers separated by commas").into());
            }
            c.init.groups.get_or_insert_default().extend(new);
            Ok(())
        },
        |c, _| Ok(c.init.groups.iter().flatten().map(|n| n.cast_signed().to_string()).collect::<Vec<_>>().join(",")),
        |c, _| { c.init.groups = None; Ok(()) }),
    id_key!(
        "lxc.init.uid",
        uid,
        "User id that init runs with, inside the container."
    ),
    path_key!(
        "lxc.init.cwd",
        init.cwd,
        "/",
        "2.1",
        "Directory in the container that init starts in.",
        "/srv"
    ),
    flag_key!(
        "lxc.keyring.session",
        no_session_keyring,
        "4.0.0",
        "1 keeps the starter's session keyring instead of making a new one for the container."
    ),
    path_key!(
        "lxc.log.file",
        log.file,
        "LXCPATH/NAME/NAME.log or /var/log/lxc/NAME.log",
        "2.1",
        "File that log lines of this container are appended to.",
        "/var/log/lxc/c1.log"
    ),
    row!("lxc.log.level"; "0 to 8, or TRACE DEBUG INFO NOTICE WARN ERROR CRIT ALERT FATAL", "ERROR", "2.1",
        "Least important level that is logged.", "DEBUG",
        |c, _, v| {
            // As in LXC an unknown level also forgets the old one, but text that is no number does not.
            if !v.starts_with(|c: char| c.is_ascii_digit()) || value::int(v).is_ok() {
                c.log.level = None;
            }
            c.log.level = if v.is_empty() { None } else { Some(level(v)?) };
            Ok(())
        },
        |c, _| Ok(c.log.level.and_then(|n| LEVELS.get(usize::from(n))).copied().unwrap_or("NOTSET").to_owned()),
        |c, _| { c.log.level = None; Ok(()) }),
    row!("lxc.log.syslog"; "daemon or local0 to local7", "unset", "2.1",
        "Syslog facility that log lines go to instead of a file.", "daemon",
        |c, _, v| {
            // As in LXC a facility that makes no sense also forgets the old one.
            c.log.syslog = None;
            if !v.is_empty() && !is_facility(v) {
                return Err(ValueError::expected("daemon or local0 to local7").into());
            }
            c.log.syslog = text(v);
            Ok(())
        },
        |c, _| Ok(c.log.syslog.clone().unwrap_or_default()),
        |c, _| { c.log.syslog = None; Ok(()) }),
    row!("lxc.monitor.unshare"; "0, or another number for yes", "0", "2.1",
        "Whether the monitor gets a mount namespace of its own before the rootfs is mounted.", "1",
        |c, _, v| { c.monitor_unshare = if v.is_empty() { 0 } else { value::uint(v)? }; Ok(()) },
        |c, _| Ok(c.monitor_unshare.cast_signed().to_string()),
        |c, _| { c.monitor_unshare = 0; Ok(()) }),
    row!("lxc.monitor.signal.pdeath"; "a signal by number or name", "SIGKILL", "3.1",
        "Signal that init gets when the monitor dies; 0 for none.", "SIGKILL",
        |c, _, v| {
            c.monitor_signal_pdeath = Some(if v.is_empty() { 0 } else { Signal::parse(v)?.0 });
            Ok(())
        },
        |c, _| Ok(c.monitor_signal_pdeath.unwrap_or(libc::SIGKILL).to_string()),
        |c, _| { c.monitor_signal_pdeath = Some(0); Ok(()) }),
];

fn shown_limit(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |n| n.to_string())
}

fn shown_pair((_, soft, hard): (&str, Option<u64>, Option<u64>)) -> String {
    if soft == hard {
        shown_limit(soft)
    } else {
        format!("{}:{}", shown_limit(soft), shown_limit(hard))
    }
}

/// The free part of a key such as `lxc.sysctl.NAME`: `None` for the bare key.
fn member(rest: &str) -> Result<Option<&str>, Fault> {
    match rest.strip_prefix('.') {
        Some(name) => Ok(Some(name)),
        None if rest.is_empty() => Ok(None),
        None => Err(Fault::Unknown),
    }
}

fn named<'a>(rest: &'a str, what: &str) -> Result<&'a str, Fault> {
    match member(rest)? {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(ValueError::new(format!("expected {what} after the last dot of the key")).into()),
    }
}

fn clear_pairs(list: &mut Pairs, rest: &str) -> Result<(), Fault> {
    match member(rest)? {
        Some(name) => list.remove(name),
        None => list.clear(),
    }
    Ok(())
}

fn show_pairs(list: &Pairs, prefix: &str, rest: &str) -> Result<String, Fault> {
    Ok(match member(rest)? {
        Some(name) => list.of(name).map(|(_, v)| v).collect(),
        None => lines(list.iter().map(|(n, v)| format!("{prefix}.{n} = {v}"))),
    })
}

fn clear_prlimit(c: &mut Config, rest: &str) -> Result<(), Fault> {
    match member(rest)? {
        Some(name) => c.prlimits.remove(name),
        None => c.prlimits.clear(),
    }
    Ok(())
}

pub(super) const PRLIMIT_PTY: &[KeyRow] = &[
    flag_key!(
        "lxc.no_new_privs",
        no_new_privs,
        "2.0",
        "Whether no program in the container can gain privileges by set-user-id bits or file capabilities."
    ),
    row!("lxc.prlimit", prefix, list; "lxc.prlimit.RESOURCE = SOFT[:HARD], numbers or unlimited", "inherited", "2.1",
    "Resource limit of init; RESOURCE as in prlimit(2) in lower case without RLIMIT_.", ".nofile = 1024:4096",
    |c, rest, v| {
        if v.is_empty() {
            return clear_prlimit(c, rest);
        }
        let Some(name) = member(rest)? else {
            return Err(ValueError::expected("the name of a resource after the key").into());
        };
        let (soft, hard) = value::prlimit(v)?;
        c.prlimits.put(name, soft, hard);
        Ok(())
    },
    |c, rest| Ok(match member(rest)? {
        Some(name) => c.prlimits.of(name).next().map(shown_pair).unwrap_or_default(),
        None => lines(c.prlimits.iter().map(|l| format!("lxc.prlimit.{} = {}", l.0, shown_pair(l)))),
    }),
    clear_prlimit),
    uint_key!(
        "lxc.pty.max",
        pty_max,
        "2.1",
        "How many ptys the container's devpts may hold; 0 for 1024.",
        "1024"
    ),
];

macro_rules! signal_key {
    ($name:literal, $field:ident, $default:literal, $doc:literal) => {
        row!($name; "a signal by number or name", $default, "2.1", $doc, $default,
            |c, _, v| {
                c.signals.$field = if v.is_empty() { None } else { Some(Signal::parse(v)?.0) };
                Ok(())
            },
            |c, _| Ok(c.signals.$field.unwrap_or(0).to_string()),
            |c, _| { c.signals.$field = None; Ok(()) })
    };
}

pub(super) const SIGNAL_TO_PROC: &[KeyRow] = &[
    signal_key!(
        "lxc.signal.halt",
        halt,
        "SIGPWR",
        "Signal that asks init for a clean shutdown."
    ),
    signal_key!(
        "lxc.signal.reboot",
        reboot,
        "SIGINT",
        "Signal that asks init for a reboot."
    ),
    signal_key!(
        "lxc.signal.stop",
        stop,
        "SIGKILL",
        "Signal that stops the container by force."
    ),
    flag_key!(
        "lxc.start.auto",
        start.auto,
        "1.0",
        "Whether lxc-autostart starts the container at boot."
    ),
    row!("lxc.start.delay"; "a number from 0 to 4294967295", "0", "1.0",
        "Seconds to wait after the container has been started.", "5",
        |c, _, v| { c.start.delay = if v.is_empty() { 0 } else { value::uint(v)? }; Ok(()) },
        |c, _| Ok(c.start.delay.cast_signed().to_string()),
        |c, _| { c.start.delay = 0; Ok(()) }),
    row!("lxc.start.order"; "a number", "0", "1.0",
        "Place in the order of starting: lower numbers first.", "10",
        |c, _, v| { c.start.order = if v.is_empty() { 0 } else { value::int(v)? }; Ok(()) },
        |c, _| Ok(c.start.order.to_string()),
        |c, _| { c.start.order = 0; Ok(()) }),
    row!("lxc.tty.dir"; "a name shorter than 256 bytes", "unset", "2.1",
        "Directory below the container's /dev that its console and ttys are put in.", "lxc",
        |c, _, v| {
            if v.len() >= 256 { return Err(ValueError::expected("a name shorter than 256 bytes").into()); }
            c.tty.dir = text(v);
            Ok(())
        },
        |c, _| Ok(c.tty.dir.clone().unwrap_or_default()),
        |c, _| { c.tty.dir = None; Ok(()) }),
    uint_key!(
        "lxc.tty.max",
        tty.max,
        "2.1",
        "How many ttys the container gets.",
        "4"
    ),
    row!("lxc.uts.name"; "a host name of at most 64 bytes", "the container's name", "2.1",
        "Host name of the container.", "web",
        |c, _, v| {
            if v.len() > 64 { return Err(ValueError::expected("a name of at most 64 bytes").into()); }
            c.uts_name = text(v);
            Ok(())
        },
        |c, _| Ok(c.uts_name.clone().unwrap_or_default()),
        |c, _| { c.uts_name = None; Ok(()) }),
    row!("lxc.sysctl", prefix, list; "lxc.sysctl.NAME = the value to write", "none", "2.1",
        "Kernel parameter set in the container; dots in NAME become slashes below /proc/sys.",
        ".net.ipv4.ip_forward = 1",
        |c, rest, v| {
            if v.is_empty() { return clear_pairs(&mut c.sysctl, rest); }
            let name = named(rest, "the name of a kernel parameter")?;
            c.sysctl.put(name, v);
            Ok(())
        },
        |c, rest| show_pairs(&c.sysctl, "lxc.sysctl", rest),
        |c, rest| clear_pairs(&mut c.sysctl, rest)),
    row!("lxc.proc", prefix, list; "lxc.proc.NAME = the text to write", "none", "2.1",
        "Text written to a file of init's /proc/PID; dots in NAME become slashes.", ".oom_score_adj = 10",
        |c, rest, v| {
            if v.is_empty() { return clear_pairs(&mut c.procfs, rest); }
            let name = named(rest, "the name of a file in /proc/PID")?;
            c.procfs.push(name, v);
            Ok(())
        },
        |c, rest| show_pairs(&c.procfs, "lxc.proc", rest),
        |c, rest| clear_pairs(&mut c.procfs, rest)),
];
