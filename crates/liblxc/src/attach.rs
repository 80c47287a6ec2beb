//! Running something inside.

use std::ffi::{CStr, c_char, c_int, c_long};

use rlxc::attach::{AttachOptions, AttachTask, Callback, EnvPolicy};
use rlxc::{Container, Error};

use crate::abi::{apart, lxc_container};
use crate::memory::{list, path, text};
use crate::query::Payload;

/// `lxc_attach_options_t`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Options {
    attach_flags: c_int,
    namespaces: c_int,
    personality: c_long,
    initial_cwd: *const c_char,
    uid: u32,
    gid: u32,
    env_policy: c_int,
    extra_env_vars: *const *const c_char,
    extra_keep_env: *const *const c_char,
    stdin_fd: c_int,
    stdout_fd: c_int,
    stderr_fd: c_int,
    log_fd: c_int,
    lsm_label: *const c_char,
    groups_size: usize,
    groups: *const u32,
}

const _: () = assert!(size_of::<Options>() == 96);

/// # Safety
/// `options` is NULL or as the header says.
unsafe fn options(options: *const Options) -> AttachOptions {
    if options.is_null() {
        return AttachOptions::default();
    }
    // SAFETY: by the caller's word.
    unsafe {
        let given = &*options;
        let groups = (given.groups_size > 0 && !given.groups.is_null())
            .then(|| std::slice::from_raw_parts(given.groups, given.groups_size).to_vec());
        AttachOptions {
            flags: given.attach_flags.cast_unsigned(),
            namespaces: u64::try_from(given.namespaces).ok(),
            personality: u64::try_from(given.personality).ok(),
            initial_cwd: path(given.initial_cwd),
            uid: (given.uid != u32::MAX).then_some(given.uid),
            gid: (given.gid != u32::MAX).then_some(given.gid),
            groups,
            env_policy: if given.env_policy == 1 {
                EnvPolicy::Clear
            } else {
                EnvPolicy::Keep
            },
            extra_env: list(given.extra_env_vars),
            extra_keep: list(given.extra_keep_env),
            stdin: given.stdin_fd,
            stdout: given.stdout_fd,
            stderr: given.stderr_fd,
            log: (given.log_fd >= 0).then_some(given.log_fd),
            lsm_label: text(given.lsm_label).map(str::to_owned),
            ..AttachOptions::default()
        }
    }
}

type Function = unsafe extern "C" fn(Payload) -> c_int;

/// `lxc_attach_command_t`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Command {
    program: *const c_char,
    argv: *const *const c_char,
}

/// A program and its arguments as C's exec functions take them; without arguments the program's
/// name is the first one.
///
/// # Safety
/// `program` is NULL or a string, `argv` NULL or a list that ends with NULL.
unsafe fn program(program: *const c_char, argv: *const *const c_char) -> AttachTask {
    let mut words = Vec::new();
    // SAFETY: by the caller's word.
    unsafe {
        let mut at = argv;
        while !at.is_null() && !(*at).is_null() {
            words.push(CStr::from_ptr(*at).to_owned());
            at = at.add(1);
        }
        if program.is_null() {
            return AttachTask::Exec(words);
        }
        let program = CStr::from_ptr(program).to_owned();
        if words.is_empty() {
            words.push(program.clone());
        }
        AttachTask::Program(program, words)
    }
}

/// Where nobody listens LXC says so by the errno, what else fails is −1.
///
/// # Safety
/// As [`apart`].
unsafe fn running(
    c: *mut lxc_container,
    job: impl FnOnce(&Container) -> Result<c_int, Error>,
) -> c_int {
    // SAFETY: by the caller's word.
    unsafe {
        let mut failed = -1;
        let status = apart(c, None, true, |container| {
            let outcome = job(container);
            if outcome.as_ref().is_err_and(Error::is_not_running) {
                failed = -libc::ECONNREFUSED;
            }
            outcome.map(Some)
        });
        status.unwrap_or(failed)
    }
}

pub(crate) unsafe extern "C" fn attach(
    c: *mut lxc_container,
    function: Option<Function>,
    payload: Payload,
    given: *const Options,
    attached: *mut libc::pid_t,
) -> c_int {
    let Some(function) = function else {
        return -libc::EINVAL;
    };
    if attached.is_null() {
        return -libc::EINVAL;
    }
    // SAFETY: by the header's contract: the function is called with its payload in a forked child.
    unsafe {
        let options = options(given);
        // What this library would do in the child is done without a callback.
        let task = if function as usize == lxc_attach_run_command as *const () as usize
            && !payload.is_null()
        {
            let command = &*payload.cast::<Command>();
            program(command.program, command.argv)
        } else if function as usize == lxc_attach_run_shell as *const () as usize {
            AttachTask::Shell
        } else {
            AttachTask::Call(Callback::new(function, payload))
        };
        running(c, |container| {
            let process = container.attach(&options, task)?;
            *attached = process.pid();
            // With a terminal this lasts until the process ends. The process is there already, and the
            // caller's to reap, whatever becomes of its terminal.
            if let Err(error) = process.show_terminal(&options) {
                tracing::warn!("{error}");
            }
            Ok(0)
        })
    }
}

pub(crate) unsafe extern "C" fn attach_run_wait(
    c: *mut lxc_container,
    given: *const Options,
    program: *const c_char,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: by the header's contract.
    unsafe {
        let task = self::program(program, argv);
        let options = options(given);
        running(c, |container| container.attach_wait(&options, task))
    }
}

/// For a caller that forks by itself: executes the command. Runs in a forked child: it neither
/// allocates nor locks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_attach_run_command(payload: Payload) -> c_int {
    if payload.is_null() {
        return -1;
    }
    // SAFETY: by the header's contract, and the argument list ends with NULL.
    unsafe {
        let command = &*payload.cast::<Command>();
        libc::execvp(command.program, command.argv);
        match *libc::__errno_location() {
            libc::EACCES | libc::ENOEXEC => 126,
            libc::ENOENT => 127,
            _ => -1,
        }
    }
}

/// For a caller that forks by itself: executes the user's shell, or /bin/sh. It neither allocates nor
/// locks; the user is looked up without NSS, by `getent` where no file holds it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_attach_run_shell(_unused: Payload) -> c_int {
    rlxc::attach::execute_shell();
    -1
}
