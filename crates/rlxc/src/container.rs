use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use rlxc_config::{Config, Document};
use rlxc_monitor::Client;
use rlxc_monitor::lock::{DiskLock, Partial, PartialState};

use crate::error::{Error, Result};
use crate::global::default_lxcpath;

/// One container: its name, where it lives, and its configuration in memory.
///
/// The container need not exist. Methods that ask the running container do so by its command
/// socket, with a deadline ([`Container::set_timeout`]).
#[derive(Debug, Clone)]
pub struct Container {
    name: String,
    lxcpath: PathBuf,
    config_file: PathBuf,
    /// The configuration; `None` until one is loaded or an item is set.
    pub document: Option<Document>,
    deadline: Option<Duration>,
}

/// Whether `name` can name a container: one directory entry.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let bad = name.is_empty() || name.len() > 255 || name.contains(['/', '\0', '\n', '\r']);
    if bad || name == "." || name == ".." {
        return Err(Error::Name(name.to_owned()));
    }
    Ok(())
}

/// Refuses an lxcpath that would be more than one line where a configuration speaks of it.
fn check_lxcpath(path: &Path) -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    if path
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|b| matches!(b, b'\n' | b'\r'))
    {
        let message = format!("{path:?} cannot be an lxcpath: there is a line break in it");
        return Err(Error::refused(Errno::EINVAL, message));
    }
    Ok(())
}

/// An lxcpath without its trailing slashes: it is part of the command socket's name.
pub(crate) fn trim_slashes(path: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    let end = bytes
        .iter()
        .rposition(|b| *b != b'/')
        .map_or(1, |at| at + 1);
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes[..end.min(bytes.len())]))
}

impl Container {
    /// A container below `lxcpath` (`None`: `lxc.lxcpath`), with its configuration loaded if it has
    /// a readable one.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::Config`] when the configuration is there but wrong.
    pub fn new(name: &str, lxcpath: Option<&Path>) -> Result<Self> {
        let mut container = Self::without_config(name, lxcpath)?;
        container.recover();
        if container.is_defined() {
            container.load_config(None)?;
        }
        Ok(container)
    }

    /// As [`Container::new`], but its configuration is not read: for questions to the running
    /// container that need none.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::Refused`] for an lxcpath with a line break in it.
    pub fn without_config(name: &str, lxcpath: Option<&Path>) -> Result<Self> {
        check_name(name)?;
        let lxcpath = match lxcpath {
            Some(path) => trim_slashes(path),
            None => default_lxcpath(),
        };
        check_lxcpath(&lxcpath)?;
        Ok(Self {
            config_file: lxcpath.join(name).join("config"),
            name: name.to_owned(),
            lxcpath,
            document: None,
            deadline: None,
        })
    }

