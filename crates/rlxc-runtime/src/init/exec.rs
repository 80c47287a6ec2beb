//! The last steps: standard streams, environment, ids, execution.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::{Gid, Uid, getresgid, getresuid, setgroups, setresgid, setresuid};

use super::terminals::Terminals;
use super::{Prepared, Result};
use crate::error::{Context, StartError};
use crate::plan::{Mode, Plan};
use crate::sync::FromChild;

/// Where a program without a slash is looked for when the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The monitor blocks signals for its signalfd; init starts with none blocked, and ignores none: neither SIGPIPE, as
/// std's programs do, nor SIGINT and SIGQUIT because somebody started the container in a script's background.
pub(crate) fn reset_signals() -> Result<()> {
    rlxc_sys::signal::default_all();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).at("signals", "")
}

/// What this process has open must not reach the container (CVE-2024-21626), but for what the caller
/// has passed on. All that is opened later is close-on-exec.
///
/// Done before the seccomp policy holds, which need not allow it: few policies name close_range(2).
pub(super) fn arrange_descriptors(inherited: &[std::os::fd::RawFd]) -> Result<()> {
    rlxc_sys::process::cloexec_all_fds().at("init", "close_range")?;
    for fd in inherited {
        rlxc_sys::process::set_cloexec(*fd, false);
    }
    Ok(())
}

/// lxc.arch (personality(2)).
pub(super) fn set_personality(personality: rlxc_config::Personality) -> Result<()> {
    let persona = match personality {
        rlxc_config::Personality::Linux32 => 8,
        rlxc_config::Personality::Linux => 0,
    };
    rlxc_sys::process::set_personality(persona).at("personality", "lxc.arch")
}

/// Standard streams: the console; for a command executed in the foreground only where the caller's
/// are terminals, which the monitor shows the console on: a pipe to or from it stays one.
pub(super) fn standard_streams(plan: &Plan, terminals: &Terminals) -> Result<()> {
    let Some(console) = &terminals.console else {
        return Ok(());
    };
    let step = "standard streams";
    let pts = console.pts.as_fd();
    let all = plan.daemonize || plan.mode == Mode::Start;
    if all || is_terminal(std::io::stdin().as_fd()) {
        nix::unistd::dup2_stdin(pts).at(step, "stdin")?;
    }
    if all || is_terminal(std::io::stdout().as_fd()) {
        nix::unistd::dup2_stdout(pts).at(step, "stdout")?;
    }
    if all || is_terminal(std::io::stderr().as_fd()) {
        nix::unistd::dup2_stderr(pts).at(step, "stderr")?;
    }
    Ok(())
}

fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    rlxc_sys::tty::is_terminal(fd)
}

/// `lxc.init.cwd`, made if it is missing.
pub(super) fn change_directory(cwd: &str) -> Result<()> {
    let step = "lxc.init.cwd";
    match std::fs::create_dir(cwd) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).at(step, cwd);
        }
        _ => {}
    }
    nix::unistd::chdir(Path::new(cwd)).at(step, cwd)?;
    // A descriptor's path could lead out of the container (CVE-2024-21626).
    nix::unistd::getcwd().map(drop).at(step, cwd)
}

/// Executes init, or becomes the small init above the command; returns only errors and statuses.
pub(super) fn run(
    prepared: Prepared<'_>,
    terminals: Terminals,
) -> std::result::Result<i32, StartError> {
    match become_init(&prepared, terminals) {
        Ok(Next::Supervise(argv, environment)) => {
            let program = argv[0].to_string_lossy().into_owned();
            let status = lxc_init::supervise(&argv, &environment, |started| {
                if let Err(errno) = started {
                    let error = exec_error(&program, errno);
                    // In the background the small init counts as the container, and it runs: LXC
                    // reports RUNNING, and the command's status tells of the failure.
                    if prepared.plan.daemonize {
                        tracing::error!("{error}");
                    } else {
                        let _ = prepared.channel.send(&FromChild::Failed(error), &[]);
                    }
                }
                // In the supervisor: only the command's own end tells of its execution now.
                drop(prepared);
            });
            Ok(status)
        }
        Ok(Next::Never(never)) => match never {},
        Err(error) => {
            let _ = prepared
                .channel
                .send(&FromChild::Failed(error.clone()), &[]);
            Err(error)
        }
    }
}

enum Next {
    Supervise(Vec<CString>, Vec<CString>),
    Never(Infallible),
}

