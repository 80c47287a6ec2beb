//! A container whose monitor was killed while init lived on: what a new monitor needs to take it
//! over.
//!
//! By default init dies with its monitor (`lxc.monitor.signal.pdeath`). Where it does not, the
//! monitor keeps a record of what only it knows, below the run-time directory, and [`start::adopt`]
//! hands it to a new one. Without a record the facts are found again, as far as they can be seen.
//!
//! [`start::adopt`]: crate::start::adopt

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rlxc_network::Created;
use rlxc_security::lsm::Label;
use serde::{Deserialize, Serialize};

use crate::error::{Context, StartError};
use crate::plan::Plan;

pub(crate) const STEP: &str = "take over";

/// What is true of a running container and in no configuration.
#[derive(Debug, Serialize, Deserialize)]
pub struct Facts {
    /// The boot of the machine in which it was started.
    pub boot: String,
    /// Init's pid.
    pub init: i32,
    /// When init was started, in clock ticks since the boot: tells it from a later process.
    pub started: u64,
    /// Its cgroups.
    pub cgroups: Option<rlxc_cgroup::Cgroups>,
    /// Its links; unknown when there is no record.
    pub network: Option<Created>,
    /// What was made for its security label.
    pub label: Option<Label>,
}

/// The same, borrowed: what a monitor writes down.
#[derive(Debug, Serialize)]
pub(crate) struct Known<'a> {
    pub(crate) boot: String,
    pub(crate) init: i32,
    pub(crate) started: u64,
    pub(crate) cgroups: Option<&'a rlxc_cgroup::Cgroups>,
    pub(crate) network: Option<&'a Created>,
    pub(crate) label: Option<&'a Label>,
}

impl Facts {
    /// What can be seen of a container whose init is `pid`: not its links.
    ///
    /// # Errors
    /// The process is gone, or its cgroups cannot be read.
    pub fn of_process(plan: &Plan, pid: i32) -> Result<Self, StartError> {
        let started = started_at(pid).at(STEP, format!("process {pid}"))?;
        let cgroups = rlxc_cgroup::Cgroups::of_process(&crate::cgroup::request(plan), pid);
        let cgroups = cgroups.at(STEP, format!("the cgroups of process {pid}"))?;
        Ok(Self {
            boot: boot_id(),
            init: pid,
            started,
            cgroups: (!cgroups.trees.is_empty()).then_some(cgroups),
            network: None,
            label: None,
        })
    }

    /// Whether init still runs and is the process that was meant.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), StartError> {
        let about = format!("process {}", self.init);
        let wrong = |why: &str| Err(StartError::new(STEP, &about, why));
        if self.boot != boot_id() {
            return wrong("the record of it is from before the machine's last boot");
        }
        match started_at(self.init) {
            Err(_) => return wrong("init has ended"),
            Ok(started) if started != self.started => {
                return wrong("init has ended, and another process has its number");
            }
            Ok(_) => {}
        }
        match &self.cgroups {
            Some(cgroups) if !cgroups.has_process(self.init) => {
                wrong("it is in none of the container's cgroups")
            }
            _ => Ok(()),
        }
    }
}

/// What the monitor of a running container has written down: the facts and the plan behind them.
///
/// # Errors
/// A record that cannot be read, or is not the caller's; `None` when there is none.
pub fn load(lxcpath: &Path, name: &str) -> Result<Option<(Facts, Plan)>, StartError> {
    let step = STEP;
    let path = rlxc_monitor::rundir::record_path(lxcpath, name).at(step, "")?;
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    let mut options = std::fs::OpenOptions::new();
    let opened = options.read(true).custom_flags(flags.bits()).open(&path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at_path(step, path),
    };
    let meta = file.metadata().at_path(step, &path)?;
    if !meta.is_file() || meta.uid() != nix::unistd::geteuid().as_raw() {
        return Err(StartError::new(
            step,
            path.display(),
            "the record is not the caller's own",
        ));
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text).at_path(step, &path)?;
    let damaged = || StartError::new(step, path.display(), "the record is damaged");
    let border = text
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or_else(damaged)?;
    let (facts, plan) = (&text[..border], &text[border + 1..]);
    let facts = serde_json::from_slice(facts).map_err(|_| damaged())?;
    let plan = serde_json::from_slice(plan).map_err(|_| damaged())?;
    Ok(Some((facts, plan)))
}

/// Writes the record: whole, or not at all.
pub(crate) fn store(plan: &Plan, known: &Known<'_>, json: &mut File) -> io::Result<()> {
    use std::io::Seek;
    let path = rlxc_monitor::rundir::make_record_path(&plan.lxcpath, &plan.name)
        .map_err(io::Error::other)?;
    let mut text = serde_json::to_vec(known).map_err(io::Error::other)?;
    text.push(b'\n');
    json.rewind()?;
    json.read_to_end(&mut text)?;
    let new = path.with_file_name(format!(".{}.new", plan.name));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits());
    let opened = match options.open(&new) {
        // Another container's end has just removed the empty directories.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            rlxc_monitor::rundir::make_record_path(&plan.lxcpath, &plan.name)
                .map_err(io::Error::other)?;
            options.open(&new)
        }
        other => other,
    };
    opened?.write_all(&text)?;
    std::fs::rename(&new, &path)
}

/// Forgets the record.
pub fn forget(lxcpath: &Path, name: &str) {
    if let Ok(path) = rlxc_monitor::rundir::record_path(lxcpath, name) {
        let _ = std::fs::remove_file(&path);
        // The directories above, as far as they are empty.
        let above = path.ancestors().skip(1);
        let _ = above
            .take_while(|dir| !dir.ends_with("lxc/running"))
            .try_for_each(std::fs::remove_dir);
    }
}

/// Names this boot of the machine.
pub(crate) fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    text.unwrap_or_default().trim_end().to_owned()
}

/// When process `pid` was started: the 22nd field of /proc/PID/stat (proc_pid_stat(5)).
pub(crate) fn started_at(pid: i32) -> io::Result<u64> {
    let text = std::fs::read(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything: what follows counts from its end.
    let end = text.iter().rposition(|byte| *byte == b')').unwrap_or(0);
    let rest = String::from_utf8_lossy(text.get(end + 1..).unwrap_or_default()).into_owned();
    let mut words = rest.split_ascii_whitespace();
    // A process that waits to be reaped has ended.
    match words.next() {
        Some("Z" | "X") | None => Err(nix::errno::Errno::ESRCH.into()),
        Some(_) => words
            .nth(18)
            .and_then(|word| word.parse().ok())
            .ok_or_else(|| io::Error::other("unreadable")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processs_start_tells_it_from_another() {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let start = started_at(own).ok();
        assert!(start.is_some());
        assert_eq!(start, started_at(own).ok());
        assert_ne!(start, started_at(1).ok());
        assert!(started_at(-1).is_err());
    }
}
