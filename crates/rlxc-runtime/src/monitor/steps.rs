//! The start, step by step.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rlxc_config::{HookKind, Namespace};
use rlxc_monitor::State;
use rlxc_sys::process;

use super::{Monitor, Result};
use crate::error::{Context, StartError};
use crate::hooks::HookContext;
use crate::plan::Plan;
use crate::report::Report;
use crate::share::Shared;
use crate::sync::{Channel, Descriptors, FromChild, ToChild};
use crate::terminal::{ConsolePump, ConsoleSetup, Pty, Terminals};

/// Everything that is ready before the clone.
struct Preparations<'a> {
    child: crate::init::Prepared<'a>,
    /// The monitor's end of the conversation.
    ours: Channel,
    /// The console's ptx, if it comes from the host.
    host_ptx: Option<OwnedFd>,
    shared: Shared,
}

impl Monitor {
    /// From STARTING to RUNNING, by a start or, at first, by a restore. On failure everything that was
    /// made is still in `self`, for [`Monitor::abort`].
    pub(super) fn start(&mut self) -> Result<()> {
        let plan = self.take_plan()?;
        let unused = !std::mem::replace(&mut self.restored, true);
        let result = match plan.restore.as_ref().filter(|_| unused) {
            Some(restore) => self
                .unshare_first(&plan)
                .and_then(|()| self.restore(&plan, restore)),
            None => self.start_plan(&plan),
        };
        self.plan = Some(plan);
        result
    }

    fn start_plan(&mut self, plan: &Plan) -> Result<()> {
        self.server.announce(State::Starting);
        let mut hooks = HookContext::new(plan);
        let prepared = self.before_clone(plan, &hooks)?;
        let Preparations {
            child,
            ours,
            host_ptx,
            shared,
        } = prepared;
        let late_network = child.unshare_net;
        let born = self.step("clone", |monitor| monitor.clone_init(child, &shared))?;
        let pid = self.init_pid()?;
        self.core.last_pid = Some(pid);
        hooks.set("LXC_PID", &pid.to_string());
        for (name, value) in &plan.config.environment_hooks {
            hooks.set(name, value);
        }
        self.guide_child(plan, &hooks, &ours, late_network, born)
            .and_then(|()| self.until_executed(plan, &hooks, &ours, host_ptx))
            // What failed here may only be what the child's own failure has led to.
            .map_err(|error| child_failure(&ours).unwrap_or(error))?;
        // Before anybody is told that it runs: from then on the monitor may be killed.
        self.write_record(plan);
        self.server.announce(State::Running);
        self.report_running();
        Ok(())
    }