fn become_init(prepared: &Prepared<'_>, terminals: Terminals) -> Result<Next> {
    let plan = prepared.plan;
    let mut environment = plan.init.environment.clone();
    environment.extend(
        terminals
            .names()
            .map(|names| ("container_ttys".to_owned(), names)),
    );
    own_streams(plan, &terminals);
    drop(terminals);
    let text = |text: &str| CString::new(text).at("init", text);
    let argv = plan.init.argv.iter().map(|word| text(word));
    let argv = argv.collect::<Result<Vec<CString>>>()?;
    let variables = environment
        .iter()
        .map(|(name, value)| text(&format!("{name}={value}")));
    let variables = variables.collect::<Result<Vec<CString>>>()?;
    take_groups(plan)?;
    if !prepared.settled {
        take_ids(plan)?;
    }
    prepared.security.drop_ambient()?;
    if plan.mode == Mode::Execute {
        return Ok(Next::Supervise(argv, variables));
    }
    let path = environment.iter().find(|(name, _)| name == "PATH");
    let path = path.map_or(DEFAULT_PATH, |(_, value)| value.as_str());
    execute(&argv, &variables, path).map(Next::Never)
}

/// The container's user owns its standard streams' terminals.
fn own_streams(plan: &Plan, terminals: &Terminals) {
    if terminals.console.is_some() && (plan.init.uid, plan.init.gid) != (0, 0) {
        let (uid, gid) = (Uid::from_raw(plan.init.uid), Gid::from_raw(plan.init.gid));
        for fd in [
            std::io::stdin().as_fd(),
            std::io::stdout().as_fd(),
            std::io::stderr().as_fd(),
        ] {
            if !is_shared_device(fd) {
                let _ = nix::unistd::fchown(fd, Some(uid), Some(gid));
            }
        }
    }
}

/// A device that is no terminal (`/dev/null`) is the whole host's and stays root's.
fn is_shared_device(fd: std::os::fd::BorrowedFd<'_>) -> bool {
    use nix::sys::stat::SFlag;
    let is_device = nix::sys::stat::fstat(fd).is_ok_and(|stat| {
        SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR
    });
    is_device && nix::unistd::isatty(fd) != Ok(true)
}

/// Before the seccomp policy holds: what is to be done with init's ids where they are held already, so that a policy
/// need not allow it. (LXC then makes none of these calls after its filter either.) Whether that is so.
pub(super) fn settle_ids(plan: &Plan) -> Result<bool> {
    let (uid, gid) = (plan.init.uid, plan.init.gid);
    let (uids, gids) = (getresuid().at("ids", "")?, getresgid().at("ids", "")?);
    let held = [uids.real, uids.effective, uids.saved].map(Uid::as_raw) == [uid; 3]
        && [gids.real, gids.effective, gids.saved].map(Gid::as_raw) == [gid; 3];
    if held {
        arrange_end(plan)?;
    }
    Ok(held)
}

/// What a change of ids takes away: /proc/PID is the process's own, and init has its death signal.
fn arrange_end(plan: &Plan) -> Result<()> {
    let signal = plan.init.death_signal;
    let _ = nix::sys::prctl::set_dumpable(true);
    rlxc_sys::process::set_death_signal(signal).at("lxc.monitor.signal.pdeath", signal)
}

fn take_groups(plan: &Plan) -> Result<()> {
    let init = &plan.init;
    let groups: Vec<Gid> = init
        .groups
        .iter()
        .flatten()
        .map(|g| Gid::from_raw(*g))
        .collect();
    match setgroups(&groups) {
        // Where setgroups is denied (user_namespaces(7)) there is nothing to drop either.
        Err(errno) if init.groups.is_some() => {
            return Err(errno).at("ids", format!("lxc.init.groups = {:?}", init.groups));
        }
        _ => {}
    }
    Ok(())
}

fn take_ids(plan: &Plan) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(plan.init.uid), Gid::from_raw(plan.init.gid));
    setresgid(gid, gid, gid).at("ids", format!("lxc.init.gid = {gid}"))?;
    setresuid(uid, uid, uid).at("ids", format!("lxc.init.uid = {uid}"))?;
    arrange_end(plan)
}

fn execute(argv: &[CString], environment: &[CString], path: &str) -> Result<Infallible> {
    let program = argv[0].to_string_lossy().into_owned();
    let candidates: Vec<String> = if program.contains('/') {
        vec![program.clone()]
    } else {
        path.split(':')
            .map(|dir| format!("{dir}/{program}"))
            .collect()
    };
    let mut failed = nix::errno::Errno::ENOENT;
    for candidate in candidates {
        let file = CString::new(candidate).at("init", &program)?;
        let Err(errno) = nix::unistd::execve(&file, argv, environment);
        // Like execvp(3): EACCES is remembered, the search goes on.
        if errno != nix::errno::Errno::ENOENT && errno != nix::errno::Errno::ENOTDIR {
            failed = errno;
        }
    }
    Err(exec_error(&program, failed))
}

fn exec_error(program: &str, failed: nix::errno::Errno) -> StartError {
    let error = StartError::from_error("init", program, &failed);
    match failed {
        nix::errno::Errno::ENOENT => error.remedy(
            "the program, or the interpreter it names, does not exist in the rootfs: check lxc.init.cmd and lxc.rootfs.path",
        ),
        nix::errno::Errno::EACCES => error.remedy("make it executable for the container's user"),
        nix::errno::Errno::ENOEXEC => {
            error.remedy("it is no program for this machine: check the rootfs's architecture")
        }
        _ => error,
    }
}
