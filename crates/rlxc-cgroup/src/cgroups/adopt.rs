//! Cgroups of a container that runs already: found again by a monitor that takes it over.

use std::path::{Path, PathBuf};

use super::{Cgroups, Request};
use crate::error::{Error, Result};
use crate::layout::{Hierarchy, Layout, Mode, Version};

impl Cgroups {
    /// The cgroups of the container whose first process is `pid`, as [`Cgroups::create_monitor`]
    /// and [`Cgroups::create_payload`] made them. A hierarchy in which the process is in no cgroup
    /// of that container is left out.
    ///
    /// # Errors
    /// [`Error::Read`] when the process is gone; a bad name in the request.
    pub fn of_process(request: &Request, pid: i32) -> Result<Self> {
        let read = |path: String| {
            std::fs::read_to_string(&path).map_err(|source| Error::Read {
                path: path.into(),
                source,
            })
        };
        let layout = Layout::parse(
            &read("/proc/self/mountinfo".into())?,
            &read(format!("/proc/{pid}/cgroup"))?,
            "",
        );
        let mut cgroups = Self::default_for(layout.mode, request);
        // The process's own cgroup stands for the caller's, so that its base is looked at.
        for hierarchy in &layout.hierarchies {
            cgroups.find(hierarchy)?;
        }
        Ok(cgroups)
    }

    fn default_for(mode: Mode, request: &Request) -> Self {
        Self {
            mode,
            trees: Vec::new(),
            skipped: Vec::new(),
            request: request.clone(),
            rules: crate::devices::Rules::default(),
            program: None,
        }
    }

    fn find(&mut self, hierarchy: &Hierarchy) -> Result<()> {
        let wanted = self
            .request
            .path("payload", self.request.container.as_ref())?;
        let Some((base, suffix)) = base_of(&hierarchy.own, Path::new(wanted.trim_matches('/')))
        else {
            return Ok(());
        };
        let base = hierarchy.mount.join(base);
        let with = |path: &str, fixed: bool| {
            let suffix = if fixed { "" } else { suffix.as_str() };
            base.join(format!("{}{suffix}", path.trim_matches('/')))
        };
        let monitor = self
            .request
            .path("monitor", self.request.monitor.as_ref())?;
        let payload = with(&wanted, self.request.container.is_some());
        let inner = self.request.inner.as_ref().map(|inner| payload.join(inner));
        let controllers = match hierarchy.version {
            Version::V1 => hierarchy.controllers.clone(),
            Version::V2 => crate::file::get(&base, "cgroup.controllers")
                .unwrap_or_default()
                .split_ascii_whitespace()
                .map(String::from)
                .collect(),
        };
        self.trees.push(super::Tree {
            version: hierarchy.version,
            controllers,
            mount: hierarchy.mount.clone(),
            monitor: Some(with(&monitor, self.request.monitor.is_some())),
            inner: inner.filter(|dir| dir.is_dir()),
            payload: Some(payload),
            base,
        });
        Ok(())
    }

    /// Whether process `pid` is in the container's cgroups, in every hierarchy.
    #[must_use]
    pub fn has_process(&self, pid: i32) -> bool {
        let Ok(found) = std::fs::read_to_string(format!("/proc/{pid}/cgroup")) else {
            return false;
        };
        let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else {
            return false;
        };
        let layout = Layout::parse(&mounts, &found, "");
        self.trees.iter().all(|tree| {
            let own = layout.hierarchies.iter().find(|h| h.mount == tree.mount);
            let place = own.map(|h| h.mount.join(&h.own));
            let payload = tree.payload.as_deref();
            place.is_some_and(|place| payload.is_some_and(|dir| place.starts_with(dir)))
        })
    }

    /// For a monitor that takes the container over: makes the monitor's cgroups again where they
    /// have been removed, and finds the device program that is in force.
    ///
    /// # Errors
    /// [`Error::Make`] for a directory that cannot be made.
    pub fn take_back(&mut self) -> Result<()> {
        for tree in &self.trees {
            let Some(dir) = tree.monitor.as_deref().filter(|dir| !dir.is_dir()) else {
                continue;
            };
            let name = dir.strip_prefix(&tree.base).unwrap_or(dir);
            let name = name.to_string_lossy().into_owned();
            super::make_path(tree, &tree.base, &name, true, self.enables())?;
        }
        if self.mode == Mode::Unified && !self.rules.is_empty() {
            // Who loaded it is gone: the descriptor by which it can be replaced is opened anew.
            let programs = self.device_programs().unwrap_or_default();
            if let [only] = programs.as_slice() {
                self.program = rlxc_sys::bpf::program_by_id(*only).ok();
            }
        }
        Ok(())
    }
}

/// Of a process's cgroup: what lies above `wanted`, and the number that was appended to it.
fn base_of(own: &Path, wanted: &Path) -> Option<(PathBuf, String)> {
    let last = wanted.file_name()?.to_str()?;
    own.ancestors().find_map(|dir| {
        let name = dir.file_name()?.to_str()?;
        let suffix = name.strip_prefix(last)?;
        let number = suffix.strip_prefix('-');
        let is_number =
            number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        if !suffix.is_empty() && !is_number {
            return None;
        }
        let above = match wanted.parent() {
            Some(parent) if parent != Path::new("") => {
                let mut base = dir.parent()?;
                for part in parent.components().rev() {
                    (base.file_name()? == part.as_os_str()).then_some(())?;
                    base = base.parent()?;
                }
                base
            }
            _ => dir.parent()?,
        };
        Some((above.to_path_buf(), suffix.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_what_lies_above_the_containers_own_path() {
        let base = |own: &str, wanted: &str| {
            base_of(Path::new(own), Path::new(wanted))
                .map(|(base, suffix)| (base.to_string_lossy().into_owned(), suffix))
        };
        let found = |base: &str, suffix: &str| Some((base.to_owned(), suffix.to_owned()));
        assert_eq!(
            base("lxc.payload.c/init.scope", "lxc.payload.c"),
            found("", "")
        );
        assert_eq!(
            base("a/b/lxc.payload.c-2", "lxc.payload.c"),
            found("a/b", "-2")
        );
        assert_eq!(base("u/lxc/c/payload/x", "lxc/c/payload"), found("u", ""));
        assert_eq!(base("u/lxc/d/payload/x", "lxc/c/payload"), None);
        assert_eq!(base("lxc.payload.c-x", "lxc.payload.c"), None);
        assert_eq!(base("lxc.payload.cc", "lxc.payload.c"), None);
    }
}
