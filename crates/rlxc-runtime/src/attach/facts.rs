use std::os::fd::OwnedFd;

use rlxc_monitor::client::{Cgroups, Pending};
use rlxc_monitor::{Client, Command, State};

use super::AttachError;
use super::options::{AttachOptions, flags};

/// Questions to the monitor, all on their way at once.
pub(super) struct Questions<'a> {
    pidfd: Pending<'a>,
    state: Option<Pending<'a>>,
    arch: Option<Pending<'a>>,
    no_new_privs: Option<Pending<'a>>,
    seccomp: Option<Pending<'a>>,
    cgroups: Option<Pending<'a>>,
}

/// What the monitor knows about the container.
pub(super) struct Facts {
    /// Whether processes that enter the container's cgroup stop at once
    pub frozen: bool,
    /// `lxc.arch`, if it matters
    pub arch: Option<String>,
    /// `lxc.no_new_privs`, or the option
    pub no_new_privs: bool,
    /// `lxc.seccomp.profile`, if it is to be loaded
    pub seccomp_profile: Option<String>,
    /// The container's cgroups, if they are to be entered
    pub cgroups: Option<rlxc_monitor::Result<Cgroups>>,
}

impl<'a> Questions<'a> {
    /// Asks what an attach with `options` must know.
    pub(super) fn ask(client: &'a Client, options: &AttachOptions) -> Self {
        let moves = options.has(flags::MOVE_TO_CGROUP);
        let domain = options.has(flags::SET_PERSONALITY) && options.personality.is_none();
        let confined = options.flags & flags::LSM != 0;
        let own_privs = options.has(flags::NO_NEW_PRIVS);
        Self {
            pidfd: client.ask(Command::GetInitPidfd, &[]),
            state: moves.then(|| client.ask(Command::GetState, &[])),
            arch: domain.then(|| client.ask_config_item("lxc.arch")),
            no_new_privs: (!own_privs).then(|| client.ask_config_item("lxc.no_new_privs")),
            seccomp: confined.then(|| client.ask_config_item("lxc.seccomp.profile")),
            cgroups: moves.then(|| client.ask_cgroups()),
        }
    }

    /// Takes the answers: init's pidfd, or why there is none, and the rest.
    pub(super) fn answers(self) -> Result<(rlxc_monitor::Result<OwnedFd>, Facts), AttachError> {
        let item = |question: Option<Pending<'_>>| match question {
            Some(question) => question.config_item(),
            None => Ok(None),
        };
        let pidfd = match self.pidfd.fd() {
            Err(error) if error.is_not_running() => return Err(error.into()),
            other => other,
        };
        let frozen = match self.state {
            Some(question) => question.state()? == State::Frozen,
            None => false,
        };
        let asked = self.no_new_privs.is_some();
        let facts = Facts {
            frozen,
            arch: item(self.arch)?,
            no_new_privs: !asked || item(self.no_new_privs)?.as_deref() == Some("1"),
            seccomp_profile: item(self.seccomp)?,
            cgroups: self.cgroups.map(Pending::cgroups),
        };
        Ok((pidfd, facts))
    }
}
