use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;

use clap::Args;
use regex_lite::Regex;
use rlxc::monitor::Command;
use rlxc::{Client, State, list_active, list_all, list_defined};
use serde_json::Value;

use super::Run;
use super::ls_cells::{Column, Row};
use crate::context::{Context, Failure, Outcome};
use crate::output::{Format, columns, print_value, safe};

/// Options of `ls`.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// One name a line
    #[arg(short = '1', long)]
    line: bool,
    /// Columns
    #[arg(short = 'f', long)]
    fancy: bool,
    /// With -f: these of NAME STATE PID RAM SWAP AUTOSTART GROUPS INTERFACE IPV4 IPV6 UNPRIVILEGED
    #[arg(short = 'F', long, value_name = "COLUMNS")]
    fancy_format: Option<String>,
    /// Only running and frozen ones
    #[arg(long)]
    active: bool,
    /// Only running ones
    #[arg(long)]
    running: bool,
    /// Only frozen ones
    #[arg(long)]
    frozen: bool,
    /// Only stopped ones
    #[arg(long)]
    stopped: bool,
    /// Only those with a configuration
    #[arg(long)]
    defined: bool,
    /// Show nested containers too, N levels deep (5)
    #[arg(long, value_name = "NUM", num_args = 0..=1, require_equals = true, default_missing_value = "5")]
    nesting: Option<u32>,
    /// Only names that match the regular expression
    #[arg(long, value_name = "REGEX")]
    filter: Option<String>,
    /// Only members of all of these groups (comma separated)
    #[arg(short = 'g', long, value_name = "GROUPS")]
    groups: Vec<String>,
    /// The regular expression, if not given by --filter
    #[arg(value_name = "REGEX", hide = true)]
    words: Vec<String>,
}

const DEFAULT: [Column; 7] = [
    Column::Name,
    Column::State,
    Column::Autostart,
    Column::Groups,
    Column::Ipv4,
    Column::Ipv6,
    Column::Unprivileged,
];

impl Run for Ls {
    fn run(self, context: &Context) -> Outcome {
        let lxcpath = context.lxcpath();
        let chosen = self.columns()?;
        if self.nesting.is_some() {
            return Err(
                Failure::new("nested containers are not listed by this version")
                    .remedy("run rlxc ls inside: rlxc attach NAME -- rlxc ls"),
            );
        }
        let names = self.names(&lxcpath, context)?;
        let machine = context.common.format != Format::Table;
        let with_state = self.active || self.running || self.frozen;
        let fancy = self.fancy || machine;
        let mut rows: Vec<Row> = names.into_iter().map(Row::new).collect();
        if with_state || fancy && chosen.contains(&Column::State) {
            ask_states(&mut rows, &lxcpath)?;
        }
        rows.retain(|row| self.wants(row.state));
        let groups: Vec<&str> = self
            .groups
            .iter()
            .flat_map(|list| list.split(','))
            .collect();
        let needs = |columns: &[Column]| fancy && chosen.iter().any(|c| columns.contains(c));
        if !groups.is_empty() || needs(&[Column::Autostart, Column::Groups, Column::Unprivileged]) {
            for row in &mut rows {
                row.read_config(&lxcpath);
            }
            let member = |row: &Row| groups.iter().all(|g| row.groups.iter().any(|own| own == g));
            rows.retain(member);
        }
        if !fancy {
            return print_plain(&rows, self.line);
        }
        for row in &mut rows {
            row.ask_details(&lxcpath, &chosen);
        }
        print_fancy(&rows, &chosen, context.common.format)
    }
}

impl Ls {
    fn columns(&self) -> Result<Vec<Column>, Failure> {
        match &self.fancy_format {
            None => Ok(DEFAULT.to_vec()),
            Some(list) => list
                .split(',')
                .filter(|word| !word.trim().is_empty())
                .map(|word| {
                    Column::of_name(word.trim())
                        .ok_or_else(|| Failure::new(format!("Invalid key: {}", safe(word))))
                })
                .collect(),
        }
    }

