//! One container's directories in one hierarchy, and how a directory comes to be.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::layout::Version;
use crate::{aside, file};

/// A hierarchy that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// What it has.
    pub controllers: Vec<String>,
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
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    pub(crate) fn root(&self) -> Option<&Path> {
        self.inner.as_deref().or(self.payload.as_deref())
    }
}

pub(crate) fn relative(tree: &Tree, dir: &Path) -> Option<String> {
    let path = dir.strip_prefix(&tree.mount).ok()?;
    Some(format!("/{}", path.display()))
}

/// All files are opened before the first write: v1 migrations right after one another share the
/// kernel's grace period.
pub(crate) fn enter<'a>(dirs: impl Iterator<Item = &'a Path>, pid: i32) -> Result<()> {
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
pub(crate) fn make_path(
    tree: &Tree,
    base: &Path,
    name: &str,
    reuse: bool,
    enable: bool,
) -> Result<PathBuf> {
    let parts: Vec<&str> = name
        .split('/')
        .filter(|p| !p.is_empty() && *p != ".")
        .collect();
    let mut dir = base.to_path_buf();
    for (index, part) in parts.iter().enumerate() {
        match enable {
            true if dir == tree.base => aside::enable_in_base(&dir)?,
            true => aside::enable_controllers(&dir)?,
            false => {}
        }
        dir.push(part);
        let last = index + 1 == parts.len();
        match fs::create_dir(&dir) {
            Ok(()) => inherit_cpuset(tree, &dir)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && (reuse || !last) => {
                inherit_cpuset(tree, &dir)?;
            }
            Err(source) => return Err(Error::Make { path: dir, source }),
        }
    }
    Ok(dir)
}

/// A v1 cpuset without CPUs or memory nodes takes no process: the parent's are copied, which may
/// have none either.
fn inherit_cpuset(tree: &Tree, dir: &Path) -> Result<()> {
    if tree.version == Version::V1 && tree.has("cpuset") {
        for name in ["cpuset.cpus", "cpuset.mems"] {
            inherit(&tree.mount, dir, name)?;
        }
    }
    Ok(())
}

fn inherit(mount: &Path, dir: &Path, name: &str) -> Result<String> {
    let own = file::get(dir, name)?;
    match dir.parent().filter(|_| own.is_empty() && dir != mount) {
        Some(parent) => {
            let value = inherit(mount, parent, name)?;
            file::set(dir, name, &value)?;
            Ok(value)
        }
        None => Ok(own),
    }
}
