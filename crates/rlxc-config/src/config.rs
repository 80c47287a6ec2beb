//! The typed configuration: what the key table's handlers write and every other crate reads.
//!
//! Field docs name their key; meaning, default and syntax are in the key table.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

mod named;
mod net;
mod texts;

pub use named::{Extra, Limits, Named, Pairs, Rows};
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

/// `lxc.mount.*`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounts {
    /// `.auto`
    pub auto: AutoMounts,
    /// `.entry`, the lines as given; parse one with [`MountEntry`]
    pub entries: Texts,
    /// `.fstab`
    pub fstab: Option<PathBuf>,
}

/// `lxc.mount.auto` by LXC's bits, and the shared mount pair.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoMounts {
    /// Bits as in [`auto_mount`]
    pub bits: u32,
    /// `shmounts:HOST[:CONTAINER]`
    pub shmounts: Option<(String, String)>,
}

/// The bits of [`AutoMounts::bits`].
#[allow(missing_docs)]
pub mod auto_mount {
    pub const PROC_RW: u32 = 0x1;
    pub const PROC_MIXED: u32 = 0x2;
    pub const PROC_MASK: u32 = 0x3;
    pub const SYS_RW: u32 = 0x4;
    pub const SYS_RO: u32 = 0x8;
    pub const SYS_MIXED: u32 = 0xC;
    pub const SYS_MASK: u32 = 0xC;
    pub const CGROUP_RO: u32 = 0x10;
    pub const CGROUP_RW: u32 = 0x20;
    pub const CGROUP_MIXED: u32 = 0x30;
    pub const CGROUP_FULL_RO: u32 = 0x40;
    pub const CGROUP_FULL_RW: u32 = 0x80;
    pub const CGROUP_FULL_MIXED: u32 = 0xC0;
    /// `cgroup` without a mode: decided by CAP_SYS_ADMIN at start.
    pub const CGROUP_NOSPEC: u32 = 0xB0;
    /// `cgroup-full` without a mode.
    pub const CGROUP_FULL_NOSPEC: u32 = 0xE0;
    pub const CGROUP_MASK: u32 = 0xF0;
    pub const CGROUP2_RW: u32 = 0x100;
    pub const CGROUP2_RO: u32 = 0x200;
    pub const CGROUP2_MASK: u32 = 0x300;
    pub const CGROUP_FORCE: u32 = 0x400;
    pub const SHMOUNTS: u32 = 0x800;
}

/// One parsed `lxc.mount.entry` or fstab line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountEntry {
    /// First field, unescaped
    pub source: String,
    /// Second field, unescaped; relative = below the rootfs
    pub target: String,
    /// Third field
    pub fstype: String,
    /// Generic flags that are set (MS_*)
    pub flags: u64,
    /// Generic flags that are explicitly cleared (e.g. `rw`, `dev`, `suid`)
    pub cleared: u64,
    /// Propagation (MS_SHARED …, with MS_REC), 0 = none asked
    pub propagation: u64,
    /// What remains, comma-joined, for the file system
    pub data: String,
    /// `create=dir|file`
    pub create: Option<CreateTarget>,
    /// `optional`
    pub optional: bool,
    /// `relative`
    pub relative: bool,
    /// `dev`: do not inherit nodev on a bind remount
    pub dev: bool,
    /// `idmap=container|/path`
    pub idmap: Option<IdmapSource>,
}

/// `create=` of a mount entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum CreateTarget {
    Dir,
    File,
}

/// `idmap=` of a mount entry or of `lxc.rootfs.options`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdmapSource {
    /// The container's own user namespace
    Container,
    /// A user namespace file
    Path(PathBuf),
}

/// A kernel namespace, in LXC's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Namespace {
    User,
    Mnt,
    Pid,
    Uts,
    Ipc,
    Net,
    Cgroup,
    Time,
}

impl Namespace {
    /// All, in LXC's order: user mnt pid uts ipc net cgroup time.
    pub const ALL: [Self; 8] = [
        Self::User,
        Self::Mnt,
        Self::Pid,
        Self::Uts,
        Self::Ipc,
        Self::Net,
        Self::Cgroup,
        Self::Time,
    ];

    /// The name in `/proc/PID/ns` and in `lxc.namespace.*`.
    pub fn name(self) -> &'static str {
        ["user", "mnt", "pid", "uts", "ipc", "net", "cgroup", "time"][self as usize]
    }

    /// Its CLONE_NEW* flag (clone(2), time_namespaces(7)).
    pub fn clone_flag(self) -> u64 {
        [
            0x1000_0000,
            0x0002_0000,
            0x2000_0000,
            0x0400_0000,
            0x0800_0000,
            0x4000_0000,
            0x0200_0000,
            0x80,
        ][self as usize]
    }
}

/// A set of namespaces as a mask of CLONE_NEW* flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceSet(pub u64);

impl NamespaceSet {
    /// Whether `ns` is in the set.
    pub fn contains(self, ns: Namespace) -> bool {
        self.0 & ns.clone_flag() != 0
    }
    /// Adds `ns`.
    pub fn insert(&mut self, ns: Namespace) {
        self.0 |= ns.clone_flag();
    }
    /// Removes `ns`.
    pub fn remove(&mut self, ns: Namespace) {
        self.0 &= !ns.clone_flag();
    }
    /// Whether no namespace is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// The members, in LXC's order.
    pub fn iter(self) -> impl Iterator<Item = Namespace> {
        Namespace::ALL
            .into_iter()
            .filter(move |ns| self.contains(*ns))
    }
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
