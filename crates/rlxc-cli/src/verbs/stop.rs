use std::time::Duration;

use clap::Args;
use rlxc::{Container, Outcome as End, Reception};

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `stop`.
#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Reboot it
    #[arg(short = 'r', long)]
    reboot: bool,
    /// Do not wait for the end of the shutdown or reboot
    #[arg(short = 'W', long)]
    nowait: bool,
    /// Wait SECONDS before it is killed (60)
    #[arg(
        short = 't',
        long,
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    timeout: Option<String>,
    /// Kill it instead of asking it to shut down
    #[arg(short = 'k', long)]
    kill: bool,
    /// Take no locks (only with -k)
    #[arg(long)]
    nolock: bool,
    /// Only ask; do not kill after the timeout
    #[arg(long)]
    nokill: bool,
    /// NAME, if not given by -n
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

impl Run for Stop {
    fn run(mut self, context: &Context) -> Outcome {
        let timeout = self.checked_timeout()?;
        let container = context.container(&mut self.words)?;
        context.check_control(&container)?;
        if !container.is_running() {
            container.take_back_links();
            let message = format!("{} is not running", container.name());
            return Err(Failure::new(message).status(2));
        }
        if self.kill {
            container.stop()?;
            return Ok(0);
        }
        // A timeout of zero waits for nothing, and kills nothing.
        if self.nowait || (!self.reboot && timeout == Some(Duration::ZERO)) {
            match self.reboot {
                true => container.reboot()?,
                false => drop(container.shutdown(Some(Duration::ZERO), |_| true)?),
            }
            return Ok(0);
        }
        if self.reboot {
            let wait = match timeout {
                Some(Duration::ZERO) | None => None,
                some => some,
            };
            return match container.reboot_wait(wait, |halt| warn(context, halt))? {
                End::Done | End::Sent => Ok(0),
                End::TimedOut => Err(Failure::new("the reboot took longer than the timeout")),
            };
        }
        match container.shutdown(timeout, |halt| warn(context, halt))? {
            End::Done => Ok(0),
            _ if self.nokill => Err(Failure::new(remaining(&container))),
            _ => {
                container.stop()?;
                Ok(0)
            }
        }
    }
}

impl Stop {
    /// The combinations that LXC refuses; the timeout, `None`: for ever.
    fn checked_timeout(&self) -> Result<Option<Duration>, Failure> {
        let refuse = |text: &str| Err(Failure::new(text).status(1));
        let timeout = match self.timeout.as_deref().map(str::parse::<i64>) {
            None => Some(60),
            // Other tools take less than -1 for ever too; LXC's lxc-stop does not.
            Some(Ok(seconds)) if seconds >= -1 => Some(seconds),
            Some(Ok(_)) => return refuse("Invalid timeout"),
            Some(Err(_)) => return Err(Failure::usage("Invalid timeout")),
        };
        if self.nolock && !self.kill {
            return refuse("--nolock may only be used with -k");
        }
        if self.kill && self.nokill {
            return refuse("-k can't be used with --nokill");
        }
        if self.kill && self.reboot {
            return refuse("-k can't be used with -r");
        }
        if self.kill && self.timeout.is_some() {
            return refuse("-k doesn't allow timeouts");
        }
        Ok(timeout
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map(Duration::from_secs))
    }
}

/// Says at once when init will ignore the signal; goes on all the same.
fn warn(context: &Context, halt: &rlxc::Halt) -> bool {
    if halt.reception == Reception::Ignored {
        context.say(&format!(
            "{}: init (pid {}) has no handler for signal {}: it will be ignored, and the container killed after the timeout",
            context.tool, halt.pid, halt.signal
        ));
        context.say(&format!(
            "{}: hint: set lxc.signal.halt to a signal that this init knows, or use -k",
            context.tool
        ));
    }
    true
}

fn remaining(container: &Container) -> String {
    let mut text = format!("{} has not stopped within the timeout", container.name());
    if let Ok(processes) = container.processes() {
        let names: Vec<_> = processes
            .iter()
            .take(10)
            .map(|(pid, name)| format!("{name} ({pid})"))
            .collect();
        text.push_str(&format!("; still there: {}", names.join(", ")));
    }
    text
}
