//! What happens to a container's cgroups after they were entered: given to its root, frozen,
//! emptied, removed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cgroups::Cgroups;
use crate::entrance::Entrance;
use crate::error::{Error, Result};
use crate::layout::Version;
use crate::tree::make_path;
use crate::{file, freezer, remove};

impl Cgroups {
    /// Gives the container's directories to group `gid` (as seen here), so that its own init can
    /// make cgroups below. The owner stays, who can so take them away again.
    ///
    /// # Errors
    /// [`Error::Delegate`] for the first directory or cgroup.procs that refuses.
    pub fn delegate(&self, gid: u32) -> Result<()> {
        let names = fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap_or_default();
        for tree in &self.trees {
            for dir in tree.payload.iter().chain(&tree.inner) {
                give(dir, gid, 0o775)?;
                give(&dir.join("cgroup.procs"), gid, 0o664)?;
                let more: Vec<&str> = match tree.version {
                    Version::V1 => vec!["tasks"],
                    Version::V2 => names.lines().filter(|n| !n.contains('/')).collect(),
                };
                // Which of these exist depends on the kernel and on the enabled controllers.
                for name in more {
                    let _ = give(&dir.join(name), gid, 0o664);
                }
            }
        }
        Ok(())
    }

    /// Freezes the container and waits; `None` waits for ever.
    ///
    /// # Errors
    /// [`Error::Controller`] without a freezer, [`Error::Timeout`].
    pub fn freeze(&self, timeout: Option<Duration>) -> Result<()> {
        self.freezer(true, timeout)
    }

    /// Thaws the container and waits; `None` waits for ever.
    ///
    /// # Errors
    /// As [`Cgroups::freeze`].
    pub fn unfreeze(&self, timeout: Option<Duration>) -> Result<()> {
        self.freezer(false, timeout)
    }

    fn freezer(&self, freeze: bool, timeout: Option<Duration>) -> Result<()> {
        let tree = self.tree(Some("freezer"));
        let dir = tree.and_then(|t| Some((t.version, t.payload.as_deref()?)));
        let (version, dir) = dir.ok_or_else(|| Error::Controller("freezer".into()))?;
        freezer::change(dir, version, freeze, timeout)
    }

    /// Kills whatever still runs in the container's cgroups.
    pub fn kill(&self) {
        // v1 lets frozen processes die when they are thawed only.
        let frozen = self.trees.iter().find(|tree| tree.has("freezer"));
        if let Some(dir) = frozen.and_then(|tree| tree.payload.as_deref()) {
            let _ = file::set(dir, "freezer.state", "THAWED");
        }
        for dir in self.trees.iter().filter_map(|t| t.payload.as_deref()) {
            remove::kill_all(dir);
        }
    }

    /// Waits until the container's cgroups are empty: by the cgroup2's events, or by those of the
    /// processes where there is v1 alone.
    ///
    /// # Errors
    /// [`Error::Timeout`]; [`Error::Read`] when the cgroup has vanished.
    pub fn wait_empty(&self, timeout: Duration) -> Result<()> {
        let tree = self.trees.iter().find(|t| t.version == Version::V2);
        match tree.and_then(|t| t.payload.as_deref()) {
            Some(dir) => freezer::event(dir, "populated 0", Some(Instant::now() + timeout)),
            None => remove::wait_ended(&self.payload_dirs(), Instant::now() + timeout),
        }
    }

    /// Removes the container's cgroups with all below them; busy ones are tried for `timeout`.
    ///
    /// # Errors
    /// The first failure, after all hierarchies were tried.
    pub fn destroy_payload(&mut self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        if timeout > Duration::ZERO
            && let Err(error) = self.wait_empty(timeout)
        {
            tracing::debug!("{error}");
        }
        let dirs = self.trees.iter_mut().filter_map(|t| {
            t.inner = None;
            t.payload.take()
        });
        first_error(dirs.map(|dir| remove::tree(&dir, deadline)))
    }

    /// The container's directories.
    #[must_use]
    pub fn payload_dirs(&self) -> Vec<PathBuf> {
        let dirs = self.trees.iter().filter_map(|tree| tree.payload.clone());
        dirs.collect()
    }

    /// The directories that the monitor is in.
    #[must_use]
    pub fn monitor_dirs(&self) -> Vec<PathBuf> {
        let dirs = self.trees.iter().filter_map(|tree| tree.monitor.clone());
        dirs.collect()
    }

    /// Removes the monitor's cgroups, which it has never entered.
    ///
    /// # Errors
    /// As [`Cgroups::destroy_payload`].
    pub fn remove_monitor(&mut self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let dirs = self.trees.iter_mut().filter_map(|t| t.monitor.take());
        first_error(dirs.map(|dir| remove::tree(&dir, deadline)))
    }

    /// Moves the calling monitor, which has one thread, into its pivot cgroup, `lxc.pivot` below
    /// `lxc.cgroup.dir.monitor.pivot` or `lxc.cgroup.dir`, and removes the monitor's.
    ///
    /// # Errors
    /// As [`Cgroups::destroy_payload`].
    pub fn destroy_monitor(&mut self, pid: i32, timeout: Duration) -> Result<()> {
        let above = self.request.pivot.as_ref().or(self.request.dir.as_ref());
        let pivot = above.map_or_else(|| "lxc.pivot".into(), |dir| format!("{dir}/lxc.pivot"));
        file::check_dir(&pivot)?;
        let mut pivots = Vec::new();
        for tree in self.trees.iter().filter(|t| t.monitor.is_some()) {
            let dir = make_path(tree, &tree.base, &pivot, true, self.enables())?;
            pivots.push((tree.version, dir));
        }
        let dirs = pivots
            .iter()
            .map(|(version, dir)| (*version, dir.as_path()));
        let pivots = Entrance::open(dirs)?;
        pivots.enter_v1()?;
        pivots.enter_v2(pid)?;
        self.remove_monitor(timeout)
    }
}

fn first_error(results: impl Iterator<Item = Result<()>>) -> Result<()> {
    let mut all: Vec<Error> = results.filter_map(Result::err).collect();
    match all.is_empty() {
        true => Ok(()),
        false => Err(all.swap_remove(0)),
    }
}

fn give(path: &Path, gid: u32, mode: u32) -> Result<()> {
    chown(path, None, Some(gid))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|source| Error::Delegate {
            path: path.into(),
            source,
        })
}