    /// Ends what an interrupted command began with this container: an unfinished one is removed, a renaming and a
    /// restore are completed or undone. What cannot be ended now is logged and left for the next time.
    pub fn recover(&self) {
        let ended = match Partial::look(&self.dir()) {
            Ok(PartialState::Leftover) => self.lock().and_then(|_lock| self.clean_leftover()),
            Ok(PartialState::Absent) => self.recover_rename().and_then(|()| self.recover_restore()),
            // Being made right now, or not ours to look at.
            _ => Ok(()),
        };
        if let Err(error) = ended {
            tracing::warn!("{error} - Failed to end what was begun with {}", self.name);
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The lxcpath.
    pub fn lxcpath(&self) -> &Path {
        &self.lxcpath
    }

    /// Its directory: `LXCPATH/NAME`.
    pub fn dir(&self) -> PathBuf {
        self.lxcpath.join(&self.name)
    }

    /// Its configuration file, `LXCPATH/NAME/config` unless set otherwise.
    pub fn config_file(&self) -> &Path {
        &self.config_file
    }

    /// Uses another configuration file (`--rcfile`); nothing is loaded.
    pub fn set_config_file(&mut self, path: impl Into<PathBuf>) {
        self.config_file = path.into();
    }

    /// Moves to another lxcpath; the configuration in memory stays.
    pub fn set_config_path(&mut self, lxcpath: &Path) {
        self.lxcpath = trim_slashes(lxcpath);
        self.config_file = self.dir().join("config");
    }

    /// Limits how long a question to the monitor may take; `None`: the default of 5 seconds.
    pub fn set_timeout(&mut self, deadline: Option<Duration>) {
        self.deadline = deadline;
    }

    /// The same container without the configuration in memory: for questions to the running one.
    pub fn questions(&self) -> Self {
        Self {
            name: self.name.clone(),
            lxcpath: self.lxcpath.clone(),
            config_file: self.config_file.clone(),
            document: None,
            deadline: self.deadline,
        }
    }

    /// Removes what a killed create or copy left below its name; one that goes on is left alone.
    ///
    /// # Errors
    /// [`Error::Path`], [`Error::Storage`] when something cannot be removed.
    pub fn remove_leftover(&self) -> Result<()> {
        match rlxc_monitor::lock::Partial::look(&self.dir())? {
            rlxc_monitor::lock::PartialState::Leftover => self.clean_leftover(),
            _ => Ok(()),
        }
    }

    /// Whether its configuration file exists.
    pub fn is_defined(&self) -> bool {
        self.config_file.metadata().is_ok()
    }

    /// The client for its command socket.
    pub fn client(&self) -> Client {
        let client = Client::new(&self.lxcpath, &self.name);
        match self.deadline {
            Some(deadline) => client.with_deadline(deadline),
            None => client,
        }
    }

    /// Its typed configuration.
    ///
    /// # Errors
    /// [`Error::NoConfig`].
    pub fn config(&self) -> Result<&Config> {
        let document = self.document.as_ref();
        document
            .map(Document::config)
            .ok_or_else(|| Error::NoConfig(self.name.clone()))
    }

    /// The typed configuration, or that of an empty file.
    pub(crate) fn config_or_default(&self) -> Config {
        self.config().cloned().unwrap_or_default()
    }

    /// Adds a file (`None`: its own) to the configuration in memory.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn load_config(&mut self, file: Option<&Path>) -> Result<()> {
        let file = file.unwrap_or(&self.config_file);
        let mut document = self.document.take().unwrap_or_default();
        let loaded = document.load_file(file);
        // What was there stays, and so do the lines before a wrong one, as in LXC.
        self.document = Some(document);
        Ok(loaded?)
    }

    /// Writes the configuration to a file (`None`: its own, under the container's lock). Without
    /// one in memory the default configuration is loaded first.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Monitor`] for the lock.
    pub fn save_config(&mut self, file: Option<&Path>) -> Result<()> {
        if self.document.is_none() {
            let default = rlxc_config::GlobalConfig::load().default_config();
            self.load_config(Some(&default))?;
        }
        let own = file.is_none_or(|file| file == self.config_file);
        if own && !self.dir().exists() && self.config_file == self.dir().join("config") {
            use std::os::unix::fs::DirBuilderExt as _;
            std::fs::create_dir_all(&self.lxcpath).map_err(Error::path("make", &self.lxcpath))?;
            std::fs::DirBuilder::new()
                .mode(0o770)
                .create(self.dir())
                .map_err(Error::path("make", self.dir()))?;
            self.give_to_mapped_root(&rlxc_storage::Rootfs::at(
                rlxc_storage::Backend::Dir,
                &self.dir().join("rootfs"),
            ))?;
        }
        let _lock = match own {
            true => Some(self.lock()?),
            false => None,
        };
        let path = file.unwrap_or(&self.config_file);
        match &self.document {
            Some(document) => Ok(document.save(path)?),
            None => Err(Error::NoConfig(self.name.clone())),
        }
    }

    /// Forgets the configuration in memory.
    pub fn clear_config(&mut self) {
        self.document = None;
    }

    /// Sets a key, or adds to a list.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn set_item(&mut self, key: &str, value: &str) -> Result<()> {
        Ok(self.document.get_or_insert_default().set(key, value)?)
    }

    /// Clears a key.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::NoConfig`].
    pub fn clear_item(&mut self, key: &str) -> Result<()> {
        match &mut self.document {
            Some(document) => Ok(document.clear(key)?),
            None => Err(Error::NoConfig(self.name.clone())),
        }
    }

    /// A key's value as LXC shows it.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::NoConfig`].
    pub fn item(&self, key: &str) -> Result<String> {
        match &self.document {
            Some(document) => Ok(document.get(key)?),
            None => Err(Error::NoConfig(self.name.clone())),
        }
    }

    /// The names of all keys, or of those below `prefix`.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::NoConfig`].
    pub fn keys(&self, prefix: Option<&str>) -> Result<Vec<String>> {
        match &self.document {
            Some(document) => Ok(document.keys(prefix)?),
            None => Err(Error::NoConfig(self.name.clone())),
        }
    }

    /// Waits for the container's disk lock (`RUNDIR/lxc/lock/LXCPATH/.NAME`).
    ///
    /// # Errors
    /// [`Error::Monitor`].
    pub fn lock(&self) -> Result<DiskLock> {
        Ok(DiskLock::acquire(&self.lxcpath, &self.name)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_lxcpath_are_refused() {
        for name in ["", ".", "..", "a/b", "a\0b", &"x".repeat(256)] {
            assert!(Container::without_config(name, None).is_err(), "{name:?}");
        }
        assert!(Container::without_config("web.1 x", None).is_ok());
    }

    #[test]
    fn trailing_slashes_of_the_lxcpath_are_removed() {
        assert_eq!(trim_slashes(Path::new("/x//")), Path::new("/x"));
        assert_eq!(trim_slashes(Path::new("//")), Path::new("/"));
        assert_eq!(trim_slashes(Path::new("rel")), Path::new("rel"));
    }

    #[test]
    fn items_need_no_configuration_file() -> Result<()> {
        let mut container = Container::new("t", Some(Path::new("/nonexistent")))?;
        assert!(matches!(
            container.item("lxc.uts.name"),
            Err(Error::NoConfig(_))
        ));
        container.set_item("lxc.uts.name", "x")?;
        assert_eq!(container.item("lxc.uts.name")?, "x");
        container.clear_item("lxc.uts.name")?;
        assert_eq!(container.item("lxc.uts.name")?, "");
        Ok(())
    }
}