    /// All that can fail without a process of the container.
    fn before_clone<'a>(
        &mut self,
        plan: &'a Plan,
        hooks: &HookContext,
    ) -> Result<Preparations<'a>> {
        let security = self.check_policies(plan, hooks)?;
        let shared = self.step("shared namespaces", |_| Shared::open(plan))?;
        crate::idmapped::check(plan)?;
        let storage = self.make_places(plan)?;
        let console = match plan.terminals {
            ref t if t.console && t.console_from_host => Some(Pty::from_host().at("console", "")?),
            _ => None,
        };
        let host_ptx = match &console {
            Some(pty) => Some(pty.ptx.try_clone().at("console", "")?),
            None => None,
        };
        let (ours, theirs) = Channel::pair().at("clone", "socketpair")?;
        let has = |ns| plan.namespaces.clone.contains(ns);
        let child = crate::init::Prepared {
            plan,
            channel: theirs,
            hooks: hooks.clone(),
            security,
            storage,
            console,
            unshare_net: has(Namespace::Net) && has(Namespace::User),
            inherited: self.inherited.clone(),
            unshare_cgroup: has(Namespace::Cgroup),
            settled: false,
            cgroups: self.core.cgroups.payload_entrance()?,
        };
        Ok(Preparations {
            child,
            ours,
            host_ptx,
            shared,
        })
    }

    /// What a start and a restore do before anything of the container is made.
    pub(super) fn check_policies(
        &mut self,
        plan: &Plan,
        hooks: &HookContext,
    ) -> Result<crate::security::Prepared> {
        self.unshare_first(plan)?;
        let memfd = self.memfd.try_clone().at("monitor", "plan")?;
        self.core.serve_config_from(memfd);
        if hooks.has(HookKind::PreStart) {
            self.step("pre-start hooks", |_| hooks.run(HookKind::PreStart, &[]))?;
        }
        crate::idmap::check(plan)?;
        let security = self.step("security policies", |_| {
            crate::security::Prepared::new(plan)
        })?;
        self.core.label = Some(security.label());
        Ok(security)
    }

    /// The rootfs's source and the cgroups, of a start and of a restore.
    pub(super) fn make_places(&mut self, plan: &Plan) -> Result<crate::rootfs::Source> {
        let mut storage = self.step("rootfs source", |_| crate::rootfs::Source::resolve(plan))?;
        self.core.pin = storage.pin(plan);
        self.core.storage = storage.take_hold();
        self.step("create cgroups", |monitor| {
            let dir = monitor.dir.clone();
            monitor.core.cgroups.create(plan, dir.as_deref())
        })?;
        Ok(storage)
    }

    /// `lxc.monitor.unshare`, once.
    fn unshare_first(&mut self, plan: &Plan) -> Result<()> {
        if plan.config.monitor_unshare != 0 && !self.unshared {
            self.step("monitor's mount namespace", |_| unshare_mounts())?;
            self.unshared = true;
        }
        Ok(())
    }

    /// What the child needs from outside while it sets itself up: maps, links, cgroups, limits.
    fn guide_child(
        &mut self,
        plan: &Plan,
        hooks: &HookContext,
        ours: &Channel,
        late_network: bool,
        born: bool,
    ) -> Result<()> {
        let pid = self.init_pid()?;
        let other_ids = plan.namespaces.clone.contains(Namespace::User);
        // Who is not the host's root may move a process only as long as it has the same user id.
        let enter_first = other_ids && !is_hosts_root();
        if enter_first {
            self.step("enter cgroups", |monitor| {
                monitor.core.cgroups.enter(plan, pid, born)
            })?;
        }
        if plan.has_maps() {
            self.step("id maps", |_| send_maps(plan, pid, ours))?;
        }
        if late_network {
            let step = "network namespace";
            let (FromChild::Network, _) = self.wait_child(ours, step)? else {
                return Err(StartError::new(step, "", "an unexpected message"));
            };
        }
        self.step("network", |monitor| {
            monitor.create_network(plan, hooks, pid)
        })?;
        if !enter_first {
            self.step("enter cgroups", |monitor| {
                monitor.core.cgroups.enter(plan, pid, born)
            })?;
        }
        self.step("process settings", |_| set_process(plan, pid))?;
        let inside = self.core.network.as_ref().map(|n| n.inside().clone());
        let inside = inside.unwrap_or_default();
        ours.send(&ToChild::Entered { inside }, &[])
            .at("network", "")
    }

    fn until_executed(
        &mut self,
        plan: &Plan,
        hooks: &HookContext,
        ours: &Channel,
        host_ptx: Option<OwnedFd>,
    ) -> Result<()> {
        self.step("container set-up", |monitor| {
            let message = monitor.wait_child(ours, "container set-up")?;
            let (FromChild::Ready(described), fds) = message else {
                return Err(StartError::new("init", "", "an unexpected message"));
            };
            monitor.take_descriptors(plan, described, fds, host_ptx)
        })?;
        if hooks.wants_namespaces() {
            let pid = self.init_pid()?;
            self.keep_namespaces(plan, pid)?;
        }
        let restricted = plan.has_device_rules();
        if restricted {
            self.step("device rules", |monitor| {
                monitor.core.cgroups.restrict_devices(plan)
            })?;
        }
        if hooks.has(HookKind::StartHost) {
            self.step("start-host hooks", |_| hooks.run(HookKind::StartHost, &[]))?;
        }
        if restricted || hooks.wait_before_init() {
            ours.send(&ToChild::Go, &[]).at("start-host hooks", "")?;
        }
        self.step("execute init", |monitor| monitor.wait_exec(ours))
    }

    fn create_network(&mut self, plan: &Plan, hooks: &HookContext, pid: i32) -> Result<()> {
        self.core.network = crate::network::Network::create(plan, hooks, pid)?;
        let network = self.core.network.iter();
        let names: Vec<_> = network.flat_map(|n| n.chosen_names()).collect();
        for (key, name) in names {
            self.core.set_config_item(key, name);
        }
        Ok(())
    }

    /// Keeps the container's namespaces for the stop hooks, which get them as descriptors.
    pub(super) fn keep_namespaces(&mut self, plan: &Plan, pid: i32) -> Result<()> {
        for ns in plan.namespaces.clone.iter() {
            let path = format!("/proc/{pid}/ns/{}", ns.name());
            let file = std::fs::File::open(&path).at("namespaces", path)?;
            self.core.namespaces.push((ns, file));
        }
        Ok(())
    }

    fn init_pid(&self) -> Result<i32> {
        let init = self.core.init.as_ref();
        init.map(|init| init.pid)
            .ok_or_else(|| StartError::new("clone", "", "there is no init"))
    }

    /// The child's next message; serves the command socket meanwhile.
    fn wait_child(&mut self, channel: &Channel, what: &str) -> Result<(FromChild, Vec<OwnedFd>)> {
        match self.next_message(channel)? {
            Some((FromChild::Failed(error), _)) => Err(error),
            Some(message) => Ok(message),
            None => Err(self.child_died(what)),
        }
    }

    /// End of file on the channel: init has been executed, or has ended already.
    fn wait_exec(&mut self, channel: &Channel) -> Result<()> {
        match self.next_message(channel)? {
            None => Ok(()),
            Some((FromChild::Failed(error), _)) => Err(error),
            Some(_) => Err(StartError::new("init", "", "an unexpected message")),
        }
    }

    fn next_message(&mut self, channel: &Channel) -> Result<Option<(FromChild, Vec<OwnedFd>)>> {
        loop {
            let (from_child, commands) =
                wait_two(channel.as_fd(), self.server.as_fd()).at("container set-up", "poll")?;
            if commands {
                self.dispatch_commands();
            }
            if from_child {
                match channel.receive() {
                    Err(Errno::EAGAIN | Errno::EINTR) => {}
                    other => return other.at("container set-up", "receive"),
                }
            }
        }
    }

    fn child_died(&mut self, what: &str) -> StartError {
        let status = self.core.init.take().map(|init| {
            let _ = process::pidfd_send_signal(&init.pidfd, 9);
            process::wait_status(&init.pidfd).unwrap_or(0)
        });
        let how = match status.unwrap_or(0) {
            status if status & 0x7f != 0 => format!("killed by signal {}", status & 0x7f),
            status => format!("ended with status {}", status >> 8),
        };
        StartError::new(what, "", format!("the container's first process was {how}"))
    }

    pub(super) fn take_descriptors(
        &mut self,
        plan: &Plan,
        described: Descriptors,
        fds: Vec<OwnedFd>,
        host_ptx: Option<OwnedFd>,
    ) -> Result<()> {
        let mut fds = fds.into_iter();
        let sent = if described.console { fds.next() } else { None };
        let console = host_ptx.or(sent);
        let ttys = fds.by_ref().take(described.ttys as usize).collect();
        let devpts = if described.devpts { fds.next() } else { None };
        if let Some(listener) = fds.next().filter(|_| described.seccomp) {
            self.core.add_proxy(listener).at("seccomp", "notify")?;
            let connected = self
                .core
                .proxies
                .iter_mut()
                .try_for_each(|proxy| proxy.connect_now());
            connected
                .at("seccomp", "lxc.seccomp.notify.proxy")
                .map_err(|error| {
                    error.remedy(
                        "start the program that answers there, or remove lxc.seccomp.notify.proxy",
                    )
                })?;
        }
        let pump = match console {
            Some(ptx) => {
                let setup = ConsoleSetup {
                    ptx,
                    config: &plan.config.console,
                    peer: self.caller_terminal(plan),
                };
                Some(ConsolePump::new(setup).at("console", "")?)
            }
            None => None,
        };
        self.core.terminals = Terminals::new(pump, ttys, devpts);
        self.core.terminals.window_changed();
        Ok(())
    }

    /// The caller's terminal, which shows the console of a container in the foreground.
    pub(super) fn caller_terminal(&mut self, plan: &Plan) -> Option<OwnedFd> {
        let tty = foreground_terminal(plan)?;
        self.raw = crate::terminal::RawMode::enter(tty.as_fd()).ok();
        Some(tty)
    }

    pub(super) fn report_running(&mut self) {
        let init = self.core.init.as_ref().map_or(0, |init| init.pid);
        let timings = std::mem::take(&mut self.timings);
        if let Some(reporter) = &mut self.reporter {
            reporter.send(&Report::Running {
                monitor: i32::try_from(std::process::id()).unwrap_or(0),
                init,
                timings,
            });
        }
    }
}

