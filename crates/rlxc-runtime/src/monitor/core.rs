//! What the monitor knows of a running container, and its answers on the command socket.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use rlxc_monitor::State;
use rlxc_monitor::protocol::{CgroupCtx, CgroupFd, ConsoleLogRequest, DeviceRule};
use rlxc_monitor::server::{Answer, Completion, Handler, ToTidy, Token, TtyGrant};
use rlxc_security::lsm::Label;
use rlxc_security::seccomp::notify::Proxy;
use rlxc_sys::process;

use crate::plan::Plan;
use crate::terminal::Terminals;

/// The container's first process.
#[derive(Debug)]
pub(super) struct Init {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
}

/// A client that waits until the container is frozen or thawed.
#[derive(Debug)]
pub(super) struct Freezing {
    token: Token,
    frozen: bool,
    events: std::fs::File,
    deadline: Option<Instant>,
}

impl Freezing {
    pub(super) fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the kernel says that it is done (cgroup.events).
    fn done(&self) -> bool {
        use std::os::unix::fs::FileExt;
        let mut text = [0; 256];
        let wanted: &[u8] = if self.frozen {
            b"frozen 1"
        } else {
            b"frozen 0"
        };
        self.events.read_at(&mut text, 0).is_ok_and(|count| {
            text[..count]
                .split(|byte| *byte == b'\n')
                .any(|line| line == wanted)
        })
    }
}

/// The facts of a running container.
#[derive(Debug)]
pub(super) struct Core {
    name: String,
    lxcpath: PathBuf,
    clone_flags: u32,
    stop_signal: i32,
    pub(super) init: Option<Init>,
    /// Init's pid, also when it has ended.
    pub(super) last_pid: Option<i32>,
    pub(super) terminals: Terminals,
    pub(super) cgroups: crate::cgroup::Cgroups,
    pub(super) network: Option<crate::network::Network>,
    pub(super) namespaces: Vec<(rlxc_config::Namespace, std::fs::File)>,
    /// Notifications of the seccomp filter, and of those of attached processes.
    pub(super) proxies: Vec<Proxy>,
    /// Indices of those that are over.
    pub(super) lost_proxies: Vec<usize>,
    seccomp_proxy: Option<String>,
    seccomp_cookie: Option<String>,
    pub(super) label: Option<Label>,
    /// Keeps the rootfs's file system writable.
    pub(super) pin: Option<OwnedFd>,
    /// What serves the rootfs until the container's end.
    pub(super) storage: Option<crate::rootfs::Hold>,
    pub(super) freezing: Vec<Freezing>,
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
    pub(super) fn new(plan: &Plan, cgroups: crate::cgroup::Cgroups) -> Self {
        Self {
            name: plan.name.clone(),
            lxcpath: plan.lxcpath.clone(),
            clone_flags: u32::try_from(plan.namespaces.clone.0).unwrap_or(0),
            stop_signal: plan.config.signals.stop.unwrap_or(9),
            init: None,
            last_pid: None,
            terminals: Terminals::default(),
            cgroups,
            network: None,
            namespaces: Vec::new(),
            proxies: Vec::new(),
            lost_proxies: Vec::new(),
            seccomp_proxy: plan.config.seccomp.notify_proxy.clone(),
            seccomp_cookie: plan.config.seccomp.notify_cookie.clone(),
            label: None,
            pin: None,
            storage: None,
            freezing: Vec::new(),
            config: ConfigItems::default(),
        }
    }

    /// Where the values of GET_CONFIG_ITEM come from.
    pub(super) fn serve_config_from(&mut self, plan: std::fs::File) {
        self.config.plan = Some(plan);
    }

    /// Takes over the listener of the container's own filter.
    pub(super) fn add_proxy(&mut self, listener: OwnedFd) -> rlxc_security::Result<()> {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let init = self.init.as_ref().map_or(0, |init| init.pid);
        let address = self.seccomp_proxy.clone();
        let cookie = self.seccomp_cookie.as_deref();
        let proxy = Proxy::new(listener, address, cookie, own, init)?;
        self.proxies.push(proxy);
        Ok(())
    }

