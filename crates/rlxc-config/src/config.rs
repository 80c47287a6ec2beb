//! The typed configuration: what the key table's handlers write and every other crate reads.
//!
//! Field docs name their key; meaning, default and syntax are in the key table.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

mod mounts;
mod named;
mod namespace;
mod net;
mod texts;

pub use mounts::{AutoMounts, CreateTarget, IdmapSource, MountEntry, Mounts, auto_mount};
pub use named::{Extra, Limits, Named, Pairs, Rows};
pub use namespace::{Namespace, NamespaceSet};
pub use net::*;
pub use texts::Texts;

/// Everything a container's configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// `lxc.arch`
    pub arch: Option<Personality>,
    /// `lxc.apparmor.*`
    pub apparmor: AppArmor,
    /// `lxc.selinux.*`
    pub selinux: SeLinux,
    /// `lxc.autodev`, `lxc.autodev.tmpfs.size`
    pub autodev: Autodev,
    /// `lxc.cap.*`
    pub caps: Capabilities,
    /// `lxc.cgroup.<file>` (v1), in order; the file name without the prefix.
    pub cgroup1: Pairs,
    /// `lxc.cgroup2.<file>`, in order.
    pub cgroup2: Pairs,
    /// `lxc.cgroup.dir*`, `lxc.cgroup.relative`
    pub cgroup: CgroupDirs,
    /// `lxc.console.*`
    pub console: Console,
    /// `lxc.sched.core`
    pub sched_core: bool,
    /// `lxc.environment`: for init, hooks and attached processes; (name, value).
    pub environment: Pairs,
    /// `lxc.environment.runtime`: for init only.
    pub environment_runtime: Pairs,
    /// `lxc.environment.hooks`: for hooks only.
    pub environment_hooks: Pairs,
    /// `lxc.ephemeral`
    pub ephemeral: bool,
    /// `lxc.execute.cmd`
    pub execute_cmd: Option<String>,
    /// `lxc.group`
    pub groups: Vec<String>,
    /// `lxc.hook.*`
    pub hooks: Hooks,
    /// `lxc.idmap`
    pub idmap: Vec<IdMap>,
    /// `lxc.init.*`
    pub init: Init,
    /// `lxc.keyring.session = 1` (which disables the new session keyring).
    pub no_session_keyring: bool,
    /// `lxc.log.*`
    pub log: Log,
    /// `lxc.monitor.unshare`: any number but 0 is a yes.
    pub monitor_unshare: u32,
    /// `lxc.monitor.signal.pdeath`: `None` = the default (SIGKILL); `Some(0)` = none.
    pub monitor_signal_pdeath: Option<i32>,
    /// `lxc.mount.*`
    pub mounts: Mounts,
    /// `lxc.namespace.clone`: if set, only these.
    pub namespace_clone: NamespaceSet,
    /// `lxc.namespace.keep`: if set, all but these.
    pub namespace_keep: NamespaceSet,
    /// `lxc.namespace.share.<ns>`: path, pid or container name as given.
    pub namespace_share: BTreeMap<Namespace, String>,
    /// `lxc.time.offset.*`
    pub time_offset: TimeOffset,
    /// `lxc.net.N.*`, sorted by N.
    pub net: BTreeMap<u32, Nic>,
    /// `lxc.no_new_privs`
    pub no_new_privs: bool,
    /// `lxc.prlimit.<resource>`: resource name as given → (soft, hard), `None` = unlimited.
    pub prlimits: Limits,
    /// `lxc.proc.<name>`
    pub procfs: Pairs,
    /// `lxc.sysctl.<name>`
    pub sysctl: Pairs,
    /// `lxc.pty.max`
    pub pty_max: u32,
    /// `lxc.tty.*`
    pub tty: Tty,
    /// `lxc.rootfs.*`
    pub rootfs: Rootfs,
    /// `lxc.seccomp.*`
    pub seccomp: Seccomp,
    /// `lxc.signal.*`
    pub signals: Signals,
    /// `lxc.start.*`
    pub start: AutoStart,
    /// `lxc.uts.name`
    pub uts_name: Option<String>,
    /// The first file read into this configuration (exported to hooks as LXC_CONFIG_FILE).
    pub rcfile: Option<PathBuf>,
}

