use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use rlxc_config::Config;
use rlxc_monitor::Client;
use rlxc_sys::child::{AttachPlan, REPORT, Report, Step, fork_attach};
use rlxc_sys::process::{pidfd_open, pidfd_send_signal, wait_status};
use rlxc_sys::socket::{receive, send};

use super::facts::Facts;
use super::options::AttachOptions;
use super::target::Target;
use super::{AttachError, cgroup, lsm};

/// A child that is killed and reaped unless it is let go.
struct Child {
    pid: i32,
    pidfd: Option<OwnedFd>,
}

impl Child {
    fn new(pid: i32) -> Result<Self, AttachError> {
        let pidfd = pidfd_open(pid).map_err(AttachError::call("open a child's pidfd"))?;
        Ok(Self {
            pid,
            pidfd: Some(pidfd),
        })
    }

    fn release(mut self) -> Option<OwnedFd> {
        self.pidfd.take()
    }

    fn reap(mut self) -> Option<i32> {
        self.pidfd.take().and_then(|fd| wait_status(&fd).ok())
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(pidfd) = self.pidfd.take() {
            let _ = pidfd_send_signal(&pidfd, 9);
            let _ = wait_status(&pidfd);
        }
    }
}

/// Runs the children; returns the attached process's pid and pidfd.
pub(super) fn run(
    plan: &AttachPlan<'_>,
    ptx: Option<BorrowedFd<'_>>,
    client: &Client,
    target: &Target,
    facts: &Facts,
    config: &Config,
    options: &AttachOptions,
) -> Result<(i32, OwnedFd), AttachError> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(AttachError::call("make a socket pair"))?;
    let cgroups = facts.cgroups.iter().flatten().flat_map(|one| &one.dirs);
    let own = cgroups.map(AsFd::as_fd).chain([ours.as_fd()]).chain(ptx);
    let own: Vec<_> = own.map(|fd| fd.as_raw_fd()).collect();
    let pid = fork_attach(plan, theirs, &own).map_err(AttachError::call("fork"))?;
    let transient = Child::new(pid)?;
    // The child enters the namespaces while we move it.
    prepare(plan, client, target, facts, config, pid)?;
    send(ours.as_fd(), &[0], &[], false).map_err(AttachError::call("wake the child"))?;
    let mut talk = Talk {
        socket: ours,
        transient: Some(transient),
        attached: None,
        ready: false,
        listener: None,
    };
    talk.run(plan, options)?;
    if let Some(listener) = talk.listener.take() {
        client.add_seccomp_listener(listener.as_fd())?;
    }
    let attached = talk.attached.take();
    let pid = attached.as_ref().map_or(0, |child| child.pid);
    let pidfd = attached.and_then(Child::release);
    pidfd
        .map(|pidfd| (pid, pidfd))
        .ok_or(AttachError::Died { status: 0 })
}

/// What the parent does to the transient child, which the attached process inherits.
fn prepare(
    plan: &AttachPlan<'_>,
    client: &Client,
    target: &Target,
    facts: &Facts,
    config: &Config,
    pid: i32,
) -> Result<(), AttachError> {
    for (name, value) in &config.procfs {
        let path = PathBuf::from(format!("/proc/{pid}/{}", name.replace('.', "/")));
        fs::write(&path, value).map_err(AttachError::path("write", path))?;
    }
    crate::security::set_limits(&config.prlimits, pid)
        .map_err(|e| AttachError::Limit(Box::new(e)))?;
    match &facts.cgroups {
        Some(cgroups) => cgroup::enter(client, cgroups, target, pid, !plan.tasks.is_empty()),
        None => Ok(()),
    }
}

struct Talk {
    socket: OwnedFd,
    transient: Option<Child>,
    attached: Option<Child>,
    ready: bool,
    listener: Option<OwnedFd>,
}

impl Talk {
    /// Listens until the attached process is ready and the transient one is gone.
    fn run(&mut self, plan: &AttachPlan<'_>, options: &AttachOptions) -> Result<(), AttachError> {
        while !(self.ready && self.attached.is_some()) {
            match self.next()? {
                Report::Pid(pid) => {
                    self.attached = Some(Child::new(pid)?);
                    // It said its last word.
                    self.transient.take().and_then(Child::reap);
                    if plan.lsm_label.is_some() {
                        self.send_attribute(pid, options)?;
                    }
                }
                Report::Listener => {}
                Report::Ready => self.ready = true,
                Report::Failed(step, errno) => return Err(self.failed(step, errno)),
            }
        }
        Ok(())
    }

    fn send_attribute(&self, pid: i32, options: &AttachOptions) -> Result<(), AttachError> {
        let attribute = lsm::open_attribute(pid, options)?;
        send(self.socket.as_fd(), &[0], &[attribute.as_fd()], false)
            .map_err(AttachError::call("send the LSM attribute"))?;
        Ok(())
    }

    /// The next report; the children's death ends the waiting, since the socket alone could be
    /// kept open by a process that another thread has just forked.
    fn next(&mut self) -> Result<Report, AttachError> {
        loop {
            let mut bytes = [0; REPORT];
            match receive(self.socket.as_fd(), &mut bytes) {
                Ok(received) => {
                    if let Some(report) = Report::decode(&bytes[..received.len]) {
                        self.listener = received.fds.into_iter().next().or(self.listener.take());
                        return Ok(report);
                    }
                    return Err(self.died());
                }
                Err(Errno::EAGAIN) if self.children_are_gone() => {
                    // Their last words may have come between the two looks.
                    match receive(self.socket.as_fd(), &mut bytes) {
                        Ok(received) if received.len == REPORT => {
                            if let Some(report) = Report::decode(&bytes) {
                                return Ok(report);
                            }
                        }
                        _ => return Err(self.died()),
                    }
                }
                Err(Errno::EAGAIN) => self.wait()?,
                Err(errno) => return Err(AttachError::call("hear from the child")(errno)),
            }
        }
    }

    fn child(&self) -> Option<BorrowedFd<'_>> {
        let child = self.attached.as_ref().or(self.transient.as_ref());
        child.and_then(Child::fd)
    }

    fn wait(&self) -> Result<(), AttachError> {
        let mut polls = vec![PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        polls.extend(self.child().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        match poll(&mut polls, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(AttachError::call("wait for the child")(errno)),
        }
    }

    fn children_are_gone(&self) -> bool {
        self.child().is_none_or(|fd| {
            let mut polls = [PollFd::new(fd, PollFlags::POLLIN)];
            matches!(poll(&mut polls, PollTimeout::ZERO), Ok(1..))
        })
    }

    fn failed(&mut self, step: Step, errno: Errno) -> AttachError {
        self.transient.take().and_then(Child::reap);
        // Known by name only if the transient child has told it before.
        if self.attached.is_none()
            && let Ok(received) = self.leftover_pid()
        {
            self.attached = received;
        }
        self.attached.take().and_then(Child::reap);
        AttachError::Step { step, errno }
    }

    /// The pid that the transient child sent after the attached one had failed already.
    fn leftover_pid(&self) -> Result<Option<Child>, AttachError> {
        let mut bytes = [0; REPORT];
        match receive(self.socket.as_fd(), &mut bytes) {
            Ok(received) => match Report::decode(&bytes[..received.len]) {
                Some(Report::Pid(pid)) => Child::new(pid).map(Some),
                _ => Ok(None),
            },
            Err(_) => Ok(None),
        }
    }

    fn died(&mut self) -> AttachError {
        let child = self.attached.take().or_else(|| self.transient.take());
        AttachError::Died {
            status: child.and_then(Child::reap).unwrap_or_default(),
        }
    }
}
