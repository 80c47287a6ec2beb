use std::io::Write;

use clap::Args;
use rlxc::{Container, StartFailure};
use serde_json::json;

use super::Run;
use super::denials::{self, Confined};
use crate::context::{Context, Outcome};
use crate::output::{Format, print_value, safe};

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
        let failure = container.last_failure()?;
        let (denied, unreadable) = match denials::of(&confined(&container)) {
            Ok(lines) => (lines, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        if context.common.format != Format::Table {
            let value = json!({"name": container.name(), "failure": failure, "denials": denied});
            print_value(context.common.format, &value)?;
            return Ok(0);
        }
        let mut out = std::io::stdout().lock();
        match &failure {
            Some(failure) => print(&mut out, &container, failure)?,
            None => writeln!(
                out,
                "the last start of {} did not fail",
                safe(container.name())
            )?,
        }
        if !denied.is_empty() {
            writeln!(out, "refused to it by the security module (kernel log):")?;
        }
        for line in denied {
            writeln!(out, "  {}", safe(&line))?;
        }
        drop(out);
        if let Some(error) = unreadable.filter(|_| failure.is_some()) {
            let error = crate::context::without_codes(&error.to_string());
            context.say(&format!(
                "whether AppArmor or SELinux refused it something is not known: /dev/kmsg: {error}"
            ));
        }
        Ok(0)
    }
}

/// What tells the container's refusals from others'. Profiles that several containers share count,
/// when the configuration names them.
fn confined(container: &Container) -> Confined {
    let mut with_config = Container::new(container.name(), Some(container.lxcpath()));
    let label = with_config.as_mut().ok().and_then(|container| {
        let keys = ["lxc.apparmor.profile", "lxc.selinux.context"];
        let named = |key: &str| container.item(key).ok().filter(|value| !value.is_empty());
        keys.into_iter().find_map(named)
    });
    Confined {
        name: container.name().to_owned(),
        label: label
            .filter(|label| !["generated", "unconfined", "unchanged"].contains(&label.as_str())),
    }
}

fn print(
    out: &mut impl Write,
    container: &Container,
    failure: &StartFailure,
) -> std::io::Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let ago = now.map_or(0, |d| d.as_secs()).saturating_sub(failure.time);
    let error = &failure.error;
    let name = safe(container.name());
    writeln!(out, "the last start of {name} failed {ago} seconds ago")?;
    writeln!(out, "  step:   {}", safe(&error.step))?;
    if !error.target.is_empty() {
        writeln!(out, "  on:     {}", safe(&error.target))?;
    }
    writeln!(out, "  cause:  {}", safe(&error.message))?;
    if let Some(remedy) = &error.remedy {
        writeln!(out, "  remedy: {}", safe(remedy))?;
    }
    Ok(())
}
