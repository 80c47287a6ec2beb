use std::io::Write;

use clap::Args;
use rlxc::{Container, State};
use serde_json::{Map, Value, json};

use super::Run;
use crate::context::{Context, Failure, Manner, Outcome};
use crate::output::{Format, humanize, print_value, safe};

/// Options of `info`.
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Show a key of the configuration file (can be given several times)
    #[arg(short = 'c', long, value_name = "KEY")]
    config: Vec<String>,
    /// Show the addresses
    #[arg(short = 'i', long)]
    ips: bool,
    /// Show the state
    #[arg(short = 's', long)]
    state: bool,
    /// Show the process id of init
    #[arg(short = 'p', long)]
    pid: bool,
    /// Show what it uses
    #[arg(short = 'S', long)]
    stats: bool,
    /// Show plain numbers
    #[arg(short = 'H', long)]
    no_humanize: bool,
    /// NAME, if not given by -n
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

/// A nic's host side and what the host counts there.
struct Link {
    name: String,
    sent: Option<u64>,
    received: Option<u64>,
}

impl Run for Info {
    fn run(mut self, context: &Context) -> Outcome {
        let word = context.common.name.as_ref().or(self.words.first());
        let nobody = word.map(|name| format!("{} doesn't exist", safe(name)));
        let mut container = match (context.bare(&mut self.words), nobody) {
            (Ok(container), _) => container,
            // A name that cannot be one is nobody's.
            (Err(_), Some(nobody)) if context.lxc => {
                return Err(Failure::of(Manner::Plain, nobody));
            }
            (Err(failure), _) => return Err(failure),
        };
        if context.lxc
            && let Some(file) = &context.common.rcfile
            && container.load_config(Some(file)).is_err()
        {
            return Err(Failure::of(Manner::Plain, "Failed to load rcfile"));
        }
        if context.lxc && container.document.is_none() && container.is_defined() {
            // LXC's tools have no container whose configuration does not load.
            if container.load_config(None).is_err() {
                let name = safe(container.name());
                let path = container.lxcpath().display();
                return Err(Failure::of(
                    Manner::Plain,
                    format!(
                        "Failed to load config for {name}\nFailure to retrieve information on {path}:{name}"
                    ),
                ));
            }
        }
        let state = container.state();
        let running = !matches!(state, Ok(State::Stopped));
        if !running && !container.is_defined() {
            context.say(&format!("{} doesn't exist", safe(container.name())));
            return Err(Failure::new(""));
        }
        // Whoever may not ask the monitor gets LXC's complaint, not a half of the answers.
        if let Err(rlxc::Error::Monitor(rlxc::monitor::Error::Refused { .. })) = &state {
            context.check_control(&container)?;
        }
        let state = state?;
        if !running {
            container.take_back_links();
        }
        if !self.config.is_empty() && container.document.is_none() {
            let file = context.common.rcfile.clone();
            container.load_config(file.as_deref())?;
        }
        match context.common.format {
            Format::Table => self.print(&container, state, context),
            format => {
                print_value(format, &self.value(&container, state))?;
                Ok(0)
            }
        }
    }
}

impl Info {
    fn all(&self) -> bool {
        !(self.ips || self.state || self.pid || self.stats || !self.config.is_empty())
    }

    fn print(&self, container: &Container, state: State, context: &Context) -> Outcome {
        let all = self.all();
        let running = state != State::Stopped;
        let single = [self.ips, self.state, self.pid]
            .iter()
            .filter(|on| **on)
            .count()
            == 1
            && !self.stats;
        let bare = self.no_humanize && single;
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let mut line = |label: &str, value: &str| match bare {
            true => writeln!(out, "{value}"),
            false => writeln!(out, "{label:<15} {value}"),
        };
        if all {
            line("Name:", &safe(container.name()))?;
        }
        if all || self.state {
            line("State:", state.name())?;
        }
        if running
            && (all || self.pid)
            && let Some(pid) = container.init_pid()?
        {
            line("PID:", &pid.to_string())?;
        }
        if running && (all || self.ips) {
            for ip in container.ips(None, None, 0).unwrap_or_default() {
                line("IP:", &ip)?;
            }
        }
        if running && (all || self.stats) {
            // LXC's tool has no lines about pressure, and what reads its output wants none.
            self.print_stats(container, !context.lxc, &mut out)?;
        }
        for key in &self.config {
            match container.item(key) {
                Err(_) => context.say(&format!("{key} invalid")),
                Ok(value) if self.no_humanize && self.config.len() == 1 => {
                    writeln!(out, "{value}")?;
                }
                Ok(value) if value.is_empty() => writeln!(out, "{key} =")?,
                Ok(value) => writeln!(out, "{key} = {value}")?,
            }
        }
        out.flush()?;
        Ok(0)
    }

