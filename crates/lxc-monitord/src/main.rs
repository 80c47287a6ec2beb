//! Broadcasts container events of one lxcpath to lxc-monitor clients.
//!
//! `lxc-monitord LXCPATH PIPEFD` is started by `lxc-monitor`: it writes one byte to descriptor
//! PIPEFD when it serves, and ends when nobody has listened for half a minute.
//! `lxc-monitord --daemon [LXCPATH]` serves until it is told to end.

mod daemon;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use daemon::{Daemon, Life};

const USAGE: &str = "Usage: lxc-monitord LXCPATH PIPEFD\n       lxc-monitord --daemon [LXCPATH]";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let Some((lxcpath, life)) = parse(&arguments) else {
        complain(USAGE);
        return ExitCode::FAILURE;
    };
    match Daemon::begin(&lxcpath, life) {
        // Another one serves this lxcpath.
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(daemon)) => match daemon.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        Err(error) => fail(&error),
    }
}

fn parse(arguments: &[OsString]) -> Option<(PathBuf, Life)> {
    match arguments {
        [daemon] if daemon == "--daemon" => {
            let default = rlxc_config::GlobalConfig::load().lxcpath();
            Some((default, Life::Forever))
        }
        [daemon, lxcpath] if daemon == "--daemon" => Some((lxcpath.into(), Life::Forever)),
        [lxcpath, ready] => {
            let ready: i32 = ready.to_str()?.parse().ok()?;
            let ready = rlxc_sys::process::adopt_fd(ready)?;
            Some((lxcpath.into(), Life::WithClients { ready }))
        }
        _ => None,
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    let mut text = format!("lxc-monitord: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    complain(&text);
    ExitCode::FAILURE
}

/// Writes to standard error, which may be closed.
fn complain(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_call_it_are_told_apart() {
        let parsed = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            parse(&words).map(|(path, life)| (path, matches!(life, Life::Forever)))
        };
        assert_eq!(parsed(&["--daemon", "/x"]), Some(("/x".into(), true)));
        assert!(parsed(&["--daemon"]).is_some());
        assert_eq!(parsed(&["/x"]), None);
        assert_eq!(parsed(&["/x", "pipe"]), None);
        assert_eq!(parsed(&["/x", "1", "2"]), None);
        assert_eq!(parsed(&[]), None);
    }
}
