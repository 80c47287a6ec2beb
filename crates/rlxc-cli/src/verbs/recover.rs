//! `recover`: a container whose monitor was killed gets a new one, or is cleaned away.

use clap::Args;
use rlxc::{Adopted, Container, Leftovers};
use serde_json::{Value, json};

use super::Run;
use crate::context::{Context, Failure, Outcome};
use crate::output::{Format, print_value, safe};

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
        let mut rows = Vec::new();
        let mut status = 0;
        if self.all {
            for name in rlxc::list_defined(&context.lxcpath())? {
                let container = Container::new(&name, Some(&context.lxcpath()));
                let container = container.map_err(Failure::from);
                match container.and_then(|found| self.recover(context, found)) {
                    Ok(row) => rows.push(row),
                    Err(failure) => {
                        status = failure.status;
                        context.report(&failure);
                        rows.push(
                            json!({"name": name, "result": "failed", "error": failure.message}),
                        );
                    }
                }
            }
        } else {
            let container = context.container(&mut self.words)?;
            rows.push(self.recover(context, container)?);
        }
        if context.common.format != Format::Table {
            print_value(context.common.format, &rows.into())?;
        }
        Ok(status)
    }
}

impl Recover {
    /// What was found and done, for programs; eyes are told of it on the way.
    fn recover(&self, context: &Context, mut container: Container) -> Result<Value, Failure> {
        let shown = safe(container.name());
        let name = container.name().to_owned();
        let say = |text: &str| {
            if context.common.format == Format::Table {
                context.say(text);
            }
        };
        let left = match container.leftovers() {
            Err(rlxc::Error::Running { .. }) => {
                if !self.all {
                    say(&format!(
                        "{shown} runs and its monitor answers: nothing to recover"
                    ));
                }
                return Ok(json!({"name": name, "result": "runs"}));
            }
            other => other?,
        };
        if left.is_empty() {
            if !self.all {
                say(&format!("nothing is left of {shown}"));
            }
            return Ok(json!({"name": name, "result": "clean"}));
        }
        let mut row = json!({
            "name": name,
            "result": "left",
            "processes": left.processes.iter().map(|(pid, comm)| json!({"pid": pid, "name": comm})).collect::<Vec<_>>(),
            "cgroups": left.cgroups,
            "links": left.links,
            "ephemeral": left.ephemeral,
        });
        describe(&say, &shown, &left);
        if self.dry_run {
            return Ok(row);
        }
        if !left.processes.is_empty() && !self.yes {
            let adopted = adopt(&say, &container, &left)?;
            row["result"] = "adopted".into();
            row["monitor_pid"] = adopted.started.monitor.into();
            row["init_pid"] = adopted.started.init.into();
            return Ok(row);
        }
        // What is destroyed is gone: only when asked for.
        if left.ephemeral && !self.yes {
            return Err(Failure::new(format!("{shown} is ephemeral and has ended"))
                .remedy(format!("rlxc recover {shown} --yes removes it")));
        }
        let wrong = container.clean_up(&left);
        match wrong.as_slice() {
            [] => {
                say(&format!("{shown} is clean again"));
                row["result"] = "cleaned".into();
                Ok(row)
            }
            wrong => Err(Failure::new(wrong.join("\n"))),
        }
    }
}

fn adopt(say: &impl Fn(&str), container: &Container, left: &Leftovers) -> Result<Adopted, Failure> {
    let name = safe(container.name());
    match container.adopt(left) {
        Ok(adopted) => {
            say(&format!(
                "{name} has a monitor again ({}); its init ({}) has run on",
                adopted.started.monitor, adopted.started.init
            ));
            if !adopted.recorded {
                say(
                    "the old monitor left no record: the configuration of now is taken for that of the start, and links are not given back at the end",
                );
            }
            Ok(adopted)
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

fn describe(say: &impl Fn(&str), name: &str, left: &Leftovers) {
    let processes: Vec<String> = left
        .processes
        .iter()
        .map(|(pid, comm)| format!("{} ({pid})", safe(comm)))
        .collect();
    say(&format!("{name} has lost its monitor"));
    if !processes.is_empty() {
        say(&format!("processes: {}", processes.join(", ")));
    }
    for dir in &left.cgroups {
        say(&format!("cgroup: {}", dir.display()));
    }
    if left.links {
        say("links: to be given back to the host");
    }
    if left.ephemeral {
        say("it is ephemeral: to be destroyed");
    }
}
