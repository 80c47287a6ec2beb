use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::line::Place;
use crate::rotate::Follower;
use crate::{Filter, Level, Line};

/// Where events go.
#[derive(Debug, Default)]
pub struct Settings {
    /// What a line begins with: the program's name, `lxc` for a library.
    pub prefix: String,
    /// The container's name, if there is one.
    pub name: String,
    /// The least level that goes to the file and to syslog; `None`: ERROR.
    pub level: Option<Level>,
    /// The log file, from [`crate::open`].
    pub file: Option<File>,
    /// Its path: lines follow the name when the file is renamed, removed or too large.
    pub path: Option<PathBuf>,
    /// The syslog facility: `daemon`, `local0` … `local7`.
    pub syslog: Option<String>,
    /// Whether errors go to standard error too.
    pub stderr: bool,
    /// Events that go to standard error as log lines, whatever the level of the file is
    pub filter: Option<Filter>,
}

/// The subscriber: lines to a file, to syslog and to standard error.
#[derive(Debug)]
pub struct LogSubscriber {
    settings: Settings,
    follower: Option<Follower>,
    least: AtomicU8,
    syslog: OnceLock<Option<UnixDatagram>>,
}

/// Makes a [`LogSubscriber`] the program's only subscriber.
///
/// # Errors
/// When one was installed before.
pub fn install(settings: Settings) -> Result<(), tracing::dispatcher::SetGlobalDefaultError> {
    if let Some(file) = &settings.file {
        FILE.store(file.as_raw_fd(), Ordering::Relaxed);
    }
    tracing::subscriber::set_global_default(LogSubscriber::new(settings))
}

/// The log file of the installed subscriber, which lives as long as the process.
static FILE: AtomicI32 = AtomicI32::new(-1);

/// What a process that closes the descriptors of others has to leave open for its log.
pub fn descriptors() -> Option<RawFd> {
    Some(FILE.load(Ordering::Relaxed)).filter(|fd| *fd >= 0)
}

impl LogSubscriber {
    /// A subscriber with these settings.
    pub fn new(settings: Settings) -> Self {
        let least = settings.level.unwrap_or(Level::Error) as u8;
        Self {
            follower: settings.path.as_deref().and_then(Follower::new),
            settings,
            least: AtomicU8::new(least),
            syslog: OnceLock::new(),
        }
    }

    fn least(&self) -> Level {
        Level::from_number(self.least.load(Ordering::Relaxed)).unwrap_or(Level::Error)
    }

    fn wants(&self, level: Level) -> bool {
        let recorded = self.settings.file.is_some() || self.settings.syslog.is_some();
        (recorded && level >= self.least()) || (self.settings.stderr && level >= Level::Error)
    }

    fn filtered(&self, target: &str, level: Level) -> bool {
        let filter = self.settings.filter.as_ref();
        filter.is_some_and(|filter| filter.wants(target, level))
    }

    fn to_syslog(&self, facility: &str, level: Level, category: &str, text: &str) {
        let socket = self.syslog.get_or_init(|| {
            let socket = UnixDatagram::unbound().ok()?;
            // A log daemon that does not read must not hold up a container.
            socket.set_nonblocking(true).ok()?;
            socket.connect("/dev/log").ok()?;
            Some(socket)
        });
        if let Some(socket) = socket {
            let facility = match facility.strip_prefix("local") {
                Some(number) => 16 + number.parse::<u16>().unwrap_or(0).min(7),
                None => 3,
            };
            let mut line = Line::default();
            let priority = facility * 8 + u16::from(level.priority());
            let _ = write!(line, "<{priority}>{category}: {text}");
            let _ = socket.send(line.as_bytes());
        }
    }
}

