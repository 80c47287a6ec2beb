//! DHCP and DNS on the bridge, by dnsmasq(8).

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

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
            Error::Spawn { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
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
pub(super) fn stop(files: &Files) -> Result<()> {
    if let Some(pid) = running(files) {
        match kill(pid, Signal::SIGTERM) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(source) => {
                return Err(Error::Kernel {
                    what: "end dnsmasq".into(),
                    message: None,
                    source,
                });
            }
        }
        let mut pause = Duration::from_millis(1);
        while Path::new(&format!("/proc/{pid}")).exists() && running(files).is_some() {
            if pause > Duration::from_secs(1) {
                return Err(Error::Unsupported(format!(
                    "dnsmasq ({pid}) does not end on SIGTERM"
                )));
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
    }
    match std::fs::remove_file(&files.pid) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::File {
            op: "remove",
            path: files.pid.clone(),
            source,
        }),
        _ => Ok(()),
    }
}
