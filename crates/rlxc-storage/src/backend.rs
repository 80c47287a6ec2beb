//! The kinds of storage: one table of what each can do, one trait, one file a kind.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::copy::Progress;
use crate::error::{Error, Result};
use crate::mounted::{Mounted, Options};
use crate::rootfs::Rootfs;

mod block;
mod btrfs;
mod dir;
mod loopfile;
mod lvm;
mod nbd;
mod overlay;
mod rbd;
mod zfs;

pub(crate) use block::Guess;
pub use lvm::rests_on_original;
pub(crate) use overlay::{is_initial_user_namespace, make_dir, overwrite as overwrite_in_overlay};
pub(crate) use zfs::parted;
pub use zfs::{forget_copy, release_clones, set_place};

/// The size of a new volume for which none is given.
pub const DEFAULT_SIZE: u64 = 1 << 30;
const DEFAULT_FS: &str = "ext4";

/// A kind of root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// A directory
    Dir,
    /// Lower directories and a writable upper one
    Overlay,
    /// A btrfs subvolume
    Btrfs,
    /// A file with a file system in it
    Loop,
    /// A logical volume
    Lvm,
    /// A ZFS data set
    Zfs,
    /// A disk image served by qemu-nbd
    Nbd,
    /// A RADOS block device
    Rbd,
}

/// What a kind of storage can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// Make a new one
    pub create: bool,
    /// A full copy
    pub copy: bool,
    /// A copy that shares what is unchanged
    pub share: bool,
    /// `snapshot` of a container on it; by a full copy where it cannot share
    pub snapshot: bool,
    /// A full copy on another file system or pool goes as a stream of the storage's own (send and receive)
    pub send: bool,
    /// Its size can be chosen
    pub sized: bool,
    /// Users without privilege can have it
    pub rootless: bool,
    /// It is a device or file with a file system of its own in it
    pub block: bool,
}

const NOTHING: Capabilities = Capabilities {
    create: false,
    copy: false,
    share: false,
    snapshot: false,
    send: false,
    sized: false,
    rootless: false,
    block: false,
};

impl Backend {
    /// All kinds, in the order in which LXC tries them.
    pub const ALL: [Self; 8] = [
        Self::Dir,
        Self::Zfs,
        Self::Lvm,
        Self::Rbd,
        Self::Btrfs,
        Self::Overlay,
        Self::Loop,
        Self::Nbd,
    ];

    /// LXC's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::Overlay => "overlay",
            Self::Btrfs => "btrfs",
            Self::Loop => "loop",
            Self::Lvm => "lvm",
            Self::Zfs => "zfs",
            Self::Nbd => "nbd",
            Self::Rbd => "rbd",
        }
    }

    /// What it can do.
    #[must_use]
    pub const fn capabilities(self) -> Capabilities {
        let made = Capabilities {
            create: true,
            copy: true,
            snapshot: true,
            ..NOTHING
        };
        let shares = Capabilities {
            share: true,
            ..made
        };
        match self {
            Self::Dir => Capabilities {
                rootless: true,
                ..made
            },
            Self::Overlay => Capabilities {
                rootless: true,
                ..shares
            },
            Self::Btrfs => Capabilities {
                rootless: true,
                send: true,
                ..shares
            },
            Self::Zfs => Capabilities {
                send: true,
                ..shares
            },
            Self::Loop => Capabilities {
                sized: true,
                block: true,
                ..made
            },
            Self::Lvm => Capabilities {
                sized: true,
                block: true,
                ..shares
            },
            Self::Rbd => Capabilities {
                create: true,
                sized: true,
                block: true,
                ..NOTHING
            },
            Self::Nbd => Capabilities {
                block: true,
                ..NOTHING
            },
        }
    }

    /// Whether a copy can share what is unchanged.
    #[must_use]
    pub const fn can_snapshot(self) -> bool {
        self.capabilities().share
    }

    pub(crate) fn driver(self) -> &'static dyn Driver {
        match self {
            Self::Dir => &dir::Dir,
            Self::Overlay => &overlay::Overlay,
            Self::Btrfs => &btrfs::Btrfs,
            Self::Loop => &loopfile::Loop,
            Self::Lvm => &lvm::Lvm,
            Self::Zfs => &zfs::Zfs,
            Self::Nbd => &nbd::Nbd,
            Self::Rbd => &rbd::Rbd,
        }
    }

    pub(crate) fn cannot(self, operation: &'static str) -> Error {
        Error::Unsupported {
            backend: self.name().to_owned(),
            operation,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = Error;

    /// `overlayfs` is the old name of `overlay`.
    fn from_str(name: &str) -> Result<Self> {
        let name = if name == "overlayfs" { "overlay" } else { name };
        let known = Self::ALL.into_iter().find(|backend| backend.name() == name);
        known.ok_or_else(|| Error::Unsupported {
            backend: name.to_owned(),
            operation: "be used: the types are dir, overlay, btrfs, loop, lvm, zfs, nbd and rbd",
        })
    }
}

/// What the user chose for a new root file system; what is `None` is LXC's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Specs {
    /// Type of the file system on a device or image
    pub fstype: Option<String>,
    /// Its size in bytes
    pub fssize: Option<u64>,
    /// ZFS: the data set to make it below
    pub zfsroot: Option<String>,
    /// LVM: the volume's name
    pub lv: Option<String>,
    /// LVM: the volume group
    pub vg: Option<String>,
    /// LVM: the thin pool
    pub thinpool: Option<String>,
    /// dir: the directory
    pub dir: Option<PathBuf>,
    /// RBD: the image's name
    pub rbdname: Option<String>,
    /// RBD: the pool
    pub rbdpool: Option<String>,
    /// RBD: the user
    pub rbduser: Option<String>,
}

