//! Removing a container: refusals, hooks, storage, directory.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;
use rlxc_config::HookKind;
use rlxc_monitor::lock::Partial;
use rlxc_storage::{Job, Rootfs, Task};

use crate::container::Container;
use crate::create::{FOREIGN, SOURCE, job_maps, rootfs_of};
use crate::error::{Error, Result};

impl Container {
    /// Removes the container and what it stores.
    ///
    /// # Errors
    /// [`Error::Running`], [`Error::NotDefined`]; [`Error::Refused`] when it has snapshots or others depend on it.
    pub fn destroy(&mut self) -> Result<()> {
        let _lock = self.lock()?;
        self.may_destroy(true)?;
        self.destroy_now()
    }

    /// Removes the container and all its snapshots.
    ///
    /// # Errors
    /// As [`Container::destroy`].
    pub fn destroy_with_snapshots(&mut self) -> Result<()> {
        let _lock = self.lock()?;
        self.may_destroy(false)?;
        for snapshot in self.snapshots()? {
            let mut snapshot = Self::new(&snapshot.name, Some(&self.snapshot_path()))?;
            snapshot.destroy()?;
        }
        remove_empty_dir(&self.snapshot_path());
        self.destroy_now()
    }

    fn may_destroy(&self, snapshots_matter: bool) -> Result<()> {
        if !self.dir().exists() {
            return Err(Error::NotDefined {
                name: self.name().to_owned(),
                lxcpath: self.lxcpath().to_owned(),
            });
        }
        self.must_be_stopped()?;
        self.take_back_links();
        self.clean_snapshots();
        if snapshots_matter && !self.snapshots()?.is_empty() {
            let names: Vec<String> = self.snapshots()?.into_iter().map(|s| s.name).collect();
            let message = format!("{} has snapshots: {}", self.name(), names.join(", "));
            return Err(Error::Refused {
                message,
                errno: Errno::EBUSY as i32,
                remedy: Some("-s removes them too".to_owned()),
            });
        }
        let mut dependants = self.dependants()?;
        if dependants.is_empty()
            && let Some(rootfs) = rootfs_of(&self.config_or_default()).ok().flatten()
            && self.config_or_default().rootfs.managed
        {
            // A program that is missing will be named when it is needed.
            let needed_by = rootfs.needed_by().unwrap_or_default();
            let own = self.own_volumes();
            let others = needed_by.into_iter().filter(|name| !own.contains(name));
            dependants.extend(others.map(PathBuf::from));
        }
        let unnamed = unnamed_dependants(&self.dir().join("lxc_snapshots"))?;
        if !dependants.is_empty() || unnamed.is_some() {
            let names: Vec<_> = dependants
                .iter()
                .map(|path| path.display().to_string())
                .chain(unnamed)
                .collect();
            let message = format!("{} has clones: {}", self.name(), names.join(", "));
            return Err(Error::Refused {
                message,
                errno: Errno::EBUSY as i32,
                remedy: Some("remove those first, for they need its storage".to_owned()),
            });
        }
        Ok(())
    }

