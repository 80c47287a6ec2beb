//! Asking a running container: one method a command, each with a deadline.

mod exchange;
mod pending;
mod watch;

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::geteuid;

use crate::protocol::{
    CgroupCtx, CgroupFd, Command, ConsoleLogRequest, DeviceRule, Request, STOP_AND_TIDY, StateWish,
    encode_text,
};
use crate::server::ToTidy;
use crate::state::State;
use crate::{Error, Result, wire};

use exchange::errno_of;
pub use pending::Pending;
pub use watch::Watch;

/// How long a call waits for an answer unless told otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);

/// A container to ask. Each method makes a connection of its own, as the protocol wants it.
#[derive(Debug, Clone)]
pub struct Client {
    lxcpath: PathBuf,
    name: String,
    deadline: Duration,
    /// Another socket than the one that lxcpath and name lead to.
    socket: Option<Vec<u8>>,
}

/// A tty or the console, held until it is dropped.
#[derive(Debug)]
pub struct Tty {
    /// Its number; 0 is the console
    pub number: i32,
    /// The pty's own (ptx) side
    pub ptx: OwnedFd,
    /// The connection: the monitor gives the tty to others when this is closed, and closes its
    /// end when the container stops
    pub holder: OwnedFd,
}

/// The cgroups of a container in every hierarchy.
#[derive(Debug)]
pub struct Cgroups {
    /// Layout and what can be used
    pub ctx: CgroupCtx,
    /// Directories, one a hierarchy
    pub dirs: Vec<OwnedFd>,
}

impl Client {
    /// A client for container `name` below `lxcpath` (used as given: it is part of the socket's name).
    pub fn new(lxcpath: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Self {
            lxcpath: lxcpath.into(),
            name: name.into(),
            deadline: DEFAULT_DEADLINE,
            socket: None,
        }
    }

    /// The same with another deadline for each call.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// A client for the container that listens on `socket`, whatever its name is.
    pub(crate) fn of_socket(socket: &[u8]) -> Self {
        let mut client = Self::new("", String::from_utf8_lossy(socket));
        client.socket = Some(socket.to_owned());
        client
    }

    /// The container's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The container's lxcpath.
    pub fn lxcpath(&self) -> &Path {
        &self.lxcpath
    }

    /// Takes a tty: 0 the console, −1 the next free one.
    ///
    /// # Errors
    /// [`Error::Refused`] with EBUSY when it is taken or does not exist.
    pub fn tty(&self, wanted: i32) -> Result<Tty> {
        let command = Command::GetTtyFd;
        let answer = self.exchange(Request::number(command, wanted), &[])?;
        if answer.response.ret < 0 || answer.fds.is_empty() {
            return Err(self.refused(command, Errno::EBUSY));
        }
        Ok(Tty {
            number: answer.response.data,
            ptx: self.one_fd(command, answer.fds)?,
            holder: answer.socket,
        })
    }

    /// Tells the monitor that the window of the console's client has a new size. LXC's monitors do
    /// nothing about it, and a monitor that is gone needs not know.
    pub fn window_changed(&self) {
        let until = Instant::now() + self.deadline;
        let _ = self.send(Request::number(Command::TerminalWinch, 0), &[], until);
    }