    /// Forgets the proxies whose filters are gone.
    pub(super) fn drop_lost_proxies(&mut self) {
        let mut lost = std::mem::take(&mut self.lost_proxies);
        lost.sort_unstable();
        lost.dedup();
        for index in lost.into_iter().rev() {
            self.proxies.remove(index);
        }
    }

    fn change_freezer(&mut self, token: Token, timeout: i32, frozen: bool) -> Answer<Completion> {
        let events = self.cgroups.change_freezer(frozen)?;
        let seconds = u64::try_from(timeout).ok();
        self.freezing.push(Freezing {
            token,
            frozen,
            events,
            deadline: seconds.map(|s| Instant::now() + Duration::from_secs(s)),
        });
        Ok(Completion::Later)
    }

    /// The clients whose freeze or thaw is over: done, or out of time; and the new state.
    pub(super) fn frozen(&mut self) -> Vec<(Token, Answer<State>)> {
        let now = Instant::now();
        let mut over = Vec::new();
        self.freezing.retain(|waiting| {
            let state = if waiting.frozen {
                State::Frozen
            } else {
                State::Thawed
            };
            if waiting.done() {
                over.push((waiting.token, Ok(state)));
                return false;
            }
            if waiting.deadline.is_some_and(|deadline| deadline <= now) {
                over.push((waiting.token, Err(Errno::ETIMEDOUT)));
                return false;
            }
            true
        });
        over
    }

    /// A value that became known at start only.
    pub(super) fn set_config_item(&mut self, key: String, value: String) {
        self.config.changed.insert(key, value);
    }

    /// Such a value.
    pub(super) fn changed_item(&self, key: &str) -> Option<String> {
        self.config.changed.get(key).cloned()
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

    fn to_tidy(&mut self) -> Option<ToTidy> {
        let dirs = self.cgroups.monitor_dirs();
        let monitor = process::pidfd_open(i32::try_from(std::process::id()).ok()?).ok()?;
        (!dirs.is_empty()).then_some(ToTidy { monitor, dirs })
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
        let proxy = self.proxies.first().ok_or(Errno::EBADF)?;
        let listener = proxy.listener().try_clone_to_owned();
        listener.map_err(|_| Errno::EMFILE)
    }

    fn seccomp_listener(&mut self, listener: OwnedFd) -> Answer<()> {
        self.add_proxy(listener).map_err(|error| {
            tracing::error!("{error}");
            Errno::EINVAL
        })
    }

    fn cgroup(&mut self, controller: Option<&str>) -> Option<String> {
        self.cgroups.path(controller)
    }

    fn limit_cgroup(&mut self, controller: Option<&str>) -> Option<String> {
        self.cgroups.limit_path(controller)
    }

    fn cgroup2_fd(&mut self, limit: bool) -> Answer<OwnedFd> {
        self.cgroups.unified_fd(limit)
    }

    fn cgroup_ctx(&mut self) -> Answer<(CgroupCtx, Vec<OwnedFd>)> {
        self.cgroups.context()
    }

    fn cgroup_fd(&mut self, controller: &str, limit: bool) -> Answer<(CgroupFd, OwnedFd)> {
        self.cgroups.controller_fd(controller, limit)
    }

    fn systemd_scope(&mut self) -> Option<String> {
        self.cgroups.scope()
    }

    fn add_device_rule(&mut self, rule: DeviceRule) -> Answer<()> {
        self.cgroups.add_device(&rule)
    }

    fn freeze(&mut self, token: Token, timeout: i32) -> Answer<Completion> {
        self.change_freezer(token, timeout, true)
    }

    fn unfreeze(&mut self, token: Token, timeout: i32) -> Answer<Completion> {
        self.change_freezer(token, timeout, false)
    }
}
