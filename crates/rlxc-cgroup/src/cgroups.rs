//! One container's cgroups in all hierarchies.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::{AccessFlags, eaccess};
use serde::{Deserialize, Serialize};

use crate::devices::{Rule, Rules};
use crate::entrance::Entrance;
use crate::error::{Error, Result};
use crate::layout::{Hierarchy, Layout, Mode, Version};
use crate::{file, freezer, remove};

/// How often a taken name gets another suffix.
const SUFFIXES: u32 = 999;

/// What a container's configuration says about its cgroups' places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The container's name.
    pub name: String,
    /// `lxc.cgroup.dir`
    pub dir: Option<String>,
    /// `lxc.cgroup.dir.monitor`, used as it is
    pub monitor: Option<String>,
    /// `lxc.cgroup.dir.monitor.pivot`
    pub pivot: Option<String>,
    /// `lxc.cgroup.dir.container`, used as it is
    pub container: Option<String>,
    /// `lxc.cgroup.dir.container.inner`
    pub inner: Option<String>,
    /// `lxc.cgroup.relative`, or a caller that is not root: below the caller's own cgroup.
    pub relative: bool,
    /// `lxc.cgroup.pattern` of lxc.conf; `%n` is the name
    pub pattern: Option<String>,
    /// `lxc.cgroup.use` of lxc.conf; empty: all
    pub use_controllers: Vec<String>,
}

impl Request {
    fn path(&self, role: &str, fixed: Option<&String>) -> Result<String> {
        let path = match (fixed, &self.dir, &self.pattern) {
            (Some(fixed), _, _) => fixed.clone(),
            (None, Some(dir), _) => format!("{dir}/lxc.{role}.{}", self.name),
            (None, None, Some(pattern)) => {
                format!(
                    "{}/{role}",
                    pattern.replace("%n", &self.name).trim_matches('/')
                )
            }
            (None, None, None) => format!("lxc.{role}.{}", self.name),
        };
        file::check_dir(&path)?;
        Ok(path)
    }
}

/// A hierarchy that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Why: not writable, or not in `lxc.cgroup.use`.
    pub reason: String,
}

/// The container's directories in one hierarchy; all paths absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// v1 or v2.
    pub version: Version,
    /// v1: as in the layout; v2: what the base offers.
    pub controllers: Vec<String>,
    /// The hierarchy's mount.
    pub mount: PathBuf,
    /// Below this all directories are made.
    pub base: PathBuf,
    /// The monitor's.
    pub monitor: Option<PathBuf>,
    /// The container's, which carries the limits.
    pub payload: Option<PathBuf>,
    /// The container's namespace root, where it differs from the payload.
    pub inner: Option<PathBuf>,
}

impl Tree {
    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    fn root(&self) -> Option<&Path> {
        self.inner.as_deref().or(self.payload.as_deref())
    }
}

/// The monitor's and the container's cgroups; can be handed to another process by serde.
#[derive(Debug, Serialize, Deserialize)]
pub struct Cgroups {
    /// The layout's kind.
    pub mode: Mode,
    /// The hierarchies in use. Empty: nothing is delegated to the caller.
    pub trees: Vec<Tree>,
    /// The hierarchies that are not.
    pub skipped: Vec<Skipped>,
    request: Request,
    rules: Rules,
    #[serde(skip)]
    program: Option<OwnedFd>,
}