    /// Kills init (by `lxc.signal.stop`) and waits until the container is gone, at most the
    /// client's deadline. A container that does not run counts as stopped.
    ///
    /// # Errors
    /// [`Error::Refused`] with what the monitor says, [`Error::Unresponsive`] at the deadline.
    pub fn stop(&self) -> Result<()> {
        match self.exchange(Request::number(Command::Stop, 0), &[]) {
            Ok(answer) if answer.response.ret < 0 => {
                Err(self.refused(Command::Stop, errno_of(&answer.response)))
            }
            Ok(_) | Err(Error::NotRunning { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// As [`Client::stop`], with the offer to remove the cgroups that the monitor is in after its
    /// end, which it otherwise does itself before it says that the container is stopped.
    ///
    /// What is returned must be acted on: wait for the monitor, then remove the directories.
    ///
    /// # Errors
    /// As [`Client::stop`].
    pub fn stop_and_tidy(&self) -> Result<Option<ToTidy>> {
        let until = Instant::now() + self.deadline;
        let request = Request::number(Command::Stop, STOP_AND_TIDY);
        let answer = match self.exchange(request, &[]) {
            Ok(answer) => answer,
            Err(Error::NotRunning { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        self.check(Command::Stop, &answer.response)?;
        let Some(monitor) = answer.fds.into_iter().next() else {
            return Ok(None);
        };
        // A monitor of somebody else makes no such offer; one that does is not believed.
        let peer = getsockopt(&answer.socket, sockopt::PeerCredentials);
        let own = peer.is_ok_and(|peer| peer.uid() == geteuid().as_raw());
        let dirs = answer.payload.split(|byte| *byte == b'\n');
        let dirs = dirs.filter(|dir| own && !dir.is_empty());
        let dirs = dirs
            .map(|dir| PathBuf::from(OsStr::from_bytes(dir)))
            .collect();
        match wire::receive_all(answer.socket.as_fd(), &mut [0], until) {
            Err(Errno::ETIMEDOUT) => Err(self.failed("recvmsg", Command::Stop, Errno::ETIMEDOUT)),
            _ => Ok(Some(ToTidy { monitor, dirs })),
        }
    }

    /// The container's state; [`State::Stopped`] when nobody listens.
    ///
    /// # Errors
    /// [`Error::Unresponsive`] when the monitor is stuck.
    pub fn state(&self) -> Result<State> {
        self.ask(Command::GetState, &[]).state()
    }

    /// Init's pid in the monitor's pid namespace.
    ///
    /// # Errors
    /// [`Error::NotRunning`] and the general ones.
    pub fn init_pid(&self) -> Result<i32> {
        let pid = self.number(Command::GetInitPid)?;
        if pid > 0 {
            return Ok(pid);
        }
        Err(self.refused(Command::GetInitPid, Errno::ESRCH))
    }

    /// CLONE_NEW* mask of the namespaces that the container does not share.
    ///
    /// # Errors
    /// The general ones.
    pub fn clone_flags(&self) -> Result<u32> {
        Ok(self.number(Command::GetCloneFlags)? as u32)
    }

    /// Path of the container's cgroup below the mount of `controller`'s hierarchy.
    ///
    /// # Errors
    /// [`Error::Refused`] with ENOENT when the monitor knows no such cgroup.
    pub fn cgroup(&self, controller: Option<&str>) -> Result<String> {
        self.cgroup_path(Command::GetCgroup, controller)
    }

    /// As [`Client::cgroup`], for the cgroup that carries the limits.
    ///
    /// # Errors
    /// As [`Client::cgroup`].
    pub fn limit_cgroup(&self, controller: Option<&str>) -> Result<String> {
        match self.cgroup_path(Command::GetLimitCgroup, controller) {
            // Monitors of LXC before 4.0.5 do not know the command.
            Err(Error::Refused { .. }) => self.cgroup(controller),
            other => other,
        }
    }

    fn cgroup_path(&self, command: Command, controller: Option<&str>) -> Result<String> {
        let payload = controller.map(encode_text).unwrap_or_default();
        match self.text(command, &payload) {
            // Nothing found is told by hanging up; a container that ended meanwhile looks the same.
            Err(Error::NotRunning { .. }) if self.state()? != State::Stopped => {
                Err(self.refused(command, Errno::ENOENT))
            }
            other => other,
        }
    }

    /// The value of a key in the running container's configuration; `None` when unknown or empty.
    ///
    /// # Errors
    /// The general ones.
    pub fn config_item(&self, key: &str) -> Result<Option<String>> {
        self.ask_config_item(key).config_item()
    }

    /// The name that the monitor knows.
    ///
    /// # Errors
    /// The general ones.
    pub fn monitor_name(&self) -> Result<String> {
        self.text(Command::GetName, &[])
    }

    /// The lxcpath that the monitor knows.
    ///
    /// # Errors
    /// The general ones.
    pub fn monitor_lxcpath(&self) -> Result<String> {
        self.text(Command::GetLxcpath, &[])
    }

    /// Registers for states. Returns the state at once if it is a wanted one; a wish that outlives a
    /// reboot is for the next RUNNING, not the present one.
    ///
    /// # Errors
    /// [`Error::NotRunning`] and the general ones.
    pub fn watch(&self, wish: StateWish) -> Result<std::result::Result<State, Watch>> {
        let command = Command::AddStateClient;
        let payload = wish.encode();
        let answer = self.exchange(Request::payload(command, payload.len()), &payload)?;
        self.check(command, &answer.response)?;
        if let Some(state) = State::from_number(answer.response.data) {
            return Ok(Ok(state));
        }
        Ok(Err(Watch {
            name: self.name.clone(),
            socket: answer.socket,
            states: wish.states,
        }))
    }

    /// Reads or clears the console's ring buffer.
    ///
    /// # Errors
    /// [`Error::Refused`] with ENODATA when it is empty, EFAULT when the container has none.
    pub fn console_log(&self, request: &ConsoleLogRequest) -> Result<Vec<u8>> {
        let command = Command::ConsoleLog;
        let payload = request.encode();
        let answer = self.exchange(Request::payload(command, payload.len()), &payload)?;
        self.check(command, &answer.response)?;
        Ok(answer.payload)
    }

    /// Tells the monitor and its state clients that a state was reached by our doing (freezing).
    ///
    /// # Errors
    /// The general ones.
    pub fn serve_state(&self, state: State) -> Result<()> {
        let request = Request::number(Command::ServeStateClients, state.number());
        let answer = self.exchange(request, &[])?;
        self.check(Command::ServeStateClients, &answer.response)
    }

    /// Hands a seccomp notify descriptor to the monitor.
    ///
    /// # Errors
    /// [`Error::Refused`] with ENOSYS when the monitor has no proxy for it.
    pub fn add_seccomp_listener(&self, listener: BorrowedFd<'_>) -> Result<()> {
        let command = Command::SeccompNotifyAddListener;
        let until = Instant::now() + self.deadline;
        let socket = self.send(Request::number(command, 0), &[], until)?;
        wire::send_all(socket.as_fd(), &[0], &[listener], false, until)
            .map_err(|errno| self.failed("sendmsg", command, errno))?;
        let answer = self.receive(command, socket, until)?;
        self.check(command, &answer.response)
    }

    /// Adds a rule to the container's cgroup2 device program.
    ///
    /// # Errors
    /// [`Error::Refused`] with EINVAL when there is no such program.
    pub fn add_device_rule(&self, rule: &DeviceRule) -> Result<()> {
        let command = Command::AddBpfDeviceCgroup;
        let payload = rule.encode();
        let answer = self.exchange(Request::payload(command, payload.len()), &payload)?;
        self.check(command, &answer.response)
    }

    /// Freezes the container in pure cgroup v2; `timeout` in seconds, −1 for ever.
    ///
    /// # Errors
    /// [`Error::Refused`] with ENOENT in other layouts.
    pub fn freeze(&self, timeout: i32) -> Result<()> {
        self.freezer(Command::Freeze, timeout)
    }

    /// Thaws the container in pure cgroup v2; `timeout` in seconds, −1 for ever.
    ///
    /// # Errors
    /// As [`Client::freeze`].
    pub fn unfreeze(&self, timeout: i32) -> Result<()> {
        self.freezer(Command::Unfreeze, timeout)
    }

    fn freezer(&self, command: Command, timeout: i32) -> Result<()> {
        let patience = Duration::from_secs(u64::try_from(timeout).unwrap_or(u64::from(u32::MAX)));
        let slow = self.clone().with_deadline(self.deadline + patience);
        let answer = slow.exchange(Request::number(command, timeout), &[])?;
        self.check(command, &answer.response)
    }

    /// The container's cgroup2 directory (pure v2 only).
    ///
    /// # Errors
    /// [`Error::Refused`] with EINVAL or EBADF in other layouts.
    pub fn cgroup2_fd(&self) -> Result<OwnedFd> {
        self.fd(Command::GetCgroup2Fd)
    }

    /// The cgroup2 directory that carries the limits (pure v2 only).
    ///
    /// # Errors
    /// As [`Client::cgroup2_fd`].
    pub fn limit_cgroup2_fd(&self) -> Result<OwnedFd> {
        self.fd(Command::GetLimitCgroup2Fd)
    }

    /// pidfd of init.
    ///
    /// # Errors
    /// [`Error::Refused`] with EBADF when the monitor has none.
    pub fn init_pidfd(&self) -> Result<OwnedFd> {
        self.fd(Command::GetInitPidfd)
    }

    /// The container's devpts mount.
    ///
    /// # Errors
    /// [`Error::Refused`] with EBADF when it has none.
    pub fn devpts_fd(&self) -> Result<OwnedFd> {
        self.fd(Command::GetDevptsFd)
    }

    /// The seccomp notify descriptor.
    ///
    /// # Errors
    /// [`Error::Refused`] with EBADF when there is none.
    pub fn seccomp_notify_fd(&self) -> Result<OwnedFd> {
        self.fd(Command::GetSeccompNotifyFd)
    }

    /// The container's cgroup directories in all hierarchies.
    ///
    /// # Errors
    /// [`Error::Refused`] with ENOENT when it has none.
    pub fn cgroups(&self) -> Result<Cgroups> {
        self.ask_cgroups().cgroups()
    }

    /// One controller's cgroup directory: the container's own, or the one with the limits.
    ///
    /// # Errors
    /// [`Error::Refused`] with ENOENT for a controller that the container has no cgroup of.
    pub fn cgroup_fd(&self, controller: &str, limit: bool) -> Result<(CgroupFd, OwnedFd)> {
        let command = match limit {
            true => Command::GetLimitCgroupFd,
            false => Command::GetCgroupFd,
        };
        let wanted = CgroupFd {
            controller: controller.to_owned(),
            ..CgroupFd::default()
        };
        let payload = wanted.encode();
        let answer = self.exchange(Request::payload(command, payload.len()), &payload)?;
        self.check(command, &answer.response)?;
        let found = CgroupFd::decode(&answer.payload).map_err(|e| self.malformed(command, e))?;
        Ok((found, self.one_fd(command, answer.fds)?))
    }

    /// Base name of the systemd scope that the container was started in.
    ///
    /// # Errors
    /// [`Error::Refused`] with EINVAL when there is none.
    pub fn systemd_scope(&self) -> Result<String> {
        self.text(Command::GetSystemdScope, &[])
    }

    /// Whether the caller may control the container: nobody listens, or the monitor answers.
    pub fn may_control(&self) -> bool {
        matches!(
            self.number(Command::GetInitPid),
            Ok(_) | Err(Error::NotRunning { .. })
        )
    }

    /// Sends a question and returns at once, so that several can be on their way together; the
    /// answer is taken from what this returns, by the method for its kind.
    pub fn ask(&self, command: Command, payload: &[u8]) -> Pending<'_> {
        let until = Instant::now() + self.deadline;
        let socket = self.send(Request::payload(command, payload.len()), payload, until);
        Pending {
            client: self,
            command,
            until,
            socket,
        }
    }

    /// [`Client::ask`] for [`Pending::config_item`].
    pub fn ask_config_item(&self, key: &str) -> Pending<'_> {
        self.ask(Command::GetConfigItem, &encode_text(key))
    }

    /// [`Client::ask`] for [`Pending::cgroups`].
    pub fn ask_cgroups(&self) -> Pending<'_> {
        self.ask(Command::GetCgroupCtx, &CgroupCtx::default().encode())
    }

    fn number(&self, command: Command) -> Result<i32> {
        Ok(self.ask(command, &[]).answer()?.response.data)
    }

    fn text(&self, command: Command, payload: &[u8]) -> Result<String> {
        self.ask(command, payload).text()
    }

    fn fd(&self, command: Command) -> Result<OwnedFd> {
        self.ask(command, &[]).fd()
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.lxcpath.display(), self.name)
    }
}
