//! What a start is going to do, computed before anything is done.

mod compute;
mod display;
mod mounts;
mod words;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rlxc_config::{Config, IdMap, MountEntry, Namespace, NamespaceSet, TimeOffset};
use serde::{Deserialize, Serialize};

pub use compute::{HostFacts, PlanError, PlanInput};
pub use words::split_words;

/// What is started in the container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Init itself, as `lxc-start` does.
    #[default]
    Start,
    /// One program below a small init that stays, as `lxc-execute` does.
    Execute,
}

/// Everything a start does, in order; plain data that needs no privilege to make and to look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The container's name.
    pub name: String,
    /// Its lxcpath, as given: it is part of the command socket's name.
    pub lxcpath: PathBuf,
    /// System or application container.
    pub mode: Mode,
    /// Whether the monitor leaves its caller's terminal and session.
    pub daemonize: bool,
    /// Whether the starter is root in its user namespace.
    pub privileged: bool,
    /// Which namespaces, new and shared.
    pub namespaces: NamespacePlan,
    /// The id maps of the new user namespace; empty without one.
    pub id_maps: Vec<IdMap>,
    /// The starter's login name, by which its subordinate ids are found. The monitor may be a static program, to
    /// which not every source of users (NSS) is open.
    #[serde(default)]
    pub user: String,
    /// The root file system; `None`: the host's own tree.
    pub rootfs: Option<RootfsPlan>,
    /// All mounts below the rootfs, in order.
    pub mounts: Vec<MountStep>,
    /// Device nodes made in /dev, in order.
    pub devices: Vec<Device>,
    /// Symbolic links made in /dev: name, target.
    pub links: Vec<(String, String)>,
    /// Console, ttys and devpts.
    pub terminals: TerminalPlan,
    /// The first process.
    pub init: InitPlan,
    /// `lxc.cgroup.pattern` of lxc.conf.
    pub cgroup_pattern: Option<String>,
    /// `lxc.cgroup.use` of lxc.conf.
    pub cgroup_use: Option<String>,
    /// Where the monitor's pid is written.
    pub pid_file: Option<PathBuf>,
    /// Whether inherited descriptors above 2 are closed.
    pub close_all_fds: bool,
    /// The log file in use, if any, opened again by the monitor.
    pub log_file: Option<PathBuf>,
    /// The log level in use, 0 to 8.
    pub log_level: Option<u8>,
    /// What the log lines of the monitor begin with.
    pub log_prefix: String,
    /// A restore from a checkpoint in place of the first start.
    #[serde(default)]
    pub restore: Option<crate::criu::RestorePlan>,
    /// The configuration behind it: limits, filters, hooks, nics, environment.
    pub config: Config,
}

impl Plan {
    /// Whether `lxc.cgroup.devices.*` or `lxc.cgroup2.devices.*` is set.
    pub(crate) fn has_device_rules(&self) -> bool {
        let limits = self.config.cgroup1.iter().chain(&self.config.cgroup2);
        limits
            .into_iter()
            .any(|(file, _)| file.starts_with("devices."))
    }

    /// Whether the monitor sends its child a message before the set-up: id maps or idmapped trees.
    pub(crate) fn has_maps(&self) -> bool {
        self.namespaces.clone.contains(Namespace::User)
            || crate::idmapped::of_rootfs(self).is_some()
            || self
                .mounts
                .iter()
                .any(|step| matches!(step, MountStep::Entry { entry, .. } if entry.idmap.is_some()))
    }
}

/// The namespaces of the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespacePlan {
    /// New ones.
    pub clone: NamespaceSet,
    /// Taken from elsewhere: a path, a pid or a container's name.
    pub share: BTreeMap<Namespace, String>,
    /// The clocks' offsets of a new time namespace.
    pub time: TimeOffset,
}

/// The root file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootfsPlan {
    /// Backend as configured, if named.
    pub backend: Option<String>,
    /// Path as configured, without the backend.
    pub source: String,
    /// Where it is mounted while the container is set up.
    pub mount: PathBuf,
    /// `lxc.rootfs.options`
    pub options: Option<String>,
}

/// One step of building the mount tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountStep {
    /// A host directory that keeps receiving mounts: shared bind of `host` at `container`.
    Shared {
        /// On the host
        host: String,
        /// Below the rootfs
        container: String,
    },
    /// tmpfs of that many bytes on /dev.
    Dev {
        /// Bytes
        size: u32,
    },
    /// /proc; mixed: with /proc/sys and /proc/sysrq-trigger read-only.
    Proc {
        /// Parts are read-only
        mixed: bool,
        /// /proc/sys/net stays writable
        net: bool,
    },
    /// /sys
    Sys(SysMode),
    /// A line of `lxc.mount.entry` or of the fstab.
    Entry {
        /// Where it was read, for messages: `lxc.mount.entry` or `FILE:LINE`
        origin: String,
        /// What it says
        entry: MountEntry,
    },
    /// cgroup file systems, by the bits of `lxc.mount.auto`.
    Cgroup {
        /// Bits of `rlxc_config::auto_mount`
        bits: u32,
    },
}

/// `lxc.mount.auto = sys:…`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SysMode {
    /// Writable.
    Rw,
    /// Read-only.
    Ro,
    /// Read-only but for /sys/devices/virtual/net.
    Mixed,
}

/// A character device in /dev.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Device {
    pub name: String,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
}

/// Console, ttys and devpts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalPlan {
    /// Whether /dev/console is a pty of the container.
    pub console: bool,
    /// How many /dev/ttyN.
    pub ttys: u32,
    /// Directory below /dev for them.
    pub dir: Option<String>,
    /// `max=` of the devpts instance; 0: no devpts.
    pub devpts_max: u32,
    /// Whether the devpts instance stays mounted (`lxc.pty.max` > 0).
    pub devpts_stays: bool,
    /// Whether the console's pty comes from the host's devpts (`lxc.pty.max` ≤ 1).
    pub console_from_host: bool,
}

/// The first process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitPlan {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// User id inside.
    pub uid: u32,
    /// Group id inside.
    pub gid: u32,
    /// Supplementary groups; `None`: none, where they may be dropped.
    pub groups: Option<Vec<u32>>,
    /// Working directory.
    pub cwd: Option<String>,
    /// Signal that init gets when its monitor dies; 0: none.
    pub death_signal: i32,
}
