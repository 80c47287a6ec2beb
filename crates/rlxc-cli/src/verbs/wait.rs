use std::time::Duration;

use clap::Args;
use rlxc::StateSet;

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `wait`.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// The states to wait for, joined by |: STOPPED STARTING RUNNING STOPPING ABORTING FREEZING FROZEN THAWED
    #[arg(short = 's', long, value_name = "STATES")]
    state: Option<String>,
    /// Wait at most SECONDS; -1: for ever
    #[arg(
        short = 't',
        long,
        value_name = "SECONDS",
        allow_negative_numbers = true,
        default_value = "-1",
        hide_default_value = true
    )]
    timeout: i64,
    /// Wait until its system has booted, not only until it runs
    #[arg(long, conflicts_with = "state")]
    ready: bool,
    /// NAME, if not given by -n
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

impl Run for Wait {
    fn run(mut self, context: &Context) -> Outcome {
        let container = context.bare(&mut self.words)?;
        let timeout = u64::try_from(self.timeout).ok().map(Duration::from_secs);
        if self.ready {
            return Ok(u8::from(!super::ready::wait_booted(&container, timeout)?));
        }
        let Some(states) = self.state else {
            return Err(Failure::usage("missing state option to wait for."));
        };
        let states: StateSet = states
            .parse()
            .map_err(|error: rlxc::monitor::UnknownState| {
                Failure::new(format!("invalid state '{}'", error.0))
            })?;
        match container.wait(states, timeout)? {
            Some(_) => Ok(0),
            None => Ok(1),
        }
    }
}