/// What holds where a key is not set.
impl Config {
    /// `lxc.rootfs.mount`, by default LIBDIR/lxc/rootfs.
    pub fn rootfs_mount(&self) -> PathBuf {
        match &self.rootfs.mount {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(crate::paths::default_rootfs_mount()),
        }
    }

    /// Bytes of the tmpfs on /dev: `lxc.autodev.tmpfs.size`, by default 500000.
    pub fn autodev_tmpfs_bytes(&self) -> u32 {
        match self.autodev.tmpfs_size {
            0 => 500_000,
            size => size,
        }
    }

    /// `lxc.signal.stop`, by default SIGKILL.
    pub fn stop_signal(&self) -> i32 {
        set_signal(self.signals.stop).unwrap_or(libc::SIGKILL)
    }

    /// `lxc.signal.reboot`, by default SIGINT.
    pub fn reboot_signal(&self) -> i32 {
        set_signal(self.signals.reboot).unwrap_or(libc::SIGINT)
    }

    /// `lxc.signal.halt`; by default SIGPWR, or SIGRTMIN+3 if init blocks that one (systemd does).
    pub fn halt_signal(&self, init_blocks_rtmin3: bool) -> i32 {
        const SIGRTMIN_3: i32 = 37;
        let default = if init_blocks_rtmin3 {
            SIGRTMIN_3
        } else {
            libc::SIGPWR
        };
        set_signal(self.signals.halt).unwrap_or(default)
    }

    /// `lxc.monitor.signal.pdeath`, by default SIGKILL; 0 = none.
    pub fn pdeath_signal(&self) -> i32 {
        self.monitor_signal_pdeath.unwrap_or(libc::SIGKILL)
    }
}

/// Zero means "not set" to LXC.
fn set_signal(signal: Option<i32>) -> Option<i32> {
    signal.filter(|n| *n != 0)
}

/// Execution domain of `lxc.arch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Personality {
    /// PER_LINUX32 (8)
    Linux32,
    /// PER_LINUX (0)
    Linux,
}

/// `lxc.apparmor.*`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppArmor {
    /// `.profile`
    pub profile: Option<String>,
    /// `.allow_incomplete`
    pub allow_incomplete: bool,
    /// `.allow_nesting`
    pub allow_nesting: bool,
    /// `.raw`
    pub raw: Vec<String>,
}

/// `lxc.selinux.*`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeLinux {
    /// `.context`
    pub context: Option<String>,
    /// `.context.keyring`
    pub context_keyring: Option<String>,
}

/// `lxc.autodev*`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Autodev {
    /// `lxc.autodev`, 1 by default
    pub enabled: bool,
    /// `lxc.autodev.tmpfs.size` in bytes; 0 = 500000 at mount
    pub tmpfs_size: u32,
}

impl Default for Autodev {
    fn default() -> Self {
        Self {
            enabled: true,
            tmpfs_size: 0,
        }
    }
}

/// `lxc.cap.*`: the two lists exclude each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// `.drop`, names or numbers as given
    pub drop: Vec<String>,
    /// `.keep`: `Some` switches to keep mode (an empty list keeps nothing)
    pub keep: Option<Vec<String>>,
}

/// `lxc.cgroup.dir*`, `lxc.cgroup.relative`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupDirs {
    /// `lxc.cgroup.dir`
    pub dir: Option<String>,
    /// `lxc.cgroup.dir.monitor`
    pub monitor: Option<String>,
    /// `lxc.cgroup.dir.monitor.pivot`
    pub monitor_pivot: Option<String>,
    /// `lxc.cgroup.dir.container`
    pub container: Option<String>,
    /// `lxc.cgroup.dir.container.inner`
    pub container_inner: Option<String>,
    /// `lxc.cgroup.relative`
    pub relative: bool,
}

