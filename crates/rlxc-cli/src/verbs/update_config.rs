use std::path::PathBuf;

use clap::Args;
use rlxc::config::update_legacy;

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `update-config`.
#[derive(Debug, Args)]
pub(crate) struct UpdateConfig {
    /// The configuration file to rewrite; a copy is left as FILE.backup
    #[arg(short = 'c', long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Run for UpdateConfig {
    fn run(self, context: &Context) -> Outcome {
        let Some(file) = self.config else {
            context.say(&format!("Usage: {} -c FILE", context.tool));
            return Ok(0);
        };
        let failed = |what: &str, error: std::io::Error| {
            Failure::new(format!("cannot {what} {}: {error}", file.display()))
        };
        let text = std::fs::read(&file).map_err(|e| failed("read", e))?;
        let mut backup = file.clone().into_os_string();
        backup.push(".backup");
        std::fs::copy(&file, &backup).map_err(|e| failed("copy", e))?;
        std::fs::write(&file, update_legacy(&text)).map_err(|e| failed("write", e))?;
        Ok(0)
    }
}
