use std::collections::BTreeSet;
use std::fs::File;
use std::io::{IsTerminal, Read, Seek, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;

use clap::Args;
use nix::sys::memfd::{MFdFlags, memfd_create};
use rlxc::attach::{AttachOptions, AttachTask, Callback, EnvPolicy};
use rlxc::monitor::Command;
use rlxc::{Client, Container, State, list_active, list_all, list_defined};
use rlxc_sys::regex::Regex;
use serde_json::Value;

use super::Run;
use super::ls_cells::{Column, Row};
use crate::context::{Context, Failure, Manner, Outcome};
use crate::output::{Format, columns, print_value, safe};

/// Options of `ls`.
#[derive(Debug, Clone, Args)]
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
    nesting: Option<String>,
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
        let query = self.query(context)?;
        let rows = query.rows(&context.lxcpath(), self.depth())?;
        match query.fancy {
            true => print_fancy(&rows, &query.columns, context.common.format),
            false => print_plain(&rows, self.line),
        }
    }
}

/// What is asked for, at every level of nesting.
struct Query {
    ls: Ls,
    lxc: bool,
    columns: Vec<Column>,
    fancy: bool,
    groups: Option<Vec<String>>,
    /// `Err`: a pattern that is none, which matches nothing, as in LXC
    pattern: Option<Result<Regex, rlxc_sys::regex::BadPattern>>,
}

impl Ls {
    fn query(&self, context: &Context) -> Result<Rc<Query>, Failure> {
        // LXC's tool looks at a single word only, and at no -n.
        let word = match (self.words.as_slice(), context.lxc) {
            ([word], _) | ([word, ..], false) => Some(word),
            _ => None,
        };
        let name = context.common.name.as_ref().filter(|_| !context.lxc);
        let pattern = self.filter.as_ref().or(name).or(word);
        let fancy = self.fancy || context.common.format != Format::Table;
        Ok(Rc::new(Query {
            ls: self.clone(),
            lxc: context.lxc,
            columns: match fancy {
                true => self.columns()?,
                false => Vec::new(),
            },
            fancy,
            // An empty list is one too: then any group will do. Of several, LXC's tool takes the last.
            groups: (!self.groups.is_empty()).then(|| {
                let first = if context.lxc {
                    self.groups.len() - 1
                } else {
                    0
                };
                let words = self.groups[first..].iter().flat_map(|list| list.split(','));
                words
                    .filter(|word| !word.is_empty())
                    .map(str::to_owned)
                    .collect()
            }),
            pattern: pattern.map(|pattern| Regex::new(pattern)),
        }))
    }

    fn columns(&self) -> Result<Vec<Column>, Failure> {
        match &self.fancy_format {
            None => Ok(DEFAULT.to_vec()),
            Some(list) => list
                .split(',')
                .filter(|word| !word.trim().is_empty())
                .map(|word| {
                    Column::of_name(word.trim()).ok_or_else(|| {
                        Failure::of(Manner::Plain, format!("Invalid key: {}", safe(word)))
                    })
                })
                .collect(),
        }
    }

    /// How deep to look; a number that is none asks for nothing.
    fn depth(&self) -> u32 {
        self.nesting
            .as_deref()
            .map_or(0, |n| n.parse().unwrap_or(0))
    }

    /// Whether only containers in some states are wanted that only their monitors can tell of.
    fn by_state(&self) -> bool {
        self.active || self.running || self.frozen
    }

    /// Each option narrows the choice further. To LXC's tool a frozen container is a running one, and --active makes
    /// it forget --frozen.
    fn wants(&self, state: Option<State>, lxc: bool) -> bool {
        let is = |wanted| state == Some(wanted);
        if lxc {
            let runs = state.is_some_and(|state| state != State::Stopped);
            return (runs || !self.active && !self.running)
                && (!self.frozen || self.active || is(State::Frozen))
                && (!self.stopped || is(State::Stopped));
        }
        (!self.active || is(State::Running) || is(State::Frozen))
            && (!self.running || is(State::Running))
            && (!self.frozen || is(State::Frozen))
            && (!self.stopped || is(State::Stopped))
    }
}