/// Whether this is root in the first user namespace.
fn is_hosts_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let all_ids = map.split_whitespace().eq(["0", "0", "4294967295"]);
    all_ids && nix::unistd::geteuid().is_root()
}

/// `lxc.proc.*`, `lxc.prlimit.*` and `lxc.sched.core` of the container's first process.
fn set_process(plan: &Plan, pid: i32) -> Result<()> {
    for (name, value) in &plan.config.procfs {
        let path = format!("/proc/{pid}/{}", name.replace('.', "/"));
        let about = format!("lxc.proc.{name} = {value} ({path})");
        std::fs::write(&path, value).at("lxc.proc", about)?;
    }
    crate::security::set_limits(&plan.config.prlimits, pid)?;
    if plan.config.sched_core {
        let group = rlxc_sys::limits::CoreScope::ThreadGroup;
        rlxc_sys::limits::core_sched_create(pid, group)
            .at("lxc.sched.core", "PR_SCHED_CORE_CREATE")?;
    }
    Ok(())
}

/// `lxc.monitor.unshare`: mounts made for the container stay with the monitor.
fn unshare_mounts() -> Result<()> {
    use nix::mount::{MsFlags, mount};
    let (step, none) = ("lxc.monitor.unshare", None::<&str>);
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).at(step, "unshare")?;
    let flags = MsFlags::MS_SLAVE | MsFlags::MS_REC;
    mount(none, "/", none, flags, none).at(step, "/")
}