impl Cgroups {
    /// Chooses the hierarchies and makes the monitor's cgroup in each.
    ///
    /// # Errors
    /// A bad name, a controller of `lxc.cgroup.use` that is nowhere, a directory that cannot be
    /// made. Hierarchies that the caller may not write are left out, which is no error.
    pub fn create_monitor(layout: &Layout, request: &Request) -> Result<Self> {
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
        let made = cgroups.make(&path, request.monitor.is_some())?;
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
        // After a reboot: rules and program were those of the cgroup that is gone.
        self.rules = Rules::default();
        self.program = None;
        let path = self
            .request
            .path("payload", self.request.container.as_ref())?;
        let made = self.make(&path, self.request.container.is_some())?;
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

    fn enables(&self) -> bool {
        self.mode == Mode::Unified
    }

    fn choose(&mut self, hierarchy: &Hierarchy) {
        let escape = !self.request.relative && nix::unistd::geteuid().is_root();
        let init = hierarchy.init.as_ref().filter(|_| escape);
        let base = hierarchy.mount.join(init.unwrap_or(&hierarchy.own));
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
            .find_map(|path| eaccess(path, AccessFlags::W_OK).err().map(|e| (path, e)));
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
            mount: hierarchy.mount.clone(),
            reason,
        });
    }

    /// Makes one path in all hierarchies; a name taken in any of them gets the next suffix in all.
    fn make(&self, path: &str, fixed: bool) -> Result<Vec<PathBuf>> {
        for suffix in 0..=SUFFIXES {
            let name = match suffix {
                0 => path.to_owned(),
                n => format!("{path}-{n}"),
            };
            let mut made = Vec::with_capacity(self.trees.len());
            let failed = self.trees.iter().find_map(|tree| {
                let dir = make_path(tree, &tree.base, &name, fixed, self.enables());
                dir.map(|dir| made.push(dir)).err()
            });
            let Some(error) = failed else {
                return Ok(made);
            };
            if !fixed {
                for dir in made {
                    let _ = fs::remove_dir(dir);
                }
            }
            if fixed || error.errno() != Some(nix::errno::Errno::EEXIST as i32) {
                return Err(error);
            }
        }
        Err(Error::Clash(path.into()))
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

    fn limit_dir(&self, key: &str, version: Option<Version>) -> Result<&Path> {
        let controller = key.split('.').next().unwrap_or(key);
        let tree = self.tree(Some(controller));
        let tree = tree.filter(|t| version.is_none_or(|v| v == t.version));
        tree.and_then(|t| t.payload.as_deref())
            .ok_or_else(|| Error::Controller(key.into()))
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

    /// Applies the `devices.allow` and `devices.deny` lines of the layout's own version.
    ///
    /// # Errors
    /// [`Error::Rule`], [`Error::Controller`], [`Error::Write`], [`Error::Devices`].
    pub fn attach_devices(
        &mut self,
        v1: &[(String, String)],
        v2: &[(String, String)],
    ) -> Result<()> {
        let lines = if self.mode == Mode::Unified { v2 } else { v1 };
        let mut changed = false;
        for (key, value) in lines {
            let allow = match key.as_str() {
                "devices.allow" => true,
                "devices.deny" => false,
                key if key.starts_with("devices.") => return Err(Error::Name(key.into())),
                _ => continue,
            };
            let rule = Rule::parse(allow, value)?;
            self.rules.add(rule);
            changed = true;
            if self.mode != Mode::Unified {
                file::set(
                    self.limit_dir(key, Some(Version::V1))?,
                    key,
                    &v1_line(&rule),
                )?;
            }
        }
        match changed && self.mode == Mode::Unified {
            true => self.load_program(),
            false => Ok(()),
        }
    }

    /// Adds one rule to a running container.
    ///
    /// # Errors
    /// As [`Cgroups::attach_devices`]; the old rules stay in force.
    pub fn add_device(&mut self, allow: bool, rule: &str) -> Result<()> {
        let key = if allow {
            "devices.allow"
        } else {
            "devices.deny"
        };
        let line = [(key.to_owned(), rule.to_owned())];
        let before = self.rules.clone();
        if self.mode == Mode::Unified && self.rules.is_empty() {
            // Nothing is restricted yet: there is nothing to allow, and a denial leaves the rest.
            let parsed = Rule::parse(allow, rule)?;
            if allow {
                return Ok(());
            }
            if !parsed.is_all() {
                self.rules.add(Rule::parse(true, "a")?);
            }
        }
        let done = self.attach_devices(&line, &line);
        if done.is_err() {
            self.rules = before;
        }
        done
    }

    /// The ids of the device programs in force on the container's cgroup2; empty where v1 rules.
    ///
    /// # Errors
    /// [`Error::Devices`].
    pub fn device_programs(&self) -> Result<Vec<u32>> {
        let Ok(path) = self.limit_dir("devices", Some(Version::V2)) else {
            return Ok(Vec::new());
        };
        File::open(path)
            .and_then(rlxc_sys::bpf::query_device_programs)
            .map_err(|source| Error::Devices {
                path: path.into(),
                source,
            })
    }

    fn load_program(&mut self) -> Result<()> {
        let path = self.limit_dir("devices", Some(Version::V2))?.to_path_buf();
        let fail = |source: io::Error| Error::Devices {
            path: path.clone(),
            source,
        };
        let program = rlxc_sys::bpf::load_device_program(&self.rules.program()).map_err(fail)?;
        let dir = File::open(&path).map_err(fail)?;
        rlxc_sys::bpf::attach_device_program(&dir, &program, self.program.as_ref())
            .map_err(fail)?;
        self.program = Some(program);
        Ok(())
    }

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
        for dir in self.trees.iter().filter_map(|t| t.payload.as_deref()) {
            remove::kill_all(dir);
        }
    }

    /// Waits until the container's cgroup2 is empty, by events; true at once without cgroup2.
    ///
    /// # Errors
    /// [`Error::Timeout`]; [`Error::Read`] when the cgroup has vanished.
    pub fn wait_empty(&self, timeout: Duration) -> Result<()> {
        let tree = self.trees.iter().find(|t| t.version == Version::V2);
        match tree.and_then(|t| t.payload.as_deref()) {
            Some(dir) => freezer::event(dir, "populated 0", Some(Instant::now() + timeout)),
            None => Ok(()),
        }
    }

    /// Removes the container's cgroups with all below them; busy ones are tried for `timeout`.
    ///
    /// # Errors
    /// The first failure, after all hierarchies were tried.
    pub fn destroy_payload(&mut self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        // Without cgroup2 the kernel tells nobody when a cgroup is empty: removing is then tried anew.
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

    /// Moves the calling monitor, which has one thread, into its pivot cgroup, `lxc.pivot` below `lxc.cgroup.dir.monitor.pivot`
    /// or `lxc.cgroup.dir`, and removes the monitor's.
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

fn relative(tree: &Tree, dir: &Path) -> Option<String> {
    let path = dir.strip_prefix(&tree.mount).ok()?;
    Some(format!("/{}", path.display()))
}

/// All files are opened before the first write: v1 migrations right after one another share the
/// kernel's grace period.
fn enter<'a>(dirs: impl Iterator<Item = &'a Path>, pid: i32) -> Result<()> {
    let fail = |path: &Path, source| Error::Write {
        path: path.into(),
        value: pid.to_string(),
        source,
    };
    let mut files = Vec::new();
    for dir in dirs {
        let path = dir.join("cgroup.procs");
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|e| fail(&path, e))?;
        files.push((path, file));
    }
    for (path, mut file) in files {
        file.write_all(pid.to_string().as_bytes())
            .map_err(|e| fail(&path, e))?;
    }
    Ok(())
}

