//! `recover`: a container whose monitor was killed gets a new one, or is cleaned away.

use clap::Args;
use rlxc::{Container, Leftovers};

use super::Run;
use crate::context::{Context, Failure, Outcome};
use crate::output::safe;

/// Options of `recover`.
#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// Kill what still runs and clean up, instead of giving it a new monitor
    #[arg(long, visible_alias = "kill")]
    yes: bool,
    /// Only tell what is left
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// All defined containers of the lxcpath
    #[arg(short = 'a', long)]
    all: bool,
    /// The container
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

impl Run for Recover {
    fn run(mut self, context: &Context) -> Outcome {
        if !self.all {
            let container = context.container(&mut self.words)?;
            return self.recover(context, container);
        }
        let mut status = 0;
        for name in rlxc::list_defined(&context.lxcpath())? {
            let container = Container::new(&name, Some(&context.lxcpath())).map_err(Failure::from);
            if let Err(failure) = container.and_then(|found| self.recover(context, found)) {
                status = failure.status;
                context.report(&failure);
            }
        }
        Ok(status)
    }
}

impl Recover {
    fn recover(&self, context: &Context, mut container: Container) -> Outcome {
        let name = safe(container.name());
        let left = match container.leftovers() {
            Err(rlxc::Error::Running { .. }) => {
                if !self.all {
                    context.say(&format!(
                        "{name} runs and its monitor answers: nothing to recover"
                    ));
                }
                return Ok(0);
            }
            other => other?,
        };
        if left.is_empty() {
            if !self.all {
                context.say(&format!("nothing is left of {name}"));
            }
            return Ok(0);
        }
        describe(context, &name, &left);
        if self.dry_run {
            return Ok(0);
        }
        if !left.processes.is_empty() && !self.yes {
            return adopt(context, &container, &left);
        }
        // What is destroyed is gone: only when asked for.
        if left.ephemeral && !self.yes {
            return Err(Failure::new(format!("{name} is ephemeral and has ended"))
                .remedy(format!("rlxc recover {name} --yes removes it")));
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

fn adopt(context: &Context, container: &Container, left: &Leftovers) -> Outcome {
    let name = safe(container.name());
    match container.adopt(left) {
        Ok(adopted) => {
            context.say(&format!(
                "{name} has a monitor again ({}); its init ({}) has run on",
                adopted.started.monitor, adopted.started.init
            ));
            if !adopted.recorded {
                context.say("the old monitor left no record: the configuration of now is taken for that of the start, and links are not given back at the end");
            }
            Ok(0)
        }
        Err(error) => {
            let failure = Failure::from(error);
            let text = format!("{name} cannot be given a new monitor: {}", failure.message);
            Err(Failure::new(text).remedy(format!(
                "rlxc recover {name} --yes kills its processes, removes the cgroups and gives links back"
            )))
        }
    }
}

fn describe(context: &Context, name: &str, left: &Leftovers) {
    let processes: Vec<String> = left
        .processes
        .iter()
        .map(|(pid, comm)| format!("{} ({pid})", safe(comm)))
        .collect();
    context.say(&format!("{name} has lost its monitor"));
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
}
