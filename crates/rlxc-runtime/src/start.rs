//! The caller's part of a start: from a plan to a running monitor.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FcntlArg, SealFlag};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use rlxc_monitor::Listener;
use rlxc_sys::process;

use crate::adopt::Facts;
use crate::error::{Context, StartError};
use crate::locate::{exec_path, high, monitor_to_execute, open_read_only};
use crate::plan::Plan;
use crate::report::{Report, Reports, Timing};

/// A container that has reached RUNNING.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The monitor's pid.
    pub monitor: i32,
    /// Init's pid.
    pub init: i32,
    /// How long each step took, in order.
    pub timings: Vec<Timing>,
    /// The raw wait status of init, after a start in the foreground: `code << 8` or the signal.
    pub status: Option<i32>,
}

/// How long the ended monitor may hold up its cgroups.
const LEFT_CGROUPS: Duration = Duration::from_secs(1);

/// What the monitor gets: all have numbers that survive its exec.
struct Handover {
    program: OwnedFd,
    /// The dynamic linker, when the program is a library. What runs it lies in the container's
    /// process list for a moment: no more writable than the program itself.
    loader: Option<OwnedFd>,
    dir: PathBuf,
    socket: OwnedFd,
    plan: OwnedFd,
    /// What is known of a container that runs already
    facts: Option<OwnedFd>,
}

/// Starts the container of `plan` and waits until it runs; in the foreground until it has ended.
///
/// Safe in a process with threads: the monitor is spawned, nothing is run between fork and exec.
///
/// # Errors
/// The failed step; everything is undone then.
pub fn start(plan: &Plan) -> Result<Started, StartError> {
    launch(plan, prepare(plan)?)
}

/// Gives a container that runs, and whose monitor is gone, a new monitor.
///
/// `plan` is the one that it was started with, or the nearest to it that is known. The new monitor
/// is not init's parent: how init ends may stay unknown, and a reboot from within is a halt then.
///
/// # Errors
/// What is in the way; the container is left as it is.
pub fn adopt(plan: &Plan, facts: &Facts) -> Result<Started, StartError> {
    facts.check()?;
    let plan = Plan {
        daemonize: true,
        close_all_fds: true,
        // What was restored from a checkpoint starts as others do after a reboot.
        restore: None,
        pid_file: plan.pid_file.clone().filter(|path| path.is_absolute()),
        ..plan.clone()
    };
    let mut handover = prepare(&plan)?;
    let facts = memfd(c"rlxc-facts", facts).and_then(high);
    handover.facts = Some(facts.at("monitor", "memfd")?);
    launch(&plan, handover)
}

fn launch(plan: &Plan, handover: Handover) -> Result<Started, StartError> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags)
        .at("monitor", "socketpair")?;
    let theirs = high(theirs).at("monitor", "socketpair")?;
    let argv = arguments(plan, &handover, Some(&theirs))?;
    let environment = environment(std::env::vars_os())?;
    let mut inherit = vec![
        handover.socket.as_fd(),
        handover.plan.as_fd(),
        theirs.as_fd(),
    ];
    inherit.extend(handover.facts.as_ref().map(AsFd::as_fd));
    let path = match &handover.loader {
        // The loader opens the library by the descriptor's name.
        Some(loader) => {
            inherit.push(handover.program.as_fd());
            exec_path(loader)
        }
        None => exec_path(&handover.program),
    };
    let child =
        process::spawn(&path, &argv, &environment, &inherit).at("monitor", "rlxc-monitor")?;
    // Only the monitor may hold these now: their end tells of its end.
    drop((theirs, handover));
    let mut reports = Reports::new(ours);
    let mut children = vec![child];
    let mut first = reports.next();
    if let Some(Report::Monitor(pid)) = first {
        children.push(pid);
        first = reports.next();
    }
    let result = match first {
        Some(Report::Running {
            monitor,
            init,
            timings,
        }) => Ok(Started {
            monitor,
            init,
            timings,
            status: None,
        }),
        Some(Report::Failed(error)) => Err(error),
        Some(Report::Ended { .. } | Report::Monitor(_)) | None => Err(StartError::new(
            "monitor",
            "rlxc-monitor",
            "the monitor died before the container was running",
        )
        .remedy("look at the container's log: lxc.log.file and lxc.log.level")),
    };
    finish(plan, &children, result, &mut reports)
}

