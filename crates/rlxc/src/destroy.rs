//! Removing a container: refusals, hooks, storage, directory.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use rlxc_config::HookKind;
use rlxc_storage::{Backend, Job, Task};

use crate::container::Container;
use crate::create::{job_maps, rootfs_of};
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
        let _ = std::fs::remove_dir(self.snapshot_path());
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
        if snapshots_matter && !self.snapshots()?.is_empty() {
            let message = format!("container {} has snapshots", self.name());
            return Err(Error::refused(Errno::EBUSY, message));
        }
        let dependants = self.dependants()?;
        if !dependants.is_empty() {
            let names: Vec<_> = dependants
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            let message = format!(
                "container {} has clones that need its storage: {}",
                self.name(),
                names.join(", ")
            );
            return Err(Error::refused(Errno::EBUSY, message));
        }
        Ok(())
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
        let config = self.config_or_default();
        for script in config
            .hooks
            .by_kind
            .get(&HookKind::Destroy)
            .into_iter()
            .flatten()
        {
            self.run_hook(script, HookKind::Destroy, &[], &[])?;
        }
        self.remove_storage_and_dir()
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

    /// Removes everything; no question is asked. What is not there is no error.
    pub(crate) fn remove_storage_and_dir(&self) -> Result<()> {
        let config = self.config_or_default();
        let dir = self.dir();
        let mut tasks = Vec::new();
        if config.rootfs.managed || config.rootfs.path.is_none() {
            if let Some(rootfs) = rootfs_of(&config).ok().flatten() {
                if !rootfs.backend.is_managed() {
                    rootfs.writable("be removed by this version; remove it with its own tools")?;
                }
                let path = rootfs.writable("be removed")?;
                // A copy that failed early may still name the original's files.
                let own = path.starts_with(&dir) || !self.dir().join("partial").exists();
                if own
                    && (rootfs.backend != Backend::Dir
                        || path
                            .parent()
                            .is_some_and(|p| p != std::path::Path::new("/")))
                {
                    tasks.push(Task::Remove { path });
                }
            }
            tasks.push(Task::Remove {
                path: dir.join("rootfs"),
            });
            tasks.push(Task::Remove {
                path: dir.join("overlay"),
            });
            let maps = job_maps(&config.idmap)?;
            rlxc_storage::run(&Job {
                maps,
                mount: None,
                tasks,
            })?;
            self.forget_dependences()?;
            // Last of all, by the caller, who owns it.
            let last = vec![Task::Remove { path: dir }];
            return Ok(rlxc_storage::run(&Job {
                tasks: last,
                ..Job::default()
            })?);
        }
        self.forget_dependences()?;
        let file = self.config_file();
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::path("remove", file)(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes this container from the `lxc_snapshots` of those it depends on.
    pub(crate) fn forget_dependences(&self) -> Result<()> {
        for (path, name) in read_pairs(&self.dir().join("lxc_rdepends"))? {
            let file = PathBuf::from(path).join(name).join("lxc_snapshots");
            let mut pairs = read_pairs(&file)?;
            let own = self.lxcpath().to_string_lossy().into_owned();
            pairs.retain(|(path, name)| !(*path == own && name == self.name()));
            match pairs.is_empty() {
                true => drop(std::fs::remove_file(&file)),
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
        let config = self.config_or_default();
        let mut line = format!("exec {script}");
        let mut command = Command::new("/bin/sh");
        if config.hooks.version == 0 {
            for word in [self.name(), "lxc", kind.name()] {
                line.push_str(&format!(" '{}'", word.replace('\'', "'\\''")));
            }
        } else {
            command
                .env("LXC_HOOK_TYPE", kind.name())
                .env("LXC_HOOK_SECTION", "lxc");
        }
        for word in arguments {
            line.push_str(&format!(" '{}'", word.replace('\'', "'\\''")));
        }
        command
            .arg("-c")
            .arg(&line)
            .env("LXC_NAME", self.name())
            .env("LXC_CONFIG_FILE", self.config_file())
            .env("LXC_ROOTFS_MOUNT", config.rootfs_mount())
            .env("LXC_HOOK_VERSION", config.hooks.version.to_string())
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        if let Some(rootfs) = rootfs_of(&config).ok().flatten() {
            command.env("LXC_ROOTFS_PATH", rootfs.to_string());
        }
        let output = command
            .output()
            .map_err(Error::path("run the hook", script))?;
        let said = String::from_utf8_lossy(&output.stdout);
        for said in said.lines() {
            tracing::debug!("Script exec {script} produced output: {said}");
        }
        match output.status.success() {
            true => Ok(()),
            false => Err(Error::Program {
                program: "the hook",
                reason: format!(
                    "{script}: {}: {}",
                    output.status,
                    String::from_utf8_lossy(&output.stderr).trim_end()
                ),
                remedy: None,
            }),
        }
    }
}

/// Pairs of lines: lxcpath, name. A missing file is an empty one; LXC's old form, a number, names no one.
pub(crate) fn read_pairs(file: &std::path::Path) -> Result<Vec<(String, String)>> {
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

pub(crate) fn write_pairs(file: &std::path::Path, pairs: &[(String, String)]) -> Result<()> {
    let lines = pairs.iter().map(|(path, name)| format!("{path}\n{name}\n"));
    let text: String = lines.collect();
    // Beside it first: a reader sees the old list or the new one.
    let new = file.with_extension("new");
    std::fs::write(&new, text).map_err(Error::path("write", &new))?;
    std::fs::rename(&new, file).map_err(Error::path("write", file))
}
