use std::io::Write;

use clap::Args;
use rlxc_network::lxcnet::Service;

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `net`.
#[derive(Debug, Args)]
pub(crate) struct Net {
    /// up, down, restart, reload, force-reload or status
    #[arg(value_name = "ACTION", hide = true)]
    words: Vec<String>,
}

impl Run for Net {
    fn run(self, _context: &Context) -> Outcome {
        let action = match self.words.first().map(String::as_str) {
            Some("up") => "start",
            Some("down") => "stop",
            Some(action) => action,
            None => "status",
        };
        let known = [
            "start",
            "stop",
            "restart",
            "reload",
            "force-reload",
            "status",
        ];
        if !known.contains(&action) {
            return Err(Failure::new(format!(
                "'{action}' is none of up, down, restart, reload, force-reload and status"
            )));
        }
        let service = Service::load().map_err(rlxc::Error::from)?;
        if action == "status" {
            let status = service.status().map_err(rlxc::Error::from)?;
            let state = if status.is_up() { "up" } else { "down" };
            writeln!(std::io::stdout(), "{state}")?;
            return Ok(if status.is_up() { 0 } else { 3 });
        }
        let lines = service.act(action).map_err(rlxc::Error::from)?;
        let mut out = std::io::stdout().lock();
        for line in lines {
            writeln!(out, "{line}")?;
        }
        Ok(0)
    }
}