impl Specs {
    pub(crate) fn fstype(&self) -> &str {
        self.fstype.as_deref().unwrap_or(DEFAULT_FS)
    }

    pub(crate) fn size(&self) -> u64 {
        self.fssize.filter(|n| *n > 0).unwrap_or(DEFAULT_SIZE)
    }
}

/// A value of lxc.conf, or what LXC takes without one.
pub(crate) fn global(key: &str, default: &str) -> String {
    let config = rlxc_config::GlobalConfig::load();
    let written = config.get(key).ok().flatten();
    written
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| default.to_owned())
}

/// The container that a root file system is made for.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its lxcpath
    pub lxcpath: &'a Path,
    /// Its name
    pub name: &'a str,
}

impl Place<'_> {
    /// The container's directory.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.lxcpath.join(self.name)
    }

    /// Where LXC keeps, or mounts, the root file system.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.dir().join("rootfs")
    }

    /// Where a restored container is put together before it takes its place, in the container's own directory.
    pub const RESTORE_DIR: &'static str = "restore.new";

    /// Names for a volume outside of the container's directory: the container's; for a snapshot, which is called
    /// `snapN` in every container, also one with the container's name in it.
    pub(crate) fn volume_names(&self) -> Vec<String> {
        if self.lxcpath.ends_with(Self::RESTORE_DIR) {
            return vec![format!("{}-restore", self.name)];
        }
        let mut names = vec![self.name.to_owned()];
        let of_container = self.lxcpath.ends_with("snaps");
        if let Some(parent) = self.lxcpath.parent().filter(|_| of_container)
            && let Some(container) = parent.file_name().and_then(|name| name.to_str())
        {
            names.push(format!("{container}-{}", self.name));
        }
        names
    }
}

/// What every kind of storage has to know.
pub(crate) trait Driver: Sync {
    /// Whether a path without a type is of this kind.
    fn detect(&self, path: &str) -> bool;

