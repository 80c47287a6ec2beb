use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use rlxc::{Container, StartOptions};
use serde_json::json;

use super::Run;
use super::ready::NotifySocket;
use super::start_options::Shared;
use crate::context::{Context, Failure, Outcome};
use crate::output::{Format, print_value};

/// Options of `start`.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Run in the background (default)
    #[arg(short = 'd', long, overrides_with = "foreground")]
    daemon: bool,
    /// Stay in the foreground, with the terminal as the container's console
    #[arg(short = 'F', long)]
    foreground: bool,
    /// Write the monitor's process id to FILE
    #[arg(short = 'p', long, value_name = "FILE")]
    pidfile: Option<PathBuf>,
    /// Use FILE as the container's console
    #[arg(short = 'c', long, value_name = "FILE")]
    console: Option<PathBuf>,
    /// Write the console's output to FILE
    #[arg(short = 'L', long, value_name = "FILE")]
    console_log: Option<PathBuf>,
    /// Close inherited descriptors (always so in the background)
    #[arg(short = 'C', long)]
    close_all_fds: bool,
    /// Return when the container says that it is ready (sd_notify), at most after SECONDS (60)
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
          default_missing_value = "60", conflicts_with = "foreground")]
    ready: Option<u64>,
    #[command(flatten)]
    shared: Shared,
    /// NAME, if not given by -n, and the program to run instead of init
    #[arg(value_name = "NAME|COMMAND", hide = true)]
    words: Vec<String>,
}

impl Run for Start {
    fn run(self, context: &Context) -> Outcome {
        let mut words = self.words;
        let mut container = context.container(&mut words)?;
        let foreground = self.foreground && !self.daemon;
        self.shared.apply(&mut container)?;
        if container.document.is_none() {
            return Err(
                Failure::new("No container config specified").remedy(format!(
                    "create {} first (rlxc create), or name a file by --rcfile",
                    container.name()
                )),
            );
        }
        context.check_control(&container)?;
        if container.is_running() && !self.shared.dry_run {
            context.report(&Failure::new("Container is already running"));
            return Ok(0);
        }
        set_console(&mut container, self.console, self.console_log)?;
        let options = StartOptions {
            argv: words,
            daemonize: !foreground,
            pid_file: self.pidfile.map(absolute),
            close_all_fds: self.close_all_fds,
            ..StartOptions::default()
        };
        let Some(seconds) = self.ready.filter(|_| !self.shared.dry_run) else {
            let started = self.shared.start(&container, options, context)?;
            tell(context, &container, started)?;
            return Ok(0);
        };
        let until = Instant::now() + Duration::from_secs(seconds);
        let socket = NotifySocket::new(&mut container)?;
        let started = self.shared.start(&container, options, context)?;
        socket.wait(&container, until)?;
        tell(context, &container, started)?;
        Ok(0)
    }
}

/// What programs want to know of the started container.
fn tell(
    context: &Context,
    container: &Container,
    started: Option<rlxc::Started>,
) -> std::io::Result<()> {
    let Some(started) = started.filter(|_| context.common.format != Format::Table) else {
        return Ok(());
    };
    let each = started.timings.iter().map(|timing| {
        let ns = u64::try_from(timing.duration.as_nanos()).unwrap_or(u64::MAX);
        json!({"step": timing.step, "ns": ns})
    });
    let value = json!({
        "name": container.name(),
        "init_pid": started.init,
        "monitor_pid": started.monitor,
        "timings": each.collect::<Vec<_>>(),
    });
    print_value(context.common.format, &value)
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn set_console(
    container: &mut Container,
    console: Option<PathBuf>,
    log: Option<PathBuf>,
) -> Result<(), Failure> {
    if let Some(path) = console {
        let text = path.to_string_lossy().into_owned();
        if text != "none" {
            std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(&path)
                .map_err(|error| {
                    Failure::new(format!("the console {text} cannot be used: {error}"))
                })?;
        }
        container.set_item("lxc.console.path", &text)?;
    }
    if let Some(path) = log {
        let path = absolute(path);
        container.set_item("lxc.console.logfile", &path.to_string_lossy())?;
    }
    Ok(())
}
