//! The monitor's loop while the container runs.

use std::os::fd::AsFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use rlxc_sys::process;

use super::Monitor;
use super::core::Freezing;

impl Monitor {
    /// Serves until init has ended; returns its raw wait status.
    pub(super) fn serve(&mut self) -> i32 {
        loop {
            let Some(init) = &self.core.init else {
                return 0;
            };
            let mut fds = vec![
                PollFd::new(init.pidfd.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.server.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            ];
            let console = self.core.terminals.poll_fd();
            let freezing = self.core.freezing.iter().map(Freezing::events);
            fds.extend(console.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
            fds.extend(freezing.map(|fd| PollFd::new(fd, PollFlags::POLLPRI)));
            match poll(&mut fds, self.patience()) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => tracing::error!("poll: {errno}"),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
            drop(fds);
            if ready.get(3) == Some(&true) {
                self.core.terminals.dispatch();
            }
            if !self.core.freezing.is_empty() {
                self.answer_freezers();
            }
            if ready[2] {
                self.handle_signals();
            }
            if ready[1] {
                self.dispatch_commands();
            }
            if ready[0]
                && let Some(init) = self.core.init.take()
            {
                return process::wait_status(&init.pidfd).unwrap_or_else(|error| {
                    tracing::error!("wait for init: {error}");
                    0
                });
            }
        }
    }

    /// Until the first deadline of a client that waits for the freezer.
    fn patience(&self) -> PollTimeout {
        let deadlines = self.core.freezing.iter().filter_map(Freezing::deadline);
        let Some(first) = deadlines.min() else {
            return PollTimeout::NONE;
        };
        let left = first.saturating_duration_since(Instant::now());
        // Rounded up: to wake before the deadline would be to spin.
        PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX)
    }

    fn answer_freezers(&mut self) {
        for (token, result) in self.core.frozen() {
            if let Ok(state) = result {
                self.server.announce(state);
            }
            self.server.answer(token, result.map(drop), &mut self.core);
        }
    }

    pub(super) fn dispatch_commands(&mut self) {
        if let Err(error) = self.server.dispatch(&mut self.core) {
            tracing::error!("{error}");
        }
    }

    /// Passes signals on to init, as LXC does: SIGHUP as SIGTERM.
    fn handle_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let Ok(number) = i32::try_from(info.ssi_signo) else {
                continue;
            };
            let signal = match number {
                n if n == Signal::SIGCHLD as i32 => continue,
                n if n == Signal::SIGWINCH as i32 => {
                    self.core.terminals.window_changed();
                    continue;
                }
                n if n == Signal::SIGHUP as i32 => Signal::SIGTERM as i32,
                n => n,
            };
            if let Err(errno) = self.core.signal_init(signal) {
                tracing::warn!("signal {signal} to init: {errno}");
            }
        }
    }
}
