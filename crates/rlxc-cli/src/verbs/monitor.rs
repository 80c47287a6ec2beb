use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use rlxc::config::paths;
use rlxc::monitor::events::{Events, quit_monitord, start_monitord};
use rlxc::monitor::protocol::{Event, Message};
use rlxc_sys::regex::Regex;
use serde_json::json;

use super::Run;
use crate::context::{Context, Failure, Outcome};
use crate::output::{Format, csv_cell, flat, safe};

/// Options of `monitor`.
#[derive(Debug, Args)]
pub(crate) struct Monitor {
    /// Tell lxc-monitord to end
    #[arg(short = 'Q', long)]
    quit: bool,
    /// The regular expression for names, if not given by -n
    #[arg(value_name = "REGEX", hide = true)]
    words: Vec<String>,
}

impl Run for Monitor {
    fn run(self, context: &Context) -> Outcome {
        let lxcpaths = context.lxcpaths();
        if self.quit {
            for lxcpath in &lxcpaths {
                if !quit_monitord(lxcpath).map_err(rlxc::Error::from)? {
                    let path = lxcpath.display();
                    return Err(Failure::new(format!(
                        "Unable to open monitor on path: {path}"
                    )));
                }
            }
            return Ok(0);
        }
        let name = context.common.name.clone().or(self.words.first().cloned());
        let pattern = format!("^{}$", name.as_deref().unwrap_or(".*"));
        let regex = Regex::new(&pattern)
            .map_err(|e| Failure::new(format!("failed to compile the regex '{pattern}': {e}")))?;
        let program = monitord();
        for lxcpath in &lxcpaths {
            start_monitord(&program, lxcpath).map_err(rlxc::Error::from)?;
        }
        let events = Events::connect(&lxcpaths).map_err(rlxc::Error::from)?;
        if context.common.format == Format::Csv {
            let mut out = std::io::stdout().lock();
            writeln!(out, "lxcpath,name,state,exit_status").and_then(|()| out.flush())?;
        }
        for event in events {
            let (lxcpath, message) = event.map_err(rlxc::Error::from)?;
            if regex.is_match(&message.name) {
                print(context.common.format, &lxcpath, &message)?;
            }
        }
        Err(Failure::new("lxc-monitord has ended"))
    }
}

fn print(format: Format, lxcpath: &Path, message: &Message) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let name = safe(&message.name);
    match (format, message.event) {
        (Format::Table, Event::State(state)) => {
            writeln!(out, "'{name}' changed state to [{state}]")
        }
        (Format::Table, Event::ExitCode(status)) => {
            writeln!(out, "'{name}' exited with status [{}]", status >> 8 & 0xff)
        }
        (_, Event::Priority(_)) => Ok(()),
        (_, event) => {
            let (kind, value) = match event {
                Event::State(state) => ("state", json!(state.name())),
                Event::ExitCode(status) => ("exit_status", json!(status >> 8 & 0xff)),
                Event::Priority(number) => ("priority", json!(number)),
            };
            let line =
                json!({"lxcpath": lxcpath.to_string_lossy(), "name": message.name, kind: value});
            match format {
                // What comes is a list that never ends: an item a line in each form.
                Format::Yaml => writeln!(out, "- {line}"),
                Format::Csv => {
                    let columns = ["lxcpath", "name", "state", "exit_status"];
                    let cells = columns.map(|column| csv_cell(&flat(&line[column])));
                    writeln!(out, "{}", cells.join(","))
                }
                _ => writeln!(out, "{line}"),
            }
        }
    }
    .and_then(|()| out.flush())
}

/// Beside ourselves, or installed.
fn monitord() -> PathBuf {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.join("lxc-monitord")));
    beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| Path::new(paths::LIBEXECDIR).join("lxc/lxc-monitord"))
}
