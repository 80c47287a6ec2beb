//! From `lxc.rootfs.*` to a tree at `lxc.rootfs.mount`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::unistd::{UnlinkatFlags, unlinkat};
use rlxc_config::MountEntry;
use rlxc_storage::{Backend, Options, Rootfs};
use rlxc_sys::mount::{self, MountAttr, attrs_of_flags};

use crate::error::{Context, StartError};
use crate::plan::{Plan, RootfsPlan};
use crate::root::{Root, fd_path};

const STEP: &str = "rootfs";

/// What serves a mounted rootfs (the program behind a network block device) until it is dropped.
pub(crate) struct Hold(Option<Box<dyn Send + Sync>>);

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Hold" } else { "Nothing" })
    }
}

fn storage_error(about: &str, error: &rlxc_storage::Error) -> StartError {
    let mut text = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        text.push_str(&format!(": {source}"));
    }
    let failed = StartError::new(STEP, about, text);
    match error {
        rlxc_storage::Error::MissingTool { remedy, .. } => failed.remedy(remedy.clone()),
        _ => failed,
    }
}

/// Where the rootfs comes from, found out by the monitor.
#[derive(Debug)]
pub(crate) enum Source {
    /// The host's own tree.
    Host,
    /// A directory, with everything mounted below it.
    Directory {
        path: PathBuf,
        options: Box<MountEntry>,
        /// Detached by a privileged monitor for a container with id maps: what lies above the
        /// directory may be closed to the container's root, as LXD keeps it.
        tree: Option<OwnedFd>,
    },
    /// A file system of its own, mounted detached by the monitor.
    Device {
        path: PathBuf,
        tree: OwnedFd,
        hold: Hold,
    },
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
                Ok(Self::of_directory(plan, path, options))
            }
            None => Self::of_path(plan, Path::new(&rootfs.source), options),
            Some(other) => {
                let backend = Backend::from_str(other);
                let backend = backend.at(STEP, format!("lxc.rootfs.path = {other}:"))?;
                Self::mounted(backend, &rootfs.source, &options)
            }
        }
    }

    fn of_directory(plan: &Plan, path: PathBuf, options: Box<MountEntry>) -> Self {
        let how = mount::OPEN_TREE_CLONE | mount::AT_RECURSIVE;
        // Refused to a monitor without privilege: the child opens it then.
        let tree = (!plan.id_maps.is_empty() && plan.privileged)
            .then(|| mount::open_tree_at(&path, how).ok())
            .flatten();
        Self::Directory {
            path,
            options,
            tree,
        }
    }

    /// A path without the name of a backend: what it is decides.
    fn of_path(plan: &Plan, path: &Path, options: Box<MountEntry>) -> Result<Self, StartError> {
        let about = format!("lxc.rootfs.path = {}", path.display());
        if path.is_absolute() {
            // Missing: said with its errno, before types are tried.
            std::fs::metadata(path).at(STEP, &about)?;
        }
        let text = path.to_string_lossy();
        let rootfs = Rootfs::parse(&text).map_err(|error| storage_error(&about, &error))?;
        match rootfs.backend {
            Backend::Dir | Backend::Btrfs => Ok(Self::of_directory(plan, path.to_owned(), options)),
            backend => Self::mounted(backend, &text, &options),
        }
    }

    /// What has a file system of its own is mounted here, detached: so the container's user namespace can attach it.
    fn mounted(backend: Backend, path: &str, options: &MountEntry) -> Result<Self, StartError> {
        let about = format!("lxc.rootfs.path = {backend}:{path}");
        let how = Options {
            read_only: false,
            flags: options.flags,
            data: options.data.clone(),
            ..Options::default()
        };
        let rootfs = Rootfs::new(backend, path);
        let mounted = rootfs.and_then(|rootfs| rootfs.mount(&how));
        let mounted = mounted.map_err(|error| storage_error(&about, &error))?;
        let (tree, hold) = mounted.into_tree();
        Ok(Self::Device {
            path: path.into(),
            tree,
            hold: Hold(hold),
        })
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
            Self::Directory { tree, .. } => tree.as_ref().map(AsFd::as_fd),
            _ => None,
        }
    }

    /// What has to last as long as the container.
    pub(crate) fn take_hold(&mut self) -> Option<Hold> {
        match self {
            Self::Device { hold, .. } => Some(std::mem::replace(hold, Hold(None))),
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
            Self::Directory {
                path,
                options,
                tree: own,
            } => {
                let how = mount::OPEN_TREE_CLONE | mount::AT_RECURSIVE;
                let opened;
                let tree = match (&tree, own) {
                    (Some(tree), _) | (None, Some(tree)) => tree,
                    (None, None) => {
                        opened = mount::open_tree_at(path, how).at_path(STEP, path)?;
                        &opened
                    }
                };
                restrict(tree, options).at(STEP, "lxc.rootfs.options")?;
                mount::attach(tree, &target).at_path(STEP, &rootfs.mount)
            }
            Self::Device {
                path, tree: own, ..
            } => {
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
    // A copy whose upper directory lies on a fresh tmpfs has none yet.
    match std::fs::create_dir(&work) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).at_path(STEP, &work);
        }
        _ => {}
    }
    let mut data = format!("upperdir={},lowerdir={lower}", upper.display());
    data.push_str(&format!(",workdir={}", work.display()));
    if !options.data.is_empty() {
        data.push_str(&format!(",{}", options.data));
    }
    let flags = MsFlags::from_bits_retain(options.flags);
    let overlay = |data: &str| {
        let (name, target) = (Some("overlay"), fd_path(target));
        nix::mount::mount(name, &target, name, flags, Some(data))
    };
    // In a user namespace the layers' marks have to be user attributes; the kernel keeps the others for root.
    let user = !initial_user_namespace() && !options.data.contains("userxattr");
    let mounted = match user {
        true => match overlay(&format!("{data},userxattr")) {
            Err(Errno::EINVAL) => overlay(&data),
            other => other,
        },
        false => overlay(&data),
    };
    mounted.at(STEP, about)
}

/// Whether ids are what they are on the host.
fn initial_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
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
