//! The start, step by step.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rlxc_config::{HookKind, Namespace};
use rlxc_monitor::State;
use rlxc_sys::process::{self, CloneArgs, Cloned};

use super::core::Init;
use super::{Monitor, Result};
use crate::error::{Context, StartError};
use crate::hooks::HookContext;
use crate::plan::Plan;
use crate::report::Report;
use crate::share::Shared;
use crate::sync::{Channel, Descriptors, FromChild, ToChild};
use crate::terminal::{ConsolePump, ConsoleSetup, Pty, Terminals};

impl Monitor {
    /// From STARTING to RUNNING. On failure everything that was made is still in `self`, for
    /// [`Monitor::abort`].
    pub(super) fn start(&mut self) -> Result<()> {
        let plan = self.take_plan()?;
        let result = self.start_plan(&plan);
        self.plan = Some(plan);
        result
    }

    fn start_plan(&mut self, plan: &Plan) -> Result<()> {
        self.server.announce(State::Starting);
        if plan.config.monitor_unshare && !self.unshared {
            self.step("monitor's mount namespace", |_| unshare_mounts())?;
            self.unshared = true;
        }
        let memfd = self.memfd.try_clone().at("monitor", "plan")?;
        self.core.serve_config_from(memfd);
        let mut hooks = HookContext::new(plan);
        if hooks.has(HookKind::PreStart) {
            self.step("pre-start hooks", |_| hooks.run(HookKind::PreStart, &[]))?;
        }
        let security = self.step("security policies", |_| {
            crate::security::Prepared::new(plan)
        })?;
        let storage = self.step("rootfs source", |_| crate::rootfs::Source::resolve(plan))?;
        self.step("create cgroups", |monitor| {
            monitor.core.cgroups.create(plan)
        })?;
        let console = match plan.terminals {
            ref t if t.console && t.console_from_host => Some(Pty::from_host().at("console", "")?),
            _ => None,
        };
        let host_ptx = match &console {
            Some(pty) => Some(pty.ptx.try_clone().at("console", "")?),
            None => None,
        };
        let namespaces = plan.namespaces.clone;
        let has = |ns| namespaces.contains(ns);
        let (ours, theirs) = Channel::pair().at("clone", "socketpair")?;
        let birth_place = self.core.cgroups.birth_place();
        let prepared = crate::init::Prepared {
            plan,
            channel: theirs,
            hooks: hooks.clone(),
            security,
            storage,
            console,
            unshare_net: has(Namespace::Net) && has(Namespace::User),
            unshare_cgroup: has(Namespace::Cgroup) && birth_place.is_none(),
        };
        let late_network = prepared.unshare_net;
        let shared = self.step("shared namespaces", |_| Shared::open(plan))?;
        self.step("clone", |monitor| {
            monitor.clone_init(prepared, &shared, birth_place)
        })?;
        let pid = self.init_pid()?;
        hooks.set("LXC_PID", &pid.to_string());
        if plan.has_maps() {
            self.step("id maps", |_| {
                if has(Namespace::User) {
                    crate::idmap::write(pid, &plan.id_maps)?;
                }
                let trees = crate::idmapped::prepare(plan, pid)?;
                let rootfs = trees.rootfs.is_some();
                let fds = trees.rootfs.iter().chain(&trees.entries);
                let fds: Vec<_> = fds.map(AsFd::as_fd).collect();
                ours.send(&ToChild::Mapped { rootfs }, &fds)
                    .at("id maps", "")
            })?;
        }
        if late_network {
            let message = self.wait_child(&ours, "network namespace")?;
            let (FromChild::Network, _) = message else {
                return Err(StartError::new(
                    "network namespace",
                    "",
                    "an unexpected message",
                ));
            };
        }
        self.step("network", |monitor| {
            monitor.create_network(plan, &hooks, pid)
        })?;
        self.step("enter cgroups", |monitor| {
            monitor.core.cgroups.enter(plan, pid)
        })?;
        self.step("process settings", |_| set_process(plan, pid))?;
        let inside = self.core.network.as_ref().map(|n| n.inside().clone());
        let inside = inside.unwrap_or_default();
        ours.send(&ToChild::Entered { inside }, &[])
            .at("network", "")?;
        self.step("container set-up", |monitor| {
            let message = monitor.wait_child(&ours, "container set-up")?;
            let (FromChild::Ready(described), fds) = message else {
                return Err(StartError::new("init", "", "an unexpected message"));
            };
            monitor.take_descriptors(plan, described, fds, host_ptx)
        })?;
        if hooks.has(HookKind::Stop) {
            self.keep_namespaces(plan, pid)?;
        }
        if hooks.has(HookKind::StartHost) {
            self.step("start-host hooks", |_| hooks.run(HookKind::StartHost, &[]))?;
        }
        if hooks.wait_before_init() {
            ours.send(&ToChild::Go, &[]).at("start-host hooks", "")?;
        }
        self.step("execute init", |monitor| monitor.wait_exec(&ours))?;
        self.server.announce(State::Running);
        self.report_running();
        Ok(())
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
    fn keep_namespaces(&mut self, plan: &Plan, pid: i32) -> Result<()> {
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

    fn clone_init(
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

    fn take_descriptors(
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
        self.core.seccomp = if described.seccomp { fds.next() } else { None };
        let pump = match console {
            Some(ptx) => {
                let peer = foreground_terminal(plan);
                if let Some(tty) = &peer {
                    self.raw = crate::terminal::RawMode::enter(tty.as_fd()).ok();
                }
                let setup = ConsoleSetup {
                    ptx,
                    config: &plan.config.console,
                    peer,
                };
                Some(ConsolePump::new(setup).at("console", "")?)
            }
            None => None,
        };
        self.core.terminals = Terminals::new(pump, ttys, devpts);
        self.core.terminals.window_changed();
        Ok(())
    }

    fn report_running(&mut self) {
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

/// `lxc.proc.*`, `lxc.prlimit.*` and `lxc.sched.core` of the container's first process.
fn set_process(plan: &Plan, pid: i32) -> Result<()> {
    for (name, value) in &plan.config.procfs {
        let path = format!("/proc/{pid}/{}", name.replace('.', "/"));
        let about = format!("lxc.proc.{name} = {value} ({path})");
        std::fs::write(&path, value).at("lxc.proc", about)?;
    }
    crate::limits::apply(&plan.config.prlimits, pid)?;
    if plan.config.sched_core {
        let remedy = "it needs a kernel with core scheduling (CONFIG_SCHED_CORE) and SMT";
        process::new_core_cookie(pid)
            .at("lxc.sched.core", "PR_SCHED_CORE_CREATE")
            .map_err(|error| error.remedy(remedy))?;
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