/// In the background the spawned process has ended already: it only forked the monitor.
fn finish(
    plan: &Plan,
    children: &[i32],
    result: Result<Started, StartError>,
    reports: &mut Reports,
) -> Result<Started, StartError> {
    let mut started = match (result, plan.daemonize) {
        (Ok(started), true) => {
            reap(children);
            return Ok(started);
        }
        (result, _) => result.inspect_err(|_| reap(children))?,
    };
    let mut left = rlxc_cgroup::Left::default();
    if let Some(Report::Ended { status, cgroups }) = reports.next() {
        started.status = Some(status);
        left = rlxc_cgroup::Left::note(cgroups);
    }
    reap(children);
    left.remove(LEFT_CGROUPS);
    Ok(started)
}

fn reap(children: &[i32]) {
    use nix::sys::wait::waitpid;
    for child in children {
        let pid = nix::unistd::Pid::from_raw(*child);
        // ECHILD: the caller ignores SIGCHLD, the kernel has reaped it.
        while waitpid(pid, None) == Err(nix::errno::Errno::EINTR) {}
    }
}

/// Becomes the monitor, in the foreground: the process's exit status is the container's.
///
/// # Errors
/// The failed step; on success it does not return.
pub fn start_exec(plan: &Plan) -> Result<std::convert::Infallible, StartError> {
    let handover = prepare(plan)?;
    let argv = arguments(plan, &handover, None)?;
    let environment = environment(std::env::vars_os())?;
    let program = handover.loader.as_ref().map(|_| &handover.program);
    for fd in [&handover.socket, &handover.plan]
        .into_iter()
        .chain(program)
    {
        use nix::fcntl::{FdFlag, fcntl};
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).at("monitor", "fcntl")?;
    }
    let path = exec_path(handover.loader.as_ref().unwrap_or(&handover.program));
    nix::unistd::execve(&path, &argv, &environment).at("monitor", "rlxc-monitor")
}

fn prepare(plan: &Plan) -> Result<Handover, StartError> {
    let (path, loader) = monitor_to_execute()?;
    let program = open_read_only(&path)?;
    let loader =
        loader.map(|loader| open_read_only(Path::new(OsStr::from_bytes(loader.to_bytes()))));
    let loader = loader.transpose()?;
    let listener = Listener::bind(&plan.lxcpath, &plan.name).map_err(|error| {
        let running = matches!(error, rlxc_monitor::Error::AlreadyRunning { .. });
        let error = StartError::from_error("command socket", &plan.name, &error);
        if running {
            error.remedy("stop it first, or attach to it")
        } else {
            error
        }
    })?;
    let socket = high(listener.into_fd()).at("command socket", &plan.name)?;
    let plan = memfd(c"rlxc-plan", plan).at("monitor", "memfd")?;
    Ok(Handover {
        program,
        loader,
        dir: path.parent().map(PathBuf::from).unwrap_or_default(),
        socket,
        plan: high(plan).at("monitor", "memfd")?,
        facts: None,
    })
}

fn memfd(name: &CStr, what: &impl serde::Serialize) -> std::io::Result<OwnedFd> {
    let json = serde_json::to_vec(what).map_err(std::io::Error::other)?;
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(name, flags)?);
    file.write_all(&json)?;
    file.rewind()?;
    // Whoever gets hold of it can read it, but not change what the monitor does at the end.
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
    nix::fcntl::fcntl(&file, FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_SEAL))?;
    Ok(file.into())
}

fn arguments(
    plan: &Plan,
    handover: &Handover,
    report: Option<&OwnedFd>,
) -> Result<Vec<CString>, StartError> {
    let number = |fd: &OwnedFd| fd.as_raw_fd().to_string().into_bytes();
    let mut words = vec![b"rlxc-monitor".to_vec()];
    if handover.loader.is_some() {
        words.push(exec_path(&handover.program).into_bytes());
    }
    words.extend([
        b"--socket".to_vec(),
        number(&handover.socket),
        b"--plan".to_vec(),
        number(&handover.plan),
        b"--dir".to_vec(),
        handover.dir.as_os_str().as_bytes().to_vec(),
    ]);
    if let Some(report) = report {
        words.extend([b"--report".to_vec(), number(report)]);
    }
    if let Some((object, _)) = rlxc_sys::carried::object() {
        words.extend([b"--object".to_vec(), object.into_os_string().into_vec()]);
    }
    if let Some(facts) = &handover.facts {
        words.extend([b"--take-over".to_vec(), number(facts)]);
    }
    if plan.daemonize {
        words.push(b"--daemon".to_vec());
    }
    words.push(plan.lxcpath.as_os_str().as_bytes().to_vec());
    words.push(plan.name.clone().into_bytes());
    let words = words
        .into_iter()
        .map(|word| CString::new(word).at("monitor", &plan.name));
    words.collect()
}

fn environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<CString>, StartError> {
    variables
        .map(|(name, value)| {
            let mut line = name.into_vec();
            line.push(b'=');
            line.extend(value.into_vec());
            CString::new(line).at("monitor", "environment")
        })
        .collect()
}
