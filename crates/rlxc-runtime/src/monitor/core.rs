//! What the monitor knows of a running container, and its answers on the command socket.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rlxc_monitor::protocol::ConsoleLogRequest;
use rlxc_monitor::server::{Answer, Handler, TtyGrant};
use rlxc_sys::process;

use crate::plan::Plan;
use crate::terminal::Terminals;

/// The container's first process.
#[derive(Debug)]
pub(super) struct Init {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
}

/// The facts of a running container.
#[derive(Debug)]
pub(super) struct Core {
    name: String,
    lxcpath: PathBuf,
    clone_flags: u32,
    stop_signal: i32,
    pub(super) init: Option<Init>,
    pub(super) terminals: Terminals,
    pub(super) cgroups: crate::cgroup::Cgroups,
    pub(super) network: Option<crate::network::Network>,
    pub(super) namespaces: Vec<(rlxc_config::Namespace, std::fs::File)>,
    pub(super) seccomp: Option<OwnedFd>,
    /// Another handle of the plan's memfd is not needed: a path reaches it.
    config: ConfigItems,
}

/// The running configuration: what is not in the plan, over what is.
#[derive(Debug, Default)]
pub(super) struct ConfigItems {
    pub(super) plan: Option<std::fs::File>,
    pub(super) changed: BTreeMap<String, String>,
}

impl ConfigItems {
    fn get(&mut self, key: &str) -> Option<String> {
        if let Some(value) = self.changed.get(key) {
            return Some(value.clone());
        }
        let plan = super::read_plan(self.plan.as_mut()?).ok()?;
        let mut document = rlxc_config::Document::new();
        *document.config_mut() = plan.config;
        let value = document.get(key).ok()?;
        (!value.is_empty()).then_some(value)
    }
}

impl Core {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            name: plan.name.clone(),
            lxcpath: plan.lxcpath.clone(),
            clone_flags: u32::try_from(plan.namespaces.clone.0).unwrap_or(0),
            stop_signal: plan.config.signals.stop.unwrap_or(9),
            init: None,
            terminals: Terminals::default(),
            cgroups: crate::cgroup::Cgroups::default(),
            network: None,
            namespaces: Vec::new(),
            seccomp: None,
            config: ConfigItems::default(),
        }
    }

    /// Where the values of GET_CONFIG_ITEM come from.
    pub(super) fn serve_config_from(&mut self, plan: std::fs::File) {
        self.config.plan = Some(plan);
    }

    /// A value that became known at start only.
    pub(super) fn set_config_item(&mut self, key: String, value: String) {
        self.config.changed.insert(key, value);
    }

    /// Sends a signal to init; without one there is nothing to signal.
    pub(super) fn signal_init(&self, signal: i32) -> Answer<()> {
        let init = self.init.as_ref().ok_or(Errno::ESRCH)?;
        process::pidfd_send_signal(&init.pidfd, signal)
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
    }
}

fn duplicate(fd: Option<&OwnedFd>) -> Answer<OwnedFd> {
    fd.and_then(|fd| fd.try_clone().ok()).ok_or(Errno::EBADF)
}

impl Handler for Core {
    fn name(&self) -> &str {
        &self.name
    }

    fn lxcpath(&self) -> &Path {
        &self.lxcpath
    }

    fn init_pid(&mut self) -> Answer<i32> {
        self.init.as_ref().map(|init| init.pid).ok_or(Errno::ESRCH)
    }

    fn clone_flags(&mut self) -> Answer<u32> {
        Ok(self.clone_flags)
    }

    fn stop(&mut self) -> Answer<()> {
        self.signal_init(self.stop_signal)?;
        self.cgroups.thaw();
        Ok(())
    }

    fn tty(&mut self, wanted: i32) -> Answer<TtyGrant> {
        self.terminals.tty(wanted)
    }

    fn tty_returned(&mut self, number: i32) {
        self.terminals.tty_returned(number);
    }

    fn window_changed(&mut self) {
        self.terminals.window_changed();
    }

    fn config_item(&mut self, key: &str) -> Option<String> {
        let value = self.config.get(key);
        process::release_free_memory();
        value
    }

    fn console_log(&mut self, request: ConsoleLogRequest) -> Answer<Vec<u8>> {
        self.terminals.console_log(request)
    }

    fn init_pidfd(&mut self) -> Answer<OwnedFd> {
        duplicate(self.init.as_ref().map(|init| &init.pidfd))
    }

    fn devpts_fd(&mut self) -> Answer<OwnedFd> {
        self.terminals.devpts()
    }

    fn seccomp_notify_fd(&mut self) -> Answer<OwnedFd> {
        duplicate(self.seccomp.as_ref())
    }

    fn cgroup(&mut self, controller: Option<&str>) -> Option<String> {
        self.cgroups.path(controller)
    }
}
