//! The per-container monitor: starts init, serves the command socket, takes everything down again.
//!
//! One thread, one loop. The plan stays in the memfd it came in: it is read again for a reboot,
//! at the end, and for GET_CONFIG_ITEM, so that a running container costs little memory.

mod adopt;
mod clone;
mod core;
mod end;
mod events;
mod restore;
mod steps;

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rlxc_monitor::{Listener, Server, State};
use rlxc_sys::process::{self, CloneArgs, Cloned};

use self::core::Core;
use crate::error::{Context, StartError};
use crate::plan::Plan;
use crate::report::{Report, Reporter, Timing};

/// How long a container has to run before its monitor gives back what the start needed.
const SETTLING: Duration = Duration::from_millis(200);

type Result<T> = std::result::Result<T, StartError>;

/// What the monitor's command line says; see [`crate::start()`].
#[derive(Debug, Default)]
struct Arguments {
    socket: Option<OwnedFd>,
    plan: Option<OwnedFd>,
    report: Option<OwnedFd>,
    /// What is known of a container that runs already.
    facts: Option<OwnedFd>,
    daemon: bool,
    dir: Option<PathBuf>,
    /// The library that carries what is missing beside it.
    object: Option<PathBuf>,
}

/// The whole life of a monitor: the `main` of `rlxc-monitor`.
pub fn main() -> ExitCode {
    process::prefer_small_heap();
    let Some(arguments) = parse(std::env::args_os().skip(1)) else {
        eprintln!("rlxc-monitor is started by rlxc and liblxc, not by hand");
        return ExitCode::from(2);
    };
    let (Some(socket), Some(plan)) = (arguments.socket, arguments.plan) else {
        return ExitCode::from(2);
    };
    let mut reporter = arguments.report.map(Reporter::new);
    let mut memfd = File::from(plan);
    let mut cgroups = crate::cgroup::Cgroups::default();
    let facts = arguments.facts.map(read_facts).transpose();
    let result = facts.and_then(|facts| {
        let plan = read_plan(&mut memfd).at("monitor", "plan")?;
        // A container that runs has its cgroups.
        let new = Some(&*plan).filter(|_| facts.is_none());
        let (daemon, dir) = (arguments.daemon, arguments.dir.as_deref());
        let timing = birth(new, daemon, dir, &mut cgroups, &mut reporter)?;
        Ok((plan, timing, facts))
    });
    let (plan, timing, facts) = match result {
        Ok(done) => done,
        Err(error) => {
            tell_failure(&error, &mut reporter);
            return ExitCode::FAILURE;
        }
    };
    match Monitor::new(socket, memfd, plan, cgroups, reporter.take()) {
        Ok(mut monitor) => {
            monitor.dir = arguments.dir;
            monitor.object = arguments.object;
            monitor.facts = facts;
            monitor.timings.push(timing);
            monitor.run()
        }
        Err((error, mut reporter)) => {
            tell_failure(&error, &mut reporter);
            ExitCode::FAILURE
        }
    }
}

/// Clones the monitor proper into its cgroups. A daemon is cloned anyway; in the foreground it
/// becomes a second child of the caller, unless nobody would wait for that. Without a plan there are
/// no cgroups to be made.
fn birth(
    plan: Option<&Plan>,
    daemon: bool,
    dir: Option<&Path>,
    cgroups: &mut crate::cgroup::Cgroups,
    reporter: &mut Option<Reporter>,
) -> Result<Timing> {
    let before = Instant::now();
    // Pre-start hooks come before there are cgroups. What fails here fails again as a step.
    let early =
        |plan: &&Plan| !crate::hooks::HookContext::new(plan).has(rlxc_config::HookKind::PreStart);
    if let Some(plan) = plan.filter(early) {
        let _ = cgroups.create_monitor(plan, dir);
    }
    let timing = Timing {
        step: "create the monitor's cgroups".to_owned(),
        duration: before.elapsed(),
    };
    let entrance = cgroups.monitor_entrance();
    let birth_place = entrance.as_ref().and_then(|e| e.birth_place());
    let second_child = !daemon && birth_place.is_some();
    let mut born = false;
    if daemon || (second_child && reporter.is_some()) {
        let args = CloneArgs {
            flags: match daemon {
                true => 0,
                false => process::flags::CLONE_PARENT,
            },
            cgroup: birth_place,
        };
        match clone::clone_into(args).at("monitor", "clone")? {
            (Cloned::Child, in_cgroup) => born = in_cgroup,
            // The caller waits for this process only; the monitor lives on.
            (Cloned::Parent { .. }, _) => process::exit_now(0),
        }
        if let (false, Some(reporter)) = (daemon, reporter) {
            reporter.send(&Report::Monitor(
                i32::try_from(std::process::id()).unwrap_or(0),
            ));
        }
    }
    if let Some(entrance) = entrance {
        cgroups
            .enter_monitor(&entrance, born)
            .at("enter cgroups", "the monitor")?;
    }
    Ok(timing)
}

