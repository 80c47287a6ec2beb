use std::os::fd::OwnedFd;

use rlxc_monitor::client::{Cgroups, Pending};
use rlxc_monitor::{Client, Command, State};

use super::AttachError;
use super::options::{AttachOptions, flags};
use super::target::{Target, domain_of};

/// First questions to the monitor, on their way together.
pub(super) struct Questions<'a> {
    pidfd: Pending<'a>,
    state: Option<Pending<'a>>,
    cgroups: Option<Pending<'a>>,
}

/// What the monitor knows about the container.
pub(super) struct Facts {
    /// Whether processes that enter the container's cgroup stop at once
    pub frozen: bool,
    /// The container's cgroups, if they are to be entered
    pub cgroups: Option<rlxc_monitor::Result<Cgroups>>,
}

impl<'a> Questions<'a> {
    /// Asks what an attach with `options` must know.
    pub(super) fn ask(client: &'a Client, options: &AttachOptions) -> Self {
        let moves = options.has(flags::MOVE_TO_CGROUP);
        Self {
            pidfd: client.ask(Command::GetInitPidfd, &[]),
            state: moves.then(|| client.ask(Command::GetState, &[])),
            cgroups: moves.then(|| client.ask_cgroups()),
        }
    }

    /// Takes the answers: init's pidfd, or why there is none, and the rest.
    pub(super) fn answers(self) -> Result<(rlxc_monitor::Result<OwnedFd>, Facts), AttachError> {
        let pidfd = match self.pidfd.fd() {
            Err(error) if error.is_not_running() => return Err(error.into()),
            other => other,
        };
        let frozen = match self.state {
            Some(question) => question.state()? == State::Frozen,
            None => false,
        };
        let facts = Facts {
            frozen,
            cgroups: self.cgroups.map(Pending::cgroups),
        };
        Ok((pidfd, facts))
    }
}

/// How the container's configuration confines its processes.
pub(super) struct Confinement {
    /// `lxc.arch`, if it matters
    pub arch: Option<String>,
    /// `lxc.no_new_privs`, or the option
    pub no_new_privs: bool,
    /// `lxc.seccomp.profile`, if it is to be loaded
    pub seccomp_profile: Option<String>,
}

impl Confinement {
    /// Asks the monitor for the keys that can matter: init shows most of what does not.
    pub(super) fn find(
        client: &Client,
        target: &Target,
        options: &AttachOptions,
    ) -> Result<Self, AttachError> {
        let domain = options.has(flags::SET_PERSONALITY) && options.personality.is_none();
        let same_domain = target.domain.is_some() && target.domain == domain_of("self");
        let confined = options.flags & flags::LSM != 0;
        let ask = |needed: bool, key| needed.then(|| client.ask_config_item(key));
        let arch = ask(domain && !same_domain, "lxc.arch");
        let own = options.has(flags::NO_NEW_PRIVS);
        let no_new_privs = ask(!own && target.no_new_privs, "lxc.no_new_privs");
        let seccomp = ask(confined && target.filtered, "lxc.seccomp.profile");
        let item = |question: Option<Pending<'_>>| match question {
            Some(question) => question.config_item(),
            None => Ok(None),
        };
        Ok(Self {
            arch: item(arch)?,
            no_new_privs: own || item(no_new_privs)?.as_deref() == Some("1"),
            seccomp_profile: item(seccomp)?,
        })
    }
}