impl Subscriber for LogSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = Level::of(*metadata.level());
        metadata.is_event() && (self.wants(level) || self.filtered(metadata.target(), level))
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        use tracing::level_filters::LevelFilter;
        let recorded = self.settings.file.is_some() || self.settings.syslog.is_some();
        let recorded = recorded.then(|| self.least());
        let shown = self.settings.filter.as_ref().and_then(Filter::least);
        let least = recorded.into_iter().chain(shown).min();
        let filter = match least.unwrap_or(Level::Error) {
            Level::Trace => LevelFilter::TRACE,
            Level::Debug => LevelFilter::DEBUG,
            Level::Info | Level::Notice => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
            _ => LevelFilter::ERROR,
        };
        Some(filter)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let level = Level::of(*metadata.level());
        let module = metadata.target();
        let filtered = self.filtered(module, level);
        if !self.wants(level) && !filtered {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let body = String::from_utf8_lossy(text.line.as_bytes());
        let category = module.rsplit("::").next().unwrap_or(module);
        let file = text.file.as_deref().or(metadata.file()).unwrap_or("-");
        let place = Place {
            category,
            file: file.rsplit('/').next().unwrap_or(file),
            function: module.split("::").nth(1).unwrap_or(category),
            line: text.number.or(metadata.line()).unwrap_or(0),
        };
        let Settings { prefix, name, .. } = &self.settings;
        if level >= self.least() {
            if let Some(mut file) = self.settings.file.as_ref() {
                if let Some(follower) = &self.follower {
                    follower.look(file);
                }
                let mut line = Line::default();
                line.head(prefix, name, level, &place);
                line.push(&body);
                let _ = file.write_all(line.finish());
            }
            if let Some(facility) = &self.settings.syslog {
                self.to_syslog(facility, level, category, &body);
            }
        }
        if self.settings.stderr && level >= Level::Error {
            let mut line = Line::default();
            let colon = if name.is_empty() { "" } else { ": " };
            let _ = write!(
                line,
                "{prefix}: {name}{colon}{}: {}: {} {body}",
                place.file, place.function, place.line
            );
            to_stderr(line.finish());
        } else if filtered {
            let mut line = Line::default();
            line.head(prefix, name, level, &place);
            line.push(&body);
            to_stderr(line.finish());
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The event's message, then its other fields as ` name=value`.
/// A duplicate: the handle of std would take a lock.
fn to_stderr(line: &[u8]) {
    if let Ok(fd) = std::io::stderr().as_fd().try_clone_to_owned() {
        let _ = File::from(fd).write_all(line);
    }
}

/// The text of an event, and the place that `log.file` and `log.line` name instead of its own: an
/// error is reported elsewhere than where it was found.
#[derive(Default)]
struct Text {
    line: Line,
    file: Option<String>,
    number: Option<u32>,
}

impl Text {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let _ = match field.name() {
            "message" => write!(self.line, "{value}"),
            name => write!(self.line, " {name}={value}"),
        };
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "log.file" => self.file = Some(value.to_owned()),
            _ => self.add(field, format_args!("{value}")),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "log.line" => self.number = u32::try_from(value).ok(),
            _ => self.add(field, format_args!("{value}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn an_event_is_one_line_in_the_file() -> std::io::Result<()> {
        let path = std::env::temp_dir().join(format!("rlxc-log-test-{}", std::process::id()));
        let settings = Settings {
            prefix: "lxc".into(),
            name: "c1".into(),
            level: Some(Level::Info),
            file: Some(crate::open(&path).map_err(std::io::Error::other)?),
            ..Settings::default()
        };
        tracing::subscriber::with_default(LogSubscriber::new(settings), || {
            tracing::info!(errno = 2, "first\nline");
            tracing::debug!("not wanted");
        });
        let mut text = String::new();
        File::open(&path)?.read_to_string(&mut text)?;
        std::fs::remove_file(&path)?;
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(" INFO     tests - subscriber.rs:"), "{text}");
        assert!(text.ends_with(" - first line errno=2\n"), "{text}");
        Ok(())
    }
}
