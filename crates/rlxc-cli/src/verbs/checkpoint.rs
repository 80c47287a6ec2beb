use std::path::PathBuf;

use clap::Args;
use rlxc::{Migrate, MigrateOptions};

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `checkpoint`.
#[derive(Debug, Args)]
pub(crate) struct Checkpoint {
    /// Directory of the images
    #[arg(short = 'D', long, value_name = "DIR")]
    checkpoint_dir: Option<PathBuf>,
    /// Script that criu calls at each of its actions
    #[arg(short = 'A', long, value_name = "PATH")]
    action_script: Option<PathBuf>,
    /// Restore instead
    #[arg(short = 'r', long)]
    restore: bool,
    /// Stop the container when its state is written
    #[arg(short = 's', long)]
    stop: bool,
    /// Let criu write much to its log
    #[arg(short = 'v', long)]
    verbose: bool,
    /// Only copy the memory; the container goes on
    #[arg(short = 'p', long)]
    pre_dump: bool,
    /// Earlier images, relative to the directory
    #[arg(long, value_name = "DIR")]
    predump_dir: Option<PathBuf>,
    /// Restore to the background (default)
    #[arg(short = 'd', long)]
    daemon: bool,
    /// Restore to the foreground
    #[arg(short = 'F', long)]
    foreground: bool,
    /// NAME, if not given by -n
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

impl Run for Checkpoint {
    fn run(mut self, context: &Context) -> Outcome {
        let container = context.container(&mut self.words)?;
        let Some(directory) = self.checkpoint_dir else {
            return Err(Failure::usage("-D is required"));
        };
        let for_restore = self.daemon || self.foreground;
        let for_dump = self.stop || self.pre_dump || self.predump_dir.is_some();
        if self.restore && for_dump {
            return Err(Failure::usage(
                "-s, -p and --predump-dir are not compatible with -r",
            ));
        }
        if !self.restore && for_restore {
            return Err(Failure::usage("-F and -d are only for -r"));
        }
        if self.stop && self.pre_dump {
            return Err(Failure::new("-s is not compatible with -p"));
        }
        if !nix::unistd::geteuid().is_root() {
            return Err(Failure::new(
                "only root can checkpoint or restore containers",
            ));
        }
        if !container.is_defined() {
            return Err(Failure::new(format!("{} is not defined", container.name())));
        }
        if self.restore {
            if container.is_running() {
                let text = format!("{} is running, not restoring", container.name());
                return Err(Failure::new(text));
            }
            container.restore(&MigrateOptions {
                directory,
                verbose: self.verbose,
                action_script: self.action_script,
                foreground: self.foreground,
                ..MigrateOptions::default()
            })?;
            return Ok(0);
        }
        if !container.is_running() {
            return Err(Failure::new(format!("{} is not running", container.name())));
        }
        let action = if self.pre_dump {
            Migrate::PreDump
        } else {
            Migrate::Dump
        };
        container.migrate(
            action,
            &MigrateOptions {
                directory,
                verbose: self.verbose,
                stop: self.stop,
                predump_dir: self.predump_dir,
                action_script: self.action_script,
                ..MigrateOptions::default()
            },
        )?;
        Ok(0)
    }
}