/// `lxc.console.*`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// `.path`; `none` = no console
    pub path: Option<String>,
    /// `.logfile`
    pub logfile: Option<String>,
    /// `.size` in bytes, 0 = unlimited
    pub log_size: u64,
    /// `.rotate`
    pub rotate: bool,
    /// `.buffer.size` in bytes, 0 = no ring buffer
    pub buffer_size: u64,
}

/// `lxc.hook.*`: command lines, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// `lxc.hook.version`, 0 or 1
    pub version: u8,
    /// `lxc.hook.<kind>`
    pub by_kind: BTreeMap<HookKind, Vec<String>>,
}

/// The kinds of `lxc.hook.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum HookKind {
    PreStart,
    PreMount,
    Mount,
    Autodev,
    StartHost,
    Start,
    Stop,
    PostStop,
    Clone,
    Destroy,
}

impl HookKind {
    /// The name in the key and in `LXC_HOOK_TYPE`: `pre-start`, `autodev`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::PreStart => "pre-start",
            Self::PreMount => "pre-mount",
            Self::Mount => "mount",
            Self::Autodev => "autodev",
            Self::StartHost => "start-host",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::PostStop => "post-stop",
            Self::Clone => "clone",
            Self::Destroy => "destroy",
        }
    }
}

/// Which ids an [`IdMap`] maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IdKind {
    /// `u`
    Uid,
    /// `g`
    Gid,
}

/// One `lxc.idmap` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// uid or gid
    pub kind: IdKind,
    /// First id in the namespace
    pub nsid: u32,
    /// First id on the host
    pub hostid: u32,
    /// How many
    pub range: u32,
}

/// `lxc.init.*`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Init {
    /// `.cmd`
    pub cmd: Option<String>,
    /// `.cwd`
    pub cwd: Option<String>,
    /// `.uid`
    pub uid: u32,
    /// `.gid`
    pub gid: u32,
    /// `.groups`; `None`: groups are dropped
    pub groups: Option<Vec<u32>>,
}

/// `lxc.log.*`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// `.level`, 0 TRACE … 8 FATAL
    pub level: Option<u8>,
    /// `.file`
    pub file: Option<PathBuf>,
    /// `.syslog`: facility name as given (`daemon`, `local0` … in any case)
    pub syslog: Option<String>,
}

/// `lxc.time.offset.*`: each in the two fields that LXC keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TimeOffset {
    pub boot_s: i64,
    pub boot_ns: i64,
    pub monotonic_s: i64,
    pub monotonic_ns: i64,
}

impl TimeOffset {
    /// Whether any offset is set (a time namespace is needed).
    pub fn is_set(&self) -> bool {
        *self != Self::default()
    }
}

/// `lxc.tty.*`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tty {
    /// `.max`
    pub max: u32,
    /// `.dir`, below /dev
    pub dir: Option<String>,
}

/// `lxc.rootfs.*`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rootfs {
    /// Backend named before the first `:` of `.path`
    pub backend: Option<String>,
    /// `.path` without the backend
    pub path: Option<String>,
    /// `.mount`; `None` = libdir/lxc/rootfs
    pub mount: Option<String>,
    /// `.options` as given
    pub options: Option<String>,
    /// `.managed`
    pub managed: bool,
}

impl Default for Rootfs {
    fn default() -> Self {
        Self {
            backend: None,
            path: None,
            mount: None,
            options: None,
            managed: true,
        }
    }
}

/// `lxc.seccomp.*`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seccomp {
    /// `.profile`
    pub profile: Option<PathBuf>,
    /// `.allow_nesting`
    pub allow_nesting: bool,
    /// `.notify.proxy`: after `unix:`; a leading `@` marks an abstract name
    pub notify_proxy: Option<String>,
    /// `.notify.cookie`
    pub notify_cookie: Option<String>,
}

/// `lxc.signal.*`: `None` = LXC's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Signals {
    pub halt: Option<i32>,
    pub reboot: Option<i32>,
    pub stop: Option<i32>,
}

/// `lxc.start.*`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct AutoStart {
    pub auto: bool,
    /// seconds
    pub delay: u32,
    pub order: i32,
}
