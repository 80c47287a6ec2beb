//! The clone of the container's first process.

use std::os::fd::{AsFd, OwnedFd};

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
    pub(super) fn clone_init(
        &mut self,
        prepared: crate::init::Prepared<'_>,
        shared: &Shared,
        cgroup: Option<OwnedFd>,
    ) -> Result<()> {
        let plan = prepared.plan;
        let mut flags = plan.namespaces.clone.0 & !Namespace::Time.clone_flag();
        if prepared.unshare_net {
            flags &= !Namespace::Net.clone_flag();
        }
        if prepared.unshare_cgroup {
            flags &= !Namespace::Cgroup.clone_flag();
        }
        let args = CloneArgs {
            flags,
            cgroup: cgroup.as_ref().map(AsFd::as_fd),
        };
        if !shared.is_empty() {
            self.core.init = Some(clone_shared(prepared, shared, args)?);
            return Ok(());
        }
        match process::clone3(&args) {
            Ok(Cloned::Child) => crate::init::run(prepared),
            Ok(Cloned::Parent { pid, pidfd }) => {
                self.core.init = Some(Init { pid, pidfd });
                Ok(())
            }
            Err(error) => Err(clone_error(plan, &error)),
        }
    }
}

/// A helper enters the shared namespaces and makes init its sibling, so that the monitor itself
/// stays where it is and is init's parent.
fn clone_shared(
    prepared: crate::init::Prepared<'_>,
    shared: &Shared,
    mut args: CloneArgs<'_>,
) -> Result<Init> {
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
                .and_then(|()| process::clone3(&args).map_err(|error| clone_error(plan, &error)));
            match cloned {
                Ok(Cloned::Child) => crate::init::run(prepared),
                Ok(Cloned::Parent { pid, pidfd }) => {
                    let answer: Result<i32> = Ok(pid);
                    let _ = theirs.send(&answer, &[pidfd.as_fd()]);
                }
                Err(error) => {
                    let answer: Result<i32> = Err(error);
                    let _ = theirs.send(&answer, &[]);
                }
            }
            process::exit_now(0)
        }
    };
    drop((prepared, theirs));
    let answer = ours.wait::<Result<i32>>().at(step, "receive")?;
    let _ = process::wait_status(&helper);
    let (pid, mut fds) = answer.ok_or_else(|| StartError::new(step, "", "the helper died"))?;
    let (pid, pidfd) = (pid?, fds.pop());
    let pidfd = pidfd.ok_or_else(|| StartError::new(step, "", "no descriptor of init"))?;
    Ok(Init { pid, pidfd })
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
