//! What starting a container and executing a program share.

use clap::Args;
use rlxc::config::{CheckOptions, Namespace, Severity, check_with, render};
use rlxc::{Container, StartOptions};

use crate::context::{Context, Failure};

/// Options of both verbs.
#[derive(Debug, Args)]
pub(crate) struct Shared {
    /// Set a configuration key (can be given several times)
    #[arg(short = 's', long, value_name = "KEY=VALUE")]
    pub(crate) define: Vec<String>,
    /// Share the network of a container or process
    #[arg(long, value_name = "NAME|PID")]
    share_net: Option<String>,
    /// Share the IPC namespace of a container or process
    #[arg(long, value_name = "NAME|PID")]
    share_ipc: Option<String>,
    /// Share the UTS namespace of a container or process
    #[arg(long, value_name = "NAME|PID")]
    share_uts: Option<String>,
    /// Share the PID namespace of a container or process
    #[arg(long, value_name = "NAME|PID")]
    share_pid: Option<String>,
    /// Print what would be done, and do nothing (with --format json: as JSON)
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print how long each step took
    #[arg(long)]
    pub(crate) timings: bool,
    /// Refuse a configuration in which `config check --strict` finds something
    #[arg(long)]
    strict: bool,
}

impl Shared {
    /// Puts the options into the container's configuration in memory.
    ///
    /// # Errors
    /// A definition that is wrong.
    pub(crate) fn apply(&self, container: &mut Container) -> Result<(), Failure> {
        for define in &self.define {
            let (key, value) = define.split_once('=').ok_or_else(|| {
                Failure::usage(format!("'{define}' is not of the form KEY=VALUE"))
            })?;
            container.set_item(key.trim(), value.trim())?;
        }
        let shared = [
            (Namespace::Net, &self.share_net),
            (Namespace::Ipc, &self.share_ipc),
            (Namespace::Uts, &self.share_uts),
            (Namespace::Pid, &self.share_pid),
        ];
        for (namespace, whose) in shared {
            if let Some(whose) = whose {
                let key = format!("lxc.namespace.share.{}", namespace.name());
                container.set_item(&key, whose)?;
            }
        }
        Ok(())
    }

    /// Tells what has no effect here; with `--strict` every finding is an error.
    fn examine(&self, container: &Container, context: &Context) -> Result<(), Failure> {
        let file = container.config_file();
        if self.strict && container.is_defined() {
            let options = CheckOptions {
                strict_cgroup: true,
                ..CheckOptions::default()
            };
            let mut found = check_with(file, options);
            found.retain(|finding| finding.severity > Severity::Note);
            if !found.is_empty() {
                context.say(render(&found).trim_end());
                let message = format!("{} is not clean", file.display());
                return Err(Failure::new(message));
            }
        }
        for document in container.document.iter().filter(|_| !context.lxc) {
            let limits = &document.config().cgroup2;
            // LXC's common.conf has each rule for both versions: the one for this host counts.
            let has_twin = |key: &str| {
                let file = key.strip_prefix("lxc.cgroup.").unwrap_or(key);
                limits.iter().any(|(other, _)| other == file)
            };
            for warning in document.warnings().iter().filter(|w| !has_twin(&w.key)) {
                context.say(&format!("warning: {warning}"));
            }
        }
        Ok(())
    }

    /// Plans, and shows the plan or carries it out.
    ///
    /// # Errors
    /// The failed step.
    pub(crate) fn start(
        &self,
        container: &Container,
        mut options: StartOptions,
        context: &Context,
    ) -> Result<Option<rlxc::Started>, Failure> {
        self.examine(container, context)?;
        let level = context.common.logpriority.as_deref();
        options.log_level = level
            .and_then(|l| l.parse::<rlxc_log::Level>().ok())
            .map(|l| l as u8);
        options.log_file = context.common.logfile.clone().or_else(|| {
            options
                .log_level
                .map(|_| crate::personality::default_log(context, container.name()))
        });
        options.log_prefix = Some(context.tool.clone());
        let plan = container
            .plan(&options)
            .inspect_err(|_| show_place(container, context))?;
        if self.dry_run {
            use std::io::Write;
            let mut out = std::io::stdout().lock();
            match context.common.format {
                crate::Format::Table => write!(out, "{plan}")?,
                format => {
                    let value = serde_json::to_value(&plan).map_err(std::io::Error::other)?;
                    drop(out);
                    crate::output::print_value(format, &value)?;
                }
            }
            return Ok(None);
        }
        let started = container
            .start_plan(&plan)
            .inspect_err(|_| show_place(container, context))?;
        if self.timings {
            for timing in &started.timings {
                context.say(&format!("{:>12.1?}  {}", timing.duration, timing.step));
            }
        }
        Ok(Some(started))
    }
}

/// A start that failed for what the configuration says: the file, the line and the column, which the runtime, given
/// values alone, cannot know.
fn show_place(container: &Container, context: &Context) {
    if context.lxc || !container.is_defined() {
        return;
    }
    let mut found = check_with(container.config_file(), CheckOptions::default());
    found.retain(|finding| finding.severity == Severity::Error);
    if !found.is_empty() {
        context.say(render(&found).trim_end());
    }
}
