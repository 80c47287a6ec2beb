//! `lxc.mount.*` in types.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Texts;

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
