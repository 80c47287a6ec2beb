//! Taking over a container whose monitor was killed.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rlxc_monitor::State;
use rlxc_sys::process::{self, CloneArgs, Cloned};

use super::core::Init;
use super::{Monitor, Result};
use crate::adopt::{Facts, Known, STEP};
use crate::error::{Context, StartError};
use crate::hooks::HookContext;
use crate::plan::Plan;
use crate::sync::{Channel, FromChild};

/// How long the host's init may take to reap the container's.
const REAPED: Duration = Duration::from_secs(1);
/// How long the making of new terminals may take, in milliseconds.
const ENTERED: u16 = 5000;

impl Monitor {
    /// From nothing to RUNNING, or FROZEN, around an init that runs. On failure nothing of the
    /// container has been touched.
    pub(super) fn take_over(&mut self, facts: Facts) -> Result<()> {
        let plan = self.take_plan()?;
        let result = self.take_over_plan(&plan, facts);
        self.plan = Some(plan);
        let frozen = result?;
        self.server.announce(State::Running);
        if frozen {
            self.server.announce(State::Frozen);
        }
        self.report_running();
        Ok(())
    }

    /// Whether the container is frozen.
    fn take_over_plan(&mut self, plan: &Plan, facts: Facts) -> Result<bool> {
        let about = format!("process {}", facts.init);
        let pidfd = process::pidfd_open(facts.init).at(STEP, &about)?;
        // After the descriptor was opened: what it refers to can no longer become another process.
        facts.check()?;
        let Facts {
            init: pid,
            cgroups,
            network,
            label,
            ..
        } = facts;
        if let Some(created) = network {
            self.core.network = crate::network::Network::adopt(created, pid)?;
        }
        let mut frozen = false;
        if let Some(cgroups) = cgroups {
            frozen = crate::cgroup::is_frozen(&cgroups);
            self.core.cgroups = crate::cgroup::Cgroups::adopt(cgroups);
        }
        if HookContext::new(plan).wants_namespaces() {
            self.keep_namespaces(plan, pid)?;
        }
        let memfd = self.memfd.try_clone().at(STEP, "plan")?;
        self.core.serve_config_from(memfd);
        let network = self.core.network.iter();
        let names: Vec<_> = network.flat_map(|n| n.chosen_names()).collect();
        for (key, name) in names {
            self.core.set_config_item(key, name);
        }
        self.core.label = label;
        self.core.init = Some(Init { pid, pidfd });
        self.core.last_pid = Some(pid);
        self.renew_terminals(plan);
        self.write_record(plan);
        if plan.config.seccomp.notify_proxy.is_some() {
            tracing::warn!(
                "lxc.seccomp.notify.proxy: the filter's notifications were lost with the old monitor"
            );
        }
        Ok(frozen)
    }

    /// The terminals' ends that the old monitor held are gone for good: new ones take their places
    /// in the container's /dev. A container without terminals can still be stopped and entered.
    fn renew_terminals(&mut self, plan: &Plan) {
        if let Err(error) = self.try_renew_terminals(plan) {
            tracing::warn!("the terminals could not be renewed: {error}");
        }
    }

    fn try_renew_terminals(&mut self, plan: &Plan) -> Result<()> {
        let (ours, theirs) = Channel::pair().at(STEP, "socketpair")?;
        let Some(init) = &self.core.init else {
            return Ok(());
        };
        let helper: OwnedFd = match process::clone3(&CloneArgs::default()).at(STEP, "clone")? {
            Cloned::Parent { pidfd, .. } => pidfd,
            Cloned::Child => {
                drop(ours);
                crate::init::renew_terminals(plan, &init.pidfd, &theirs)
            }
        };
        drop(theirs);
        if !is_readable(&ours) {
            // The container's /dev may lie on something that never answers.
            let _ = process::pidfd_send_signal(&helper, nix::libc::SIGKILL);
        }
        let answer = ours.wait::<FromChild>().at(STEP, "receive")?;
        let _ = process::wait_status(&helper);
        match answer {
            Some((FromChild::Ready(described), fds)) => {
                self.take_descriptors(plan, described, fds, None)
            }
            Some((FromChild::Failed(error), _)) => Err(error),
            _ => Err(StartError::new(STEP, "terminals", "the helper died")),
        }
    }