    /// The volumes of this container's own snapshots; for a snapshot, those of its container and its siblings.
    fn own_volumes(&self) -> Vec<String> {
        let volume = |container: &Self| {
            let rootfs = rootfs_of(&container.config_or_default()).ok().flatten();
            rootfs.map(|rootfs| rootfs.path)
        };
        let dir = self.lxcpath();
        let parent = match (dir.ends_with("snaps"), dir.parent()) {
            (true, Some(parent)) => parent
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| Self::new(name, parent.parent()).ok()),
            _ => None,
        };
        let container = parent.as_ref().unwrap_or(self);
        let snapshots = container.snapshots().unwrap_or_default();
        let opened = snapshots
            .iter()
            .filter_map(|snapshot| Self::new(&snapshot.name, Some(&snapshot.lxcpath)).ok());
        let mut volumes: Vec<String> = opened.filter_map(|snapshot| volume(&snapshot)).collect();
        volumes.extend(parent.as_ref().and_then(volume));
        volumes
    }

    pub(crate) fn must_be_stopped(&self) -> Result<()> {
        match self.is_running() {
            true => Err(Error::Running {
                name: self.name().to_owned(),
            }),
            false => Ok(()),
        }
    }

    pub(crate) fn destroy_now(&self) -> Result<()> {
        self.run_destroy_hooks()?;
        // From here on what is left of a destroy that is killed is removed by the next command.
        remove_file(&self.dir().join(FOREIGN))?;
        if let Some(rootfs) = rootfs_of(&self.config_or_default()).ok().flatten()
            && self.lxcpath().ends_with("snaps")
        {
            // A container that was restored from this snapshot goes on without it.
            rlxc_storage::release_clones(&rootfs)?;
        }
        let mark = match self.config_or_default().rootfs.managed {
            true => Partial::create(&self.dir()).ok(),
            false => None,
        };
        let removed = self.remove_storage_and_dir();
        if removed.is_err()
            && let Some(mark) = mark
        {
            // It stays defined, to be looked at and destroyed again.
            let _ = mark.finish();
        }
        removed
    }

    /// Runs the destroy hooks in order, up to the first that fails.
    pub(crate) fn run_destroy_hooks(&self) -> Result<()> {
        let config = self.config_or_default();
        let console = &config.console;
        let variables: Vec<(&str, String)> = [
            ("LXC_ROOTFS_PATH", config.rootfs.path.clone()),
            ("LXC_CONSOLE", console.path.clone()),
            ("LXC_CONSOLE_LOGPATH", console.logfile.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        let scripts = config.hooks.by_kind.get(&HookKind::Destroy);
        scripts
            .into_iter()
            .flatten()
            .try_for_each(|script| self.run_hook(script, HookKind::Destroy, &variables, &[]))
    }

    /// The containers that need this one's storage, by `lxc_snapshots`.
    ///
    /// # Errors
    /// [`Error::Path`].
    pub fn dependants(&self) -> Result<Vec<PathBuf>> {
        let pairs = read_pairs(&self.dir().join("lxc_snapshots"))?;
        Ok(pairs
            .into_iter()
            .map(|(path, name)| PathBuf::from(path).join(name))
            .collect())
    }

    /// Removes the container's directory if there is nothing in it: a command that made it was killed at once.
    pub fn remove_empty(&self) {
        remove_empty_dir(&self.dir());
    }

    /// Removes everything; no question is asked. What is not there is no error.
    pub(crate) fn remove_storage_and_dir(&self) -> Result<()> {
        let config = self.config_or_default();
        let dir = self.dir();
        if !config.rootfs.managed && config.rootfs.path.is_some() {
            self.forget_dependences()?;
            return remove_file(self.config_file());
        }
        let mut tasks = Vec::new();
        if let Some(rootfs) = rootfs_of(&config).ok().flatten() {
            // What was there before a create that was killed belongs to somebody else.
            let foreign = dir.join("partial").exists() && dir.join(FOREIGN).exists();
            if !foreign {
                tasks.push(Task::Destroy {
                    rootfs: rootfs.to_string(),
                });
            }
        }
        tasks.push(Task::Remove {
            path: dir.join("rootfs"),
        });
        tasks.push(Task::Remove {
            path: dir.join("overlay"),
        });
        let maps = match geteuid().is_root() {
            // Root needs no maps to remove what others own.
            true => Vec::new(),
            false => job_maps(&config.idmap)?,
        };
        rlxc_storage::run(&Job {
            maps,
            tasks,
            ..Job::default()
        })?;
        if let Ok(source) = std::fs::read_to_string(dir.join(SOURCE))
            && let (Ok(source), Ok(Some(copy))) = (Rootfs::parse(&source), rootfs_of(&config))
        {
            rlxc_storage::forget_copy(&source, &copy);
        }
        self.forget_dependences()?;
        // Last of all, by the caller, who owns it.
        Ok(rlxc_storage::remove_tree(&dir)?)
    }

    /// Removes this container from the `lxc_snapshots` of those it depends on.
    pub(crate) fn forget_dependences(&self) -> Result<()> {
        for (path, name) in read_pairs(&self.dir().join("lxc_rdepends"))? {
            let file = PathBuf::from(path).join(name).join("lxc_snapshots");
            let _lock = lock_list(&file)?;
            if count_dependant(&file, false)? {
                continue;
            }
            let mut pairs = read_pairs(&file)?;
            let own = self.lxcpath().to_string_lossy().into_owned();
            pairs.retain(|(path, name)| !(*path == own && name == self.name()));
            match pairs.is_empty() {
                true => remove_file(&file)?,
                false => write_pairs(&file, &pairs)?,
            }
        }
        Ok(())
    }

    /// Runs a clone or destroy hook as LXC runs hooks.
    pub(crate) fn run_hook(
        &self,
        script: &str,
        kind: HookKind,
        variables: &[(&str, String)],
        arguments: &[String],
    ) -> Result<()> {
        Ok(rlxc_storage::run(&Job {
            tasks: vec![self.hook_task(script, kind, variables, arguments)],
            ..Job::default()
        })?)
    }

    /// A hook's command line and environment.
    pub(crate) fn hook_task(
        &self,
        script: &str,
        kind: HookKind,
        variables: &[(&str, String)],
        arguments: &[String],
    ) -> Task {
        let config = self.config_or_default();
        let quote = |word: &str| format!(" '{}'", word.replace('\'', "'\\''"));
        let mut line = format!("exec {script}");
        let mut environment = Vec::new();
        let mut set = |name: &str, value: String| environment.push((name.to_owned(), value));
        match config.hooks.version {
            0 => [self.name(), "lxc", kind.name()]
                .iter()
                .for_each(|word| line.push_str(&quote(word))),
            _ => {
                set("LXC_HOOK_TYPE", kind.name().to_owned());
                set("LXC_HOOK_SECTION", "lxc".to_owned());
            }
        }
        for word in arguments {
            line.push_str(&quote(word));
        }
        set("LXC_NAME", self.name().to_owned());
        set("LXC_CONFIG_FILE", self.config_file().display().to_string());
        set(
            "LXC_ROOTFS_MOUNT",
            config.rootfs_mount().display().to_string(),
        );
        set("LXC_HOOK_VERSION", config.hooks.version.to_string());
        if let Some(rootfs) = rootfs_of(&config).ok().flatten() {
            set("LXC_ROOTFS_PATH", rootfs.to_string());
        }
        for (name, value) in variables {
            set(name, value.clone());
        }
        Task::Hook {
            script: script.to_owned(),
            line,
            environment,
        }
    }
}

/// Removes a file, which may be gone already.
pub(crate) fn remove_file(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::path("remove", file)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a directory unless something is in it.
pub(crate) fn remove_empty_dir(dir: &Path) {
    // Not empty, or not there: both are as well.
    let _ = std::fs::remove_dir(dir);
}

/// Keeps others from changing a list between its being read and written. The last lock that is taken, so that nobody
/// who holds it waits for another one; `None`: there is no such container.
pub(crate) fn lock_list(file: &Path) -> Result<Option<Flock<File>>> {
    let dir = file.parent().unwrap_or(Path::new("/"));
    let opened = match File::open(dir) {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::path("open", dir)(error)),
    };
    match Flock::lock(opened, FlockArg::LockExclusive) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, errno)) => Err(Error::path("lock", dir)(errno)),
    }
}

