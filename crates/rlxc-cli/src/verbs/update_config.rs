use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use rlxc::config::{replace_file, update_legacy};

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `update-config`.
#[derive(Debug, Args)]
pub(crate) struct UpdateConfig {
    /// The configuration file to rewrite; a copy is left as FILE.backup
    #[arg(short = 'c', long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The container whose configuration file is rewritten
    #[arg(value_name = "NAME", conflicts_with = "config", hide = true)]
    container: Option<String>,
}

impl Run for UpdateConfig {
    fn run(self, context: &Context) -> Outcome {
        let named = self.container.or_else(|| context.common.name.clone());
        let named = named.filter(|_| !context.lxc);
        let file = match (self.config, named) {
            (Some(file), _) => file,
            (None, Some(name)) => context.lxcpath().join(name).join("config"),
            (None, None) => {
                let mut out = std::io::stdout().lock();
                match context.lxc {
                    // The script's two lines.
                    true => writeln!(
                        out,
                        "{} -h|--help [-c|--config]\nconfig: the container configuration to update",
                        context.called
                    )?,
                    false => writeln!(out, "Usage: {} NAME | -c FILE", context.tool)?,
                }
                return Ok(0);
            }
        };
        let failed = |what: &str, error: std::io::Error| {
            let text = format!("cannot {what} {}: {error}", file.display());
            Failure::new(crate::context::without_codes(&text))
        };
        let text = std::fs::read(&file).map_err(|e| failed("read", e))?;
        let converted = update_legacy(&text);
        let mut backup = file.clone().into_os_string();
        backup.push(".backup");
        // A copy keeps the mode: what was unreadable for others stays so.
        std::fs::copy(&file, &backup).map_err(|e| failed("copy", e))?;
        replace_file(&file, &converted).map_err(|e| failed("write", e))?;
        if !context.lxc {
            let changed = match converted == text {
                true => "there were no legacy keys in",
                false => "converted",
            };
            context.say(&format!("{changed} {}", file.display()));
        }
        Ok(0)
    }
}