    /// Keeps what another monitor would need, where init may outlive this one.
    pub(super) fn write_record(&mut self, plan: &Plan) {
        let Some(init) = &self.core.init else { return };
        if plan.init.death_signal == nix::libc::SIGKILL {
            return;
        }
        let stored = crate::adopt::started_at(init.pid).and_then(|started| {
            let known = Known {
                boot: crate::adopt::boot_id(),
                init: init.pid,
                started,
                cgroups: self.core.cgroups.made(),
                network: self.core.network.as_ref().map(|n| n.created()),
                label: self.core.label.as_ref(),
            };
            crate::adopt::store(plan, &known, &mut self.memfd)
        });
        match stored {
            Ok(()) => self.recorded = true,
            Err(error) => {
                tracing::info!("after a crash of the monitor no other can take over: {error}");
            }
        }
    }

    pub(super) fn remove_record(&mut self, plan: &Plan) {
        if std::mem::take(&mut self.recorded) {
            crate::adopt::forget(&plan.lxcpath, &plan.name);
        }
    }
}

/// How init ended, by its descriptor. `None`: it was not our child, and the kernel does not tell.
pub(super) fn status_of(init: &Init) -> Option<i32> {
    match process::wait_status(&init.pidfd) {
        Ok(status) => return Some(status),
        Err(error) if error.raw_os_error() == Some(Errno::ECHILD as i32) => {}
        Err(error) => {
            tracing::error!("wait for init: {error}");
            return None;
        }
    }
    // A zombie tells it, until its parent has reaped it: whoever is faster.
    let path = format!("/proc/{}/stat", init.pid);
    if let Some(status) = std::fs::read(path)
        .ok()
        .and_then(|text| zombie_status(&text))
    {
        return Some(status);
    }
    let until = Instant::now() + REAPED;
    let mut status = None;
    while status.is_none() && Instant::now() < until {
        match process::status_of_stranger(&init.pidfd) {
            Ok(Some(found)) => status = Some(found),
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => {
                tracing::info!("how init has ended: {error}");
                break;
            }
        }
    }
    // The kernel keeps the status of the process, not that of its pid namespace: a reboot or a halt
    // from within is a kill there.
    let known = status.filter(|status| *status != nix::libc::SIGKILL);
    if known.is_none() {
        tracing::warn!("init has ended; how is unknown, since it was not this monitor's child");
    }
    known
}

/// The wait status in /proc/PID/stat of a process that waits to be reaped (proc_pid_stat(5)).
fn zombie_status(text: &[u8]) -> Option<i32> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let mut words = rest.split_ascii_whitespace();
    // The last of its fields; the names before it are of no interest.
    (words.next()? == "Z").then(|| words.nth(48)?.parse().ok())?
}

fn is_readable(channel: &Channel) -> bool {
    use std::os::fd::AsFd;
    let mut fds = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::from(ENTERED)), Ok(count) if count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_tells_how_it_has_ended() -> std::io::Result<()> {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "exit 7"])
            .spawn()?;
        let path = format!("/proc/{}/stat", child.id());
        let until = Instant::now() + Duration::from_secs(5);
        let mut found = None;
        while found.is_none() && Instant::now() < until {
            found = zombie_status(&std::fs::read(&path)?);
        }
        child.wait()?;
        assert_eq!(found, Some(7 << 8));
        assert_eq!(zombie_status(b"1 (a) b) S 0 0"), None);
        assert_eq!(zombie_status(b""), None);
        Ok(())
    }
}