    /// Names by the cheapest source that the options allow, filtered.
    fn names(&self, lxcpath: &Path, context: &Context) -> Result<Vec<String>, Failure> {
        let missing_is_empty = |list: rlxc::Result<Vec<String>>| match list {
            Err(rlxc::Error::Path { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(Vec::new())
            }
            other => other,
        };
        let names = if self.active || self.running || self.frozen {
            list_active(lxcpath)?
        } else if self.stopped {
            let active: BTreeSet<String> = list_active(lxcpath)?.into_iter().collect();
            let mut defined = missing_is_empty(list_defined(lxcpath))?;
            defined.retain(|name| !active.contains(name));
            defined
        } else if self.defined {
            missing_is_empty(list_defined(lxcpath))?
        } else {
            list_all(lxcpath)?
        };
        let pattern = self
            .filter
            .as_ref()
            .or(context.common.name.as_ref())
            .or(self.words.first());
        let Some(pattern) = pattern else {
            return Ok(names);
        };
        // A pattern that is none matches nothing, as in LXC.
        let Ok(regex) = Regex::new(pattern) else {
            return Ok(Vec::new());
        };
        Ok(names
            .into_iter()
            .filter(|name| regex.is_match(name))
            .collect())
    }

    fn wants(&self, state: Option<State>) -> bool {
        let is = |wanted| state == Some(wanted);
        let any = self.active || self.running || self.frozen;
        !any || (self.active && (is(State::Running) || is(State::Frozen)))
            || (self.running && is(State::Running))
            || (self.frozen && is(State::Frozen))
    }
}

/// Asks all running containers at once, so that a stuck monitor costs its deadline only once.
fn ask_states(rows: &mut [Row], lxcpath: &Path) -> Result<(), Failure> {
    let active: BTreeSet<String> = list_active(lxcpath)?.into_iter().collect();
    let client = |row: &Row| {
        active
            .contains(&row.name)
            .then(|| Client::new(lxcpath, &row.name))
    };
    let clients: Vec<Option<Client>> = rows.iter().map(client).collect();
    let pending: Vec<_> = clients
        .iter()
        .map(|client| client.as_ref().map(|c| c.ask(Command::GetState, &[])))
        .collect();
    for (row, pending) in rows.iter_mut().zip(pending) {
        row.state = match pending.map(rlxc::monitor::client::Pending::state) {
            None => Some(State::Stopped),
            Some(answer) => answer.ok(),
        };
    }
    Ok(())
}

fn print_plain(rows: &[Row], one_a_line: bool) -> Outcome {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let names: Vec<String> = rows.iter().map(|row| safe(&row.name)).collect();
    if one_a_line {
        for name in &names {
            writeln!(out, "{name}")?;
        }
        out.flush()?;
        return Ok(0);
    }
    // As wide as the fancy output's column would be, its header included.
    let width = names.iter().map(String::len).max().unwrap_or(0).max(4);
    let terminal = match std::io::stdout().is_terminal() {
        true => rlxc_sys::tty::window_size(std::io::stdout().as_fd()).map_or(0, |s| s.columns),
        false => 0,
    };
    let per_line = (usize::from(terminal) / (width + 1)).max(1);
    for line in names.chunks(per_line) {
        for (at, name) in line.iter().enumerate() {
            let gap = if at == 0 { "" } else { " " };
            write!(out, "{gap}{name:<width$}")?;
        }
        writeln!(out)?;
    }
    out.flush()?;
    Ok(0)
}

fn print_fancy(rows: &[Row], chosen: &[Column], format: Format) -> Outcome {
    if format != Format::Table {
        let value: Vec<Value> = rows.iter().map(|row| row.value(chosen)).collect();
        print_value(format, &value.into())?;
        return Ok(0);
    }
    if rows.is_empty() {
        return Ok(0);
    }
    let header: Vec<&str> = chosen.iter().map(|column| column.name()).collect();
    let least: Vec<usize> = chosen.iter().map(|column| column.least_width()).collect();
    let cells = |row: &Row| chosen.iter().map(|column| row.cell(*column)).collect();
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    write!(
        std::io::stdout().lock(),
        "{}",
        columns(&header, &least, &cells)
    )?;
    Ok(0)
}
