//! One container's cgroups in all hierarchies: where they are, and how they are made and entered.

mod adopt;

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::devices::Rules;
use crate::entrance::Entrance;
use crate::error::{Error, Result};
use crate::layout::{Hierarchy, Layout, Mode, Version};
use crate::request::Request;
use crate::tree::{Skipped, Tree, enter, make_path, relative};
use crate::{aside, file, remove};

/// How often a taken name gets another suffix.
const SUFFIXES: u32 = 999;

/// The monitor's and the container's cgroups; can be handed to another process by serde.
#[derive(Debug, Serialize, Deserialize)]
pub struct Cgroups {
    /// The layout's kind.
    pub mode: Mode,
    /// The hierarchies in use. Empty: nothing is delegated to the caller.
    pub trees: Vec<Tree>,
    /// The hierarchies that are not.
    pub skipped: Vec<Skipped>,
    pub(crate) request: Request,
    pub(crate) rules: Rules,
    #[serde(skip)]
    pub(crate) program: Option<OwnedFd>,
}

impl Cgroups {
    /// Chooses the hierarchies and makes the monitor's cgroup in each.
    ///
    /// # Errors
    /// A bad name, a controller of `lxc.cgroup.use` that is nowhere, a directory that cannot be
    /// made. Hierarchies that the caller may not write are left out, which is no error.
    pub fn create_monitor(layout: &Layout, request: &Request) -> Result<Self> {
        Self::create_monitor_unless(layout, request, || true)
    }

    /// As [`Cgroups::create_monitor`]; a taken name is freed where its cgroups are empty and
    /// `in_use` says that no such container runs. A client that was killed while it waited for a
    /// monitor's end leaves such cgroups.
    ///
    /// # Errors
    /// As [`Cgroups::create_monitor`].
    pub fn create_monitor_unless(
        layout: &Layout,
        request: &Request,
        in_use: impl FnOnce() -> bool,
    ) -> Result<Self> {
        let mut cgroups = Self {
            mode: layout.mode,
            trees: Vec::new(),
            skipped: Vec::new(),
            request: request.clone(),
            rules: Rules::default(),
            program: None,
        };
        for hierarchy in &layout.hierarchies {
            cgroups.choose(hierarchy);
        }
        for wanted in &request.use_controllers {
            if !cgroups.trees.iter().any(|tree| tree.has(wanted)) {
                return Err(Error::Controller(wanted.clone()));
            }
        }
        let path = request.path("monitor", request.monitor.as_ref())?;
        let made = cgroups.make_unless(&path, request.monitor.is_some(), in_use)?;
        for (tree, dir) in cgroups.trees.iter_mut().zip(made) {
            tree.monitor = Some(dir);
        }
        Ok(cgroups)
    }

    /// Makes the container's cgroup in each hierarchy. [`Cgroups::create_inner`] comes next.
    ///
    /// # Errors
    /// As [`Cgroups::create_monitor`]; what was made by this call is removed again.
    pub fn create_payload(&mut self) -> Result<()> {
        self.create_payload_unless(|| true)
    }

    /// As [`Cgroups::create_payload`], with a taken name treated as by
    /// [`Cgroups::create_monitor_unless`].
    ///
    /// # Errors
    /// As [`Cgroups::create_payload`].
    pub fn create_payload_unless(&mut self, in_use: impl FnOnce() -> bool) -> Result<()> {
        // After a reboot: rules and program were those of the cgroup that is gone.
        self.rules = Rules::default();
        self.program = None;
        let container = self.request.container.as_ref();
        let path = self.request.path("payload", container)?;
        let made = self.make_unless(&path, container.is_some(), in_use)?;
        for (tree, dir) in self.trees.iter_mut().zip(made) {
            tree.payload = Some(dir);
        }
        Ok(())
    }

    /// Whether the device rules have to be set before [`Cgroups::create_inner`]: v1 refuses `a`
    /// once a cgroup has children.
    #[must_use]
    pub fn devices_first(&self) -> bool {
        self.request.inner.is_some() && self.mode != Mode::Unified
    }

    /// Makes `lxc.cgroup.dir.container.inner` below the container's cgroups, where it is asked for.
    ///
    /// # Errors
    /// As [`Cgroups::create_monitor`].
    pub fn create_inner(&mut self) -> Result<()> {
        let Some(inner) = self.request.inner.clone() else {
            return Ok(());
        };
        file::check_dir(&inner)?;
        for index in 0..self.trees.len() {
            let Some(payload) = self.trees[index].payload.clone() else {
                continue;
            };
            let dir = make_path(&self.trees[index], &payload, &inner, true, self.enables())?;
            self.trees[index].inner = Some(dir);
        }
        Ok(())
    }

    pub(crate) fn enables(&self) -> bool {
        self.mode == Mode::Unified
    }

