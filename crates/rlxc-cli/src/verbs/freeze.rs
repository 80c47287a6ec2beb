use clap::Args;

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `freeze`.
#[derive(Debug, Args)]
pub(crate) struct Freeze {
    /// NAME, if not given by -n
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

/// Options of `unfreeze`.
#[derive(Debug, Args)]
pub(crate) struct Unfreeze {
    /// NAME, if not given by -n
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

impl Run for Freeze {
    fn run(self, context: &Context) -> Outcome {
        change(self.words, context, "freeze", |c| c.freeze(None))
    }
}

impl Run for Unfreeze {
    fn run(self, context: &Context) -> Outcome {
        change(self.words, context, "unfreeze", |c| c.unfreeze(None))
    }
}

fn change(
    mut words: Vec<String>,
    context: &Context,
    verb: &str,
    act: impl FnOnce(&rlxc::Container) -> rlxc::Result<()>,
) -> Outcome {
    let container = context.bare(&mut words)?;
    context.check_control(&container)?;
    let failed = |failure: Failure| {
        failure.because_of(format!(
            "Failed to {verb} {}:{}",
            container.lxcpath().display(),
            container.name()
        ))
    };
    if !container.is_running() {
        // Nothing to thaw: LXC counts that as done, for a container that there is.
        if verb == "unfreeze" && container.is_defined() {
            return Ok(0);
        }
        if !container.is_defined() {
            return Err(failed(Failure::new("")));
        }
        let not_running = rlxc::Error::NotRunning {
            name: container.name().to_owned(),
        };
        return Err(failed(not_running.into()));
    }
    act(&container).map_err(|error| failed(error.into()))?;
    Ok(0)
}
