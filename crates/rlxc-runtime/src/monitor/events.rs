//! The monitor's loop while the container runs.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use rlxc_security::seccomp::notify::Proxy;

use super::Monitor;
use super::core::{Freezing, Init};

/// What a descriptor of the loop belongs to.
#[derive(Debug, Clone, Copy)]
enum Source {
    Init,
    Commands,
    Signals,
    Console,
    Freezer,
    /// The notify descriptor of a seccomp filter.
    Filter(usize),
    /// The connection to the program that answers for it.
    Proxy(usize),
}

impl Monitor {
    /// Serves until init has ended; returns its raw wait status, if it is known.
    pub(super) fn serve(&mut self) -> Option<i32> {
        while let Some(init) = self.core.init.take() {
            let (sources, mut fds): (Vec<_>, Vec<_>) = self.sources(&init).into_iter().unzip();
            match poll(&mut fds, self.patience()) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => tracing::error!("poll: {errno}"),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
            drop(fds);
            let ended = ready[0];
            self.core.init = Some(init);
            for (source, _) in sources.into_iter().zip(ready).filter(|(_, ready)| *ready) {
                self.handle(source);
            }
            self.look_at_deadlines();
            if ended && let Some(init) = self.core.init.take() {
                return super::adopt::status_of(&init);
            }
        }
        None
    }

    /// Everything that may happen; init comes first.
    fn sources<'a>(&'a self, init: &'a Init) -> Vec<(Source, PollFd<'a>)> {
        let read = |source, fd: BorrowedFd<'a>| (source, PollFd::new(fd, PollFlags::POLLIN));
        let mut list = vec![
            read(Source::Init, init.pidfd.as_fd()),
            read(Source::Commands, self.server.as_fd()),
            read(Source::Signals, self.signals.as_fd()),
        ];
        let console = self.core.terminals.poll_fd();
        list.extend(console.map(|fd| read(Source::Console, fd)));
        let urgent = |fd| (Source::Freezer, PollFd::new(fd, PollFlags::POLLPRI));
        list.extend(self.core.freezing.iter().map(|f| urgent(f.events())));
        for (index, proxy) in self.core.proxies.iter().enumerate() {
            if proxy.wants_notification() {
                list.push(read(Source::Filter(index), proxy.listener()));
            }
            let connection = proxy.connection();
            list.extend(connection.map(|fd| read(Source::Proxy(index), fd)));
        }
        list
    }

    fn handle(&mut self, source: Source) {
        match source {
            Source::Init | Source::Freezer => {}
            Source::Commands => self.dispatch_commands(),
            Source::Signals => self.handle_signals(),
            Source::Console => self.core.terminals.dispatch(),
            Source::Filter(index) => self.with_proxy(index, Proxy::on_listener),
            Source::Proxy(index) => self.with_proxy(index, Proxy::on_connection),
        }
    }

    /// A filter whose notifications cannot be taken any more, since all its processes have ended,
    /// is given up.
    fn with_proxy(
        &mut self,
        index: usize,
        action: impl FnOnce(&mut Proxy) -> rlxc_security::Result<()>,
    ) {
        let Some(proxy) = self.core.proxies.get_mut(index) else {
            return;
        };
        let hung_up = hung_up(proxy.listener());
        if let Err(error) = action(proxy) {
            tracing::warn!("{error}");
        } else if !hung_up {
            return;
        }
        // The indices of this round's other events are those of the same list: kept until its end.
        self.core.lost_proxies.push(index);
    }

    /// Until the first deadline of a client that waits for the freezer, or of a filter's proxy, or
    /// the time to settle.
    fn patience(&self) -> PollTimeout {
        let freezing = self.core.freezing.iter().filter_map(Freezing::deadline);
        let proxies = self.core.proxies.iter().filter_map(Proxy::deadline);
        let Some(first) = freezing.chain(proxies).chain(self.settle_at).min() else {
            return PollTimeout::NONE;
        };
        let left = first.saturating_duration_since(Instant::now());
        // Rounded up: to wake before the deadline would be to spin.
        PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX)
    }

    fn look_at_deadlines(&mut self) {
        for (token, result) in self.core.frozen() {
            if let Ok(state) = result {
                self.server.announce(state);
            }
            self.server.answer(token, result.map(drop), &mut self.core);
        }
        for proxy in &mut self.core.proxies {
            if let Err(error) = proxy.on_deadline() {
                tracing::warn!("{error}");
            }
        }
        self.core.drop_lost_proxies();
        if self.settle_at.is_some_and(|at| at <= Instant::now()) {
            self.settle();
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

/// Whether no process uses the filter behind a notify descriptor any more (seccomp_unotify(2)).
fn hung_up(listener: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(listener, PollFlags::POLLIN)];
    let _ = poll(&mut fds, PollTimeout::ZERO);
    fds[0]
        .revents()
        .is_some_and(|events| events.contains(PollFlags::POLLHUP))
}
