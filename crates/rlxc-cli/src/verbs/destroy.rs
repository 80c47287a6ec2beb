use clap::Args;
use rlxc::Container;

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
            container.remove_empty();
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
            true => {
                destroy_dependants(&container).and_then(|()| container.destroy_with_snapshots())
            }
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

/// The containers that rest on this one's storage. One may rest on another of them, so they are tried until no more of
/// them can be removed.
fn destroy_dependants(container: &Container) -> rlxc::Result<()> {
    loop {
        let dependants = container.dependants()?;
        let mut last = Ok(());
        for dir in &dependants {
            let (Some(lxcpath), Some(name)) = (dir.parent(), dir.file_name()) else {
                continue;
            };
            // A snapshot of this very container goes with it.
            if lxcpath.starts_with(container.dir()) {
                continue;
            }
            let mut dependant = Container::new(&name.to_string_lossy(), Some(lxcpath))?;
            if dependant.is_defined()
                && let Err(error) = dependant.destroy_with_snapshots()
            {
                last = Err(error);
            }
        }
        let left = container.dependants()?;
        if left.is_empty() || left.len() == dependants.len() {
            return last;
        }
    }
}
