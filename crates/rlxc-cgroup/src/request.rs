//! What a configuration says about the places of a container's cgroups.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::file;

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
    pub(crate) fn path(&self, role: &str, fixed: Option<&String>) -> Result<String> {
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
