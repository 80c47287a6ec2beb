//! What usernsexec and unshare share: a child that waits for its go, and its status.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, setgroups, setresgid, setresuid};

use crate::{Error, Result};

pub(crate) fn step(step: impl Into<String>, source: impl Into<io::Error>) -> Error {
    Error::Step {
        step: step.into(),
        source: source.into(),
    }
}

/// A child in new namespaces that runs `inside` once [`Held::release`] is called; what `inside` returns is its status.
pub(crate) struct Held {
    pub(crate) pid: i32,
    go: io::PipeWriter,
}

impl Held {
    pub(crate) fn spawn(flags: u64, inside: impl FnOnce() -> i32) -> Result<Self> {
        let (mut wait, go) = io::pipe().map_err(|error| step("making a pipe", error))?;
        let mut parents_end = Some(go);
        let pid = rlxc_sys::fork::spawn(flags, || {
            // Without the child's copy the parent's death shows as end of file.
            parents_end.take();
            match wait.read(&mut [0]) {
                Ok(1) => inside(),
                _ => 1,
            }
        })
        .map_err(|error| step("creating the new namespaces", error))?;
        match parents_end {
            Some(go) => Ok(Self { pid, go }),
            None => Err(step("creating the new namespaces", Errno::EPIPE)),
        }
    }

    /// Lets the child run.
    pub(crate) fn release(mut self) -> Result<i32> {
        self.go
            .write_all(&[1])
            .map_err(|error| step("waking the child", error))?;
        Ok(self.pid)
    }

    /// Lets the child end without having run anything.
    pub(crate) fn abandon(self) {
        let pid = self.pid;
        drop(self.go);
        wait(pid).ok();
    }
}

/// Waits for a child: its exit status, or 128 + signal.
pub(crate) fn wait(pid: i32) -> Result<i32> {
    loop {
        match waitpid(Pid::from_raw(pid), None) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as i32),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(step(format!("waiting for process {pid}"), errno)),
        }
    }
}

/// Replaces the process by `command`; returns only on failure.
pub(crate) fn exec(command: &[OsString]) -> Error {
    let (program, arguments) = command
        .split_first()
        .map_or((OsString::new(), &[][..]), |(p, a)| (p.clone(), a));
    let source = Command::new(&program).args(arguments).exec();
    Error::Exec {
        program: program.to_string_lossy().into_owned(),
        source,
    }
}

/// No mount made from here on reaches the namespace that this one was copied from.
pub(crate) fn make_mounts_slave() -> Result<()> {
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_SLAVE | MsFlags::MS_REC,
        None::<&str>,
    )
    .map_err(|errno| step("making all mounts slaves", errno))
}

/// Takes the ids; supplementary groups go where that is allowed.
pub(crate) fn switch_ids(uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    if gid.is_some() {
        match setgroups(&[]) {
            // Denied when the gid map was written by an unprivileged process.
            Ok(()) | Err(Errno::EPERM) => {}
            Err(errno) => return Err(step("dropping supplementary groups", errno)),
        }
    }
    if let Some(gid) = gid {
        let id = Gid::from_raw(gid);
        setresgid(id, id, id).map_err(|errno| step(format!("switching to gid {gid}"), errno))?;
    }
    if let Some(uid) = uid {
        let id = Uid::from_raw(uid);
        setresuid(id, id, id).map_err(|errno| step(format!("switching to uid {uid}"), errno))?;
    }
    Ok(())
}

/// Runs the steps in the child; what failed is reported and becomes the status a shell would give: 127 or 126 for a
/// command that is not there or cannot be executed, else 1.
pub(crate) fn inside(report: &dyn Fn(&Error), steps: impl FnOnce() -> Result<Error>) -> i32 {
    let error = steps().unwrap_or_else(|error| error);
    report(&error);
    match error {
        Error::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
        Error::Exec { .. } => 126,
        _ => 1,
    }
}
