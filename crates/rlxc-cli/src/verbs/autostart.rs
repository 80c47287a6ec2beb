use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use rlxc::{
    AutostartEntry, AutostartFilter, Container, Outcome as End, StartOptions, autostart_batches,
    autostart_order, list_defined,
};

use serde_json::{Value, json};

use super::Run;
use crate::context::{Context, Failure, Outcome};
use crate::output::{Format, print_value, safe};

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
    /// With -s: what still runs after SECONDS in all is killed
    #[arg(long, value_name = "SECONDS", requires = "shutdown")]
    within: Option<u64>,
    /// Act on at most N containers of the same order at once (8)
    #[arg(short = 'j', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Not looked at by LXC's tool either
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

/// How many containers are started at once: each keeps a CPU busy for a moment.
const JOBS: u16 = 8;

/// What came of one container.
#[derive(Debug)]
enum Done {
    /// It was in that state already
    Nothing,
    /// This was done
    Did(&'static str),
}

/// A whole call.
struct Round<'a> {
    options: &'a Autostart,
    lxcpath: &'a Path,
    context: &'a Context,
    /// When all has to be down
    until: Option<Instant>,
    /// Whether each success is told: to eyes, not to scripts
    tell: bool,
}

impl Run for Autostart {
    fn run(self, context: &Context) -> Outcome {
        let lxcpath = context.lxcpath();
        let filter = self.filter();
        let mut entries = Vec::new();
        for name in list_defined(&lxcpath)? {
            match Container::new(&name, Some(&lxcpath)) {
                Ok(container) => {
                    entries.extend(container.config().map(|c| AutostartEntry::new(&name, c)));
                }
                Err(error) => context.report(&Failure::from(error)),
            }
        }
        let chosen = autostart_order(entries, &filter);
        let format = context.common.format;
        if self.list && format != Format::Table {
            let rows = chosen.iter().filter(|entry| self.concerns(entry, &lxcpath));
            let rows: Vec<_> = rows
                .map(|e| json!({"name": e.name, "order": e.order, "delay": e.delay, "groups": e.groups}))
                .collect();
            print_value(format, &rows.into())?;
            return Ok(0);
        }
        let round = Round {
            lxcpath: &lxcpath,
            context,
            until: self
                .within
                .map(|seconds| Instant::now() + Duration::from_secs(seconds)),
            tell: !context.lxc && format == Format::Table && std::io::stderr().is_terminal(),
            options: &self,
        };
        // LXC's tool starts one after the other: its users may count on that. Those of the same order end together
        // with either: each may take its whole timeout.
        let alone = self.list || context.lxc && !filter.reverse && self.jobs.is_none();
        let batches = match alone {
            true => chosen.into_iter().map(|entry| vec![entry]).collect(),
            false => autostart_batches(chosen, &filter),
        };
        let mut rows = Vec::new();
        let (mut done, mut failed) = (0, 0);
        for batch in &batches {
            for (entry, result) in batch.iter().zip(round.act_all(batch)) {
                let (what, error) = match result {
                    Ok(Done::Nothing) => continue,
                    Ok(Done::Did(what)) => {
                        done += 1;
                        (what, None)
                    }
                    Err(failure) => {
                        context.report(&failure);
                        failed += 1;
                        ("failed", Some(failure.message))
                    }
                };
                rows.push(json!({"name": entry.name, "result": what, "error": error}));
            }
        }
        if format != Format::Table {
            print_value(format, &Value::from(rows))?;
        }
        Ok(match (done, failed) {
            (_, 0) => 0,
            (0, _) => 1,
            _ => 2,
        })
    }
}

impl Autostart {
    fn filter(&self) -> AutostartFilter {
        let groups = self.groups.iter().flat_map(|g| g.split(','));
        AutostartFilter {
            all: self.all,
            ignore_auto: self.ignore_auto,
            groups: groups.map(str::to_owned).collect(),
            reverse: self.shutdown || self.kill,
        }
    }

    /// Whether the container is in the state that is to be changed.
    fn concerns(&self, entry: &AutostartEntry, lxcpath: &Path) -> bool {
        let running =
            Container::without_config(&entry.name, Some(lxcpath)).is_ok_and(|c| c.is_running());
        running == (self.shutdown || self.kill || self.reboot)
    }
}

impl Round<'_> {
    /// As [`Round::act`] with each, several at once; the results in the order of the entries.
    fn act_all(&self, entries: &[AutostartEntry]) -> Vec<Result<Done, Failure>> {
        if let [one] = entries {
            return vec![self.act(one)];
        }
        // What is killed after its time need not wait for others' time first.
        let ends = self.options.shutdown || self.options.kill;
        let jobs = self.options.jobs.map_or(JOBS, |jobs| jobs).into();
        let workers = match self.options.jobs {
            None if ends => entries.len(),
            _ => entries.len().min(jobs),
        };
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(entry) = entries.get(at) else { return };
                        let result = self.act(entry);
                        if let Ok(mut results) = results.lock() {
                            results.push((at, result));
                        }
                    }
                });
            }
        });
        let mut results = results
            .into_inner()
            .unwrap_or_else(|broken| broken.into_inner());
        results.sort_by_key(|(at, _)| *at);
        results.into_iter().map(|(_, result)| result).collect()
    }

    fn act(&self, entry: &AutostartEntry) -> Result<Done, Failure> {
        let options = self.options;
        let container = Container::new(&entry.name, Some(self.lxcpath))?;
        let ends = options.shutdown || options.kill;
        let wants_running = ends || options.reboot;
        if container.is_running() != wants_running {
            return Ok(Done::Nothing);
        }
        if options.list {
            let mut out = std::io::stdout().lock();
            let name = safe(&entry.name);
            match ends {
                true => writeln!(out, "{name}")?,
                false => writeln!(out, "{name} {}", entry.delay)?,
            }
            return Ok(Done::Did("listed"));
        }
        self.context.check_control(&container)?;
        let delay = Duration::from_secs(u64::from(entry.delay));
        let did = if options.kill {
            container.stop()?;
            "killed"
        } else if options.shutdown {
            self.shut_down(&container)?
        } else if options.reboot {
            container.reboot()?;
            "rebooted"
        } else {
            container.start(&StartOptions::default())?;
            "started"
        };
        if self.tell {
            self.context.say(&format!("{}: {did}", safe(&entry.name)));
        }
        if !ends {
            std::thread::sleep(delay);
        }
        Ok(Done::Did(did))
    }

    fn shut_down(&self, container: &Container) -> Result<&'static str, Failure> {
        let own = u64::try_from(self.options.timeout).ok();
        let own = own.map(Duration::from_secs);
        let left = self
            .until
            .map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = own.into_iter().chain(left).min();
        // No time at all is left: asking would be in vain.
        if left == Some(Duration::ZERO) {
            container.stop()?;
            return Ok("killed");
        }
        if container.shutdown(timeout, |_| true)? == End::TimedOut {
            container.stop()?;
            return Ok("killed");
        }
        Ok("shut down")
    }
}
