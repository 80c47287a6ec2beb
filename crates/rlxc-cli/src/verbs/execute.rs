use clap::Args;
use rlxc::{Mode, StartOptions};

use super::Run;
use super::start_options::Shared;
use crate::context::{Context, Failure, Outcome};

/// Options of `execute`.
#[derive(Debug, Args)]
pub(crate) struct Execute {
    /// Run in the background
    #[arg(short = 'd', long)]
    daemon: bool,
    /// Run as this user id
    #[arg(short = 'u', long, value_name = "UID")]
    uid: Option<u32>,
    /// Run as this group id
    #[arg(short = 'g', long, value_name = "GID")]
    gid: Option<u32>,
    #[command(flatten)]
    shared: Shared,
    /// NAME, if not given by -n, and the program
    #[arg(value_name = "NAME|COMMAND", hide = true)]
    words: Vec<String>,
}

impl Run for Execute {
    fn run(self, context: &Context) -> Outcome {
        if context.common.format != crate::Format::Table && !self.shared.dry_run {
            let text = "--format is for the plan: standard output is the program's";
            return Err(Failure::new(text).remedy("use it with --dry-run"));
        }
        let mut words = self.words;
        let mut container = context.container(&mut words)?;
        // Keys alone make a container for rlxc, which sees to it that it is one; not for LXC's tool.
        let unconfigured = context.lxc && container.document.is_none();
        if !unconfigured {
            self.shared.apply(&mut container)?;
        }
        if container.document.is_none() {
            return Err(Failure::new(
                "Executing a container with no configuration file may crash the host",
            )
            .remedy("name a configuration by --rcfile, or set keys by --define"));
        }
        let ids = [("lxc.init.uid", self.uid), ("lxc.init.gid", self.gid)];
        for (key, id) in ids {
            if let Some(id) = id {
                container.set_item(key, &id.to_string())?;
            }
        }
        context.check_control(&container)?;
        let options = StartOptions {
            argv: words,
            mode: Mode::Execute,
            daemonize: self.daemon,
            ..StartOptions::default()
        };
        let started = self.shared.start(&container, options, context)?;
        match started.and_then(|started| started.status) {
            Some(status) => Ok(end_like(status)),
            None => Ok(0),
        }
    }
}

/// The exit status for a raw wait status; a program that a signal killed kills us alike.
fn end_like(status: i32) -> u8 {
    let signal = status & 0x7f;
    if signal == 0 {
        return (status >> 8 & 0xff) as u8;
    }
    let _ = rlxc_sys::process::default_signal(signal);
    if let Ok(signal) = nix::sys::signal::Signal::try_from(signal) {
        let _ = nix::sys::signal::raise(signal);
    }
    128_u8.saturating_add(signal as u8)
}