fn parse(mut words: impl Iterator<Item = OsString>) -> Option<Arguments> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        let mut descriptor = || {
            let number = words.next()?.to_str()?.parse().ok()?;
            process::adopt_fd(number)
        };
        match word.to_str().unwrap_or_default() {
            "--socket" => arguments.socket = Some(descriptor()?),
            "--plan" => arguments.plan = Some(descriptor()?),
            "--report" => arguments.report = Some(descriptor()?),
            "--take-over" => arguments.facts = Some(descriptor()?),
            "--daemon" => arguments.daemon = true,
            "--dir" => arguments.dir = words.next().map(PathBuf::from),
            "--object" => arguments.object = words.next().map(PathBuf::from),
            // The lxcpath and the name, for whoever looks at the process list.
            _ => {}
        }
    }
    (arguments.socket.is_some() && arguments.plan.is_some()).then_some(arguments)
}

/// To the caller; without one to the terminal, where a foreground start shows it.
fn tell_failure(error: &StartError, reporter: &mut Option<Reporter>) {
    match reporter {
        Some(reporter) => {
            let _ = reporter.send(&Report::Failed(error.clone()));
        }
        None => {
            eprintln!("lxc: {error}");
            if let Some(remedy) = &error.remedy {
                eprintln!("lxc: {remedy}");
            }
        }
    }
    *reporter = None;
}

/// A monitor and what it holds.
struct Monitor {
    /// Present only while something is being set up or taken down.
    plan: Option<Box<Plan>>,
    memfd: File,
    server: Server,
    core: Core,
    signals: SignalFd,
    reporter: Option<Reporter>,
    timings: Vec<Timing>,
    /// When to give memory back: a container that ends at once needs it again at once.
    settle_at: Option<Instant>,
    daemon: bool,
    pid_file: Option<PathBuf>,
    /// The caller's terminal while it shows the console.
    raw: Option<crate::terminal::RawMode>,
    /// Whether the start has failed.
    aborted: bool,
    /// Whether the checkpoint has been used: what follows a reboot is a start.
    restored: bool,
    /// Whether the monitor has a mount namespace of its own already.
    unshared: bool,
    /// The caller's descriptors that init gets: in the foreground, without `close_all_fds`.
    inherited: Vec<RawFd>,
    /// Where the other programs of rlxc are.
    dir: Option<PathBuf>,
    /// The library that the caller is, if it is one that can be executed.
    object: Option<PathBuf>,
    /// A container that runs already, to be taken over instead of being started.
    facts: Option<crate::adopt::Facts>,
    /// Whether there is a record for another monitor.
    recorded: bool,
}

/// What [`Monitor::prepare`] has made.
struct Ready {
    plan: Box<Plan>,
    server: Server,
    signals: SignalFd,
    inherited: Vec<RawFd>,
}

impl Monitor {
    fn new(
        socket: OwnedFd,
        memfd: File,
        plan: Box<Plan>,
        cgroups: crate::cgroup::Cgroups,
        mut reporter: Option<Reporter>,
    ) -> std::result::Result<Self, (StartError, Option<Reporter>)> {
        // Relative paths are the caller's; `prepare` leaves its directory.
        let cwd = std::env::current_dir().unwrap_or_default();
        match Self::prepare(socket, &memfd, plan, &reporter) {
            Ok(Ready {
                plan,
                server,
                signals,
                inherited,
            }) => Ok(Self {
                inherited,
                pid_file: plan.pid_file.as_ref().map(|path| cwd.join(path)),
                core: Core::new(&plan, cgroups),
                daemon: plan.daemonize,
                plan: Some(plan),
                memfd,
                server,
                signals,
                reporter: reporter.take(),
                timings: Vec::new(),
                settle_at: None,
                raw: None,
                aborted: false,
                restored: false,
                unshared: false,
                dir: None,
                object: None,
                facts: None,
                recorded: false,
            }),
            Err(error) => Err((error, reporter)),
        }
    }

    fn prepare(
        socket: OwnedFd,
        memfd: &File,
        plan: Box<Plan>,
        reporter: &Option<Reporter>,
    ) -> Result<Ready> {
        let step = "monitor";
        use std::os::fd::AsRawFd;
        let mut own = vec![socket.as_raw_fd(), memfd.as_raw_fd()];
        own.extend(reporter.as_ref().map(|r| r.as_fd().as_raw_fd()));
        let inherited = inherited(&own, plan.close_all_fds).at(step, "/proc/self/fd")?;
        own.extend(&inherited);
        process::close_other_fds(&own).at(step, "close_range")?;
        set_up_log(&plan);
        let title = format!("[lxc monitor] {} {}", plan.lxcpath.display(), plan.name);
        if let Ok(title) = std::ffi::CString::new(title) {
            let _ = process::set_title(&title);
        }
        if plan.daemonize {
            // In the foreground hooks run where the caller is.
            nix::unistd::chdir("/").at(step, "/")?;
            let _ = nix::unistd::setsid();
            process::null_streams().at(step, "/dev/null")?;
        }
        let mut set = SigSet::all();
        for signal in [Signal::SIGBUS, Signal::SIGILL, Signal::SIGSEGV] {
            set.remove(signal);
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), None).at(step, "signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&set, flags).at(step, "signalfd")?;
        let listener = Listener::inherited(socket).at(step, "command socket")?;
        let server = Server::new(listener, &plan.lxcpath, &plan.name, State::Starting);
        Ok(Ready {
            plan,
            server: server.at(step, "command socket")?,
            signals,
            inherited,
        })
    }

