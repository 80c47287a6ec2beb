//! The limits of cgroup v1 (`lxc.cgroup.FILE`) on a host that has v2 alone.

use std::fmt;
use std::path::Path;
use std::sync::LazyLock;

use crate::error::Location;
use crate::keys;

/// Whether this host has cgroup v2 alone: a v1 key then has no effect.
static UNIFIED: LazyLock<bool> =
    LazyLock::new(|| Path::new("/sys/fs/cgroup/cgroup.controllers").exists());

/// What becomes of the limits of cgroup v1 (`lxc.cgroup.FILE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum V1Limits {
    /// The host has v1 hierarchies: they are limits like any other.
    Accept,
    /// They are kept and have no effect; [`crate::Document::warnings`] tells where they stand.
    Warn,
    /// They are an error.
    Refuse,
}

impl Default for V1Limits {
    /// By this host: LXC 7.0.0 fails where LXC 5 and this crate go on with a warning.
    fn default() -> Self {
        if *UNIFIED { Self::Warn } else { Self::Accept }
    }
}

/// Something that was accepted and has no effect here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The line; `None`: set by [`crate::Document::set`].
    pub at: Option<Location>,
    /// The key.
    pub key: String,
    /// Why it has none, and what to write instead.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        write!(f, "{}: {}", self.key, self.message)
    }
}

pub(crate) const NO_V1: &str =
    "a cgroup v1 limit has no effect on this host, which has cgroup v2 alone: use lxc.cgroup2.FILE";

/// Whether the key is a limit of cgroup v1, or the family as a whole.
pub(crate) fn is_v1_limit(key: &str) -> bool {
    key == "lxc.cgroup" || key.starts_with("lxc.cgroup.") && !keys::is_cgroup_setting(key)
}
