//! The full screen of `rlxc top`: keys, what they do to containers, and the terminal.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ratatui::DefaultTerminal;
use rlxc::{Container, State};

use super::Top;
use super::signals::Taken;
use super::view::{self, COLUMNS, Picture};
use super::watch::{Key, Track, Watch};
use crate::context::{Failure, Outcome};
use crate::output::safe;

/// Shows the screen until the user leaves it or the terminal goes away.
pub(super) fn run(top: &Top, lxcpaths: &[PathBuf], delay: Duration) -> Outcome {
    let failed = |error: std::io::Error| {
        Failure::new(format!("Failed to setup terminal: {error}"))
            .remedy("run it in a terminal, or use --format json")
    };
    let mut app = App::new(top, lxcpaths, delay);
    app.watch.look()?;
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let leave = || drop(ratatui::try_restore());
    app.taken = super::signals::watch(leave, || drop(take_again()));
    let shown = app.show(&mut terminal);
    // The terminal may be gone; then there is nothing to restore.
    let _ = ratatui::try_restore();
    shown.map(|()| 0)
}

/// Takes the terminal again after a stop.
fn take_again() -> std::io::Result<()> {
    crossterm::terminal::enable_raw_mode()?;
    crossterm::execute!(std::io::stdout(), crossterm::terminal::EnterAlternateScreen)
}

/// What the keys do at the moment.
#[derive(Debug, PartialEq, Eq)]
enum Mode {
    Normal,
    /// Typing a filter
    Filter,
    Help,
    /// An action waits for `y`
    Ask(Action, Key),
}

/// What can be done to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Shutdown,
}

struct App {
    watch: Watch,
    delay: Duration,
    sort: usize,
    reverse: bool,
    selected: Option<Key>,
    filter: String,
    mode: Mode,
    message: String,
    colours: bool,
    taken: Arc<Taken>,
}

impl App {
    fn new(top: &Top, lxcpaths: &[PathBuf], delay: Duration) -> Self {
        let key = top.sort.chars().next();
        Self {
            watch: Watch::new(lxcpaths),
            delay: delay.max(Duration::from_secs(1)),
            sort: COLUMNS.iter().position(|c| Some(c.key) == key).unwrap_or(0),
            reverse: top.reverse,
            selected: None,
            filter: String::new(),
            mode: Mode::Normal,
            message: String::new(),
            taken: Arc::default(),
            colours: std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        }
    }

