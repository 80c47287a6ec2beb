use std::io::Write;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use rlxc::{
    AutostartEntry, AutostartFilter, Container, Outcome as End, StartOptions, autostart_order,
    list_defined,
};

use serde_json::json;

use super::Run;
use crate::context::{Context, Failure, Outcome};
use crate::output::{Format, print_value};

/// Options of `autostart`.
#[derive(Debug, Args)]
pub(crate) struct Autostart {
    /// Kill them instead of starting them
    #[arg(short = 'k', long)]
    kill: bool,
    /// Only list them, with their delays
    #[arg(short = 'L', long)]
    list: bool,
    /// Reboot them instead
    #[arg(short = 'r', long)]
    reboot: bool,
    /// Shut them down instead
    #[arg(short = 's', long)]
    shutdown: bool,
    /// All of them, whatever their groups
    #[arg(short = 'a', long)]
    all: bool,
    /// Also those without lxc.start.auto = 1
    #[arg(short = 'A', long)]
    ignore_auto: bool,
    /// Only members of these groups (comma separated; an empty one: members of none)
    #[arg(short = 'g', long, value_name = "GROUPS")]
    groups: Vec<String>,
    /// Wait SECONDS for a shutdown before it is killed
    #[arg(
        short = 't',
        long,
        value_name = "SECONDS",
        allow_negative_numbers = true,
        default_value = "60",
        hide_default_value = true
    )]
    timeout: i64,
    /// Not looked at by LXC's tool either
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

impl Run for Autostart {
    fn run(self, context: &Context) -> Outcome {
        let lxcpath = context.lxcpath();
        let ends = self.shutdown || self.kill;
        let filter = AutostartFilter {
            all: self.all,
            ignore_auto: self.ignore_auto,
            groups: self
                .groups
                .iter()
                .flat_map(|g| g.split(','))
                .map(str::to_owned)
                .collect(),
            reverse: ends,
        };
        let mut entries = Vec::new();
        for name in list_defined(&lxcpath)? {
            match Container::new(&name, Some(&lxcpath)) {
                Ok(container) => {
                    entries.extend(container.config().map(|c| AutostartEntry::new(&name, c)));
                }
                Err(error) => context.report(&Failure::from(error)),
            }
        }
        let (mut done, mut failed) = (0, 0);
        let chosen = autostart_order(entries, &filter);
        if self.list && context.common.format != Format::Table {
            let rows = chosen.iter().filter(|entry| self.concerns(entry, &lxcpath));
            let rows: Vec<_> = rows
                .map(|e| json!({"name": e.name, "order": e.order, "delay": e.delay, "groups": e.groups}))
                .collect();
            print_value(context.common.format, &rows.into())?;
            return Ok(0);
        }
        // Those of the same order end together: each may take its whole timeout.
        let together = ends && !self.list;
        for group in chosen.chunk_by(|a, b| together && a.order == b.order) {
            for result in self.act_all(group, &lxcpath, context) {
                match result {
                    Ok(true) => done += 1,
                    Ok(false) => {}
                    Err(failure) => {
                        context.report(&failure);
                        failed += 1;
                    }
                }
            }
        }
        Ok(match (done, failed) {
            (_, 0) => 0,
            (0, _) => 1,
            _ => 2,
        })
    }
}

impl Autostart {
    /// Whether the container is in the state that is to be changed.
    fn concerns(&self, entry: &AutostartEntry, lxcpath: &Path) -> bool {
        let running =
            Container::without_config(&entry.name, Some(lxcpath)).is_ok_and(|c| c.is_running());
        running == (self.shutdown || self.kill || self.reboot)
    }

    /// As [`Autostart::act`] with each, at once.
    fn act_all(
        &self,
        entries: &[AutostartEntry],
        lxcpath: &Path,
        context: &Context,
    ) -> Vec<Result<bool, Failure>> {
        if let [one] = entries {
            return vec![self.act(one, lxcpath, context)];
        }
        std::thread::scope(|scope| {
            let act = |entry| scope.spawn(move || self.act(entry, lxcpath, context));
            let running: Vec<_> = entries.iter().map(act).collect();
            let end = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                let died = |_| Err(Failure::new("the thread of a container has died"));
                thread.join().unwrap_or_else(died)
            };
            running.into_iter().map(end).collect()
        })
    }

    /// Whether something was done with the container.
    fn act(
        &self,
        entry: &AutostartEntry,
        lxcpath: &Path,
        context: &Context,
    ) -> Result<bool, Failure> {
        let container = Container::new(&entry.name, Some(lxcpath))?;
        let ends = self.shutdown || self.kill;
        let wants_running = ends || self.reboot;
        if container.is_running() != wants_running {
            return Ok(false);
        }
        let delay = Duration::from_secs(u64::from(entry.delay));
        if self.list {
            let mut out = std::io::stdout().lock();
            match ends {
                true => writeln!(out, "{}", entry.name)?,
                false => writeln!(out, "{} {}", entry.name, entry.delay)?,
            }
            return Ok(true);
        }
        context.check_control(&container)?;
        if self.kill {
            container.stop()?;
        } else if self.shutdown {
            let timeout = u64::try_from(self.timeout).ok().map(Duration::from_secs);
            if container.shutdown(timeout, |_| true)? == End::TimedOut {
                container.stop()?;
            }
        } else if self.reboot {
            container.reboot()?;
            std::thread::sleep(delay);
        } else {
            container.start(&StartOptions::default())?;
            std::thread::sleep(delay);
        }
        Ok(true)
    }
}
