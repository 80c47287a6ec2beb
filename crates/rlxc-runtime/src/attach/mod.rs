//! Running a program, a shell or a function inside of a running container.
//!
//! The caller P forks a transient child T, which enters the namespaces and clones the attached
//! process A as P's own child (`rlxc_sys::child` says why, and what may run there). T enters the
//! container's v1 cgroups by itself; into a cgroup2 P moves it.
//! All that A needs was gathered and built before the fork.

mod cgroup;
mod environment;
mod error;
mod facts;
mod lsm;
mod options;
mod process;
mod reexec;
mod target;

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rlxc_config::{Config, Namespace};
use rlxc_monitor::Client;
use rlxc_security::seccomp::{Arch, Policy, already_confined, compile};
use rlxc_sys::child::{AttachPlan, Candidates, Groups, Seccomp, StringArray, Task};
use rlxc_sys::process::wait_status;
use rlxc_sys::seccomp::Instruction;
use rlxc_sys::signal::IgnoredInterrupts;
use rlxc_sys::tty;

use crate::terminal::{End, Pty, Relay, TerminalError, relay};

pub use error::AttachError;
pub use options::{AttachOptions, AttachTask, EnvPolicy, Replaced, flags};
pub use reexec::reexec_read_only;
pub use rlxc_sys::child::{Callback, execute_shell};

use facts::{Confinement, Questions};
use target::Target;

/// A process in the container, a child of the caller.
#[derive(Debug)]
pub struct Attached {
    pid: i32,
    pidfd: OwnedFd,
    terminal: Option<OwnedFd>,
}

/// Attaches to container `name` below `lxcpath`; `config` is its configuration as loaded by the
/// caller (for `lxc.environment`, `lxc.proc.*` and `lxc.prlimit.*`).
///
/// Returns when the process is set up and about to do its task; the caller must wait for it.
///
/// # Errors
/// [`AttachError`]: the container does not run, is frozen, or a step of the set-up failed. Nothing
/// is left of the children then.
pub fn attach(
    lxcpath: &Path,
    name: &str,
    config: &Config,
    options: &AttachOptions,
    task: AttachTask,
) -> Result<Attached, AttachError> {
    let _held = options::fill_standard();
    let client = Client::new(lxcpath, name);
    let (pidfd, facts) = Questions::ask(&client, options).answers()?;
    if facts.frozen {
        return Err(AttachError::Frozen {
            name: name.to_owned(),
        });
    }
    let target = Target::find(&client, pidfd, options)?;
    let pty = match options.has(flags::TERMINAL) {
        true => Some(container_pty(&client, options)?),
        false => None,
    };
    if let Some(pty) = pty.as_ref().filter(|_| options.raw_terminal) {
        pty.make_raw()?;
    }
    let confinement = Confinement::find(&client, &target, options)?;
    let mut plan = plan(
        &client,
        &confinement,
        &target,
        config,
        options,
        task,
        pty.as_ref(),
    )?;
    plan.tasks = cgroup::tasks(facts.cgroups.as_ref());
    let ptx = pty.as_ref().map(|pty| pty.ptx.as_fd());
    let (pid, pidfd) = process::run(&plan, ptx, &client, &target, &facts, config, options)?;
    Ok(Attached {
        pid,
        pidfd,
        terminal: pty.map(|pty| pty.ptx),
    })
}

/// Attaches, shows the terminal if there is one, and waits; returns the raw wait status.
///
/// While standard input is the caller's own, SIGINT and SIGQUIT are left to the attached process.
///
/// # Errors
/// As [`attach`], and when the terminal cannot be shown.
pub fn attach_wait(
    lxcpath: &Path,
    name: &str,
    config: &Config,
    options: &AttachOptions,
    task: AttachTask,
) -> Result<i32, AttachError> {
    let attached = attach(lxcpath, name, config, options, task)?;
    // After the fork: the process itself is to be interruptible.
    let _ignored = match options.stdin {
        0 => IgnoredInterrupts::new().ok(),
        _ => None,
    };
    attached.show_terminal(options)?;
    attached.wait()
}

impl Attached {
    /// Its pid in the caller's pid namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// A descriptor for it.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The ptx of its terminal, with the flag TERMINAL.
    pub fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.terminal.as_ref().map(AsFd::as_fd)
    }

    /// Shows its terminal on the descriptors of `options` until it ends; nothing without one.
    ///
    /// # Errors
    /// [`AttachError::Terminal`].
    pub fn show_terminal(&self, options: &AttachOptions) -> Result<Option<End>, AttachError> {
        let Some(ptx) = self.terminal() else {
            return Ok(None);
        };
        let own = |fd| options::duplicate(fd).map_err(TerminalError::stdio);
        let [input, output, errors] = options::terminals(options);
        let stdin = match input {
            true => Some(own(options.stdin)?),
            false => None,
        };
        let stdout = own(match (output, errors) {
            (false, true) => options.stderr,
            _ => options.stdout,
        })?;
        let end = relay(&Relay {
            ptx,
            stdin: stdin.as_ref().map(AsFd::as_fd),
            stdout: stdout.as_fd(),
            escape: None,
            ended: Some(self.pidfd()),
            resized: None,
        })?;
        if let End::Signalled(signal) = end {
            // What would have killed us is for the process that stands in for us.
            let _ = rlxc_sys::process::pidfd_send_signal(self.pidfd(), signal as i32);
        }
        Ok(Some(end))
    }

    /// Waits for it; returns the raw wait status (`code << 8`, or the signal).
    ///
    /// # Errors
    /// ECHILD when somebody else has reaped it.
    pub fn wait(&self) -> Result<i32, AttachError> {
        wait_status(&self.pidfd).map_err(|source| AttachError::Call {
            operation: "wait for the attached process",
            source,
        })
    }
}

