use std::io::Write;

use clap::Args;

use super::Run;
use crate::context::{Context, Failure, Outcome};
use crate::output::safe;

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

/// Options of `recover`.
#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// Kill what is left without asking
    #[arg(long)]
    yes: bool,
    /// The container
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

impl Run for Recover {
    fn run(mut self, context: &Context) -> Outcome {
        let mut container = context.container(&mut self.words)?;
        let name = safe(container.name());
        let left = match container.leftovers() {
            Err(rlxc::Error::Running { .. }) => {
                context.say(&format!(
                    "{name} runs and its monitor answers: nothing to recover"
                ));
                return Ok(0);
            }
            other => other?,
        };
        if left.is_empty() {
            context.say(&format!("nothing is left of {name}"));
            return Ok(0);
        }
        let processes: Vec<String> = left
            .processes
            .iter()
            .map(|(pid, comm)| format!("{} ({pid})", safe(comm)))
            .collect();
        if !processes.is_empty() {
            context.say(&format!("processes: {}", processes.join(", ")));
        }
        for dir in &left.cgroups {
            context.say(&format!("cgroup: {}", dir.display()));
        }
        if left.links {
            context.say("links: to be given back to the host");
        }
        if left.ephemeral {
            context.say("it is ephemeral: to be destroyed");
        }
        // What runs may still be wanted: that is killed only when asked for.
        if (!left.processes.is_empty() || left.ephemeral) && !self.yes {
            let text = "something without a monitor is left";
            return Err(Failure::new(text).remedy(format!(
                "rlxc recover {name} --yes kills the processes, removes the cgroups and gives links back"
            )));
        }
        let wrong = container.clean_up(&left);
        match wrong.as_slice() {
            [] => {
                context.say(&format!("{name} is clean again"));
                Ok(0)
            }
            wrong => Err(Failure::new(wrong.join("\n"))),
        }
    }
}
