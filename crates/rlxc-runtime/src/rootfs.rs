//! From `lxc.rootfs.*` to a tree at `lxc.rootfs.mount`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::unistd::{UnlinkatFlags, unlinkat};
use rlxc_config::MountEntry;
use rlxc_sys::loopdev::LoopDevice;
use rlxc_sys::mount::{self, FsContext, MountAttr, attrs_of_flags};

use crate::error::{Context, StartError};
use crate::plan::{Plan, RootfsPlan};
use crate::root::{Root, fd_path};

const STEP: &str = "rootfs";

/// Where the rootfs comes from, found out by the monitor.
#[derive(Debug)]
pub(crate) enum Source {
    /// The host's own tree.
    Host,
    /// A directory, with everything mounted below it.
    Directory {
        path: PathBuf,
        options: Box<MountEntry>,
    },
    /// A file system on a block device, mounted detached by the monitor.
    Device { path: PathBuf, tree: OwnedFd },
    /// An overlay: lower directories, upper directory; the work directory is `work` beside it.
    Overlay {
        lower: String,
        upper: PathBuf,
        options: Box<MountEntry>,
    },
}

impl Source {
    /// Looks at what is there; changes nothing.
    pub(crate) fn resolve(plan: &Plan) -> Result<Self, StartError> {
        let Some(rootfs) = &plan.rootfs else {
            return Ok(Self::Host);
        };
        let mount = &rootfs.mount;
        std::fs::metadata(mount)
            .at_path(STEP, mount)
            .map_err(|error| {
                error.remedy("make that directory, or name another one in lxc.rootfs.mount")
            })?;
        let options = options(rootfs)?;
        match rootfs.backend.as_deref() {
            Some("overlay" | "overlayfs") => overlay(&rootfs.source, options),
            Some("dir" | "btrfs") => {
                let path = directory(Path::new(&rootfs.source))?;
                Ok(Self::Directory { path, options })
            }
            None => Self::of_path(Path::new(&rootfs.source), options),
            Some("loop") => Self::of_image(Path::new(&rootfs.source), &options),
            Some("lvm" | "rbd") => Self::of_device(Path::new(&rootfs.source), &options),
            Some("zfs") => Self::of_zfs(&rootfs.source, &options),
            Some(other) => Err(StartError::new(
                STEP,
                format!("lxc.rootfs.path = {other}:{}", rootfs.source),
                "this kind of storage cannot be started from",
            )),
        }
    }

    /// A path without the name of a backend: what it is decides.
    fn of_path(path: &Path, options: Box<MountEntry>) -> Result<Self, StartError> {
        use std::os::unix::fs::FileTypeExt;
        let about = format!("lxc.rootfs.path = {}", path.display());
        let kind = std::fs::metadata(path).at(STEP, &about)?.file_type();
        if kind.is_dir() {
            let path = path.to_owned();
            Ok(Self::Directory { path, options })
        } else if kind.is_block_device() {
            Self::of_device(path, &options)
        } else if kind.is_file() {
            Self::of_image(path, &options)
        } else {
            let what = "is neither a directory nor a block device nor an image";
            Err(StartError::new(STEP, about, what))
        }
    }

    fn of_image(path: &Path, options: &MountEntry) -> Result<Self, StartError> {
        let read_only = options.flags & MsFlags::MS_RDONLY.bits() != 0;
        let device = LoopDevice::attach(path, read_only).at_path(STEP, path)?;
        // The mount holds the device from here on.
        Self::of_device(&device.path, options).map_err(|error| StartError {
            target: format!("{} ({})", path.display(), error.target),
            ..error
        })
    }

    /// Every type that the system knows is tried.
    fn of_device(path: &Path, options: &MountEntry) -> Result<Self, StartError> {
        let device = path.to_string_lossy();
        let mut failed = None;
        for fstype in file_system_types() {
            match detached(&fstype, &device, options, "") {
                Ok(tree) => {
                    let path = path.to_owned();
                    return Ok(Self::Device { path, tree });
                }
                Err(error) => failed = failed.or(Some((fstype, error))),
            }
        }
        let known = "the kernel knows no file system that is on it";
        Err(match failed {
            Some((_, error)) if error.raw_os_error() != Some(Errno::EINVAL as i32) => {
                StartError::from_error(STEP, path.display(), &error)
            }
            _ => StartError::new(STEP, path.display(), known),
        })
    }

    fn of_zfs(dataset: &str, options: &MountEntry) -> Result<Self, StartError> {
        let extra = format!("zfsutil,mntpoint={dataset}");
        let tree = detached("zfs", dataset, options, &extra);
        let tree = tree.at(STEP, format!("lxc.rootfs.path = zfs:{dataset}"))?;
        let path = dataset.into();
        Ok(Self::Device { path, tree })
    }

    /// Keeps the file system below a directory rootfs from being remounted read-only by the
    /// container: a file in it stays open for writing. Best effort, as with LXC.
    pub(crate) fn pin(&self, plan: &Plan) -> Option<OwnedFd> {
        let Self::Directory { path, .. } = self else {
            return None;
        };
        if !plan.id_maps.is_empty() || !plan.privileged {
            return None;
        }
        let root = Root::open_host(path).ok()?;
        let name = ".lxc_keep";
        let _ = unlinkat(&root, name, UnlinkatFlags::NoRemoveDir);
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        let fd = nix::fcntl::openat(&root, name, flags | OFlag::O_CLOEXEC, mode).ok()?;
        unlinkat(&root, name, UnlinkatFlags::NoRemoveDir).ok()?;
        Some(fd)
    }

