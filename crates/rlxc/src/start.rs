use std::path::PathBuf;

use rlxc_config::GlobalConfig;
use rlxc_runtime::{HostFacts, Mode, Plan, PlanInput, StartError, Started};
use serde::{Deserialize, Serialize};

use crate::container::Container;
use crate::error::{Error, Result};

/// How to start.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// Program and arguments; empty: what the configuration says
    pub argv: Vec<String>,
    /// System or application container
    pub mode: Mode,
    /// Whether the container is left to itself once it runs; else the call lasts as long as it
    pub daemonize: bool,
    /// Where the monitor's pid is written
    pub pid_file: Option<PathBuf>,
    /// Whether inherited descriptors above 2 are closed; always so when daemonized
    pub close_all_fds: bool,
    /// The caller's log file, which the monitor goes on writing
    pub log_file: Option<PathBuf>,
    /// The caller's log level, 0 to 8
    pub log_level: Option<u8>,
    /// What log lines begin with
    pub log_prefix: Option<String>,
}

impl Default for StartOptions {
    fn default() -> Self {
        Self {
            argv: Vec::new(),
            mode: Mode::Start,
            daemonize: true,
            pid_file: None,
            close_all_fds: false,
            log_file: None,
            log_level: None,
            log_prefix: None,
        }
    }
}

/// A failed start as it is kept for `rlxc explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// When, in seconds since 1970
    pub time: u64,
    /// What failed
    pub error: StartError,
}

impl Container {
    /// What a start would do. Changes nothing and needs no privilege.
    ///
    /// # Errors
    /// [`Error::Plan`], [`Error::NoConfig`].
    pub fn plan(&self, options: &StartOptions) -> Result<Plan> {
        let input = PlanInput {
            name: self.name(),
            lxcpath: self.lxcpath(),
            config: self.config()?,
            argv: options.argv.clone(),
            mode: options.mode,
            daemonize: options.daemonize,
        };
        let mut plan = Plan::compute(input, &HostFacts::detect())?;
        let global = GlobalConfig::load();
        plan.cgroup_pattern = global.get("lxc.cgroup.pattern").ok().flatten();
        plan.cgroup_use = global.get("lxc.cgroup.use").ok().flatten();
        plan.pid_file = options.pid_file.clone();
        plan.close_all_fds = options.daemonize || options.close_all_fds;
        if let Some(file) = &options.log_file {
            plan.log_file = Some(file.clone());
        }
        plan.log_level = options.log_level.or(plan.log_level);
        if let Some(prefix) = &options.log_prefix {
            plan.log_prefix = prefix.clone();
        }
        Ok(plan)
    }

    /// Starts the container: returns when it runs, in the foreground when it has ended.
    ///
    /// # Errors
    /// [`Error::Start`] with the failed step (kept for [`Container::last_failure`]); as
    /// [`Container::plan`].
    pub fn start(&self, options: &StartOptions) -> Result<Started> {
        self.start_plan(&self.plan(options)?)
    }

    /// As [`Container::start`] with a plan that was computed before.
    ///
    /// # Errors
    /// As [`Container::start`].
    pub fn start_plan(&self, plan: &Plan) -> Result<Started> {
        match rlxc_runtime::start(plan) {
            Ok(started) => {
                let _ = std::fs::remove_file(self.failure_file());
                Ok(started)
            }
            Err(error) => {
                let error = crate::remedy::with_advice(error);
                self.record_failure(&error);
                Err(error.into())
            }
        }
    }

    fn failure_file(&self) -> PathBuf {
        self.dir().join("last-failure.json")
    }

    /// A record that cannot be written is not worth failing for: the error itself is reported.
    fn record_failure(&self, error: &StartError) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let failure = StartFailure {
            time: now.map_or(0, |d| d.as_secs()),
            error: error.clone(),
        };
        if let Ok(json) = serde_json::to_vec_pretty(&failure) {
            let _ = std::fs::write(self.failure_file(), json);
        }
    }

    /// Why the last start failed; `None` when it did not.
    ///
    /// # Errors
    /// [`Error::Path`] when the record cannot be read.
    pub fn last_failure(&self) -> Result<Option<StartFailure>> {
        let file = self.failure_file();
        match std::fs::read(&file) {
            Ok(json) => Ok(serde_json::from_slice(&json).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::path("read", file)(error)),
        }
    }
}
