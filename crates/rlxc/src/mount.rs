use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{PROC_SUPER_MAGIC, SYSFS_MAGIC};
use nix::unistd::{Gid, Uid};
use rlxc_runtime::Root;
use rlxc_sys::mount::{self, FsContext, MountAttr, OPEN_TREE_CLONE};

use crate::container::Container;
use crate::error::{Error, Result};

/// mount(2)'s flags that matter here.
const MS_BIND: u64 = 4096;
const MS_REC: u64 = 16384;

impl Container {
    /// Mounts something into the running container (the C API's `mount`): a bind of a host path
    /// with MS_BIND, else a file system of its own. `target` is made if `source` is a directory or
    /// a file and it is missing.
    ///
    /// # Errors
    /// [`Error::NotRunning`]; [`Error::Path`] with EPERM for callers that are not root.
    pub fn inject_mount(
        &self,
        source: Option<&Path>,
        target: &Path,
        fstype: Option<&str>,
        flags: u64,
        data: Option<&str>,
    ) -> Result<()> {
        let pid = self.need_init_pid()?;
        let failed = || Error::path::<std::io::Error>("make the mount for", target);
        let attributes = mount::attrs_of_flags(flags);
        let (tree, is_dir) = match (fstype, source) {
            (Some(fstype), _) if flags & MS_BIND == 0 => {
                let context = FsContext::open(fstype).map_err(failed())?;
                context
                    .set_all(data.unwrap_or_default())
                    .map_err(failed())?;
                let context = match source {
                    Some(source) => context
                        .source(&source.to_string_lossy())
                        .map_err(failed())?,
                    None => context,
                };
                (context.mount(attributes).map_err(failed())?, true)
            }
            (_, Some(source)) => (clone_host(source, flags, attributes)?, source.is_dir()),
            (_, None) => {
                return Err(Error::refused(
                    nix::errno::Errno::EINVAL,
                    "a mount needs a source or a file system type",
                ));
            }
        };
        self.mount_tree(pid, tree, target, is_dir)
    }

    /// Puts a detached tree into the container; `target` is made if it is missing.
    pub(crate) fn mount_tree(
        &self,
        pid: i32,
        tree: OwnedFd,
        target: &Path,
        is_dir: bool,
    ) -> Result<()> {
        let path = target.to_owned();
        let owner = root_of(pid);
        in_mount_namespace(pid, move |root| {
            // A mount point that has to be made is the container's: a file system of its own
            // knows no other owner.
            nix::unistd::setfsgid(owner.1);
            nix::unistd::setfsuid(owner.0);
            let place = match is_dir {
                true => root.make_dirs(&path)?,
                false => root.make_file(&path, 0o644)?,
            };
            mount::attach(tree, place)
        })
        .map_err(Error::path("mount on", target))
    }

    /// Unmounts something in the running container; `flags` of umount2(2).
    ///
    /// # Errors
    /// As [`Container::inject_mount`]; EPERM where links of the container lead into /proc or /sys, whose read-only
    /// parts are mounts too.
    pub fn inject_umount(&self, target: &Path, flags: i32) -> Result<()> {
        let pid = self.need_init_pid()?;
        let path = target.to_owned();
        in_mount_namespace(pid, move |root| {
            let (parent, name) = resolve(root, &path)?;
            if is_kernels(&parent) && !(path.starts_with("/proc") || path.starts_with("/sys")) {
                return Err(nix::errno::Errno::EPERM.into());
            }
            // No reference to the mount itself, which would keep it busy; and no link from here on.
            nix::unistd::fchdir(&parent)?;
            let flags = MntFlags::from_bits_retain(flags) | MntFlags::UMOUNT_NOFOLLOW;
            Ok(umount2(&name, flags)?)
        })
        .map_err(Error::path("unmount", target))
    }
}

/// The directory of `path` and its name there, with all links followed below the root.
fn resolve(root: &Root, path: &Path) -> std::io::Result<(OwnedFd, PathBuf)> {
    const LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let name = path.file_name().ok_or(nix::errno::Errno::EINVAL)?;
        let name = PathBuf::from(name);
        let above = path.parent().unwrap_or(Path::new("/")).to_owned();
        let parent = root.open(&above, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        match nix::fcntl::readlinkat(&parent, &name) {
            Ok(link) => path = above.join(link),
            Err(_) => return Ok((parent, name)),
        }
    }
    Err(nix::errno::Errno::ELOOP.into())
}

/// Whether a directory is one of procfs or sysfs.
fn is_kernels(directory: &OwnedFd) -> bool {
    nix::sys::statfs::fstatfs(directory)
        .is_ok_and(|stat| [PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&stat.filesystem_type()))
}

/// The ids that are 0 in the user namespace of `pid`.
fn root_of(pid: i32) -> (Uid, Gid) {
    let first = |file: &str| {
        let map = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let mut lines = map.lines().map(str::split_whitespace);
        lines.find_map(|mut words| match (words.next(), words.next()) {
            (Some("0"), Some(outside)) => outside.parse().ok(),
            _ => None,
        })
    };
    (
        Uid::from_raw(first("uid_map").unwrap_or(0)),
        Gid::from_raw(first("gid_map").unwrap_or(0)),
    )
}

fn clone_host(source: &Path, flags: u64, attributes: u64) -> Result<OwnedFd> {
    let recursive = flags & MS_REC != 0;
    let failed = || Error::path::<std::io::Error>("take a view of", source);
    let how = OPEN_TREE_CLONE | if recursive { mount::AT_RECURSIVE } else { 0 };
    let tree = mount::open_tree_at(source, how).map_err(failed())?;
    if attributes != 0 {
        let change = MountAttr {
            set: attributes,
            ..MountAttr::default()
        };
        mount::set_attr(&tree, recursive, &change).map_err(failed())?;
    }
    Ok(tree)
}

/// Runs `work` on a thread of its own that has entered the mount namespace and root of `pid`.
fn in_mount_namespace<T: Send + 'static>(
    pid: i32,
    work: impl FnOnce(&Root) -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let namespace = File::open(format!("/proc/{pid}/ns/mnt"))?;
    let thread = std::thread::Builder::new()
        .name("rlxc-mount".into())
        .spawn(move || {
            // The thread's own view of root and directory: only then may it change namespaces alone.
            unshare(CloneFlags::CLONE_FS)?;
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWNS)?;
            work(&Root::open_host(Path::new("/"))?)
        })?;
    thread
        .join()
        .unwrap_or_else(|_| Err(std::io::Error::other("the mounting thread died")))
}
