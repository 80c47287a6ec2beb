//! Freezing and thawing, and waiting for cgroup events.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Error, Result};
use crate::file;
use crate::layout::Version;

/// Freezes or thaws a cgroup and waits for it; `None` waits for ever.
pub(crate) fn change(
    dir: &Path,
    version: Version,
    freeze: bool,
    timeout: Option<Duration>,
) -> Result<()> {
    let deadline = timeout.map(|t| Instant::now() + t);
    match version {
        Version::V2 => {
            file::set(dir, "cgroup.freeze", if freeze { "1" } else { "0" })?;
            event(dir, if freeze { "frozen 1" } else { "frozen 0" }, deadline)
        }
        Version::V1 => legacy(dir, if freeze { "FROZEN" } else { "THAWED" }, deadline),
    }
}

/// v1 has no events; reading the state makes the kernel look again, writing it retries.
fn legacy(dir: &Path, word: &str, deadline: Option<Instant>) -> Result<()> {
    let mut pause = Duration::from_micros(200);
    loop {
        file::set(dir, "freezer.state", word)?;
        if file::get(dir, "freezer.state")? == word {
            return Ok(());
        }
        if deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(Error::Timeout {
                what: "the freezer's change",
                path: dir.into(),
            });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Waits by poll(2) until `line` stands in cgroup.events; `deadline` `None` waits for ever.
pub(crate) fn event(dir: &Path, line: &str, deadline: Option<Instant>) -> Result<()> {
    let path = dir.join("cgroup.events");
    let fail = |source| Error::Read {
        path: path.clone(),
        source,
    };
    let mut events = File::open(&path).map_err(fail)?;
    loop {
        let mut text = String::new();
        events.rewind().map_err(fail)?;
        events.read_to_string(&mut text).map_err(fail)?;
        if text.lines().any(|l| l == line) {
            return Ok(());
        }
        let timeout = match deadline.map(|d| d.saturating_duration_since(Instant::now())) {
            None => PollTimeout::NONE,
            Some(left) if left.is_zero() => {
                return Err(Error::Timeout {
                    what: "a cgroup event",
                    path: dir.into(),
                });
            }
            // Rounded up: a rest below a millisecond must not become a busy loop.
            Some(left) => {
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(
            &mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)],
            timeout,
        ) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(fail(e.into())),
        }
    }
}