    /// Start, serve, end; again for each reboot.
    fn run(mut self) -> ExitCode {
        if let Err(error) = self.write_pid_file() {
            tell_failure(&error, &mut self.reporter);
            return ExitCode::FAILURE;
        }
        let mut runs = false;
        if let Some(facts) = self.facts.take() {
            if let Err(error) = self.take_over(facts) {
                // What runs is not this monitor's: nothing is taken down.
                tell_failure(&error, &mut self.reporter);
                return ExitCode::FAILURE;
            }
            runs = true;
        }
        let code = loop {
            match if runs { Ok(()) } else { self.start() } {
                Ok(()) => runs = false,
                Err(error) => {
                    tracing::error!("{error}");
                    self.abort();
                    tell_failure(&error, &mut self.reporter);
                    break ExitCode::FAILURE;
                }
            }
            if self.daemon {
                self.reporter = None;
            }
            self.settle_at = Some(Instant::now() + SETTLING);
            let status = self.serve();
            self.settle_at = None;
            if !self.end(status) {
                self.report_end(status.unwrap_or(0));
                break exit_code(status.unwrap_or(0));
            }
        };
        self.destroy_ephemeral();
        code
    }

    /// Tells a caller in the foreground, who then removes the monitor's cgroups.
    fn report_end(&mut self, status: i32) {
        let Some(reporter) = &mut self.reporter else {
            return;
        };
        let cgroups = self.core.cgroups.monitor_dirs();
        if !reporter.send(&Report::Ended { status, cgroups }) {
            self.core.cgroups.destroy_monitor();
        }
    }

    /// Runs one step of the start: named, timed, its failure carrying its name.
    fn step<T>(
        &mut self,
        name: &'static str,
        action: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let before = Instant::now();
        let span = tracing::info_span!("step", name).entered();
        let result = action(self);
        drop(span);
        let duration = before.elapsed();
        tracing::debug!("step {name} took {duration:?}");
        self.timings.push(Timing {
            step: name.to_owned(),
            duration,
        });
        result
    }

    /// The plan, read again if it has been dropped meanwhile.
    fn take_plan(&mut self) -> Result<Box<Plan>> {
        match self.plan.take() {
            Some(plan) => Ok(plan),
            None => read_plan(&mut self.memfd).at("monitor", "plan"),
        }
    }

    /// The container runs on: gives back what only the start needed.
    fn settle(&mut self) {
        self.settle_at = None;
        self.plan = None;
        self.timings = Vec::new();
        process::release_free_memory();
        process::release_code_pages();
    }

    fn write_pid_file(&self) -> Result<()> {
        let Some(path) = &self.pid_file else {
            return Ok(());
        };
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(path).at_path("pid file", path)?;
        std::io::Write::write_all(&mut file, std::process::id().to_string().as_bytes())
            .at_path("pid file", path)
    }
}

fn read_facts(memfd: OwnedFd) -> Result<crate::adopt::Facts> {
    let mut json = Vec::new();
    let mut file = File::from(memfd);
    let read = file.rewind().and_then(|()| file.read_to_end(&mut json));
    read.at(crate::adopt::STEP, "facts")?;
    serde_json::from_slice(&json).at(crate::adopt::STEP, "facts")
}

fn read_plan(memfd: &mut File) -> std::io::Result<Box<Plan>> {
    let mut json = Vec::new();
    memfd.rewind()?;
    memfd.read_to_end(&mut json)?;
    serde_json::from_slice(&json).map_err(std::io::Error::other)
}

/// The descriptors that the caller left open for the container. A directory is never one of
/// them: it would lead out of the container (CVE-2024-21626).
fn inherited(own: &[RawFd], close_all: bool) -> std::io::Result<Vec<RawFd>> {
    if close_all {
        return Ok(Vec::new());
    }
    let mut fds = process::open_fds()?;
    fds.retain(|fd| !own.contains(fd) && !process::is_directory_or_path(*fd));
    for fd in &fds {
        process::set_cloexec(*fd, true);
    }
    Ok(fds)
}

fn set_up_log(plan: &Plan) {
    let file = plan.log_file.as_deref().map(rlxc_log::open);
    let (file, failed) = match file {
        Some(Ok(file)) => (Some(file), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let _ = rlxc_log::install(rlxc_log::Settings {
        prefix: plan.log_prefix.clone(),
        name: plan.name.clone(),
        level: plan.log_level.and_then(rlxc_log::Level::from_number),
        file,
        path: plan.log_file.clone(),
        syslog: plan.config.log.syslog.clone(),
        stderr: false,
        filter: None,
    });
    if let Some(error) = failed {
        tracing::warn!("{error}");
    }
}

/// A process's exit status that says what a wait status says.
fn exit_code(status: i32) -> ExitCode {
    let code = match status & 0x7f {
        0 => (status >> 8) & 0xff,
        signal => 128 + signal,
    };
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