/// A pty of the container's own devpts, so that it has a name there; else of the host's. It has the size of the
/// caller's terminal before anybody asks for it.
fn container_pty(client: &Client, options: &AttachOptions) -> Result<Pty, AttachError> {
    let pty = match client.devpts_fd() {
        Ok(devpts) => Pty::from_devpts(devpts.as_fd()),
        Err(error) => {
            tracing::debug!("no devpts of the container ({error}): the host's is used");
            Pty::from_host()
        }
    }?;
    let sizes = [options.stdin, options.stdout, options.stderr];
    let sizes = sizes
        .into_iter()
        .filter_map(|fd| options::duplicate(fd).ok());
    if let Some(size) = sizes
        .filter_map(|fd| tty::window_size(fd.as_fd()).ok())
        .next()
    {
        let _ = tty::set_window_size(pty.ptx.as_fd(), size);
    }
    Ok(pty)
}

fn plan<'a>(
    client: &Client,
    confinement: &Confinement,
    target: &'a Target,
    config: &Config,
    options: &AttachOptions,
    task: AttachTask,
    pty: Option<&'a Pty>,
) -> Result<AttachPlan<'a>, AttachError> {
    let environment = environment::build(config, options)?;
    let task = match task {
        AttachTask::Exec(argv) => {
            let path = environment::path_of(&environment);
            Task::Exec(Candidates::new(argv, path).ok_or(AttachError::NoProgram)?)
        }
        AttachTask::Program(program, argv) => {
            let path = environment::path_of(&environment);
            Task::Exec(Candidates::of_program(&program, argv, path))
        }
        AttachTask::Shell => Task::Shell,
        AttachTask::Call(callback) => Task::Call(callback),
    };
    let groups = match &options.groups {
        Some(list) if options.has(flags::SETGROUPS) && !list.is_empty() => {
            Groups::Set(list.clone())
        }
        _ => Groups::Drop,
    };
    Ok(AttachPlan {
        pidfd: target.pidfd.as_fd(),
        namespaces: target.joined as i32,
        directory: options::directory(options),
        tasks: Vec::new(),
        wait_early: !config.procfs.is_empty(),
        remount_proc_sys: options.has(flags::REMOUNT_PROC_SYS) && !target.joins(Namespace::Mnt),
        personality: personality(confinement, options),
        drop_bounding: match options.has(flags::DROP_CAPABILITIES) {
            true => !target.bounding,
            false => 0,
        },
        share_core_of: rlxc_sys::child::has_core_cookie(target.pid).then(|| {
            if target.joins(Namespace::Pid) {
                1
            } else {
                target.pid
            }
        }),
        groups,
        setup_ids: target.setup_ids,
        lsm_label: lsm::label(target, options)?,
        no_new_privs: confinement.no_new_privs,
        stdio: [options.stdin, options.stdout, options.stderr],
        terminal: pty.map(|pty| (pty.pts.as_fd(), options::terminals(options))),
        seccomp: match &confinement.seccomp_profile {
            Some(profile) => seccomp(client, profile)?,
            None => None,
        },
        ids: target.ids,
        environment: StringArray::new(environment),
        log: options.log,
        task,
    })
}

/// The execution domain: the wanted one, else that of the container's `lxc.arch`.
fn personality(confinement: &Confinement, options: &AttachOptions) -> Option<u64> {
    const PER_LINUX: u64 = 0;
    const PER_LINUX32: u64 = 8;
    if !options.has(flags::SET_PERSONALITY) {
        return None;
    }
    options.personality.or(match confinement.arch.as_deref() {
        None => None,
        // The one name that stands for all 32-bit architectures when a key is read.
        Some("i686") => Some(PER_LINUX32),
        Some(_) => Some(PER_LINUX),
    })
}

/// The filter that the container's init runs under.
///
/// A caller that is confined itself loads none, unless `lxc.seccomp.allow_nesting` is 1, as at start.
fn seccomp(client: &Client, profile: &str) -> Result<Option<Seccomp>, AttachError> {
    /// SECCOMP_FILTER_FLAG_NEW_LISTENER
    const NEW_LISTENER: u64 = 1 << 3;
    let nesting = "lxc.seccomp.allow_nesting";
    if already_confined()? && client.config_item(nesting)?.as_deref() != Some("1") {
        tracing::warn!(
            profile,
            "already confined by seccomp: the policy is not loaded"
        );
        return Ok(None);
    }
    let program = compile(&Policy::load(Path::new(profile))?, &Arch::of_machine()?)?.program;
    let instruction = |(code, jt, jf, k)| Instruction { code, jt, jf, k };
    Ok(Some(Seccomp {
        flags: if program.notify { NEW_LISTENER } else { 0 },
        program: program.instructions.into_iter().map(instruction).collect(),
    }))
}

/// Turns words into a program's arguments.
///
/// # Errors
/// [`AttachError::Nul`] for a word with a NUL.
pub fn arguments<S: AsRef<str>>(words: &[S]) -> Result<Vec<CString>, AttachError> {
    words
        .iter()
        .map(|word| options::c_string(word.as_ref().as_bytes()))
        .collect()
}