/// The terminal of a foreground start, when it is to show the console.
fn foreground_terminal(plan: &Plan) -> Option<OwnedFd> {
    use nix::fcntl::{OFlag, open};
    let shown = rlxc_sys::tty::is_terminal(std::io::stdin().as_fd());
    if plan.daemonize || plan.config.console.path.is_some() || !shown {
        return None;
    }
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open("/dev/tty", flags, nix::sys::stat::Mode::empty()).ok()
}

fn wait_two(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> nix::Result<(bool, bool)> {
    let mut fds = [
        PollFd::new(a, PollFlags::POLLIN),
        PollFd::new(b, PollFlags::POLLIN),
    ];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    let [a, b] = fds.map(|fd| fd.any().unwrap_or(false));
    Ok((a, b))
}

/// Writes the id maps and sends the idmapped trees.
fn send_maps(plan: &Plan, pid: i32, ours: &Channel) -> Result<()> {
    if plan.namespaces.clone.contains(Namespace::User) {
        crate::idmap::write(pid, &plan.id_maps)?;
    }
    let trees = crate::idmapped::prepare(plan, pid)?;
    let rootfs = trees.rootfs.is_some();
    let fds = trees.rootfs.iter().chain(&trees.entries);
    let fds: Vec<_> = fds.map(AsFd::as_fd).collect();
    ours.send(&ToChild::Mapped { rootfs }, &fds)
        .at("id maps", "")
}

/// The failure that the child has reported and nobody has read yet.
fn child_failure(ours: &Channel) -> Option<StartError> {
    match ours.receive() {
        Ok(Some((FromChild::Failed(error), _))) => Some(error),
        _ => None,
    }
}
