//! Taking a container down: after its end, and after a failed start.

use std::os::fd::AsRawFd;

use rlxc_config::HookKind;
use rlxc_monitor::{State, events};
use rlxc_sys::process;

use super::Monitor;
use crate::hooks::HookContext;
use crate::locate;
use crate::plan::Plan;
use crate::terminal::Terminals;

/// SIGHUP as init's end means that reboot(2) was called inside with RESTART (pid_namespaces(7)).
const REBOOT_STATUS: i32 = 1;

impl Monitor {
    /// A failed start: kills what runs, then as [`Monitor::end`].
    pub(super) fn abort(&mut self) {
        self.server.announce(State::Aborting);
        self.aborted = true;
        if let Some(init) = self.core.init.take() {
            let _ = process::pidfd_send_signal(&init.pidfd, 9);
            let _ = process::wait_status(&init.pidfd);
        }
        self.take_down(false);
    }

    /// Init has ended. Returns whether the container is to be started again.
    pub(super) fn end(&mut self, status: Option<i32>) -> bool {
        // An unknown end counts as a halt, and nobody is told a status.
        let Some(status) = status else {
            return self.take_down(false);
        };
        let reboot = status & 0x7f == REBOOT_STATUS;
        if let Err(error) = events::send_exit_status(
            rlxc_monitor::Handler::lxcpath(&self.core),
            rlxc_monitor::Handler::name(&self.core),
            status,
        ) {
            tracing::warn!("{error}");
        }
        self.take_down(reboot)
    }

    /// `lxc.ephemeral`: nothing of the container stays. The socket is closed first: the program
    /// that destroys it must find it stopped.
    pub(super) fn destroy_ephemeral(self) {
        let Some(plan) = self.plan else { return };
        drop(self.server);
        if !plan.config.ephemeral {
            return;
        }
        let (dir, object) = (self.dir.as_deref(), self.object.as_deref());
        let Some((program, mut command)) = locate::destroyer(dir, object, &plan.lxcpath) else {
            return tracing::error!("lxc.ephemeral: the program rlxc is missing");
        };
        command.arg(&plan.name).stdin(std::process::Stdio::null());
        let status = command.status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => {
                tracing::error!("lxc.ephemeral: {} ended with {status}", program.display())
            }
            Err(error) => tracing::error!("lxc.ephemeral: {}: {error}", program.display()),
        }
    }

    fn take_down(&mut self, reboot: bool) -> bool {
        let plan = match self.take_plan() {
            Ok(plan) => plan,
            Err(error) => {
                tracing::error!("{error}");
                return false;
            }
        };
        let reboot = self.take_down_plan(&plan, reboot);
        self.plan = Some(plan);
        reboot
    }

    fn take_down_plan(&mut self, plan: &Plan, mut reboot: bool) -> bool {
        let mut hooks = HookContext::new(plan);
        // lxc.environment is the container's: a PATH or LD_PRELOAD in it must not reach the host.
        for (name, value) in &plan.config.environment_hooks {
            hooks.set(name, value);
        }
        if let Some(pid) = self.core.last_pid {
            hooks.set("LXC_PID", &pid.to_string());
        }
        let namespaces = self.namespace_paths();
        hooks.set_namespaces(&namespaces);
        if let Some(network) = &self.core.network {
            let at_once = reboot || self.server.state() == State::Aborting;
            network.tear_down(plan, &hooks, at_once);
        }
        self.server.announce(State::Stopping);
        hooks.set("LXC_TARGET", if reboot { "reboot" } else { "stop" });
        if let Err(error) = hooks.run(HookKind::Stop, &namespaces) {
            tracing::error!("{error}");
        }
        self.core.namespaces.clear();
        self.core.terminals.finish();
        self.raw = None;
        self.core.terminals = Terminals::default();
        self.core.pin = None;
        self.core.storage = None;
        self.core.proxies.clear();
        if let Some(label) = self.core.label.take() {
            crate::security::clean_up(&label);
        }
        let all_dead = plan.namespaces.clone.contains(rlxc_config::Namespace::Pid);
        self.core.cgroups.destroy_payload(&plan.id_maps, all_dead);
        if reboot {
            self.server.announce(State::Stopped);
        }
        if let Err(error) = hooks.run(HookKind::PostStop, &[]) {
            tracing::error!("{error}");
            reboot = false;
        }
        let network = self.core.network.take();
        if reboot {
            self.server.reboot();
        } else {
            if !self.is_tidied(plan) {
                self.core.cgroups.destroy_monitor();
            }
            self.remove_pid_file();
            self.remove_record(plan);
            self.server.stop_listening();
            self.server.announce(State::Stopped);
        }
        if let Some(network) = network {
            network.finish();
        }
        reboot
    }

    /// Before the end is announced: the next monitor writes its own.
    fn remove_pid_file(&mut self) {
        if let Some(path) = self.pid_file.take() {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Whether somebody waits for the monitor's end and removes its cgroups then: the client that
    /// asked for the stop, or the caller of a start in the foreground.
    fn is_tidied(&self, plan: &Plan) -> bool {
        let foreground = !plan.daemonize && self.reporter.is_some();
        !self.aborted && (foreground || self.server.is_tidied())
    }

    /// `/proc/MONITOR/fd/N` of each namespace.
    fn namespace_paths(&self) -> Vec<(String, String)> {
        let own = std::process::id();
        let path = |file: &std::fs::File| format!("/proc/{own}/fd/{}", file.as_raw_fd());
        let namespaces = self.core.namespaces.iter();
        namespaces
            .map(|(ns, file)| (ns.name().to_owned(), path(file)))
            .collect()
    }
}
