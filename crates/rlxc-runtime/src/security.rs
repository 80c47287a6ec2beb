//! What the container may not do: prepared by the monitor, applied by its child.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::fcntl::OFlag;
use rlxc_config::Namespace;
use rlxc_security::lsm::procfs::ProcSelf;
use rlxc_security::lsm::{self, Label};
use rlxc_security::{caps, keyring, limits, seccomp};
use rlxc_sys::capability;

use crate::error::{Context, StartError};
use crate::plan::Plan;
use crate::root::Root;

const POLICIES: &str = "security policies";

/// Policies, read and compiled; what of them has to be undone stays with the monitor.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Capabilities to take out of the bounding set.
    dropped: u64,
    keyring: keyring::Plan,
    label: Label,
    seccomp: Option<seccomp::Program>,
    /// Whether all capabilities are ambient
    ambient: bool,
}

impl Prepared {
    /// Reads and checks everything before anything is created, and loads a generated profile.
    pub(crate) fn new(plan: &Plan) -> Result<Self, StartError> {
        let config = &plan.config;
        let dropped = caps::bounding_drop_mask(&config.caps, capability::last());
        limits::parse(&config.prlimits.to_vec()).at(POLICIES, "lxc.prlimit")?;
        if config.sched_core {
            check_core_scheduling(plan)?;
        }
        check_death_signal(plan.init.death_signal)?;
        let seccomp = seccomp::prepare(config).at(POLICIES, "lxc.seccomp.profile")?;
        let own_cgroups = plan.namespaces.clone.contains(Namespace::Cgroup);
        let label = lsm::prepare(&plan.name, &plan.lxcpath, config, own_cgroups);
        Ok(Self {
            dropped: dropped.at(POLICIES, "lxc.cap")?,
            keyring: keyring::Plan::new(config),
            label: label.at(POLICIES, "label")?,
            seccomp,
            ambient: false,
        })
    }

    /// What [`clean_up`] needs when the container has ended.
    pub(crate) fn label(&self) -> Label {
        self.label.clone()
    }

    /// A session keyring of the container's own.
    pub(crate) fn join_session_keyring(&self) -> Result<(), StartError> {
        keyring::new_session(&self.keyring).at("session keyring", "lxc.selinux.context.keyring")
    }

    /// In a user namespace without root: hooks, which other users than root execute, keep the privileges.
    pub(crate) fn raise_ambient(&mut self) -> Result<(), StartError> {
        self.ambient = true;
        caps::raise_all_ambient().at("capabilities", "ambient")
    }

    /// Undoes [`Self::raise_ambient`]: init has none.
    pub(crate) fn drop_ambient(&self) -> Result<(), StartError> {
        match self.ambient {
            true => caps::drop_ambient().at("capabilities", "ambient"),
            false => Ok(()),
        }
    }

    /// Whether [`Self::restrict`] needs a procfs.
    pub(crate) fn has_label(&self) -> bool {
        self.label.label.is_some()
    }

    /// Bounding set, label for the next exec, no_new_privs: in LXC's order.
    pub(crate) fn restrict(&self, plan: &Plan, proc: Option<&Root>) -> Result<(), StartError> {
        capability::drop_bounding(self.dropped).at("capabilities", "lxc.cap")?;
        if self.ambient {
            caps::raise_all_ambient().at("capabilities", "lxc.cap")?;
        }
        if let (Some(label), Some(proc)) = (&self.label.label, proc) {
            let step = "security label";
            let proc = own_directory(proc, step)?;
            lsm::set_label(self.label.kind, label, true, &proc).at(step, label)?;
        }
        if plan.config.no_new_privs {
            capability::set_no_new_privs().at("lxc.no_new_privs", "prctl")?;
        }
        Ok(())
    }

    /// Loads the filter; the descriptor of its notifications, if it has any.
    pub(crate) fn load_seccomp(&self) -> Result<Option<OwnedFd>, StartError> {
        match &self.seccomp {
            Some(program) => program.load().at("seccomp", "lxc.seccomp.profile"),
            None => Ok(None),
        }
    }
}

/// Whether there is such a signal: LXC takes any number for one.
fn check_death_signal(number: i32) -> Result<(), StartError> {
    const LAST: i32 = 64;
    match number {
        0..=LAST => Ok(()),
        _ => Err(StartError::new(
            POLICIES,
            format!("lxc.monitor.signal.pdeath = {number}"),
            format!("signals go up to {LAST}"),
        )),
    }
}

/// Whether the container's processes can be kept apart from others on a core (lxc.sched.core).
fn check_core_scheduling(plan: &Plan) -> Result<(), StartError> {
    let step = "lxc.sched.core";
    rlxc_sys::limits::core_sched_cookie(0)
        .at(step, "PR_SCHED_CORE_GET")
        .map_err(|error| {
            error.remedy("it needs a kernel with core scheduling (CONFIG_SCHED_CORE) and cores with several threads")
        })?;
    match plan.namespaces.clone.contains(Namespace::Pid) {
        true => Ok(()),
        false => Err(StartError::new(
            step,
            "",
            "the container has no pid namespace of its own",
        )),
    }
}

/// This thread's directory below a procfs that nothing in the container can have replaced (CVE-2015-1334).
fn own_directory(proc: &Root, step: &str) -> Result<ProcSelf, StartError> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let dir = proc
        .open("thread-self", flags)
        .at(step, "/proc/thread-self")?;
    ProcSelf::from_directory(dir, Path::new("/proc/thread-self")).at(step, "/proc/thread-self")
}

/// Removes a generated profile.
pub(crate) fn clean_up(label: &Label) {
    if let Err(error) = lsm::cleanup(label) {
        tracing::warn!("{error}");
    }
}

/// Sets limits as configured (name, soft, hard) of process `pid`.
pub(crate) fn set_limits(wanted: &rlxc_config::Limits, pid: i32) -> Result<(), StartError> {
    let step = "lxc.prlimit";
    let parsed = limits::parse(&wanted.to_vec()).at(step, "")?;
    limits::apply(pid, &parsed)
        .at(step, "")
        .map_err(|error| error.remedy("only CAP_SYS_RESOURCE may raise a hard limit"))
}