    fn choose(&mut self, hierarchy: &Hierarchy) {
        let escape = !self.request.relative && nix::unistd::geteuid().is_root();
        let base = match hierarchy.init.as_ref().filter(|_| escape) {
            Some(init) => hierarchy.mount.join(init),
            None => aside::own_base(hierarchy),
        };
        let mut controllers = hierarchy.controllers.clone();
        let mut needed = vec![base.clone()];
        if hierarchy.version == Version::V2 {
            let offered = file::get(&base, "cgroup.controllers").unwrap_or_default();
            controllers = offered.split_ascii_whitespace().map(String::from).collect();
            needed.push(base.join("cgroup.procs"));
        }
        let allowed = &self.request.use_controllers;
        let unlisted = hierarchy.version == Version::V1
            && !allowed.is_empty()
            && controllers.iter().any(|c| !allowed.contains(c));
        let refused = needed
            .iter()
            .find_map(|path| file::writable(path).err().map(|e| (path, e)));
        let reason = match (unlisted, refused) {
            (true, _) => "not in lxc.cgroup.use".into(),
            (false, Some((path, errno))) => format!("{}: {errno}", path.display()),
            (false, None) => {
                self.trees.push(Tree {
                    version: hierarchy.version,
                    controllers,
                    mount: hierarchy.mount.clone(),
                    base,
                    monitor: None,
                    payload: None,
                    inner: None,
                });
                return;
            }
        };
        tracing::debug!(mount = %hierarchy.mount.display(), reason, "cgroup hierarchy left out");
        self.skipped.push(Skipped {
            controllers,
            mount: hierarchy.mount.clone(),
            reason,
        });
    }

    /// Makes one path in all hierarchies, as [`Cgroups::make`]; a taken name is freed first where it
    /// belongs to nobody.
    fn make_unless(
        &self,
        path: &str,
        fixed: bool,
        in_use: impl FnOnce() -> bool,
    ) -> Result<Vec<PathBuf>> {
        match self.make_in_all(path, fixed) {
            Err(error) if !fixed && is_taken(&error) => {
                let left = self.trees.iter().map(|tree| tree.base.join(path));
                let left: Vec<PathBuf> = left.filter(|dir| dir.exists()).collect();
                if left.iter().all(|dir| remove::is_vacant(dir)) && !in_use() {
                    for dir in left {
                        // Refused by the kernel when somebody has moved in meanwhile.
                        let _ = remove::remove(&dir, Duration::ZERO);
                    }
                }
                self.make(path, fixed)
            }
            made => made,
        }
    }

    /// Makes one path in all hierarchies; a name taken in any of them gets the next suffix in all.
    fn make(&self, path: &str, fixed: bool) -> Result<Vec<PathBuf>> {
        for suffix in 0..=SUFFIXES {
            let made = match suffix {
                0 => self.make_in_all(path, fixed),
                n => self.make_in_all(&format!("{path}-{n}"), fixed),
            };
            match made {
                Err(error) if !fixed && is_taken(&error) => {}
                made => return made,
            }
        }
        Err(Error::Clash(path.into()))
    }

    fn make_in_all(&self, path: &str, fixed: bool) -> Result<Vec<PathBuf>> {
        let mut made = Vec::with_capacity(self.trees.len());
        for tree in &self.trees {
            match make_path(tree, &tree.base, path, fixed, self.enables()) {
                Ok(dir) => made.push(dir),
                Err(error) => {
                    let undo = made.into_iter().filter(|_| !fixed);
                    undo.for_each(|dir| drop(fs::remove_dir(dir)));
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    /// The monitor's cgroups, to be entered by the monitor itself.
    ///
    /// # Errors
    /// [`Error::Write`] or [`Error::Read`] for one that cannot be opened.
    pub fn monitor_entrance(&self) -> Result<Entrance> {
        let dirs = self.trees.iter();
        Entrance::open(dirs.filter_map(|t| Some((t.version, t.monitor.as_deref()?))))
    }

    /// The container's (inner) cgroups, to be entered by its first process itself.
    ///
    /// # Errors
    /// As [`Cgroups::monitor_entrance`].
    pub fn payload_entrance(&self) -> Result<Entrance> {
        let dirs = self.trees.iter();
        Entrance::open(dirs.filter_map(|t| Some((t.version, t.root()?))))
    }

    /// Moves a process into the container's (inner) cgroups.
    ///
    /// # Errors
    /// [`Error::Write`] with the kernel's answer.
    pub fn enter_payload(&self, pid: i32) -> Result<()> {
        enter(self.trees.iter().filter_map(Tree::root), pid)
    }

    /// The container's (inner) directory of each hierarchy, opened.
    ///
    /// # Errors
    /// [`Error::Read`] for one that has vanished.
    pub fn dirfds(&self) -> Result<Vec<OwnedFd>> {
        let roots = self.trees.iter().filter_map(Tree::root);
        roots
            .map(|dir| {
                File::open(dir)
                    .map(OwnedFd::from)
                    .map_err(|source| Error::Read {
                        path: dir.into(),
                        source,
                    })
            })
            .collect()
    }

    /// The tree with a controller (`freezer` and `devices` are part of every pure cgroup2).
    #[must_use]
    pub fn tree(&self, controller: Option<&str>) -> Option<&Tree> {
        let Some(name) = controller else {
            return self.trees.first();
        };
        let always = self.mode == Mode::Unified && matches!(name, "freezer" | "devices" | "cgroup");
        let unified = |t: &&Tree| t.version == Version::V2 && (always || name == "unified");
        let found = self.trees.iter().find(|t| t.has(name));
        found.or_else(|| self.trees.iter().find(unified))
    }

    /// The container's (inner) cgroup, relative to its mount, with a leading slash.
    #[must_use]
    pub fn path(&self, controller: Option<&str>) -> Option<String> {
        let tree = self.tree(controller)?;
        relative(tree, tree.root()?)
    }

    /// The cgroup with the limits, relative to its mount, with a leading slash.
    #[must_use]
    pub fn limit_path(&self, controller: Option<&str>) -> Option<String> {
        let tree = self.tree(controller)?;
        relative(tree, tree.payload.as_deref()?)
    }
}

fn is_taken(error: &Error) -> bool {
    error.errno() == Some(nix::errno::Errno::EEXIST as i32)
}
