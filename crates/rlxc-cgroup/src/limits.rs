//! Limits and other files of the container's cgroup, statistics among them.

use std::path::Path;

use crate::cgroups::Cgroups;
use crate::error::{Error, Result};
use crate::file;
use crate::layout::{Mode, Version};
use crate::tree::{Skipped, Tree};

impl Cgroups {
    /// Reads a file of the container's limiting cgroup, as `memory.max`.
    ///
    /// # Errors
    /// [`Error::Controller`] without such a hierarchy, else as [`file::get`].
    pub fn get(&self, key: &str) -> Result<String> {
        file::get(self.limit_dir(key, None)?, key)
    }

    /// Writes a file of the container's limiting cgroup.
    ///
    /// # Errors
    /// As [`Cgroups::get`]; [`Error::Write`] with the kernel's answer.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        file::set(self.limit_dir(key, None)?, key, value)
    }

    /// The container's resource use.
    #[must_use]
    pub fn stats(&self) -> crate::Stats {
        crate::Stats::read(|file| self.get(file).ok())
    }

    pub(crate) fn limit_dir(&self, key: &str, version: Option<Version>) -> Result<&Path> {
        let controller = key.split('.').next().unwrap_or(key);
        // Files of the kernel's own (pressure, say) are in every cgroup2.
        let core = |t: &&Tree| {
            self.mode == Mode::Unified
                && file::check_file(key).is_ok()
                && t.payload.as_ref().is_some_and(|dir| dir.join(key).exists())
        };
        let tree = self.tree(Some(controller));
        let tree = tree.or_else(|| self.trees.iter().find(core));
        let tree = tree.filter(|t| version.is_none_or(|v| v == t.version));
        tree.and_then(|t| t.payload.as_deref())
            .ok_or_else(|| self.no_place(key, controller))
    }

    fn no_place(&self, key: &str, controller: &str) -> Error {
        let has = |c: &String| c == controller;
        let skipped = self.skipped.iter().find(|s| s.controllers.iter().any(has));
        let skipped = skipped.or_else(|| {
            // A cgroup2 that cannot be reached tells nothing of its controllers.
            let silent = |s: &&Skipped| s.controllers.is_empty();
            self.skipped.iter().find(silent)
        });
        let offers = || {
            let tree = self.trees.iter().find(|t| t.version == Version::V2)?;
            let base = tree.base.display();
            Some(match tree.controllers.is_empty() {
                true => format!("{base} has no controllers"),
                false => format!("{base} has {}", tree.controllers.join(", ")),
            })
        };
        let why = skipped.map(|s| s.reason.clone()).or_else(|| {
            let unified = self.mode == Mode::Unified;
            unified.then(offers).flatten()
        });
        Error::Controller(match why {
            Some(why) => format!("{key}: {why}"),
            None => key.into(),
        })
    }

    /// Writes `lxc.cgroup.*` (v1) or `lxc.cgroup2.*` (pure cgroup2), whichever the layout has, in
    /// order; `devices.*` is left to [`Cgroups::attach_devices`].
    ///
    /// # Errors
    /// [`Error::Controller`] for a limit that has no writable hierarchy, [`Error::Write`] with the
    /// kernel's answer.
    pub fn apply_limits(&self, v1: &[(String, String)], v2: &[(String, String)]) -> Result<()> {
        let (version, limits) = match self.mode {
            Mode::Unified => (Version::V2, v2),
            _ => (Version::V1, v1),
        };
        if version == Version::V1 && v2.iter().any(|(key, _)| !key.starts_with("devices.")) {
            tracing::warn!("lxc.cgroup2 limits are ignored: the layout is not pure cgroup2");
        }
        let mut limits: Vec<_> = limits
            .iter()
            .filter(|(k, _)| !k.starts_with("devices."))
            .collect();
        // The kernel refuses memory+swap below memory, whatever the order in the file.
        limits.sort_by_key(|(key, _)| key == "memory.memsw.limit_in_bytes");
        for (key, value) in limits {
            if version == Version::V2 && !key.contains('.') {
                return Err(Error::Name(key.clone()));
            }
            file::set(self.limit_dir(key, Some(version))?, key, value)?;
        }
        Ok(())
    }
}