/// LXC's old form of `lxc_snapshots`, a number, or what it does not understand: dependants that are not named. They
/// count all the same; `None`: there are none of these.
pub(crate) fn unnamed_dependants(file: &Path) -> Result<Option<String>> {
    if !read_pairs(file)?.is_empty() {
        return Ok(None);
    }
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::path("read", file)(error)),
    };
    let shown = file.display();
    Ok(match (text.trim().parse::<u64>(), text.is_empty()) {
        (_, true) | (Ok(0), _) => None,
        (Ok(count), _) => Some(format!("{count} whose names {shown} does not tell")),
        (Err(_), _) => Some(format!("those in {shown}, which has an unknown form")),
    })
}

/// One dependant more, or less, in a list of LXC's old form, which is a number. Whether it has that form.
pub(crate) fn count_dependant(file: &Path, more: bool) -> Result<bool> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let Ok(count) = text.trim().parse::<u64>() else {
        return Ok(false);
    };
    if count == 0 {
        // Nobody is counted any more: from now on they are named.
        remove_file(file)?;
        return Ok(false);
    }
    let count = match more {
        true => count.saturating_add(1),
        false => count - 1,
    };
    write_list(file, &format!("{count}\n"))?;
    Ok(true)
}

/// Pairs of lines: lxcpath, name. A missing file is an empty one; LXC's old form, a number, names no one.
pub(crate) fn read_pairs(file: &Path) -> Result<Vec<(String, String)>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::path("read", file)(error)),
    };
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.chunks_exact(2);
    Ok(pairs
        .map(|pair| (pair[0].to_owned(), pair[1].to_owned()))
        .collect())
}

pub(crate) fn write_pairs(file: &Path, pairs: &[(String, String)]) -> Result<()> {
    let lines = pairs.iter().map(|(path, name)| format!("{path}\n{name}\n"));
    write_list(file, &lines.collect::<String>())
}

fn write_list(file: &Path, text: &str) -> Result<()> {
    // Beside it first: a reader sees the old list or the new one.
    let new = file.with_extension("new");
    std::fs::write(&new, text).map_err(Error::path("write", &new))?;
    std::fs::rename(&new, file).map_err(Error::path("write", file))
}
