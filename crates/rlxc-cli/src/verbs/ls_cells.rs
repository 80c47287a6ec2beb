//! The columns of `ls -f`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rlxc::config::Document;
use rlxc::{Container, Family, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::output::safe;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Name,
    State,
    Pid,
    Ram,
    Swap,
    Autostart,
    Groups,
    Interface,
    Ipv4,
    Ipv6,
    Unprivileged,
}

const ALL: [(Column, &str); 11] = [
    (Column::Name, "NAME"),
    (Column::State, "STATE"),
    (Column::Pid, "PID"),
    (Column::Ram, "RAM"),
    (Column::Swap, "SWAP"),
    (Column::Autostart, "AUTOSTART"),
    (Column::Groups, "GROUPS"),
    (Column::Interface, "INTERFACE"),
    (Column::Ipv4, "IPV4"),
    (Column::Ipv6, "IPV6"),
    (Column::Unprivileged, "UNPRIVILEGED"),
];

impl Column {
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        ALL.iter()
            .find(|(_, own)| own.eq_ignore_ascii_case(name))
            .map(|(column, _)| *column)
    }

    /// The names of all columns.
    pub(crate) fn names() -> [&'static str; 11] {
        ALL.map(|(_, name)| name)
    }

    pub(crate) fn name(self) -> &'static str {
        ALL[self as usize].1
    }

    /// LXC leaves room for a number in RAM and SWAP.
    pub(crate) fn least_width(self) -> usize {
        match self {
            Self::Ram | Self::Swap => 6,
            _ => 0,
        }
    }
}

/// A container as a row.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// How many containers are around it
    depth: u32,
    /// `None`: its monitor does not answer
    #[serde(with = "state_name")]
    pub(crate) state: Option<State>,
    pub(crate) groups: Vec<String>,
    autostart: bool,
    unprivileged: bool,
    pid: Option<i32>,
    ram: Option<u64>,
    swap: Option<u64>,
    interfaces: Vec<String>,
    ipv4: Vec<String>,
    ipv6: Vec<String>,
}

impl Row {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// The same as seen from one container further out.
    pub(crate) fn deeper(mut self) -> Self {
        self.depth += 1;
        self
    }

    /// The name as it is shown: behind a backslash in the column of its depth.
    pub(crate) fn shown(&self) -> String {
        match self.depth as usize {
            0 => safe(&self.name),
            depth => format!("{:>depth$}{}", "\\", safe(&self.name)),
        }
    }

    fn runs(&self) -> bool {
        self.state.is_some_and(|state| state != State::Stopped)
    }

    /// A configuration that cannot be read leaves the columns at their defaults.
    pub(crate) fn read_config(&mut self, lxcpath: &Path) {
        let path = lxcpath.join(&self.name).join("config");
        let Some(text) = read_text(&path).filter(|text| may_set_columns(text)) else {
            return;
        };
        let mut document = Document::new();
        if document.load_text(&path, &text).is_ok() {
            let config = document.config();
            self.groups.clone_from(&config.groups);
            self.autostart = config.start.auto;
            self.unprivileged = !config.idmap.is_empty();
        }
    }

    /// What only the running container knows, as far as the columns need it.
    pub(crate) fn ask_details(&mut self, lxcpath: &Path, columns: &[Column]) {
        use Column::{Interface, Ipv4, Ipv6, Pid, Ram, Swap};
        let wants = |wanted: &[Column]| columns.iter().any(|c| wanted.contains(c));
        if self.state.is_none() || !self.runs() {
            return;
        }
        let Ok(container) = Container::without_config(&self.name, Some(lxcpath)) else {
            return;
        };
        if wants(&[Pid]) {
            self.pid = container.init_pid().ok().flatten();
        }
        if wants(&[Interface]) {
            self.interfaces = container.interfaces().unwrap_or_default();
        }
        // One look into its network for both.
        let family = match (wants(&[Ipv4]), wants(&[Ipv6])) {
            (true, true) => Some(None),
            (true, false) => Some(Some(Family::Inet)),
            (false, true) => Some(Some(Family::Inet6)),
            (false, false) => None,
        };
        if let Some(family) = family {
            let addresses = container.ips(None, family, 0).unwrap_or_default();
            (self.ipv6, self.ipv4) = addresses.into_iter().partition(|ip| ip.contains(':'));
        }
        if wants(&[Ram, Swap])
            && let Ok(stats) = container.stats()
        {
            self.ram = stats.memory;
            self.swap = stats.swap;
        }
    }

    pub(crate) fn cell(&self, column: Column) -> String {
        let or_dash = |text: String| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                safe(&text)
            }
        };
        let megabytes = |bytes: Option<u64>| match bytes {
            Some(bytes) => format!("{:.2}MB", bytes as f64 / 1_048_576.0),
            None => "-".to_owned(),
        };
        match column {
            Column::Name => self.shown(),
            Column::State => self.state.map_or("UNKNOWN", State::name).to_owned(),
            Column::Pid => self
                .pid
                .map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            Column::Ram => megabytes(self.ram),
            Column::Swap => megabytes(self.swap),
            Column::Autostart => u8::from(self.autostart).to_string(),
            Column::Groups => or_dash(self.groups.join(", ")),
            Column::Interface => or_dash(self.interfaces.join(", ")),
            Column::Ipv4 => or_dash(self.ipv4.join(", ")),
            Column::Ipv6 => or_dash(self.ipv6.join(", ")),
            Column::Unprivileged => self.unprivileged.to_string(),
        }
    }

    pub(crate) fn value(&self, columns: &[Column]) -> Value {
        let each = columns.iter().map(|column| {
            let value = match column {
                Column::Name => json!(self.name),
                Column::State => json!(self.state.map(State::name)),
                Column::Pid => json!(self.pid),
                Column::Ram => json!(self.ram),
                Column::Swap => json!(self.swap),
                Column::Autostart => json!(self.autostart),
                Column::Groups => json!(self.groups),
                Column::Interface => json!(self.interfaces),
                Column::Ipv4 => json!(self.ipv4),
                Column::Ipv6 => json!(self.ipv6),
                Column::Unprivileged => json!(self.unprivileged),
            };
            (column.name().to_lowercase(), value)
        });
        let mut map: Map<_, _> = each.collect();
        if self.depth > 0 {
            map.insert("depth".into(), self.depth.into());
        }
        Value::Object(map)
    }
}

/// A file's text, with one read(2) for a small one: less than asked for is its end.
fn read_text(path: &Path) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    let mut text = vec![0; 8192];
    let length = file.read(&mut text).ok()?;
    let small = length < text.len();
    text.truncate(length);
    if !small {
        file.read_to_end(&mut text).ok()?;
    }
    Some(text)
}

/// Whether a configuration may set what the columns show; most of many need no parser to say no.
fn may_set_columns(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let keys = ["lxc.include", "lxc.group", "lxc.start.auto", "lxc.idmap"];
    keys.iter().any(|key| text.contains(key))
}

/// A state by its name.
mod state_name {
    use rlxc::State;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        state: &Option<State>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        state.map(State::name).serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Option<State>, D::Error> {
        let name = Option::<String>::deserialize(from)?;
        Ok(name.and_then(|name| name.parse().ok()))
    }
}