    fn print_stats(
        &self,
        container: &Container,
        pressure: bool,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        // Without a cgroup of its own, as a user's container may be, the links are still counted.
        let stats = container.stats().unwrap_or_default();
        let bytes = |n: u64| match self.no_humanize {
            true => n.to_string(),
            false => humanize(n),
        };
        if let Some(ns) = stats.cpu_ns {
            match self.no_humanize {
                true => writeln!(out, "{:<15} {ns}", "CPU use:")?,
                false => writeln!(out, "{:<15} {:.2} seconds", "CPU use:", ns as f64 / 1e9)?,
            }
        }
        let io = match (stats.io_read, stats.io_write) {
            (None, None) => None,
            (read, write) => Some(read.unwrap_or(0) + write.unwrap_or(0)),
        };
        for (label, value) in [
            ("BlkIO use:", io),
            ("Memory use:", stats.memory),
            ("KMem use:", stats.kernel_memory),
        ] {
            if let Some(value) = value {
                writeln!(out, "{label:<15} {}", bytes(value))?;
            }
        }
        let kinds = [
            ("CPU pressure:", "cpu"),
            ("Mem pressure:", "memory"),
            ("I/O pressure:", "io"),
        ];
        for (label, kind) in kinds.into_iter().filter(|_| pressure) {
            if let Some(told) = stats.pressure.get(kind).map(|pressure| pressure.some) {
                let text = match self.no_humanize {
                    true => format!("{} {} {}", told.avg10, told.avg60, told.avg300),
                    false => format!(
                        "{:.2}% (10 s), {:.2}% (1 min), {:.2}% (5 min)",
                        told.avg10, told.avg60, told.avg300
                    ),
                };
                writeln!(out, "{label:<15} {text}")?;
            }
        }
        for link in links(container) {
            writeln!(out, "{:<15} {}", "Link:", safe(&link.name))?;
            let pairs = [(" TX bytes:", link.sent), (" RX bytes:", link.received)];
            for (label, value) in pairs {
                if let Some(value) = value {
                    writeln!(out, "{label:<15} {}", bytes(value))?;
                }
            }
            if let (Some(sent), Some(received)) = (link.sent, link.received) {
                writeln!(out, "{:<15} {}", " Total bytes:", bytes(sent + received))?;
            }
        }
        Ok(())
    }

    fn value(&self, container: &Container, state: State) -> Value {
        let all = self.all();
        let running = state != State::Stopped;
        let mut map = Map::new();
        map.insert("name".into(), container.name().into());
        if all || self.state {
            map.insert("state".into(), state.name().into());
        }
        if all || self.pid {
            map.insert("pid".into(), json!(container.init_pid().ok().flatten()));
        }
        if all || self.ips {
            let ips = if running {
                container.ips(None, None, 0).unwrap_or_default()
            } else {
                Vec::new()
            };
            map.insert("ips".into(), json!(ips));
        }
        if running && (all || self.stats) {
            map.insert("stats".into(), json!(container.stats().ok()));
            let links = links(container).into_iter();
            let links: Vec<_> = links
                .map(
                    |l| json!({"name": l.name, "sent_bytes": l.sent, "received_bytes": l.received}),
                )
                .collect();
            map.insert("links".into(), links.into());
        }
        for key in &self.config {
            map.insert(key.clone(), json!(container.item(key).ok()));
        }
        map.into()
    }
}

/// The host sides of the container's nics; the host counts the other way round.
fn links(container: &Container) -> Vec<Link> {
    let mut links = Vec::new();
    let item = |key: String| container.running_item(&key).ok().flatten();
    for number in 0.. {
        let Some(kind) = item(format!("lxc.net.{number}.type")) else {
            break;
        };
        let key = if kind == "veth" { "veth.pair" } else { "link" };
        let Some(name) = item(format!("lxc.net.{number}.{key}")) else {
            continue;
        };
        let counted = rlxc_network::live::statistics(&name).ok();
        links.push(Link {
            sent: counted.map(|c| c.rx_bytes),
            received: counted.map(|c| c.tx_bytes),
            name,
        });
    }
    links
}