    /// What the container's first process needs of it.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Device { tree, .. } => Some(tree.as_fd()),
            _ => None,
        }
    }

    /// Mounts it at `lxc.rootfs.mount`; `tree` is the idmapped tree, if there is one.
    pub(crate) fn mount(
        &self,
        rootfs: &RootfsPlan,
        tree: Option<OwnedFd>,
    ) -> Result<(), StartError> {
        let target = Root::open_host(&rootfs.mount).at_path(STEP, &rootfs.mount)?;
        match self {
            Self::Host => Ok(()),
            Self::Directory { path, options } => {
                let how = mount::OPEN_TREE_CLONE | mount::AT_RECURSIVE;
                let tree = match tree {
                    Some(tree) => tree,
                    None => mount::open_tree_at(path, how).at_path(STEP, path)?,
                };
                restrict(&tree, options).at(STEP, "lxc.rootfs.options")?;
                mount::attach(&tree, &target).at_path(STEP, &rootfs.mount)
            }
            Self::Device { path, tree: own } => {
                let tree = tree.as_ref().unwrap_or(own);
                mount::attach(tree, &target).at_path(STEP, path)
            }
            Self::Overlay {
                lower,
                upper,
                options,
            } => mount_overlay(&target, lower, upper, options),
        }
    }
}

/// The types to try: /etc/filesystems, then what the kernel has registered for devices.
fn file_system_types() -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let listed = read("/etc/filesystems");
    let registered = read("/proc/filesystems");
    let lines = listed.lines().chain(registered.lines());
    let mut types: Vec<String> = Vec::new();
    for line in lines.map(str::trim) {
        let usable = !line.is_empty() && !line.starts_with(['#', '*']) && !line.contains("nodev");
        if usable && !types.iter().any(|known| known == line) {
            types.push(line.to_owned());
        }
    }
    types
}

/// A file system mounted nowhere yet, so that the container's user namespace can attach it too.
fn detached(
    fstype: &str,
    source: &str,
    options: &MountEntry,
    extra: &str,
) -> std::io::Result<OwnedFd> {
    let context = FsContext::open(fstype)?.source(source)?;
    if options.flags & MsFlags::MS_RDONLY.bits() != 0 {
        context.flag("ro")?;
    }
    context.set_all(extra)?;
    context.set_all(&options.data)?;
    context.mount(attrs_of_flags(options.flags))
}

/// `lxc.rootfs.options` as the options of a mount entry.
fn options(rootfs: &RootfsPlan) -> Result<Box<MountEntry>, StartError> {
    let text = rootfs.options.as_deref().unwrap_or_default();
    let text = if text.is_empty() { "defaults" } else { text };
    let entry = MountEntry::parse(&format!("rootfs / none {text}"));
    entry
        .map(Box::new)
        .at(STEP, format!("lxc.rootfs.options = {text}"))
}

fn directory(path: &Path) -> Result<PathBuf, StartError> {
    let about = || format!("lxc.rootfs.path = {}", path.display());
    let meta = std::fs::metadata(path).at(STEP, about())?;
    if !meta.is_dir() {
        return Err(StartError::new(STEP, about(), "is not a directory"));
    }
    Ok(path.to_owned())
}

/// `LOWER[:LOWER…]:UPPER`, split at the last `:/`.
fn overlay(source: &str, options: Box<MountEntry>) -> Result<Source, StartError> {
    let Some((lower, upper)) = source.rsplit_once(":/") else {
        return Err(StartError::new(
            STEP,
            format!("lxc.rootfs.path = overlay:{source}"),
            "is not of the form overlay:LOWER:UPPER",
        ));
    };
    for dir in lower.split(':') {
        directory(Path::new(dir))?;
    }
    let upper = directory(&Path::new("/").join(upper))?;
    Ok(Source::Overlay {
        lower: lower.to_owned(),
        upper,
        options,
    })
}

fn mount_overlay(
    target: &Root,
    lower: &str,
    upper: &Path,
    options: &MountEntry,
) -> Result<(), StartError> {
    let work = upper.parent().unwrap_or(Path::new("/")).join("work");
    let about = format!("overlay of {lower} and {}", upper.display());
    let mut data = format!("upperdir={},lowerdir={lower}", upper.display());
    data.push_str(&format!(",workdir={}", work.display()));
    if !options.data.is_empty() {
        data.push_str(&format!(",{}", options.data));
    }
    let flags = MsFlags::from_bits_retain(options.flags);
    nix::mount::mount(
        Some("overlay"),
        &fd_path(target),
        Some("overlay"),
        flags,
        Some(data.as_str()),
    )
    .at(STEP, about)
}

/// Applies the generic flags and the propagation of the options to the tree's top mount.
fn restrict(tree: &OwnedFd, options: &MountEntry) -> std::io::Result<()> {
    let recursive = options.propagation & MsFlags::MS_REC.bits() != 0;
    let set = attrs_of_flags(options.flags);
    if set != 0 {
        // One way of noting access times can only be set in place of all others.
        let clear = match set & mount::attr::ATIME_MASK {
            0 => 0,
            _ => mount::attr::ATIME_MASK,
        };
        let change = MountAttr {
            set,
            clear,
            ..MountAttr::default()
        };
        mount::set_attr(tree, false, &change)?;
    }
    let propagation = options.propagation & !MsFlags::MS_REC.bits();
    if propagation != 0 {
        let change = MountAttr {
            propagation,
            ..MountAttr::default()
        };
        mount::set_attr(tree, recursive, &change)?;
    }
    Ok(())
}