impl Query {
    /// The containers below `lxcpath`, with those inside them as far as `depth`.
    fn rows(self: &Rc<Self>, lxcpath: &Path, depth: u32) -> Result<Vec<Row>, Failure> {
        let ls = &self.ls;
        let mut rows: Vec<Row> = self.names(lxcpath)?.into_iter().map(Row::new).collect();
        let on_demand = |columns: &[Column]| {
            self.fancy && self.columns.iter().any(|column| columns.contains(column))
        };
        let live = [
            Column::State,
            Column::Pid,
            Column::Ram,
            Column::Swap,
            Column::Interface,
            Column::Ipv4,
            Column::Ipv6,
        ];
        if ls.by_state() || depth > 0 || on_demand(&live) {
            ask_states(&mut rows, lxcpath)?;
            rows.retain(|row| ls.wants(row.state, self.lxc));
        }
        let config = [Column::Autostart, Column::Groups, Column::Unprivileged];
        if self.groups.is_some() || on_demand(&config) {
            for row in &mut rows {
                row.read_config(lxcpath);
            }
        }
        if let Some(wanted) = &self.groups {
            // One value may name several.
            let member = |row: &Row| {
                let own: Vec<&str> = row.groups.iter().flat_map(|g| g.split(',')).collect();
                !own.is_empty() && wanted.iter().all(|group| own.contains(&group.as_str()))
            };
            rows.retain(member);
        }
        if self.fancy {
            for row in &mut rows {
                row.ask_details(lxcpath, &self.columns);
            }
        }
        if depth == 0 {
            return Ok(rows);
        }
        let mut all = Vec::new();
        for row in rows {
            let inside = match row.state {
                Some(State::Running) => self.inside(lxcpath, &row.name, depth - 1),
                _ => Vec::new(),
            };
            all.push(row);
            all.extend(inside.into_iter().map(Row::deeper));
        }
        Ok(all)
    }

    /// What the container `name` has below its own lxcpath, looked at from inside. A container that
    /// cannot be entered is one without others in it.
    fn inside(self: &Rc<Self>, lxcpath: &Path, name: &str, depth: u32) -> Vec<Row> {
        let look = || -> Result<Vec<Row>, Failure> {
            let container = Container::new(name, Some(lxcpath))?;
            let memory = memfd_create(c"rows", MFdFlags::MFD_CLOEXEC);
            let mut answer = File::from(memory.map_err(std::io::Error::from)?);
            let mut theirs = answer.try_clone()?;
            let options = AttachOptions {
                env_policy: EnvPolicy::Clear,
                ..AttachOptions::default()
            };
            // This program has a single thread, so that the child may do what it likes.
            let query = Rc::clone(self);
            // LXC's tool looks for -P's path in there too.
            let place = match self.lxc {
                true => lxcpath.to_owned(),
                false => rlxc::default_lxcpath(),
            };
            let list = move || {
                let rows = query.rows(&place, depth);
                let json = rows.ok().and_then(|rows| serde_json::to_vec(&rows).ok());
                let written = json.map(|json| theirs.write_all(&json));
                i32::from(!matches!(written, Some(Ok(()))))
            };
            let task = AttachTask::Call(Callback::of(list)?);
            container
                .attach(&options, task)?
                .wait()
                .map_err(rlxc::Error::from)?;
            answer.rewind()?;
            let mut json = Vec::new();
            answer.read_to_end(&mut json)?;
            Ok(serde_json::from_slice(&json).unwrap_or_default())
        };
        match look() {
            Ok(rows) => rows,
            Err(failure) => {
                tracing::warn!("cannot look into {name}: {}", failure.message);
                Vec::new()
            }
        }
    }

    /// Names by the cheapest source that the options allow, filtered.
    fn names(&self, lxcpath: &Path) -> Result<Vec<String>, Failure> {
        let lxc = self.lxc;
        let missing_is_empty = |list: rlxc::Result<Vec<String>>| match list {
            Err(rlxc::Error::Path { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound
                    || lxc && source.kind() == std::io::ErrorKind::NotADirectory =>
            {
                Ok(Vec::new())
            }
            other => other,
        };
        let names = if self.ls.by_state() {
            list_active(lxcpath)?
        } else if self.ls.stopped {
            let active: BTreeSet<String> = list_active(lxcpath)?.into_iter().collect();
            let mut defined = missing_is_empty(list_defined(lxcpath))?;
            defined.retain(|name| !active.contains(name));
            defined
        } else if self.ls.defined {
            missing_is_empty(list_defined(lxcpath))?
        } else {
            missing_is_empty(list_all(lxcpath))?
        };
        Ok(match &self.pattern {
            None => names,
            Some(Err(_)) => Vec::new(),
            Some(Ok(regex)) => names.into_iter().filter(|n| regex.is_match(n)).collect(),
        })
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
    let names: Vec<String> = rows.iter().map(Row::shown).collect();
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