    /// What a new one for that container is called; `source`: it will be a copy of that.
    fn name(&self, place: &Place<'_>, specs: &Specs, source: Option<&Rootfs>) -> Result<Rootfs>;

    /// Whether it is there.
    fn exists(&self, rootfs: &Rootfs) -> Result<bool>;

    /// Makes it, empty.
    fn create(&self, rootfs: &Rootfs, specs: &Specs) -> Result<()>;

    /// Mounts it where only the caller can reach it.
    fn mount(&self, rootfs: &Rootfs, options: &Options) -> Result<Mounted>;

    /// Makes `to` a copy of `from` that shares its data; both are of this kind.
    fn share(&self, _from: &Rootfs, to: &Rootfs, _specs: &Specs) -> Result<()> {
        Err(to.backend.cannot("share its data with a copy"))
    }

    /// Makes `to` a full copy of `from` if there is a faster way than file by file; both are of this kind.
    fn duplicate(
        &self,
        _from: &Rootfs,
        _to: &Rootfs,
        _specs: &Specs,
        _progress: &Progress,
    ) -> Result<bool> {
        Ok(false)
    }

    /// Size and type of the file system, for a copy of it.
    fn like(&self, _rootfs: &Rootfs) -> Result<Specs> {
        Ok(Specs::default())
    }

    /// Who needs it, so that it cannot be removed.
    fn needed_by(&self, _rootfs: &Rootfs) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Gives it the name `to`. What has it already, or is gone because it has, is no error.
    fn rename(&self, from: &Rootfs, to: &Rootfs) -> Result<()>;

    /// Removes it. What is not there is no error.
    fn destroy(&self, rootfs: &Rootfs) -> Result<()>;
}

/// The kind of what lies at a path without a type.
pub(crate) fn detect(path: &str) -> Result<Backend> {
    if path.starts_with('/') {
        std::fs::metadata(path).map_err(Error::at("look at the rootfs", path))?;
    }
    let found = Backend::ALL
        .into_iter()
        .find(|backend| backend.driver().detect(path));
    found.ok_or_else(|| Error::RootfsPath {
        path: path.to_owned(),
        reason: "is of no known type; write TYPE: before it",
    })
}

/// The kinds that `-B best` tries, best first: what can share comes before what cannot.
#[must_use]
pub fn best(lxcpath: &Path) -> Vec<Backend> {
    let existing = lxcpath.ancestors().find(|path| path.exists());
    let fits = |backend: &Backend| match backend {
        Backend::Btrfs => existing.is_some_and(btrfs::is_btrfs),
        Backend::Zfs => zfs::has_root(&zfs::root(&Specs::default())),
        Backend::Lvm => lvm::has_group(&lvm::group(&Specs::default())),
        _ => true,
    };
    let order = [Backend::Btrfs, Backend::Zfs, Backend::Lvm, Backend::Dir];
    order.into_iter().filter(fits).collect()
}

impl Rootfs {
    /// What a new root file system is called.
    ///
    /// # Errors
    /// [`Error::Exists`] when that is there already; [`Error::Unsupported`].
    pub fn plan(
        backend: Backend,
        place: &Place<'_>,
        specs: &Specs,
        source: Option<&Self>,
    ) -> Result<Self> {
        if !backend.capabilities().create {
            return Err(backend.cannot("be made; only existing ones can be used"));
        }
        backend.driver().name(place, specs, source)
    }

    /// Whether it is there.
    ///
    /// # Errors
    /// As the tools that are asked.
    pub fn exists(&self) -> Result<bool> {
        self.backend.driver().exists(self)
    }

    /// Makes it, empty.
    ///
    /// # Errors
    /// [`Error::MissingTool`], [`Error::Program`], [`Error::Path`].
    pub fn create(&self, specs: &Specs) -> Result<()> {
        self.backend.driver().create(self, specs)
    }

    /// Mounts it where only the caller can reach it: no mount namespace sees it.
    ///
    /// # Errors
    /// [`Error::Path`], [`Error::Program`].
    pub fn mount(&self, options: &Options) -> Result<Mounted> {
        self.backend.driver().mount(self, options)
    }

    /// Size and type of its file system, where it has one of its own.
    ///
    /// # Errors
    /// As the tools that are asked.
    pub fn like(&self) -> Result<Specs> {
        self.backend.driver().like(self)
    }

    /// The storage that shares its data with it and keeps it from being removed. Only what the storage itself knows;
    /// LXC's list is in the container's directory.
    ///
    /// # Errors
    /// As the tools that are asked.
    pub fn needed_by(&self) -> Result<Vec<String>> {
        self.backend.driver().needed_by(self)
    }

    /// Removes it. What is not there is no error.
    ///
    /// # Errors
    /// [`Error::MountBelow`], [`Error::Needed`], [`Error::Program`], [`Error::Path`].
    pub fn destroy(&self) -> Result<()> {
        self.backend.driver().destroy(self)
    }

    /// Gives it another name of the same kind. May be repeated.
    ///
    /// # Errors
    /// [`Error::Program`], [`Error::Path`].
    pub fn rename(&self, to: &Self) -> Result<()> {
        self.backend.driver().rename(self, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_lxc() -> Result<()> {
        for backend in Backend::ALL {
            assert_eq!(backend.name().parse::<Backend>()?, backend);
        }
        assert_eq!("overlayfs".parse::<Backend>()?, Backend::Overlay);
        assert!("floppy".parse::<Backend>().is_err());
        Ok(())
    }

    #[test]
    fn a_snapshots_volume_can_carry_the_containers_name() {
        let of = |lxcpath: &str, name: &str| {
            let lxcpath = Path::new(lxcpath);
            Place { lxcpath, name }.volume_names()
        };
        assert_eq!(of("/var/lib/lxc", "web"), ["web"]);
        assert_eq!(
            of("/var/lib/lxc/web/snaps", "snap0"),
            ["snap0", "web-snap0"]
        );
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let place = Place {
            lxcpath: Path::new("/nonexistent"),
            name: "x",
        };
        let error = Rootfs::plan(Backend::Nbd, &place, &Specs::default(), None);
        assert!(matches!(error, Err(Error::Unsupported { .. })));
    }
}
