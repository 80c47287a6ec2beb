//! Readiness: more than RUNNING. A socket for sd_notify at start, and a look inside afterwards.

use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rlxc::attach::{AttachOptions, AttachTask, EnvPolicy, arguments, flags};
use rlxc::{Container, State, StateSet};

use crate::context::Failure;

/// Where the socket is in the container: below /dev, which no init mounts over.
const INSIDE: &str = "dev/.rlxc-notify";

/// A socket that the container finds in NOTIFY_SOCKET.
#[derive(Debug)]
pub(super) struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
}

impl NotifySocket {
    /// Makes it, and the container's configuration in memory name it.
    pub(super) fn new(container: &mut Container) -> Result<Self, Failure> {
        let path = container.dir().join("notify");
        let failed = |error: std::io::Error| {
            Failure::new(format!(
                "cannot make the socket {}: {error}",
                path.display()
            ))
        };
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).map_err(failed)?;
        let own = Self {
            socket,
            path: path.clone(),
        };
        // Whoever is inside may speak: mapped ids are strangers to the host.
        let everybody = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(&own.path, everybody).map_err(failed)?;
        let source = own.path.to_string_lossy().replace(' ', "\\040");
        let entry = format!("{source} {INSIDE} none bind,create=file 0 0");
        container.set_item("lxc.mount.entry", &entry)?;
        let variable = format!("NOTIFY_SOCKET=/{INSIDE}");
        container.set_item("lxc.environment", &variable)?;
        Ok(own)
    }

    /// Waits for READY=1; a container that stops before is a failure.
    pub(super) fn wait(&self, container: &Container, until: Instant) -> Result<(), Failure> {
        let mut status = String::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let said = match status.as_str() {
                    "" => "it has said nothing".to_owned(),
                    status => format!("it said last: {status}"),
                };
                let text = format!(
                    "{} runs, but is not ready in time: {said}",
                    container.name()
                );
                return Err(Failure::new(text).remedy(
                    "its init must speak sd_notify; rlxc wait --ready looks from outside instead",
                ));
            }
            // In between it is seen whether the container still runs.
            let pause = left.min(Duration::from_millis(500));
            let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO);
            if matches!(poll(&mut fds, timeout), Ok(1..)) {
                for line in self.message().lines() {
                    match line.split_once('=') {
                        Some(("READY", "1")) => return Ok(()),
                        Some(("STATUS", text)) => status = text.to_owned(),
                        _ => {}
                    }
                }
            } else if container.state().is_ok_and(|state| state == State::Stopped) {
                let text = format!("{} has stopped before it was ready", container.name());
                return Err(Failure::new(text));
            }
        }
    }

    /// The next message; what comes along with it is not taken and so closed by the kernel.
    fn message(&self) -> String {
        let mut bytes = [0; 4096];
        let count = self.socket.recv(&mut bytes).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Ends when the system inside has booted (the quotes within names keep it from finding itself):
/// systemd says so itself; of others, when no script of
/// the boot runs any more.
const BOOTED: &str = r#"
if [ -d /run/systemd/system ]; then
    while :; do
        state=$(systemctl is-system-running 2>/dev/null)
        case $state in
            running|degraded|maintenance) exit 0 ;;
        esac
        sleep 0.2
    done
fi
booting() {
    [ -e /run/openrc/softlevel ] || [ ! -d /run/openrc ] || return 0
    for process in /proc/[0-9]*; do
        line=$(tr '\0' ' ' < "$process/cmdline" 2>/dev/null) || continue
        case $line in
            *"/etc/init.d/r""cS"*|*"/etc/init.d/r""c "*|*"/lib/init/r""c"*|*"open""rc sysinit"*|*"open""rc boot"*|*"open""rc default"*|*"/etc/rc.d/r""c."*|*"/etc/runit/""1"*) return 0 ;;
        esac
    done
    return 1
}
while booting; do sleep 0.2; done
exit 0
"#;

/// Waits until the container runs and its system has booted; whether it did in time.
pub(super) fn wait_booted(
    container: &Container,
    timeout: Option<Duration>,
) -> Result<bool, Failure> {
    let until = timeout.map(|timeout| Instant::now() + timeout);
    let left = || until.map(|until| until.saturating_duration_since(Instant::now()));
    let running: StateSet = [State::Running].into_iter().collect();
    if container.wait(running, left())?.is_none() {
        return Ok(false);
    }
    let mut options = AttachOptions {
        env_policy: EnvPolicy::Clear,
        ..AttachOptions::default()
    };
    options.flags &= !flags::TERMINAL;
    let null = std::fs::File::open("/dev/null")?;
    options.stdin = std::os::fd::AsRawFd::as_raw_fd(&null);
    let task = arguments(&["/bin/sh", "-c", BOOTED]).map_err(rlxc::Error::from)?;
    let look = container.attach(&options, AttachTask::Exec(task))?;
    let wait = match left() {
        Some(left) => PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        None => PollTimeout::NONE,
    };
    let mut fds = [PollFd::new(look.pidfd(), PollFlags::POLLIN)];
    if !matches!(poll(&mut fds, wait), Ok(1..)) {
        let pid = nix::unistd::Pid::from_raw(look.pid());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        let _ = look.wait();
        return Ok(false);
    }
    match look.wait().map_err(rlxc::Error::from)? {
        0 => Ok(true),
        // No shell inside: nothing that boots, RUNNING is all there is.
        status if matches!(status >> 8, 126 | 127) => Ok(true),
        _ => Err(Failure::new(format!(
            "{} has ended, or cannot be looked into",
            container.name()
        ))),
    }
}
