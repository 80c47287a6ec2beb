use std::io::Write;

use clap::Args;

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `cgroup`.
#[derive(Debug, Args)]
pub(crate) struct Cgroup {
    /// NAME, if not given by -n, the file's name, and the value to write
    #[arg(value_name = "NAME|OBJECT|VALUE", hide = true)]
    words: Vec<String>,
}

impl Run for Cgroup {
    fn run(mut self, context: &Context) -> Outcome {
        let container = context.bare(&mut self.words)?;
        let (file, value) = match self.words.as_slice() {
            [] => return Err(Failure::usage("Missing state object")),
            [file] => (file, None),
            [file, value, ..] => (file, Some(value)),
        };
        context.check_control(&container)?;
        if !container.is_running() {
            return Err(Failure::new(format!(
                "'{}:{}' is not running",
                container.lxcpath().display(),
                container.name()
            )));
        }
        match value {
            // Writing nothing changes nothing.
            Some(value) if value.is_empty() => {
                return Err(Failure::new(format!(
                    "Failed to assign '' value to '{file}' for '{}'",
                    container.name()
                )));
            }
            Some(value) => container.set_cgroup_item(file, value).map_err(|error| {
                Failure::from(error).because_of(format!(
                    "Failed to assign '{value}' value to '{file}' for '{}'",
                    container.name()
                ))
            })?,
            None => {
                let text = container.cgroup_item(file).map_err(|error| {
                    Failure::from(error).because_of(format!(
                        "Failed to retrieve value of '{file}' for '{}:{}'",
                        container.lxcpath().display(),
                        container.name()
                    ))
                })?;
                let mut out = std::io::stdout().lock();
                // LXC's tool ends the file's own last line once more.
                match context.lxc {
                    true => writeln!(out, "{text}")?,
                    false => writeln!(out, "{}", text.strip_suffix('\n').unwrap_or(&text))?,
                }
            }
        }
        Ok(0)
    }
}
