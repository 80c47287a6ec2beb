//! `lxc_log_init` and what follows from it for later calls.

use std::ffi::{c_char, c_int};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rlxc::StartOptions;
use rlxc::config::paths;

use crate::memory::{path, text};

/// `struct lxc_log`.
#[repr(C)]
#[derive(Debug)]
pub struct LxcLog {
    name: *const c_char,
    lxcpath: *const c_char,
    file: *const c_char,
    level: *const c_char,
    prefix: *const c_char,
    quiet: bool,
}

/// What was opened; a container that is started goes on writing to it.
#[derive(Debug, Clone, Default)]
struct Opened {
    file: Option<PathBuf>,
    level: Option<rlxc_log::Level>,
    prefix: Option<String>,
}

static OPENED: Mutex<Option<Opened>> = Mutex::new(None);

fn opened() -> MutexGuard<'static, Option<Opened>> {
    OPENED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The start options that carry the caller's log on.
pub(crate) fn start_options() -> StartOptions {
    let opened = opened().clone().unwrap_or_default();
    StartOptions {
        log_file: opened.file,
        log_level: opened.level.map(|level| level as u8),
        log_prefix: opened.prefix,
        ..StartOptions::default()
    }
}

/// Opens the log: 0; −EINVAL for NULL, −1 when the wanted file cannot be opened. A log with a file
/// that is open already stays. An unknown level is no error; it leaves the default.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_log_init(log: *const LxcLog) -> c_int {
    if log.is_null() {
        return -libc::EINVAL;
    }
    // SAFETY: not NULL, and its members are NULL or strings by the header's contract.
    let wanted = unsafe {
        let log = &*log;
        Wanted {
            name: text(log.name).map(str::to_owned),
            lxcpath: path(log.lxcpath),
            file: path(log.file),
            level: text(log.level).and_then(|level| level.parse().ok()),
            prefix: text(log.prefix).map(str::to_owned),
            quiet: log.quiet,
        }
    };
    catch_unwind(|| wanted.open()).unwrap_or(-1)
}

struct Wanted {
    name: Option<String>,
    lxcpath: Option<PathBuf>,
    file: Option<PathBuf>,
    level: Option<rlxc_log::Level>,
    prefix: Option<String>,
    quiet: bool,
}

impl Wanted {
    fn open(self) -> c_int {
        let mut opened = opened();
        if opened.as_ref().is_some_and(|opened| opened.file.is_some()) {
            tracing::warn!("The log is open already");
            return 0;
        }
        let (place, file) = match &self.file {
            Some(file) if file == Path::new("none") => (None, None),
            Some(file) => match rlxc_log::open(file) {
                Ok(open) => (Some(file.clone()), Some(open)),
                Err(_) => return -1,
            },
            None => self.default_file(),
        };
        let settings = rlxc_log::Settings {
            prefix: self.prefix.clone().unwrap_or_else(|| "lxc".to_owned()),
            name: self.name.clone().unwrap_or_default(),
            level: self.level,
            file,
            path: place.clone(),
            syslog: None,
            stderr: !self.quiet,
            filter: None,
        };
        rlxc_log::replace(settings);
        *opened = Some(Opened {
            file: place,
            level: self.level,
            prefix: self.prefix,
        });
        0
    }

    /// Without a name there is no file. What cannot be opened is left out: nobody asked for it.
    fn default_file(&self) -> (Option<PathBuf>, Option<std::fs::File>) {
        let Some(name) = &self.name else {
            return (None, None);
        };
        let state = Path::new(paths::LOCALSTATEDIR);
        let logs = state.join("log/lxc").join(format!("{name}.log"));
        let own = |lxcpath: &Path| lxcpath.join(name).join(format!("{name}.log"));
        let mut places = Vec::new();
        let default = state.join("lib/lxc");
        match &self.lxcpath {
            None => places.push(logs.clone()),
            Some(lxcpath) => {
                // SAFETY: no preconditions.
                if *lxcpath == default && unsafe { libc::geteuid() } == 0 {
                    places.push(logs.clone());
                }
                places.push(own(lxcpath));
                places.push(logs);
            }
        }
        let open = |place: PathBuf| rlxc_log::open(&place).ok().map(|file| (place, file));
        match places.into_iter().find_map(open) {
            Some((place, file)) => (Some(place), Some(file)),
            None => (None, None),
        }
    }
}

/// Closes the log's file; a later `lxc_log_init` opens another.
#[unsafe(no_mangle)]
pub extern "C" fn lxc_log_close() {
    let _ = catch_unwind(|| {
        if opened().take().is_some() {
            rlxc_log::replace(rlxc_log::Settings::default());
        }
    });
}
