//! The clone of the container's first process.

use std::os::fd::AsFd;

use nix::errno::Errno;
use rlxc_config::Namespace;
use rlxc_sys::process::{self, CloneArgs, Cloned};

use super::core::Init;
use super::{Monitor, Result};
use crate::error::{Context, StartError};
use crate::plan::Plan;
use crate::share::Shared;
use crate::sync::Channel;

impl Monitor {
    /// Whether init was born in its cgroup2.
    pub(super) fn clone_init(
        &mut self,
        prepared: crate::init::Prepared<'_>,
        shared: &Shared,
    ) -> Result<bool> {
        let plan = prepared.plan;
        let cgroup = prepared.cgroups.birth_place();
        let cgroup = cgroup.map(|fd| fd.try_clone_to_owned()).transpose();
        let cgroup = cgroup.at("clone", "cgroup2")?;
        let mut flags = plan.namespaces.clone.0 & !Namespace::Time.clone_flag();
        if prepared.unshare_net {
            flags &= !Namespace::Net.clone_flag();
        }
        // It roots the namespace where the cloning process is, not where the clone is born.
        flags &= !Namespace::Cgroup.clone_flag();
        let args = CloneArgs {
            flags,
            cgroup: cgroup.as_ref().map(AsFd::as_fd),
        };
        if !shared.is_empty() {
            let (init, born) = clone_shared(prepared, shared, args)?;
            self.core.init = Some(init);
            return Ok(born);
        }
        match clone_into(args) {
            Ok((Cloned::Child, _)) => crate::init::run(prepared),
            Ok((Cloned::Parent { pid, pidfd }, born)) => {
                self.core.init = Some(Init { pid, pidfd });
                Ok(born)
            }
            Err(error) => Err(clone_error(plan, &error)),
        }
    }
}

/// Clones into the cgroup2, or without one where the kernel (before 5.7, or under a filter that
/// hides clone3's flag), the caller's rights or the cgroup's state refuse it.
pub(super) fn clone_into(mut args: CloneArgs<'_>) -> std::io::Result<(Cloned, bool)> {
    let first = process::clone3(&args);
    if first.is_ok() || args.cgroup.is_none() {
        return first.map(|cloned| (cloned, args.cgroup.is_some()));
    }
    args.cgroup = None;
    process::clone3(&args).map(|cloned| (cloned, false))
}

/// A helper enters the shared namespaces and makes init its sibling, so that the monitor itself
/// stays where it is and is init's parent.
fn clone_shared(
    prepared: crate::init::Prepared<'_>,
    shared: &Shared,
    mut args: CloneArgs<'_>,
) -> Result<(Init, bool)> {
    let step = "shared namespaces";
    let plan = prepared.plan;
    let (ours, theirs) = Channel::pair().at(step, "socketpair")?;
    args.flags |= process::flags::CLONE_PARENT;
    let helper = match process::clone3(&CloneArgs::default()).at(step, "clone")? {
        Cloned::Parent { pidfd, .. } => pidfd,
        Cloned::Child => {
            drop(ours);
            let cloned = shared
                .enter()
                .and_then(|()| clone_into(args).map_err(|error| clone_error(plan, &error)));
            match cloned {
                Ok((Cloned::Child, _)) => crate::init::run(prepared),
                Ok((Cloned::Parent { pid, pidfd }, born)) => {
                    let answer: Result<(i32, bool)> = Ok((pid, born));
                    let _ = theirs.send(&answer, &[pidfd.as_fd()]);
                }
                Err(error) => {
                    let answer: Result<(i32, bool)> = Err(error);
                    let _ = theirs.send(&answer, &[]);
                }
            }
            process::exit_now(0)
        }
    };
    drop((prepared, theirs));
    let answer = ours.wait::<Result<(i32, bool)>>().at(step, "receive")?;
    let _ = process::wait_status(&helper);
    let (pid, mut fds) = answer.ok_or_else(|| StartError::new(step, "", "the helper died"))?;
    let ((pid, born), pidfd) = (pid?, fds.pop());
    let pidfd = pidfd.ok_or_else(|| StartError::new(step, "", "no descriptor of init"))?;
    Ok((Init { pid, pidfd }, born))
}

fn clone_error(plan: &Plan, error: &std::io::Error) -> StartError {
    let names: Vec<&str> = plan.namespaces.clone.iter().map(Namespace::name).collect();
    let failed = StartError::from_error("clone", names.join(" "), error);
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM) if plan.namespaces.clone.contains(Namespace::User) => failed.remedy(
            "user namespaces are refused here: see kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns",
        ),
        Some(Errno::EPERM) => failed.remedy("start as root, or give the container id maps (lxc.idmap)"),
        Some(Errno::ENOSPC | Errno::EUSERS) => {
            failed.remedy("the limit of nested or total namespaces is reached: see /proc/sys/user/max_*_namespaces")
        }
        _ => failed,
    }
}
