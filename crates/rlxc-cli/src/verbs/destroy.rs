use clap::Args;

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `destroy`.
#[derive(Debug, Args)]
pub(crate) struct Destroy {
    /// Stop it first if it runs
    #[arg(short = 'f', long)]
    force: bool,
    /// Its snapshots too
    #[arg(short = 's', long)]
    snapshots: bool,
    /// NAME, if not given by -n
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

impl Run for Destroy {
    fn run(mut self, context: &Context) -> Outcome {
        let mut container = context.container(&mut self.words)?;
        context.check_control(&container)?;
        if !container.is_defined() {
            return Err(Failure::new("Container is not defined"));
        }
        if container.is_running() {
            if !self.force {
                return Err(Failure::new(format!("{} is running", container.name()))
                    .remedy("stop it first, or use -f"));
            }
            let passing = container
                .item("lxc.ephemeral")
                .is_ok_and(|value| value == "1");
            container.stop()?;
            // It removes itself when it stops.
            if passing {
                return Ok(0);
            }
        }
        let name = container.name().to_owned();
        let destroyed = match self.snapshots {
            true => container.destroy_with_snapshots(),
            false => container.destroy(),
        };
        destroyed.map_err(|error| {
            let failure = Failure::from(error);
            Failure {
                message: format!("Destroying {name} failed: {}", failure.message),
                ..failure
            }
        })?;
        Ok(0)
    }
}
