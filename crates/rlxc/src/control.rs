use std::os::fd::OwnedFd;
use std::time::Duration;

use rlxc_monitor::client::Tty;
use rlxc_monitor::protocol::ConsoleLogRequest;
use rlxc_monitor::{Error as MonitorError, State, StateSet};
use rlxc_runtime::attach::{self, AttachOptions, AttachTask, Attached};
use rlxc_runtime::control::{self, ConsoleOptions, Halt, Outcome};
use rlxc_runtime::terminal::End;

use crate::container::Container;
use crate::error::{Error, Result};

/// How long a killed container may take until its monitor is gone.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

impl Container {
    /// Its state; [`State::Stopped`] when nobody listens.
    ///
    /// # Errors
    /// [`Error::Monitor`], with `Unresponsive` when the monitor is stuck.
    pub fn state(&self) -> Result<State> {
        Ok(self.client().state()?)
    }

    /// Whether its state is another than STOPPED.
    pub fn is_running(&self) -> bool {
        self.state().is_ok_and(|state| state != State::Stopped)
    }

    /// Pid of its init; `None` when it does not run.
    ///
    /// # Errors
    /// [`Error::Monitor`].
    pub fn init_pid(&self) -> Result<Option<i32>> {
        match self.client().init_pid() {
            Ok(pid) => Ok((pid > 0).then_some(pid)),
            Err(MonitorError::NotRunning { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Container::init_pid`], with an error when it does not run.
    pub(crate) fn need_init_pid(&self) -> Result<i32> {
        self.init_pid()?.ok_or_else(|| Error::NotRunning {
            name: self.name().to_owned(),
        })
    }

    /// pidfd of its init.
    ///
    /// # Errors
    /// [`Error::Monitor`].
    pub fn init_pidfd(&self) -> Result<OwnedFd> {
        Ok(self.client().init_pidfd()?)
    }

    /// Its devpts mount.
    ///
    /// # Errors
    /// [`Error::Monitor`].
    pub fn devpts_fd(&self) -> Result<OwnedFd> {
        Ok(self.client().devpts_fd()?)
    }

    /// The seccomp notify descriptor of its monitor.
    ///
    /// # Errors
    /// [`Error::Monitor`].
    pub fn seccomp_notify_fd_active(&self) -> Result<OwnedFd> {
        Ok(self.client().seccomp_notify_fd()?)
    }

    /// Whether the caller may control it: nobody listens, or the monitor answers.
    pub fn may_control(&self) -> bool {
        self.client().may_control()
    }

    /// A key of the running configuration; `None` when it is not set.
    ///
    /// # Errors
    /// [`Error::Monitor`].
    pub fn running_item(&self, key: &str) -> Result<Option<String>> {
        Ok(self.client().config_item(key)?)
    }

    /// Ends it at once and waits until everything is taken down.
    ///
    /// # Errors
    /// [`Error::Control`].
    pub fn stop(&self) -> Result<()> {
        let stopped = control::stop(&self.client(), STOP_PATIENCE);
        if stopped.is_err() {
            self.take_back_links();
        }
        Ok(stopped?)
    }

    /// Asks init to shut down and waits; `None`: for ever, zero: does not wait. `before` sees the
    /// signal and what init will make of it, and may return `false` to give up at once.
    ///
    /// # Errors
    /// [`Error::Control`].
    pub fn shutdown(
        &self,
        timeout: Option<Duration>,
        before: impl FnOnce(&Halt) -> bool,
    ) -> Result<Outcome> {
        let config = self.config_or_default();
        Ok(control::shutdown(&self.client(), &config, timeout, before)?)
    }

    /// Sends the reboot signal.
    ///
    /// # Errors
    /// [`Error::Control`].
    pub fn reboot(&self) -> Result<()> {
        Ok(control::reboot(&self.client(), &self.config_or_default())?)
    }

    /// Sends the reboot signal and waits until it runs again (the C API's `reboot2`); a container
    /// that does not run is done.
    ///
    /// # Errors
    /// [`Error::Control`].
    pub fn reboot_wait(
        &self,
        timeout: Option<Duration>,
        before: impl FnOnce(&Halt) -> bool,
    ) -> Result<Outcome> {
        let config = self.config_or_default();
        match control::reboot_wait(&self.client(), &config, timeout, before) {
            Err(error) if Error::from_control(&error) => Ok(Outcome::Done),
            other => Ok(other?),
        }
    }

    /// Freezes it; `None`: waits for ever.
    ///
    /// # Errors
    /// [`Error::Control`].
    pub fn freeze(&self, timeout: Option<Duration>) -> Result<()> {
        match self.client().state()? {
            State::Frozen => Ok(()),
            _ => Ok(control::freeze(&self.client(), timeout)?),
        }
    }

    /// Thaws it; one that is not frozen is left alone.
    ///
    /// # Errors
    /// [`Error::Control`].
    pub fn unfreeze(&self, timeout: Option<Duration>) -> Result<()> {
        match self.client().state()? {
            State::Frozen | State::Freezing => Ok(control::unfreeze(&self.client(), timeout)?),
            _ => Ok(()),
        }
    }

    /// Waits for one of `states`; `None`: for ever, zero: only looks. Returns the state reached.
    ///
    /// # Errors
    /// [`Error::Control`].
    pub fn wait(&self, states: StateSet, timeout: Option<Duration>) -> Result<Option<State>> {
        Ok(control::wait(&self.client(), states, timeout)?)
    }

    /// Shows a tty until the user leaves; `connected` gets its number first.
    ///
    /// # Errors
    /// [`Error::Control`].
    pub fn console(
        &self,
        options: &ConsoleOptions<'_>,
        connected: impl FnOnce(i32),
    ) -> Result<End> {
        Ok(control::console(&self.client(), options, connected)?)
    }

    /// Takes a tty: 0 the console, −1 the next free one. It is free again when the result's holder
    /// is closed.
    ///
    /// # Errors
    /// [`Error::Monitor`] with EBADF or EBUSY when it is taken or does not exist.
    pub fn console_getfd(&self, tty: i32) -> Result<Tty> {
        Ok(self.client().tty(tty)?)
    }

    /// Reads or clears the console's ring buffer.
    ///
    /// # Errors
    /// [`Error::Monitor`]: ENODATA empty, EFAULT no ring buffer.
    pub fn console_log(&self, request: &ConsoleLogRequest) -> Result<Vec<u8>> {
        Ok(self.client().console_log(request)?)
    }

    /// Runs something inside; the caller waits for the result.
    ///
    /// # Errors
    /// [`Error::Attach`].
    pub fn attach(&self, options: &AttachOptions, task: AttachTask) -> Result<Attached> {
        let config = self.config_or_default();
        Ok(attach::attach(
            self.lxcpath(),
            self.name(),
            &config,
            options,
            task,
        )?)
    }

    /// Runs something inside, shows its terminal, and waits; returns the raw wait status.
    ///
    /// # Errors
    /// [`Error::Attach`].
    pub fn attach_wait(&self, options: &AttachOptions, task: AttachTask) -> Result<i32> {
        let config = self.config_or_default();
        Ok(attach::attach_wait(
            self.lxcpath(),
            self.name(),
            &config,
            options,
            task,
        )?)
    }

    /// Its processes as seen from here: pid and name.
    ///
    /// # Errors
    /// [`Error::Control`].
    pub fn processes(&self) -> Result<Vec<(i32, String)>> {
        Ok(control::processes(&self.client())?)
    }
}

impl Error {
    fn from_control(error: &control::ControlError) -> bool {
        matches!(error, control::ControlError::Monitor(e) if e.is_not_running())
    }
}
