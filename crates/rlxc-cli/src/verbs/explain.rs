use std::io::Write;

use clap::Args;

use super::Run;
use crate::context::{Context, Outcome};

/// Options of `explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The container
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

impl Run for Explain {
    fn run(mut self, context: &Context) -> Outcome {
        let container = context.bare(&mut self.words)?;
        let mut out = std::io::stdout().lock();
        let Some(failure) = container.last_failure()? else {
            writeln!(out, "the last start of {} did not fail", container.name())?;
            return Ok(0);
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let ago = now.map_or(0, |d| d.as_secs()).saturating_sub(failure.time);
        let error = failure.error;
        writeln!(
            out,
            "the last start of {} failed {ago} seconds ago",
            container.name()
        )?;
        writeln!(out, "  step:   {}", error.step)?;
        if !error.target.is_empty() {
            writeln!(out, "  on:     {}", error.target)?;
        }
        writeln!(out, "  cause:  {}", error.message)?;
        if let Some(remedy) = error.remedy {
            writeln!(out, "  remedy: {remedy}")?;
        }
        Ok(0)
    }
}
