use clap::Args;
use serde_json::Value;

use super::Run;
use crate::context::{Context, Outcome};
use crate::output::{Format, print_value};

/// Options of `stats`.
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// The container
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

impl Run for Stats {
    fn run(mut self, context: &Context) -> Outcome {
        let container = context.bare(&mut self.words)?;
        context.check_control(&container)?;
        let stats = container.stats()?;
        let value = serde_json::to_value(&stats).map_err(std::io::Error::other)?;
        match (context.common.format, &value) {
            (Format::Table, Value::Object(map)) => {
                use std::io::Write;
                let mut out = std::io::stdout().lock();
                for (key, value) in map {
                    writeln!(out, "{key:<15} {value}")?;
                }
            }
            (format, value) => print_value(format, value)?,
        }
        Ok(0)
    }
}