/// Makes `name` below `base`, parents included; the last directory must be new unless `reuse`.
fn make_path(tree: &Tree, base: &Path, name: &str, reuse: bool, enable: bool) -> Result<PathBuf> {
    let parts: Vec<&str> = name
        .split('/')
        .filter(|p| !p.is_empty() && *p != ".")
        .collect();
    let mut dir = base.to_path_buf();
    for (index, part) in parts.iter().enumerate() {
        if enable {
            enable_controllers(&dir)?;
        }
        dir.push(part);
        let last = index + 1 == parts.len();
        match fs::create_dir(&dir) {
            Ok(()) => inherit_cpuset(tree, &dir)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && (reuse || !last) => {}
            Err(source) => return Err(Error::Make { path: dir, source }),
        }
    }
    Ok(dir)
}

/// Enables in `dir`'s children every controller that `dir` has and that is not enabled yet.
fn enable_controllers(dir: &Path) -> Result<()> {
    let have = file::get(dir, "cgroup.controllers")?;
    let on = file::get(dir, "cgroup.subtree_control")?;
    let on: Vec<&str> = on.split_ascii_whitespace().collect();
    let missing = have.split_ascii_whitespace().filter(|c| !on.contains(c));
    let line: Vec<String> = missing.map(|c| format!("+{c}")).collect();
    match line.is_empty() {
        true => Ok(()),
        false => file::set(dir, "cgroup.subtree_control", &line.join(" ")),
    }
}

/// A v1 cpuset without CPUs or memory nodes takes no process: the parent's are copied.
fn inherit_cpuset(tree: &Tree, dir: &Path) -> Result<()> {
    let Some(parent) = dir
        .parent()
        .filter(|_| tree.version == Version::V1 && tree.has("cpuset"))
    else {
        return Ok(());
    };
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if file::get(dir, name)?.is_empty() {
            file::set(dir, name, &file::get(parent, name)?)?;
        }
    }
    Ok(())
}

/// The rule as the v1 files take it.
fn v1_line(rule: &Rule) -> String {
    let Some(kind) = rule.kind else {
        return "a".into();
    };
    let letter = if kind == crate::devices::Kind::Block {
        'b'
    } else {
        'c'
    };
    let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
    let access = ['m', 'r', 'w'].iter().enumerate();
    let access: String = access
        .filter(|(i, _)| rule.access & 1 << i != 0)
        .map(|(_, c)| c)
        .collect();
    format!(
        "{letter} {}:{} {access}",
        number(rule.major),
        number(rule.minor)
    )
}
