//! DHCP and DNS on the bridge, by dnsmasq(8).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, User};
use rlxc_sys::process::{pidfd_open, pidfd_send_signal};

use super::Settings;
use crate::error::{Error, Result};
use crate::ovs::run;

/// Where it keeps its things.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) pid: PathBuf,
    pub(super) leases: PathBuf,
}

/// The arguments, as LXC gives them.
pub(super) fn arguments(settings: &Settings, files: &Files) -> Vec<String> {
    let mut all = Vec::new();
    let confile = match settings.dhcp_confile.as_str() {
        "" => "/dev/null",
        file => file,
    };
    all.push(format!("--conf-file={confile}"));
    if !settings.domain.is_empty() {
        all.push(format!("--domain={}", settings.domain));
        all.push(format!("--local=/{}/", settings.domain));
    }
    if !settings.dhcp_ping {
        all.push("--no-ping".into());
    }
    let user = ["lxc-dnsmasq", "dnsmasq"]
        .into_iter()
        .find(|u| matches!(User::from_name(u), Ok(Some(_))));
    all.push(format!("--user={}", user.unwrap_or("nobody")));
    all.extend(
        [
            "--strict-order",
            "--bind-interfaces",
            "--except-interface=lo",
        ]
        .map(String::from),
    );
    all.push(format!("--pid-file={}", files.pid.display()));
    all.push(format!("--listen-address={}", settings.address));
    all.push(format!("--interface={}", settings.bridge));
    if !settings.dhcp_range.is_empty() {
        all.push(format!("--dhcp-range={}", settings.dhcp_range));
        all.push(format!("--dhcp-lease-max={}", settings.dhcp_max));
        all.push(format!("--dhcp-leasefile={}", files.leases.display()));
        all.extend(["--dhcp-no-override", "--dhcp-authoritative"].map(String::from));
    }
    if let Some((address, _)) = settings.ipv6 {
        all.push(format!("--dhcp-range={address},ra-only"));
        all.push(format!("--listen-address={address}"));
    }
    all
}

/// Starts it; it puts itself into the background when it listens.
pub(super) fn start(settings: &Settings, files: &Files) -> Result<()> {
    if let Some(directory) = files.leases.parent() {
        std::fs::create_dir_all(directory).map_err(|source| Error::File {
            op: "make",
            path: directory.to_owned(),
            source,
        })?;
    }
    let arguments = arguments(settings, files);
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run("dnsmasq", &words)
        .map(drop)
        .map_err(|error| match error {
            Error::Spawn { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Error::Unsupported(
                    "dnsmasq is not installed: install the package dnsmasq-base, or set \
                 USE_LXC_BRIDGE=\"false\" and give the containers addresses yourself"
                        .into(),
                )
            }
            other => other,
        })
}

/// Its process, if the one in the pid file is still ours.
pub(super) fn running(files: &Files) -> Option<Pid> {
    let pid: i32 = std::fs::read_to_string(&files.pid)
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let wanted = format!("--pid-file={}", files.pid.display());
    let ours = line
        .split(|b| *b == 0)
        .any(|word| word == wanted.as_bytes());
    ours.then(|| Pid::from_raw(pid))
}

/// Ends it and waits until it is gone.
///
/// Gone is what its process descriptor says: the command line in /proc is empty as soon as an
/// ending process has given its memory up, a moment before it closes its sockets, and a successor
/// started in that moment finds the address in use.
pub(super) fn stop(files: &Files) -> Result<()> {
    if let Some(pid) = running(files) {
        let failed = |source: io::Error| Error::Kernel {
            what: format!("end dnsmasq ({pid})"),
            message: None,
            source: Errno::from_raw(source.raw_os_error().unwrap_or_default()),
        };
        match pidfd_open(pid.as_raw()) {
            // Looked at again with the descriptor in hand: the number may be another's by now.
            Ok(process) if running(files) == Some(pid) => end(&process, pid).map_err(failed)?,
            Ok(_) => {}
            Err(source) if source.raw_os_error() == Some(Errno::ESRCH as i32) => {}
            Err(source) => return Err(failed(source)),
        }
    }
    match std::fs::remove_file(&files.pid) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::File {
            op: "remove",
            path: files.pid.clone(),
            source,
        }),
        _ => Ok(()),
    }
}

/// SIGTERM, and SIGKILL after ten seconds.
fn end(process: &OwnedFd, pid: Pid) -> io::Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        match pidfd_send_signal(process, signal as i32) {
            Err(source) if source.raw_os_error() == Some(Errno::ESRCH as i32) => return Ok(()),
            other => other?,
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while let left = deadline.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            let mut wait = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut wait, timeout) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        tracing::warn!("dnsmasq ({pid}) does not end on {signal}");
    }
    Err(Errno::ETIMEDOUT.into())
}