    fn show(&mut self, terminal: &mut DefaultTerminal) -> Result<(), Failure> {
        let mut next = Instant::now() + self.delay;
        loop {
            if self.taken.again() {
                terminal.clear()?;
            }
            self.draw(terminal)?;
            let left = next.saturating_duration_since(Instant::now());
            if event::poll(left)? {
                match event::read()? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => {
                        self.message.clear();
                        if !self.key(key, terminal)? {
                            return Ok(());
                        }
                    }
                    _ => {}
                }
            }
            if Instant::now() >= next {
                self.watch.look()?;
                next = Instant::now() + self.delay;
            }
        }
    }

    /// The rows in order, with the selected one's place.
    fn rows(&self) -> (Vec<&Track>, Option<usize>) {
        let wanted = |t: &&Track| t.sample.name.contains(&self.filter);
        let mut tracks: Vec<&Track> = self.watch.tracks.values().filter(wanted).collect();
        view::sort(&mut tracks, self.sort, self.reverse);
        let is = |t: &&Track| {
            let key = self.selected.as_ref();
            key.is_some_and(|(path, name)| t.sample.lxcpath == *path && t.sample.name == *name)
        };
        let at = tracks.iter().position(is);
        let at = at.or((!tracks.is_empty()).then_some(0));
        (tracks, at)
    }

    fn draw(&self, terminal: &mut DefaultTerminal) -> Result<(), Failure> {
        let (tracks, selected) = self.rows();
        let bottom = match &self.mode {
            Mode::Filter => format!(
                " filter: {}▏ (Enter keeps it, Esc clears it)",
                safe(&self.filter)
            ),
            Mode::Ask(Action::Kill, (_, name)) => format!(" kill {}? y or n", safe(name)),
            Mode::Ask(Action::Shutdown, (_, name)) => format!(" shut {} down? y or n", safe(name)),
            _ if !self.message.is_empty() => format!(" {}", safe(&self.message)),
            _ => " q quit · ? keys · Enter shell · F freeze · S shut down · K kill · / filter"
                .to_owned(),
        };
        let picture = Picture {
            all: self.watch.tracks.len(),
            tracks: &tracks,
            selected,
            sort: self.sort,
            reverse: self.reverse,
            delay: self.delay,
            filter: &self.filter,
            bottom: &bottom,
            help: self.mode == Mode::Help,
            colours: self.colours,
        };
        terminal.draw(|frame| view::draw(frame, &picture))?;
        Ok(())
    }

    /// Whether to go on.
    fn key(&mut self, key: KeyEvent, terminal: &mut DefaultTerminal) -> Result<bool, Failure> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            return Ok(false);
        }
        if control && key.code == KeyCode::Char('z') {
            // No signal comes of it in raw mode.
            kill(Pid::this(), Signal::SIGTSTP).map_err(std::io::Error::from)?;
            return Ok(true);
        }
        if control && key.code == KeyCode::Char('l') {
            terminal.clear()?;
            return Ok(true);
        }
        // Enter, typed before the terminal was raw.
        let code = match (control, key.code) {
            (true, KeyCode::Char('j')) => KeyCode::Enter,
            (true, KeyCode::Char(_)) => return Ok(true),
            (_, code) => code,
        };
        match std::mem::replace(&mut self.mode, Mode::Normal) {
            Mode::Normal => return self.normal_key(code, terminal),
            Mode::Help => {}
            Mode::Filter => match code {
                KeyCode::Enter => {}
                KeyCode::Esc => self.filter.clear(),
                code => {
                    match code {
                        KeyCode::Backspace => drop(self.filter.pop()),
                        KeyCode::Char(c) => self.filter.push(c),
                        _ => {}
                    }
                    self.mode = Mode::Filter;
                }
            },
            Mode::Ask(action, key_of) => {
                if code == KeyCode::Char('y') {
                    self.act(action, &key_of);
                }
            }
        }
        Ok(true)
    }

    fn normal_key(
        &mut self,
        code: KeyCode,
        terminal: &mut DefaultTerminal,
    ) -> Result<bool, Failure> {
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return Ok(false),
            KeyCode::Up => self.select(-1),
            KeyCode::Down | KeyCode::Char('j') => self.select(1),
            KeyCode::PageUp => self.select(-10),
            KeyCode::PageDown => self.select(10),
            KeyCode::Home => self.select(isize::MIN),
            KeyCode::End => self.select(isize::MAX),
            KeyCode::Left | KeyCode::Char('<') => {
                self.sort = (self.sort + COLUMNS.len() - 1) % COLUMNS.len();
            }
            KeyCode::Right | KeyCode::Char('>') => self.sort = (self.sort + 1) % COLUMNS.len(),
            KeyCode::Char('r') => self.reverse = !self.reverse,
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Char('+') => self.delay += Duration::from_secs(1),
            KeyCode::Char('-') => {
                let less = self.delay.saturating_sub(Duration::from_secs(1));
                self.delay = less.max(Duration::from_secs(1));
            }
            KeyCode::Char('F') => self.freeze_or_thaw(),
            KeyCode::Char('K') => self.ask(Action::Kill),
            KeyCode::Char('S') => self.ask(Action::Shutdown),
            KeyCode::Enter => self.shell(terminal)?,
            KeyCode::Char(c) => {
                if let Some(at) = COLUMNS.iter().position(|column| column.key == c) {
                    // The same key again turns the order round, as in LXC's top.
                    self.reverse = self.sort == at && !self.reverse;
                    self.sort = at;
                }
            }
            _ => {}
        }
        Ok(true)
    }

    fn key_at(&self) -> Option<Key> {
        let (tracks, at) = self.rows();
        let sample = &tracks.get(at?)?.sample;
        Some((sample.lxcpath.clone(), sample.name.clone()))
    }

    fn select(&mut self, by: isize) {
        let (tracks, at) = self.rows();
        let last = tracks.len().saturating_sub(1);
        let at = at.unwrap_or(0).saturating_add_signed(by).min(last);
        let key = tracks
            .get(at)
            .map(|t| (t.sample.lxcpath.clone(), t.sample.name.clone()));
        self.selected = key;
    }

    fn ask(&mut self, action: Action) {
        if let Some(key) = self.key_at() {
            self.mode = Mode::Ask(action, key);
        }
    }

    fn with_container(
        &mut self,
        (lxcpath, name): &Key,
        act: impl FnOnce(&Container) -> rlxc::Result<String>,
    ) {
        let done = Container::new(name, Some(lxcpath)).and_then(|container| act(&container));
        self.message = match done {
            Ok(text) => format!("{name}: {text}"),
            Err(error) => Failure::from(error).message,
        };
        // What was done shows at once.
        let _ = self.watch.look();
    }

    fn act(&mut self, action: Action, key: &Key) {
        self.with_container(key, |container| match action {
            Action::Kill => container.stop().map(|()| "killed".to_owned()),
            Action::Shutdown => container
                .shutdown(Some(Duration::ZERO), |_| true)
                .map(|_| "asked to shut down".to_owned()),
        });
    }

    fn freeze_or_thaw(&mut self) {
        let Some(key) = self.key_at() else { return };
        self.with_container(&key, |container| match container.state()? {
            State::Frozen => container.unfreeze(None).map(|()| "thawed".to_owned()),
            _ => {
                let patience = Some(Duration::from_secs(5));
                container.freeze(patience).map(|()| "frozen".to_owned())
            }
        });
    }

    /// Gives the terminal to a shell inside until that ends.
    fn shell(&mut self, terminal: &mut DefaultTerminal) -> Result<(), Failure> {
        let Some((lxcpath, name)) = self.key_at() else {
            return Ok(());
        };
        let frozen = self.watch.tracks.get(&(lxcpath.clone(), name.clone()));
        if frozen.is_some_and(|track| track.sample.state == Some(State::Frozen)) {
            self.message = format!("{name} is frozen: F thaws it");
            return Ok(());
        }
        ratatui::try_restore()?;
        self.taken.lent.store(true, Ordering::Relaxed);
        let status = Command::new("/proc/self/exe")
            .arg("attach")
            .arg("-P")
            .arg(&lxcpath)
            .args(["-n", &name])
            .status();
        self.taken.lent.store(false, Ordering::Relaxed);
        *terminal = ratatui::try_init()?;
        terminal.clear()?;
        self.message = match status {
            Ok(status) if status.success() => String::new(),
            Ok(status) => format!("the shell in {name} ended: {status}"),
            Err(error) => format!("a shell in {name} cannot be started: {error}"),
        };
        self.watch.look()
    }
}
